#!/usr/bin/env python3
"""Wake-on-LAN over a network: machines a and b are network namespaces at one bridge. b is "off" where its daemon does not run; a listener
there stands for its network card and starts the daemon for a magic packet. Skipped where namespaces cannot be made (it needs root and `ip`)."""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from network import Network, run_tests  # noqa: E402 (found by the line above)

MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
PATIENCE_S = 120
ARGUMENTS = None
GENERATE = ["generate", "In the beginning", "-n", "8", "--temperature", "0", "--ignore-eos"]

# Ends with the first magic packet for its card, whose frames it sees as a card does. "ready" once it listens.
CARD = """
import socket
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind(("eth0", 0))
mac = wire.getsockname()[4]
print("ready", mac.hex(":"), flush=True)
while True:
    frame = wire.recv(1 << 16)
    if frame[:6] != b"\\xff" * 6 or frame[23] != 17 or frame[36:38] != b"\\0\\x09":
        continue
    if frame[42:] == b"\\xff" * 6 + mac * 16:
        print("woken", frame[30:34].hex("."), flush=True)
        break
"""


class WakingTest(unittest.TestCase):
    """One story, told in the order of its steps."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-waking-"))
        self.started = []

    def tearDown(self):
        for process in self.started:
            self.end(process)
        shutil.rmtree(self.folder)

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        process.stdout.close()

    def start(self, letter, words):
        with open(self.folder / f"{letter}.log", "a") as log:
            process = subprocess.Popen(NETWORK.words(letter, words), stdout=subprocess.PIPE, stderr=log, text=True)
        self.started.append(process)
        return process

    def daemon(self, letter, memory, *words):
        """A hearthd that is ready."""
        process = self.start(letter, [ARGUMENTS.hearthd, "--name", letter, "--state-dir", self.folder / letter, "--http", "off",
                                      "--device", f"cpu,memory={memory},threads=1,bandwidth=10G", *words])
        line = process.stdout.readline()
        self.assertIn(" on ", line, (self.folder / f"{letter}.log").read_text())
        return process

    def coordinator(self, *words):
        return self.daemon("a", f"{MODEL.stat().st_size * 2 // 3}", "--context", "512", "--replan-wait", PATIENCE_S,
                           "--remember-models", *words)

    def worker(self, join="home"):
        return self.daemon("b", "1GiB", "--join", join)

    def card(self):
        """b's network card, which listens, and its address."""
        process = self.start("b", [sys.executable, "-c", CARD])
        ready, mac = process.stdout.readline().split()
        self.assertEqual(ready, "ready")
        return process, mac

    def wakes(self, card):
        """b's daemon, once a packet has come. Where it was sent to is a's network."""
        patience = threading.Timer(PATIENCE_S, card.kill)
        patience.start()
        line = card.stdout.readline()
        patience.cancel()
        self.assertEqual(line, "woken 0a.4d.00.ff\n", "no packet came")
        return self.worker()

    def hearth(self, *words):
        return subprocess.run(NETWORK.words("a", [ARGUMENTS.hearth, *words]), capture_output=True, text=True, timeout=PATIENCE_S)

    def ask(self, *words):
        """What a command prints; it has to succeed."""
        result = self.hearth(*words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def fails(self, *words):
        """The one line with which a command ends."""
        result = self.hearth(*words)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def test_story(self):
        coordinator = self.coordinator()
        self.assertIn("no machine is away", self.fails("wake"))
        code = json.loads(self.ask("invite", "--json"))["code"]
        worker = self.worker(code)
        self.ask("status", "--wait-alive", "2", "--timeout", PATIENCE_S)
        self.assertIn("b is here already", self.fails("wake", "b"))
        self.assertIn('"c": a, b', self.fails("wake", "c"))
        self.ask("load", MODEL, "--name", "demo")
        text = self.ask(*GENERATE)

        # By a request, while nobody asks it may sleep.
        self.end(worker)
        card, _ = self.card()
        self.await_lost()
        self.assertIsNone(card.poll())
        asking = self.start("a", [ARGUMENTS.hearth, *GENERATE])
        worker = self.wakes(card)
        self.assertEqual(asking.communicate(timeout=PATIENCE_S)[0], text)
        self.assertEqual(asking.returncode, 0, (self.folder / "a.log").read_text())

        # By hand.
        self.end(worker)
        card, mac = self.card()
        self.await_lost()
        waking = self.start("a", [ARGUMENTS.hearth, "wake", "b", "--wait", PATIENCE_S])
        worker = self.wakes(card)
        said = waking.communicate(timeout=PATIENCE_S)[0]
        self.assertEqual(waking.returncode, 0, (self.folder / "a.log").read_text())
        self.assertIn(f"sent to b ({mac}) by 10.77.0.255", said)
        self.assertIn("b is here\n", said)

        # By itself: another coordinator's life begins while b is off, and the model needs it.
        for process in (worker, coordinator):
            self.end(process)
        card, _ = self.card()
        coordinator = self.coordinator()
        worker = self.wakes(card)
        self.ask("status", "--wait-hosts", "2", "--timeout", PATIENCE_S)
        self.assertEqual(self.ask(*GENERATE), text)
        self.assertIn("does not fit without hosts that are away", (self.folder / "a.log").read_text())

        # Told not to, it only says how; and whom it has forgotten it does not wake.
        for process in (worker, coordinator):
            self.end(process)
        card, _ = self.card()
        self.coordinator("--wake", "off")
        self.assertRegex(self.ask("status"), r"b +away; `hearth wake b` wakes it\n")
        self.assertIn("`hearth wake b` wakes it", self.ask("hosts"))
        self.assertIn("b did not come within 1s", self.fails("wake", "--wait", "1"))
        self.assertEqual(card.wait(timeout=PATIENCE_S), 0)
        self.ask("forget", "b")
        self.assertIn("there is no machine called", self.fails("wake", "b"))

    def await_lost(self):
        while json.loads(self.ask("status", "--json"))["away"] == []:
            pass  # each look is a program that starts


def main():
    global ARGUMENTS, NETWORK
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--hearth", required=True)
    ARGUMENTS = parser.parse_args()
    NETWORK = Network("ab")
    run_tests(NETWORK)


if __name__ == "__main__":
    main()
