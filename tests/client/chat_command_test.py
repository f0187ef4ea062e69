#!/usr/bin/env python3
"""`hearth chat` with a daemon and a model that has a chat template: through pipes, and at a terminal with Ctrl-C."""

import argparse
import json
import os
import pathlib
import pty
import select
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from chat_model import with_chat_template  # noqa: E402

DEMO_MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}{% if loud %}LOUD{% endif %}"
ARGUMENTS = None
PATIENCE_S = 60


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(words[0], words)
        self.seen = ""

    def wait_for(self, text):
        """Reads until `text` is shown; what was shown before it."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{text!r} was not shown, but {self.seen[-2000:]!r}")
            self.seen += os.read(self.fd, 4096).decode(errors="replace")
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def exit_code(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class ChatCommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        model = pathlib.Path(cls.temporary.name) / "chat.gguf"
        model.write_bytes(with_chat_template(DEMO_MODEL.read_bytes(), TEMPLATE))
        cls.daemon = subprocess.Popen(
            [ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--state-dir", cls.temporary.name + "/state", "--log-level", "off",
             "--context", "512", "--model", str(model)], stdout=subprocess.PIPE, text=True)
        cls.address = cls.daemon.stdout.readline().split()[-1]
        subprocess.run([ARGUMENTS.hearth, "--server", cls.address, "status", "--wait-hosts", "1", "--timeout", "60"], check=True,
                       stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        code = cls.daemon.wait(timeout=60)
        cls.daemon.stdout.close()
        cls.temporary.cleanup()
        if code != 0:
            raise RuntimeError(f"the daemon ended with {code}")

    def words(self, *more):
        return [ARGUMENTS.hearth, "--server", self.address, "chat", "--temperature", "0", *more]

    def chat(self, lines, *more):
        return subprocess.run(self.words("-n", "4", *more), input=lines, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def prompt_tokens(self, run):
        """Of each turn, from the events that --json prints."""
        events = [json.loads(line) for line in run.stdout.splitlines()]
        return [event["started"]["prompt_tokens"] for event in events if "started" in event]

    def test_every_turn_sees_those_before_it(self):
        run = self.chat("In the beginning\nand then\n/reset\nIn the beginning\n", "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        first, second, third = self.prompt_tokens(run)
        self.assertGreater(second, first + 4)
        self.assertEqual(third, first)

    def test_system_message_and_variables_reach_the_template(self):
        plain = self.prompt_tokens(self.chat("Hello\n", "--json"))
        self.assertGreater(self.prompt_tokens(self.chat("Hello\n", "--json", "--system", "Be kind.")), plain)
        self.assertGreater(self.prompt_tokens(self.chat("/system Be kind.\nHello\n", "--json")), plain)
        self.assertGreater(self.prompt_tokens(self.chat("Hello\n", "--json", "--variables", "{\"loud\": true}")), plain)

    def test_conversation_is_saved_as_messages(self):
        path = os.path.join(self.temporary.name, "saved.json")
        run = self.chat(f"/system Be kind.\nHello\n/save {path}\n/save {path}\n/save\n")
        self.assertEqual(run.returncode, 0, run.stderr)
        with open(path, encoding="utf-8") as file:
            saved = json.load(file)
        self.assertEqual([message["role"] for message in saved], ["system", "user", "assistant"])
        self.assertEqual(saved[2]["content"].strip(), run.stdout.strip())
        self.assertIn(f"saved {path}", run.stderr)
        self.assertEqual(run.stderr.count("saved "), 1)  # it does not replace what is there
        self.assertIn("/save needs the name of a file", run.stderr)

    def test_conversation_that_has_outgrown_the_context_begins_anew_when_asked(self):
        chat = self.chat("Hello\n" + "word " * 2000 + "\n/reset\nHello\n")
        self.assertEqual(chat.returncode, 0, chat.stderr)
        self.assertEqual(chat.stderr.count("begin the conversation anew with /reset"), 1, chat.stderr)
        first, again = chat.stdout.splitlines()
        self.assertEqual(first, again)

    def test_commands_that_are_unknown_are_not_sent(self):
        run = self.chat("/dance\n")
        self.assertEqual((run.returncode, run.stdout), (0, ""))
        self.assertIn("unknown command /dance; /help lists those there are", run.stderr)

    def test_what_cannot_be_used_ends_a_chat_without_terminal(self):
        run = self.chat("Hello\n", "--variables", "{")
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertEqual(run.stderr, "hearth: variables is not JSON in UTF-8\n")
        self.assertIn("has no chat template called 'x'; it has: default", self.chat("Hello\n", "--template", "x").stderr)

    def test_interrupt_stops_the_answer_and_then_the_chat(self):
        terminal = Terminal(self.words("--ignore-eos"))
        terminal.wait_for("> ")
        terminal.type("In the beginning\n")
        terminal.wait_for("beginning\r\n")  # the terminal's echo
        terminal.wait_for(" ")              # the answer has begun
        terminal.type("\x03")
        terminal.wait_for("> ")             # and the next line is asked for
        terminal.type("/help\n")
        terminal.wait_for("/save FILE")
        terminal.wait_for("> ")
        terminal.type("\x03")
        terminal.wait_for("Ctrl-C again")
        terminal.wait_for("> ")
        terminal.type("\x03")
        self.assertEqual(terminal.exit_code(), 130)

    def test_end_of_input_ends_the_chat(self):
        terminal = Terminal(self.words("-n", "4"))
        terminal.wait_for("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("hearthd", "hearth"):
        parser.add_argument(f"--{name}", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
