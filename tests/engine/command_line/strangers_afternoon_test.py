#!/usr/bin/python3
"""A stranger's afternoon: every command and flag of hearthd, hearth and hearth-model with values that make no sense.

    strangers_afternoon_test.py --hearthd PATH --hearth PATH --hearth-model PATH [--patience SECONDS]

Commands, flags and arguments are read from the programs' own --help, so a new flag is tried by itself; a new argument
that is required needs a good value in GOOD. Whatever the value: the program ends by itself within `patience` seconds of
every processor (what others take of them does not count) and by no signal; when it fails, stderr has one line that
begins with the program's name and that a terminal can show, and stdout has nothing; what lies in the folder is as before.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO_MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
ARGUMENTS = None

CLUSTER = """{"hosts": [{"name": "a", "devices": [{"name": "cpu", "kind": "cpu", "memory": "1GiB",
              "read_bytes_per_s": 1e9, "operations_per_s": 1e12}]}]}"""

# Good values of what is required, by the name in --help. {folder} has what the tests may use, {new} is a path of its own.
GOOD = {
    "model": "{folder}/model.gguf", "--model": "{folder}/model.gguf", "input": "{folder}/model.gguf",
    "output": "{new}", "--out": "{new}", "type": "Q4_0", "--tokens": "1,2,3", "--text": "{folder}/text",
    "--cluster": "{folder}/cluster.json", "file": "{folder}/model.gguf", "--messages": "{folder}/messages.json",
    "host": "no-such-host", "source": "http://127.0.0.1:1/model.gguf",
}
# Of single commands: what is required differently, or makes them quick or end at all.
ALSO_GOOD = {
    ("hearth", "generate"): {"prompt": "x", "--max-tokens": "4"},
    ("hearth", "chat"): {"--max-tokens": "4"},
    ("hearth", "embed"): {"texts": "x"},
    ("hearth", "status"): {"--timeout": "1", "--timeline": "{new}"},
    ("hearth", "load"): {"--name": "{unique}", "--objective": "throughput:2"},
    ("hearth", "unload"): {"model": "no-such-model"},
    ("hearth", "key create"): {"--client": "{unique}"},
    ("hearth", "rm"): {"name": "no-such-model"},
    ("hearth", "show"): {"name": "no-such-model"},
    ("hearth", "report"): {"file": "{new}"},
    ("hearth", "key revoke"): {"name": "no-such-key"},
    ("hearth", "approve"): {"code": "123 456"},
    ("hearth", "pause"): {"host": "no-such-machine"},
    ("hearth", "resume"): {"host": "no-such-machine"},
    ("hearth", "wake"): {"host": "no-such-machine", "--wait": "1"},
    ("hearth-model", "generate"): {"--tokens": "1,2,3", "--count": "4"},
    ("hearth-model", "plan"): {"--objective": "prompt"},
    ("hearth-model", "bench"): {"--prompt-tokens": "2", "--generate-tokens": "1", "--repetitions": "1"},
    ("hearth-model", "perplexity"): {"--max-tokens": "16"},
    ("hearth-model", "embed"): {"--text": "x"},
    ("hearth-model", "profile"): {"--max-tokens": "16", "--text": "{folder}/text", "--out": "{new}"},
    ("hearthd", ""): {"--listen": "127.0.0.1:0", "--http": "off", "--state-dir": "{new}", "--log-level": "off", "--name": "stranger"},
}
# Values that exclude the good one of another argument.
INSTEAD_OF = {"--prompt": "--tokens", "--tokens": "prompt", "--api": "--client", "--from": "--text"}
FAILS_ANYHOW = {("hearth", "unload"), ("hearth", "approve"), ("hearth", "forget"), ("hearth", "pause"), ("hearth", "resume"), ("hearth", "wake"), ("hearth", "promote"), ("hearth", "key revoke"),
                ("hearth", "rm"), ("hearth", "show"), ("hearth", "pull"),  # nobody serves models here
                ("hearth-model", "render")}  # the demo model has no chat template
# A text is read, however long it is, which takes its time.
LONGEST = {("hearth-model", "generate", "--prompt"): 4000, ("hearth-model", "embed", "--text"): 4000}
# What waits for something that never comes takes no processor: after so many times the patience it hangs.
HANGS_AFTER = 12


class Parameter:
    """A flag or an argument of a command, as --help shows it."""

    def __init__(self, name, takes_value, required):
        self.name, self.takes_value, self.required = name, takes_value, required

    def given(self, value):
        """The words that give it `value` (bytes)."""
        if not self.name.startswith("-"):
            return [value]
        if self.takes_value and not value.startswith(b"-"):
            return [self.name.encode(), value]
        return [self.name.encode() + b"=" + value]


def help_text(*command):
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=30, check=True)
    assert shown.stderr == "", shown.stderr
    return shown.stdout


def parameters(text):
    """The flags and arguments in a help text. What takes a value shows its type behind one blank."""
    found = []
    section = ""
    for line in text.splitlines():
        if re.match(r"^\[?[A-Z][\w :]*\]?:?$", line):
            section = line.strip(":")
        match = re.match(r"^ {2,4}((?:-\w,)?--[\w-]+|[a-z][\w-]*)( \S.*)?$", line)
        if not match or section in ("Subcommands", ""):
            continue
        name, rest = match.group(1).split(",")[-1], match.group(2) or ""
        is_flag = name.startswith("--")
        if is_flag or section == "Positionals":
            takes_value = not is_flag or not re.match(r"^ {2,}|^$", rest)
            found.append(Parameter(name, takes_value, "REQUIRED" in rest.split("  ")[0]))
    return found


def subcommands(text):
    if "Subcommands:" not in text:
        return []
    return re.findall(r"^  ([a-z][\w-]*) ", text.split("Subcommands:")[1], re.MULTILINE)


class Trial:
    """One run of a program."""

    def __init__(self, program, command, words, environment):
        self.program, self.command, self.words = program, command, words
        self.environment = environment

    def __str__(self):
        return f"{self.program} {self.command} {b' '.join(word[:60] for word in self.words)!r}"

    def run(self, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL):
        """(exit code, stdout, stderr); the exit code is None where it did not end in time."""
        words = [PROGRAMS[self.program].encode(), *self.command.encode().split(), *self.words]
        process = subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=self.environment,
                                   cwd=self.environment["HOME"])
        most = int(ARGUMENTS.patience * os.cpu_count())
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (most, most))
        try:
            if self.program == "hearthd" and stdout == subprocess.PIPE:
                return self.end_daemon(process)
            out, err = process.communicate(timeout=HANGS_AFTER * ARGUMENTS.patience)
            return process.returncode, out or b"", err
        except subprocess.TimeoutExpired:
            process.kill()
            return None, *process.communicate()

    @staticmethod
    def end_daemon(process):
        """A daemon that is ready has taken the value, and ends when it is told to."""
        timer = threading.Timer(HANGS_AFTER * ARGUMENTS.patience, process.kill)
        timer.start()
        line = process.stdout.readline()
        if line.startswith(b"hearthd ready"):
            process.send_signal(signal.SIGTERM)
        rest, err = process.communicate()
        in_time = timer.is_alive()
        timer.cancel()
        return (process.returncode if in_time else None), line + rest, err

    def complaint(self):
        """What is wrong with how the program behaves; None: nothing."""
        code, out, err = self.run()
        if code is None:
            return "does not end"
        if code < 0 or code >= 126:
            return f"ends by a signal ({code}): {err[-300:]!r}"
        if code == 0:
            return None
        if out:
            return f"fails ({code}) but prints {out[:100]!r}"
        return bad_error_line(self.program, err)


def bad_error_line(program, err):
    if not err.startswith(f"{program}: ".encode()) or err.count(b"\n") != 1 or not err.endswith(b"\n"):
        return f"fails without one line of its own: {err[:300]!r}"
    if len(err) > 5000:
        return f"fails with a line of {len(err)} bytes"
    try:
        text = err.decode()
    except UnicodeDecodeError:
        return f"fails with a line that is no UTF-8: {err[:300]!r}"
    return None if text[:-1].isprintable() else f"fails with a line that no terminal can show: {err[:300]!r}"


PROGRAMS = {}


class StrangersAfternoonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        PROGRAMS.update({"hearthd": os.path.abspath(ARGUMENTS.hearthd), "hearth": os.path.abspath(ARGUMENTS.hearth),
                         "hearth-model": os.path.abspath(ARGUMENTS.hearth_model), "sh": "/bin/sh"})
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        shutil.copy(DEMO_MODEL, cls.path("model.gguf"))
        pathlib.Path(cls.path("text")).write_text("In the beginning was the word.\n")
        pathlib.Path(cls.path("cluster.json")).write_text(CLUSTER)
        pathlib.Path(cls.path("messages.json")).write_text('[{"role": "user", "content": "Hello"}]')
        pathlib.Path(cls.path("empty")).touch()
        os.mkdir(cls.path("directory"))
        os.mkfifo(cls.path("fifo"))
        cls.values = {
            "empty": b"", "huge number": b"9" * 400, "huge text": b"x" * 100_000, "negative": b"-1",
            "not UTF-8": b"caf\xe9\xff", "escapes": b"a\x1b[2J\nb", "list with gaps": b"1,,2",
            "directory": cls.path("directory").encode(), "FIFO": cls.path("fifo").encode(),
            "device": b"/dev/full", "empty file": cls.path("empty").encode(),
            "missing": cls.path("no/such/file").encode(), "unwritable": b"/proc/hearth-cannot-write-here",
        }
        cls.counter = iter(range(10**9))
        # Names that are no paths from the root are made in a folder of their own.
        cls.environment = {**os.environ, "HOME": cls.path("home"), "HEARTH_MODELS": cls.path("home/models")}
        os.mkdir(cls.path("home"))
        cls.daemon = subprocess.Popen(
            [ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--http", "off", "--state-dir", cls.path("state"), "--log-level", "off",
             "--lan", "127.0.0.1:0", "--context", "512", "--slots", "2", "--model", cls.path("model.gguf"), "--model-name", "demo"],
            stdout=subprocess.PIPE, text=True, env=cls.environment)
        cls.environment["HEARTH_SERVER"] = cls.daemon.stdout.readline().split()[-1]
        subprocess.run([ARGUMENTS.hearth, "status", "--wait-hosts", "1", "--timeout", "60"], check=True,
                       stdout=subprocess.DEVNULL, env=cls.environment)
        # Some of its steps are recorded, for status --timeline.
        subprocess.run([ARGUMENTS.hearth, "generate", "x", "--max-tokens", "8", "--ignore-eos"], check=True,
                       stdout=subprocess.DEVNULL, env=cls.environment)

    @classmethod
    def tearDownClass(cls):
        alive = cls.daemon.poll() is None
        cls.daemon.terminate()
        code = cls.daemon.wait(timeout=30)
        cls.daemon.stdout.close()
        cls.temporary.cleanup()
        if not alive or code != 0:
            raise RuntimeError(f"the daemon that all commands talked to ended with {code}")

    @classmethod
    def path(cls, name):
        return f"{cls.folder}/{name}"

    def good_value(self, program, command, parameter):
        value = ALSO_GOOD.get((program, command), {}).get(parameter.name)
        if value is None and parameter.required:
            self.assertIn(parameter.name, GOOD,
                          f"{program} {command} wants {parameter.name}: give this test a good value")
            value = GOOD[parameter.name]
        if value is None:
            return None
        number = next(self.counter)
        return value.format(folder=self.folder, new=self.path(f"new-{number}"), unique=f"m{number}").encode()

    def good_words(self, program, command, all_parameters, without=""):
        words = []
        for parameter in all_parameters:
            value = self.good_value(program, command, parameter)
            if value is not None and parameter.name not in (without, INSTEAD_OF.get(without)):
                words += parameter.given(value)
        return words

    def commands(self):
        """(program, command, its parameters) of everything there is."""
        for program in ("hearthd", "hearth", "hearth-model"):
            path = PROGRAMS[program]
            text = help_text(path)
            names = subcommands(text)
            if not names:
                yield program, "", parameters(text)
            for name in names:
                inner = subcommands(help_text(path, name))
                for command in [f"{name} {word}" for word in inner] or [name]:
                    yield program, command, parameters(help_text(path, *command.split())) + [
                        parameter for parameter in parameters(text) if parameter.name not in ("--help", "--version")]

    def trial(self, program, command, all_parameters, tried=None, value=b""):
        words = self.good_words(program, command, all_parameters, tried.name if tried else "")
        if tried:
            if tried.name == "--state-dir" and value == self.values["directory"]:
                value = self.path("home").encode()  # a directory is what it wants, and it is filled
            words += tried.given(value[:LONGEST.get((program, command, tried.name), len(value))])
        return Trial(program, command, words, self.environment)

    def snapshot(self):
        """What the folder holds of what was there from the start."""
        state = {}
        for name in ("model.gguf", "text", "cluster.json", "empty", "directory", "fifo"):
            info = os.lstat(self.path(name))
            state[name] = (stat.S_IFMT(info.st_mode), info.st_size, info.st_mtime_ns, info.st_ino)
        state["directory"] = state["directory"][0], os.listdir(self.path("directory"))
        return state

    def test_good_values_are_taken(self):
        for program, command, all_parameters in self.commands():
            with self.subTest(program=program, command=command):
                trial = self.trial(program, command, all_parameters)
                code, _, err = trial.run()
                self.assertEqual(code, 1 if (program, command) in FAILS_ANYHOW else 0, f"{trial}: {err!r}")

    def test_no_value_of_any_flag_does_harm(self):
        before = self.snapshot()
        trials = [self.trial(program, command, all_parameters, tried, value)
                  for program, command, all_parameters in self.commands()
                  for tried in all_parameters if tried.name not in ("--help", "--version")
                  for value in self.values.values()
                  if tried.name.startswith("-") or not value.startswith(b"-")]
        self.assertGreater(len(trials), 1000, "the flags of --help were not found")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            complaints = [f"{trial}: {complaint}"
                          for trial, complaint in zip(trials, pool.map(Trial.complaint, trials)) if complaint]
        self.assertEqual(complaints, [], f"{len(complaints)} of {len(trials)}:\n" + "\n".join(complaints[:200]))
        self.assertEqual(self.snapshot(), before)

    def test_output_that_cannot_be_written_is_an_error(self):
        for program, command, all_parameters in self.commands():
            good = self.trial(program, command, all_parameters)
            code, out, _ = good.run()
            if code != 0 or not out:
                continue
            for closed in (False, True):
                with self.subTest(program=program, command=command, closed=closed), open("/dev/full", "wb") as full:
                    trial = self.trial(program, command, all_parameters)
                    if closed:
                        trial = self.with_closed_output(trial)
                    code, _, err = trial.run(stdout=full)
                    self.assertEqual(code, 1, f"{trial}: {err!r}")
                    self.assertIn(b"cannot write to standard output: ", err)
                    self.assertTrue(err.splitlines()[-1].startswith(b"hearth"), err)

    @staticmethod
    def with_closed_output(trial):
        """The same by way of a shell that closes standard output."""
        command = [PROGRAMS[trial.program], *trial.command.split()]
        trial.words = [b"-c", b'exec "$0" "$@" >&-', *[word.encode() for word in command], *trial.words]
        trial.command = ""
        trial.program = "sh"
        return trial

    def test_help_that_cannot_be_written_is_an_error(self):
        for program in ("hearthd", "hearth", "hearth-model"):
            for flag in ("--help", "--version"):
                with self.subTest(program=program, flag=flag), open("/dev/full", "wb") as full:
                    ended = subprocess.run([PROGRAMS[program], flag], stdout=full, stderr=subprocess.PIPE, timeout=30)
                    self.assertEqual(ended.returncode, 1)
                    self.assertEqual(ended.stderr.count(b"\n"), 1, ended.stderr)

    def test_input_that_cannot_be_read_is_an_error(self):
        for program, command in (("hearth", "generate"), ("hearth", "chat"), ("hearth-model", "tokenize")):
            words = [self.path("model.gguf").encode()] if program == "hearth-model" else []
            with self.subTest(program=program, command=command):
                directory = os.open(self.path("directory"), os.O_RDONLY)
                code, out, err = Trial(program, command, words, self.environment).run(stdin=directory)
                os.close(directory)
                self.assertEqual((code, out), (1, b""), err)
                self.assertIn(b"cannot read standard input: Is a directory", err)

    def test_words_that_are_no_command_are_named(self):
        for program in ("hearth", "hearth-model"):
            for word in (b"dance", b"caf\xe9", b"a\x1b[2J"):
                code, out, err = Trial(program, "", [word], self.environment).run()
                self.assertEqual((code, out), (2, b""))
                self.assertIn(b"unknown command ", err)
                self.assertIsNone(bad_error_line(program, err))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("hearthd", "hearth", "hearth-model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--patience", type=float, default=5)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
