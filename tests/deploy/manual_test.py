#!/usr/bin/python3
"""Runs every command of the manual (deploy/manual), page by page, on machines that are network namespaces, with the demo model.

    manual_test.py --bin DIR [--page NAME]

DIR has hearthd, hearth and hearth-model. Comments before a block of code, which no reader of the page sees, say what the test cannot
know:

    <!-- start: COMMAND -->     at the page's beginning: a daemon that its blocks need
    <!-- daemon -->             the block starts a daemon that stays
    <!-- second -->             it is for the second machine
    <!-- prints: TEXT -->       its output has this
    <!-- not run: REASON -->    it cannot run here: its syntax, programs, subcommands and flags are checked

Machine `a` is the first, `b` the second; ADDRESS is the first's, CODE and KEY what earlier blocks have printed, HOST the second's name.
Skipped (77) where namespaces cannot be made (it needs root and `ip`).
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from chat_model import with_chat_template  # noqa: E402
from network import Network  # noqa: E402

MANUAL = ROOT / "deploy" / "manual"
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content or '' }}\n{% endfor %}"
DIRECTIVES = {"start", "daemon", "second", "prints", "not run"}
SKIPPED = 77
PATIENCE_S = 240
SECOND_NAME = "den"
ARGUMENTS = None


@dataclasses.dataclass
class Block:
    language: str
    text: str
    line: int
    directives: dict = dataclasses.field(default_factory=dict)  # "prints": ["TEXT", ...]


class BadPage(Exception):
    pass


def read_page(text):
    """(the command that the page starts with or "", its blocks). Raises BadPage."""
    start, blocks, directives, lines = "", [], {}, iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if match := re.fullmatch(r"<!-- ([a-z ]+?)(?:: (.*))? -->", line):
            name, value = match.groups()
            if name not in DIRECTIVES or (name in ("start", "prints", "not run")) != bool(value):
                raise BadPage(f"line {number}: no directive: {line}")
            if name == "start":
                start = value
            else:
                directives.setdefault(name, []).append(value)
        elif line.startswith("```"):
            body = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            else:
                raise BadPage(f"line {number}: the block does not end")
            if not line[3:]:
                raise BadPage(f"line {number}: the block has no language")
            blocks.append(Block(line[3:], "\n".join(body) + "\n", number, directives))
            directives = {}
        elif line.strip() and directives:
            raise BadPage(f"line {number}: directives of no block: {directives}")
    if directives:
        raise BadPage("directives of no block at the end")
    return start, blocks


def help_of(*command):
    shown = subprocess.run([pathlib.Path(ARGUMENTS.bin) / command[0], *command[1:], "--help"], capture_output=True, text=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def commands_of(script):
    """The word lists of the commands of a script: good enough for the short ones of a manual."""
    for line in script.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s*(?:&&|\||;)\s*", line):
            words = shlex.split(command, comments=True)
            while words and (words[0] in ("sudo", "export") or re.match(r"^[A-Z_]+=", words[0])):
                words.pop(0)
            if words:
                yield words


def complaint_about(words):
    """What is wrong with a command that is not run; None: nothing that can be seen."""
    if words[0].startswith("deploy/"):
        return None if os.access(ROOT / words[0], os.X_OK) else f"{words[0]} is no program"
    if words[0] not in ("hearth", "hearthd", "hearth-model"):
        return None
    command = [words[0]]
    texts = [help_of(*command)]
    for word in words[1:]:
        if f"\n  {word} " in texts[-1] and "Subcommands:" in texts[-1]:
            command.append(word)
            texts.append(help_of(*command))
    if len(command) == 1 and words[0] != "hearthd":
        return f"{words[0]} has no such command: {' '.join(words)}"
    flags = re.findall(r"--?[a-z][\w-]*", " ".join(word for word in words if word.startswith("-")))
    unknown = [flag for flag in flags if not any(re.search(rf"(^|[ ,]){re.escape(flag)}\b", text, re.MULTILINE) for text in texts)]
    return f"{' '.join(command)} has no {' '.join(unknown)}" if unknown else None


class Home:
    """Two machines, with the state of one page."""

    def __init__(self, network, folder):
        self.network, self.folder = network, pathlib.Path(folder)
        self.words = {"ADDRESS": network.address("a"), "HOST": SECOND_NAME}
        self.daemons = []
        work = self.folder / "work"
        work.mkdir()
        (work / "model.gguf").write_bytes(with_chat_template(MODEL.read_bytes(), TEMPLATE))
        (work / "text.txt").write_text("In the beginning God created the heaven and the earth.\n" * 8)
        (work / "deploy").symlink_to(ROOT / "deploy")
        self.work = work

    def command(self, letter, words):
        name = "study" if letter == "a" else SECOND_NAME
        return self.network.words(letter, ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", *words])

    def environment(self, letter):
        home = self.folder / f"home-{letter}"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "XDG_", "STATE_"))}
        return {**kept, "HOME": str(home), "PATH": f"{pathlib.Path(ARGUMENTS.bin).resolve()}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}

    def filled(self, text):
        for word, value in self.words.items():
            text = re.sub(rf"\b{word}\b", value, text)
        return text.replace("/usr/share/hearth", str(ROOT))

    def start(self, script, letter="a"):
        script = self.filled(script).strip()
        with open(self.folder / f"{letter}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(self.command(letter, ["bash", "-c", f"exec {script}"]), stdout=subprocess.PIPE, stderr=log, text=True,
                                       cwd=self.work, env=self.environment(letter))
        self.daemons.append(process)
        line = process.stdout.readline()
        if " on " not in line:
            raise AssertionError(f"{script}: {line}{(self.folder / f'{letter}.log').read_text()}")
        if "--model" in script:
            self.run(["hearth", "status", "--wait-hosts", "1", "--timeout", str(PATIENCE_S)])

    def run(self, words, letter="a"):
        """What it prints, on both streams."""
        done = subprocess.run(self.command(letter, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                              cwd=self.work, env=self.environment(letter), timeout=PATIENCE_S, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def run_block(self, block):
        letter = "b" if "second" in block.directives else "a"
        if "daemon" in block.directives:
            return self.start(block.text, letter)
        text = self.filled(block.text)
        if block.language == "sh":
            output = self.run(["bash", "-euo", "pipefail", "-c", text], letter)
        else:
            program, ending = {"python": ([sys.executable], "py"), "js": (["node"], "mjs"), "go": (["go", "run"], "go")}[block.language]
            script = self.work / f"block-{block.line}.{ending}"
            script.write_text(text, encoding="utf-8")
            output = self.run([*program, str(script)], letter)
        for wanted in block.directives.get("prints", []):
            if self.filled(wanted) not in output:
                raise AssertionError(f"the block does not print {wanted!r}:\n{output}")
        for word, pattern in (("CODE", r"hearthd --join (\S+)"), ("KEY", r"^(hearth-[a-z0-9]{32})$")):
            if match := re.search(pattern, output, re.MULTILINE):
                self.words[word] = match.group(1)

    def stop(self):
        for process in self.daemons:
            process.terminate()
        codes = [process.wait(timeout=60) for process in self.daemons]
        for process in self.daemons:
            process.stdout.close()
        return codes


class ReadingTest(unittest.TestCase):
    def test_blocks_have_languages_and_directives(self):
        start, blocks = read_page("<!-- start: hearthd -->\n\n<!-- second -->\n<!-- prints: x -->\n```sh\nls\n```\ntext\n```toml\na = 1\n```\n")
        self.assertEqual(start, "hearthd")
        self.assertEqual([(block.language, block.text, block.line, set(block.directives)) for block in blocks],
                         [("sh", "ls\n", 5, {"second", "prints"}), ("toml", "a = 1\n", 9, set())])

    def test_pages_that_are_not_understood_are_told(self):
        for page in ("```\nls\n```\n", "```sh\nls\n", "<!-- prints -->\n```sh\n```\n", "<!-- skip: x -->\n", "<!-- daemon -->\ntext\n", "<!-- daemon -->\n"):
            with self.assertRaises(BadPage, msg=page):
                read_page(page)

    def test_commands_that_do_not_exist_are_found(self):
        self.assertIn("no --nonsense", complaint_about(["hearth", "status", "--nonsense"]))
        self.assertIn("no such command", complaint_about(["hearth", "dance"]))
        self.assertIn("is no program", complaint_about(["deploy/nothing.sh"]))
        self.assertIsNone(complaint_about(["hearth", "key", "create", "--client", "x", "--json"]))
        self.assertIsNone(complaint_about(["hearthd", "--device", "cpu,memory=4GiB"]))


class ManualTest(unittest.TestCase):
    def check_only(self, block):
        if block.language == "sh":
            subprocess.run(["bash", "-n", "-c", block.text], check=True)
            for words in commands_of(block.text):
                self.assertIsNone(complaint_about(words))

    def check_settings(self, block):
        flags = help_of("hearthd")
        for key in tomllib.loads(block.text):
            self.assertRegex(flags, rf"(?m)^  --{re.escape(key)}\b", f"hearthd has no --{key}")

    def run_page(self, path, home):
        start, blocks = read_page(path.read_text(encoding="utf-8"))
        if start:
            home.start(start)
        for block in blocks:
            with self.subTest(line=block.line):
                self.assertIn(block.language, ("sh", "python", "js", "go", "toml", "json", "text"))
                if reason := block.directives.get("not run"):
                    print(f"{path.name}:{block.line}: not run: {reason[0]}")
                    self.check_only(block)
                elif block.language == "toml":
                    self.check_settings(block)
                elif block.language == "go" and not shutil.which("go"):
                    print(f"{path.name}:{block.line}: not run: there is no Go")
                elif block.language not in ("json", "text"):
                    home.run_block(block)

    def test_links_lead_somewhere(self):
        for path in MANUAL.glob("*.md"):
            for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
                self.assertTrue((MANUAL / target).exists(), f"{path.name}: {target}")

    def test_every_page_is_in_the_table_of_contents(self):
        contents = (MANUAL / "README.md").read_text(encoding="utf-8")
        for path in MANUAL.glob("*.md"):
            self.assertTrue(path.name == "README.md" or f"]({path.name})" in contents, path.name)


def add_page(path):
    def test(self):
        with Network("ab") as network, tempfile.TemporaryDirectory(prefix="hearth-manual-") as folder:
            home = Home(network, folder)
            try:
                self.run_page(path, home)
            finally:
                codes = home.stop()
            self.assertEqual(set(codes) | {0}, {0}, "daemons ended badly")
    setattr(ManualTest, f"test_page_{path.stem}", test)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--page", default="*", help="only these pages, such as api")
    ARGUMENTS, rest = parser.parse_known_args()
    try:
        with Network("a"):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: no network namespaces here: {error}")
        sys.exit(SKIPPED)
    for path in sorted(MANUAL.glob(f"{ARGUMENTS.page}.md")):
        add_page(path)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
