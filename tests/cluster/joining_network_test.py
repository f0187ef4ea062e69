#!/usr/bin/env python3
"""Joining over a network: machines a, b and c are network namespaces at one bridge. a invites, b joins by one command, c has no
code, and all is watched; and b is let in without a code, c is not. Skipped where namespaces cannot be made (it needs root and
`ip`)."""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from network import Network, run_tests  # noqa: E402 (found by the line above)

MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
PATIENCE_S = 120
ARGUMENTS = None
PROMPT = "In the beginning of zebrawood quixotry"
MARKER = b"plain-text-that-the-capture-must-see"

# Everything that passes a's network card, appended to a file; "ready" once it listens.
CAPTURE = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
wire.bind(("eth0", 0))
with open(sys.argv[1], "wb", buffering=0) as file:
    print("ready", flush=True)
    while True:
        file.write(wire.recv(1 << 17))
"""


class NetworkTest(unittest.TestCase):
    """Daemons on the machines; they end with the class."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-joining-"))
        cls.started = []

    @classmethod
    def tearDownClass(cls):
        for process in cls.started:
            process.kill()
            process.wait()
            process.stdout.close()
        shutil.rmtree(cls.folder)

    @classmethod
    def start(cls, letter, words):
        with open(cls.folder / f"{letter}.log", "a") as log:
            process = subprocess.Popen(NETWORK.words(letter, words), stdout=subprocess.PIPE, stderr=log, text=True)
        cls.started.append(process)
        return process

    @classmethod
    def begin(cls, letter, *words):
        """A hearthd that begins."""
        return cls.start(letter, [ARGUMENTS.hearthd, "--name", letter, "--state-dir", cls.folder / letter, "--http", "off",
                                  "--device", "cpu,memory=1GiB,threads=1,bandwidth=10G", *words])

    @classmethod
    def daemon(cls, letter, *words):
        """A hearthd that is ready."""
        process = cls.begin(letter, *words)
        line = process.stdout.readline()
        assert " on " in line, line + (cls.folder / f"{letter}.log").read_text()
        return process

    @classmethod
    def coordinator(cls):
        return cls.daemon("a", "--model", MODEL, "--use-every-host", "--context", "512")

    def hearth(self, letter, *words, timeout=PATIENCE_S):
        return subprocess.run(NETWORK.words(letter, [ARGUMENTS.hearth, *words]), capture_output=True, text=True,
                              timeout=timeout)

    def ask(self, letter, *words):
        """What a command prints; it has to succeed."""
        result = self.hearth(letter, *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def generate(self, letter, *words, tokens=16):
        return self.ask(letter, *words, "generate", PROMPT, "-n", tokens, "--temperature", "0", "--ignore-eos")

    def refusal(self, join):
        """The one line with which a worker on c ends."""
        result = subprocess.run(
            NETWORK.words("c", [ARGUMENTS.hearthd, "--name", "c", "--state-dir", self.folder / "c", "--http", "off",
                                "--log-level", "off", "--join", join]),
            capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def await_states(self, wanted):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            hosts = json.loads(self.ask("a", "status", "--json"))["hosts"]
            states = {host["name"]: host["state"] for host in hosts}
            if states == wanted:
                return
            self.assertLess(time.monotonic(), deadline, states)
            time.sleep(0.1)


class JoiningTest(NetworkTest):
    """One story, told in the order of its steps."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        wire = cls.start("a", [sys.executable, "-c", CAPTURE, cls.folder / "wire"])
        assert wire.stdout.readline() == "ready\n"

    def test_story(self):
        self.check_self_join()
        early = self.start("a", [ARGUMENTS.hearthd, "--name", "a", "--state-dir", self.folder / "early", "--http", "off",
                                 "--listen", "127.0.0.1:7775", "--join", "127.0.0.1:7770"])
        self.assertIn(" on ", early.stdout.readline())
        coordinator = self.coordinator()
        self.assertEqual(early.wait(timeout=PATIENCE_S), 1)  # nobody was there to refuse it before
        self.assertIn("another --name", (self.folder / "a.log").read_text())
        for port in (7770, 7771, 7772):
            self.assertFalse(self.reaches(port), port)
        invitation = json.loads(self.ask("a", "invite", "--json"))
        code = invitation["code"]
        self.assertEqual(invitation["server"], "10.77.0.1:7771")
        self.assertFalse(self.reaches(7770))

        alone = self.generate("a")
        self.check_stranger()
        self.assertIn("cut short", self.refusal(code[:-5]))
        self.assertIn("altered", self.refusal(code[:40] + ("A" if code[40] != "A" else "B") + code[41:]))

        worker = self.daemon("b", "--join", code)
        self.ask("a", "status", "--wait-hosts", "2", "--timeout", PATIENCE_S)
        self.assertEqual(self.generate("a"), alone)
        self.assertEqual(self.generate("b"), alone)
        self.assertIn("used already", self.refusal(code))
        self.assertIn("may not call", self.hearth("b", "unload", MODEL.stem).stderr)
        self.assertIn("coordinator's machine", self.hearth("b", "invite").stderr)
        self.check_pause(alone)

        key = self.folder / "anna.key"
        self.ask("a", "key", "create", "--client", "anna", "--out", key)
        self.assertEqual(self.generate("c", "--key", key), alone)
        self.assertIn("may not call", self.hearth("c", "--key", key, "unload", MODEL.stem).stderr)
        self.assertIn("may not call", self.hearth("c", "--key", key, "pause", "b").stderr)
        self.assertIn("anna", self.ask("a", "key", "list"))
        self.ask("a", "key", "revoke", "anna")
        self.assertIn("does not belong to this home", self.hearth("c", "--key", key, "models").stderr)

        # The coordinator starts anew, and so does the worker with the same command: both know each other.
        for process in (coordinator, worker):
            process.terminate()
            process.wait()
        coordinator = self.coordinator()
        self.daemon("b", "--join", code)
        self.ask("a", "status", "--wait-hosts", "2", "--timeout", PATIENCE_S)

        # The coordinator alone: what b passes on to it is answered again soon.
        coordinator.terminate()
        coordinator.wait()
        self.assertIn("from the coordinator", self.hearth("b", "models").stderr)
        self.coordinator()
        start = time.monotonic()
        while self.hearth("b", "models").returncode != 0:
            self.assertLess(time.monotonic() - start, 3 + 10 * ARGUMENTS.slow)
        self.ask("a", "status", "--wait-hosts", "2", "--timeout", PATIENCE_S)

        self.assertIn("b ", self.ask("a", "hosts"))
        whole = self.generate("a", tokens=400)
        stream = self.start("a", [ARGUMENTS.hearth, "generate", PROMPT, "-n", "400", "--temperature", "0", "--ignore-eos"])
        self.ask("a", "forget", "b")
        start = time.monotonic()
        self.await_states({"a": "alive", "b": "lost"})
        self.assertLess(time.monotonic() - start, 2 + 10 * ARGUMENTS.slow)
        text = stream.communicate(timeout=PATIENCE_S)[0]
        self.assertEqual(stream.returncode, 0)
        self.assertEqual(text, whole)
        self.assertNotIn("b ", self.ask("a", "hosts"))
        self.check_wire()

    def check_pause(self, alone):
        """b pauses itself through its own daemon, and either of the two resumes it."""
        self.assertIn("a worker pauses and resumes itself only", self.hearth("b", "pause", "a").stderr)
        self.assertIn("a is not paused", self.hearth("a", "resume").stderr)
        self.assertIn("b is not paused", self.hearth("b", "resume").stderr)
        self.ask("a", "pause")
        self.assertIn("it is paused until", self.ask("a", "status"))
        self.assertEqual(self.generate("b"), alone)
        self.ask("a", "resume")
        for where, words in (("a", ["resume", "b"]), ("b", ["resume"])):
            self.ask("b", "pause", "--for", "2h")
            self.assertIn("is left out: it is paused until", self.ask("a", "status"))
            self.assertEqual(self.generate("b"), alone)
            self.ask(where, *words)
            self.ask("a", "status", "--wait-hosts", "2", "--timeout", PATIENCE_S)

    def reaches(self, port):
        """Whether c can open a connection to a's port."""
        probe = f"import socket; socket.create_connection(('10.77.0.1', {port}), 5)"
        return subprocess.run(NETWORK.words("c", [sys.executable, "-c", probe]), capture_output=True).returncode == 0

    def check_self_join(self):
        """A host that joins itself by another name of it ends, and is told so."""
        result = subprocess.run(
            NETWORK.words("a", [ARGUMENTS.hearthd, "--name", "self", "--state-dir", self.folder / "self", "--http", "off",
                                "--log-level", "off", "--insecure-network", "--tensor-listen", "0.0.0.0:0", "--listen",
                                "127.0.0.1:7776", "--join", "[::ffff:127.0.0.1]:7776"]),
            capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("is this host itself", result.stderr)

    def check_stranger(self):
        """c, without a code, gets nothing from the ports that are open."""
        for port in (7771, 7772):
            for words in (["models"], ["status"], ["generate", "x"]):
                result = self.hearth("c", "--server", f"10.77.0.1:{port}", *words)
                self.assertEqual(result.returncode, 1)
                self.assertEqual(result.stdout, "")
            probe = (f"import socket; s = socket.create_connection(('10.77.0.1', {port})); s.sendall({MARKER!r}); "
                     "s.settimeout(30); print(s.recv(1000).hex())")
            answer = subprocess.run(NETWORK.words("c", [sys.executable, "-c", probe]), capture_output=True, text=True)
            # Nothing, or an alert of TLS: no HTTP/2.
            self.assertLessEqual(len(bytes.fromhex(answer.stdout)), 7, answer.stdout)
        stranger = self.start("c", [ARGUMENTS.hearthd, "--name", "c", "--state-dir", self.folder / "stranger", "--http", "off",
                                    "--insecure-network", "--join", "10.77.0.1:7771", "--tensor-listen", "10.77.0.3:0"])
        stranger.stdout.readline()
        self.await_states({"a": "alive"})
        stranger.kill()

    def check_wire(self):
        wire = (self.folder / "wire").read_bytes()
        self.assertIn(MARKER, wire)
        self.assertGreater(len(wire), 100000)
        for plain in (PROMPT.encode(), b"zebrawood", b"hearth.v1.Generation", b"HRTH\1\0"):  # the last heads every tensor frame
            self.assertNotIn(plain, wire)
        weights = MODEL.read_bytes()
        for at in range(len(weights) // 2, len(weights) - 64, len(weights) // 200):
            self.assertNotIn(weights[at:at + 64], wire)


class ApprovalTest(NetworkTest):
    """Another story: nobody has a code."""

    def asks(self, letter, join="lan"):
        """A hearthd that waits to be let in, and the digits that it shows."""
        process = self.begin(letter, "--join", join)
        line = process.stdout.readline()
        shown = re.fullmatch(r"on a, whose home is [A-Z2-7]{7}, type: hearth approve (\d{3} \d{3})\n", line)
        self.assertIsNotNone(shown, line + (self.folder / f"{letter}.log").read_text())
        return process, shown.group(1).split()

    def fails(self, *words):
        """The one line with which a command on a ends."""
        result = self.hearth("a", *words)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def test_story(self):
        self.assertIn("no coordinator answers", self.refusal("lan"))
        self.coordinator()
        self.assertIn("`hearth invite` opens it", self.fails("approve"))
        self.assertIn("no coordinator answers", self.refusal("lan"))
        self.ask("a", "invite")
        self.assertIn("no host waits", self.ask("a", "approve"))
        alone = self.generate("a")

        worker, of_b = self.asks("b")
        stranger, of_c = self.asks("c")
        waiting = self.ask("a", "approve")
        self.assertRegex(waiting, r"b +[A-Z2-7]{7} +10\.77\.0\.2")
        self.assertRegex(waiting, r"c +[A-Z2-7]{7} +10\.77\.0\.3")
        self.assertNotIn(of_b[0] + of_b[1], waiting.replace(" ", ""))
        wrong = next(code for code in ("000 000", "000 001", "000 002") if code.split() not in (of_b, of_c))
        self.assertIn("shows this code", self.fails("approve", wrong))
        self.assertIn("six digits", self.fails("approve", of_b[0]))
        self.assertIn("no host has joined", self.ask("a", "hosts"))
        self.await_states({"a": "alive"})

        self.assertIn("belongs to the home now", self.ask("a", "approve", *of_b))
        self.assertIn(" on ", worker.stdout.readline())
        self.ask("a", "status", "--wait-hosts", "2", "--timeout", PATIENCE_S)
        self.assertEqual(self.generate("a"), alone)
        self.assertEqual(self.generate("b"), alone)
        self.assertIn("shows this code", self.fails("approve", *of_b))

        # c, which nobody lets in, gets nothing; then it is sent away.
        self.assertNotIn("c ", self.ask("a", "hosts"))
        self.await_states({"a": "alive", "b": "alive"})
        self.assertIsNone(stranger.poll())
        self.assertIn("is sent away", self.ask("a", "approve", "--refuse", *of_c))
        self.assertEqual(stranger.wait(timeout=PATIENCE_S), 1)
        self.assertEqual(stranger.stdout.read(), "")
        self.assertIn("has refused this host", (self.folder / "c.log").read_text())
        self.assertIn("no host waits", self.ask("a", "approve"))

        # With the same command b comes back by itself, until it is forgotten.
        worker.terminate()
        worker.wait()
        self.daemon("b", "--join", "lan")
        self.ask("a", "status", "--wait-hosts", "2", "--timeout", PATIENCE_S)
        self.ask("a", "forget", "b")
        self.await_states({"a": "alive", "b": "lost"})
        self.check_second_home()

    def check_second_home(self):
        """Where several homes answer one has to be named."""
        self.start("b", [ARGUMENTS.hearthd, "--name", "second", "--state-dir", self.folder / "second", "--http", "off",
                         "--listen", "127.0.0.1:7775", "--lan", "0.0.0.0:7781"]).stdout.readline()
        refusal = self.refusal("lan")
        self.assertIn("at 10.77.0.1:7772", refusal)
        self.assertIn("at 10.77.0.2:7782", refusal)
        stranger, digits = self.asks("c", "lan:10.77.0.1:7772")
        self.ask("a", "approve", *digits)
        self.assertIn(" on ", stranger.stdout.readline())


def main():
    global ARGUMENTS, NETWORK
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--hearth", required=True)
    parser.add_argument("--slow", action="store_true", help="Programs run under a sanitizer")
    ARGUMENTS = parser.parse_args()
    NETWORK = Network("abc")
    run_tests(NETWORK)


if __name__ == "__main__":
    main()
