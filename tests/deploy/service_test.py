#!/usr/bin/env python3
"""hearthd under a service manager, played by this test: what the daemon tells it, where it keeps things, and which
models it has after another start.

    service_test.py --hearthd PROGRAM --hearth PROGRAM
"""

import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
SETTINGS = ROOT / "deploy" / "package" / "hearthd.toml"
PROGRAMS = None
PATIENCE_S = 60


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self.folder.name)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.work / "notify"))
        self.manager.settimeout(PATIENCE_S)
        self.daemon = None

    def tearDown(self):
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
        self.manager.close()
        self.folder.cleanup()

    def start(self, *arguments, watchdog_us=None, stderr=None, **variables):
        """A daemon with the settings that are shipped, and directories of a service."""
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.work / "notify"), **variables}
        for name in ("STATE", "CACHE", "RUNTIME"):
            environment[f"{name}_DIRECTORY"] = str(self.work / name.lower())
        environment["STATE_DIRECTORY"] += f":{self.work}/state/models"
        if watchdog_us:
            environment["WATCHDOG_USEC"] = str(watchdog_us)
        self.daemon = subprocess.Popen(
            [PROGRAMS.hearthd, "--config", SETTINGS, "--listen", "127.0.0.1:0", "--http", "off", "--context", "128",
             *(arguments if "--log-level" in arguments else ("--log-level", "warning", *arguments))], env=environment,
            stdout=subprocess.DEVNULL, stderr=stderr)

    def heard(self):
        """The next message, as {key: value}."""
        return dict(line.split("=", 1) for line in self.manager.recv(4096).decode().splitlines())

    def stop(self):
        """Ends the daemon and returns what it says of that."""
        self.daemon.send_signal(signal.SIGTERM)
        message = self.heard()
        while "STOPPING" not in message:
            message = self.heard()
        self.assertEqual(self.daemon.wait(timeout=PATIENCE_S), 0)
        self.daemon = None
        return message

    def address(self):
        return "127.0.0.1:" + (self.work / "runtime" / "port").read_text().strip()

    def hearth(self, *arguments):
        return subprocess.run([PROGRAMS.hearth, "--server", self.address(), *arguments], capture_output=True, text=True,
                              check=True).stdout

    def logged(self, name, *arguments, journal=True):
        """What a daemon with such a log says while it starts and ends; `journal`: that it writes to the journal."""
        with open(self.work / name, "wb") as log:
            info = os.fstat(log.fileno())
            self.start("--log-level", "info", *arguments, stderr=log, JOURNAL_STREAM=f"{info.st_dev}:{info.st_ino + (0 if journal else 1)}")
            self.heard()
            self.stop()
        return (self.work / name).read_text().splitlines()

    def test_lines_for_the_journal_begin_with_their_priority(self):
        for line in self.logged("text"):
            self.assertRegex(line, r"^<[2-7]>(debug|info|warning|error): \S")
        for line in self.logged("json", "--log-format", "json"):
            self.assertRegex(line, r'^<[2-7]>{"time":')
        for line in self.logged("other", journal=False):
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d ")

    def test_says_when_it_is_ready_and_when_it_ends(self):
        self.start()
        self.assertEqual(self.heard(), {"READY": "1", "STATUS": f"ready on {self.address()}, no models"})
        self.assertEqual(self.stop(), {"STOPPING": "1", "STATUS": "stopping"})

    def test_shows_signs_of_life_where_somebody_watches(self):
        self.start(watchdog_us=20_000)
        self.assertIn("READY", self.heard())
        for _ in range(3):
            self.assertEqual(self.heard(), {"WATCHDOG": "1", "STATUS": f"ready on {self.address()}, no models"})
        self.hearth("load", "--name", "demo", str(MODEL))
        while self.heard()["STATUS"] != f"ready on {self.address()}, 1 model":
            pass
        self.stop()

    def test_a_daemon_that_stands_still_shows_none(self):
        self.start(watchdog_us=20_000)
        self.assertIn("READY", self.heard())
        self.daemon.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.daemon.pid, os.WSTOPPED)
        self.manager.settimeout(0)
        with self.assertRaises(BlockingIOError):  # once what it had said before is read
            while self.heard():
                pass
        self.manager.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            self.heard()

    def test_keeps_to_the_directories_of_the_service(self):
        self.start()
        self.heard()
        self.stop()
        self.assertEqual([path.name for path in (self.work / "runtime").iterdir()], ["port"])
        self.assertTrue((self.work / "state" / "identity").is_dir())
        self.assertTrue((self.work / "cache").is_dir())
        self.assertFalse((self.work / "state" / "cache").exists())

    def test_has_the_models_again_that_clients_had_loaded(self):
        self.start()
        self.heard()
        self.hearth("load", "--name", "demo", str(MODEL))
        self.hearth("load", "--name", "other", str(MODEL))
        self.hearth("unload", "other")
        self.stop()
        self.start()
        self.heard()
        self.hearth("status", "--wait-hosts", "1", "--timeout", str(PATIENCE_S))
        text = self.hearth("generate", "--model", "demo", "--max-tokens", "4", "--temperature", "0", "In the beginning")
        self.assertTrue(text.strip())
        self.assertNotIn("other", self.hearth("models"))
        self.stop()

    def test_does_not_call_itself_ready_when_it_cannot_start(self):
        self.start("--model", "/nonexistent.gguf")
        self.assertEqual(self.daemon.wait(timeout=PATIENCE_S), 1)
        self.manager.settimeout(0)
        with self.assertRaises(BlockingIOError):
            self.heard()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--hearth", required=True)
    PROGRAMS = parser.parse_args()
    unittest.main(argv=sys.argv[:1])
