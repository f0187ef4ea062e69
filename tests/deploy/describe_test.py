#!/usr/bin/env python3
"""Manual pages and completions of the real programs say all that their --help says; help that is not understood is an
error.

    describe_test.py PROGRAM...
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESCRIBE = ROOT / "deploy" / "package" / "describe.py"
PROGRAMS = []


def help_texts(program, path=()):
    """(path, text) of the help of a program and of all its commands, read by other rules than describe.py's."""
    text = subprocess.run([program, *path, "--help"], capture_output=True, text=True, check=True).stdout
    yield path, text
    if "\nSubcommands:\n" in text:
        for command in re.findall(r"^  ([a-z][a-z-]*)", text.split("\nSubcommands:\n")[1].split("\n\n")[0], re.MULTILINE):
            yield from help_texts(program, (*path, command))


def options(text):
    return set(re.findall(r"^ {2,4}(?:-\w,)?(--[a-z][a-z0-9-]*)", text, re.MULTILINE))


def complete(script, program, words):
    """What bash offers after `words`, the last of which is begun."""
    quoted = " ".join(f"'{word}'" for word in (program, *words))
    code = (f"source '{script}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; "
            f"_{program.replace('-', '_')}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return set(subprocess.run(["bash", "-euc", code], capture_output=True, text=True, check=True).stdout.split())


class RealProgramsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.share = pathlib.Path(cls.folder.name) / "share"
        subprocess.run([sys.executable, DESCRIBE, "--out", cls.folder.name, *PROGRAMS], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def pages(self):
        for program in PROGRAMS:
            for path, text in help_texts(program):
                yield pathlib.Path(program).name, path, text

    def script(self, program):
        return self.share / "bash-completion" / "completions" / program

    def test_bash_offers_every_option_and_command(self):
        for program, path, text in self.pages():
            with self.subTest(program=program, path=path):
                self.assertTrue(options(text))
                self.assertLessEqual(options(text), complete(self.script(program), program, [*path, "--"]))
                if path:
                    self.assertIn(path[-1], complete(self.script(program), program, [*path[:-1], path[-1][:1]]))

    def test_bash_offers_files_where_a_file_is_wanted(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "model.gguf").touch()
            for words in (["--model", folder + "/mo"], ["--config", folder + "/mo"]):
                self.assertEqual(complete(self.script("hearthd"), "hearthd", words), {folder + "/model.gguf"})
            self.assertEqual(complete(self.script("hearth"), "hearth", ["load", folder + "/mo"]), {folder + "/model.gguf"})
            self.assertEqual(complete(self.script("hearthd"), "hearthd", ["--queue", folder + "/mo"]), set())

    def test_bash_offers_the_words_that_an_option_takes(self):
        self.assertEqual(complete(self.script("hearth-model"), "hearth-model", ["plan", "--kv-type", "f"]), {"f32", "f16"})

    def test_other_shells_know_every_option(self):
        for program, path, text in self.pages():
            zsh = (self.share / "zsh" / "vendor-completions" / f"_{program}").read_text()
            fish = (self.share / "fish" / "vendor_completions.d" / f"{program}.fish").read_text()
            for option in options(text):
                self.assertTrue(f"*{option}[" in zsh, (program, path, option))
                self.assertTrue(f"-l {option[2:]} " in fish, (program, path, option))

    def test_shells_can_read_their_completions(self):
        for folder, shell in (("bash-completion/completions", "bash"), ("zsh/vendor-completions", "zsh"),
                              ("fish/vendor_completions.d", "fish")):
            if shutil.which(shell):
                for file in (self.share / folder).iterdir():
                    subprocess.run([shell, "-n", file], check=True)

    def test_manual_pages_have_every_option_and_text(self):
        for program, path, text in self.pages():
            page = next((self.share / "man").glob(f"man?/{program}.?")).read_text().replace("\\-", "-")
            for option in options(text):
                self.assertTrue(f"\\fB{option}\\fR" in page, (program, path, option))
            for line in re.findall(r"^ {20,}(\S.*)$", text, re.MULTILINE):
                self.assertTrue(line.replace("\\", "\\e") in page, (program, path, line))

    def test_manual_pages_are_sound(self):
        self.assertTrue((self.share / "man" / "man8" / "hearthd.8").exists())
        if not shutil.which("groff"):
            self.skipTest("groff, which checks manual pages, is not here")
        for page in (self.share / "man").glob("man?/*"):
            result = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", page], capture_output=True, text=True,
                                    check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""), page)


class StrangeHelpTest(unittest.TestCase):
    def describe(self, script):
        """The result for a program that is this shell script."""
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "hearth"
            program.write_text("#!/bin/sh\n" + script)
            program.chmod(0o755)
            return subprocess.run([sys.executable, DESCRIBE, "--out", folder, program], capture_output=True, text=True,
                                  check=False)

    def assert_refused(self, script, reason):
        result = self.describe(script)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(reason, result.stderr)

    def test_good_help_is_described(self):
        result = self.describe("if [ $1 = --version ]; then echo 'hearth 1'; else printf 'hearth is good.\\nUsage: hearth\\n"
                               "\\nOptions:\\n  -h,--help                   Help\\n'; fi\n")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_help_without_usage_is_refused(self):
        self.assert_refused("echo Hello.", "no line that begins with Usage:")

    def test_help_without_options_is_refused(self):
        self.assert_refused("printf 'x\\nUsage: hearth\\n'", "does not name --help")

    def test_lines_of_no_meaning_are_refused(self):
        self.assert_refused("printf 'x\\nUsage: hearth\\n\\n     lost\\n'", "lost")

    def test_a_program_that_fails_is_refused(self):
        self.assert_refused("echo broken >&2; exit 3", "exit code 3: broken")

    def test_a_missing_program_is_refused(self):
        result = subprocess.run([sys.executable, DESCRIBE, "--out", "/nonexistent", "/nonexistent/hearth"],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nonexistent/hearth", result.stderr)


if __name__ == "__main__":
    PROGRAMS = sys.argv[1:]
    if not PROGRAMS:
        sys.exit(__doc__)
    unittest.main(argv=sys.argv[:1])
