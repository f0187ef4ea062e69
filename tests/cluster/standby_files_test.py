#!/usr/bin/env python3
"""A coordinator whose disk nobody else sees: who may follow it copies the model while both live, and serves it once the coordinator
is gone. That one runs in a mount namespace in which the coordinator's folder is empty. Skipped where none can be made."""

import argparse
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
SKIPPED = 77
PATIENCE_S = 90
HIDE = 'mount -t tmpfs none "$0" && exec "$@"'
ARGUMENTS = None


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


class WhoFollowsACoordinatorWithADiskOfItsOwn(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-standby-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.disk = self.folder / "disk-of-a"
        self.disk.mkdir()
        shutil.copy(MODEL, self.disk / "demo.gguf")
        self.secret = self.folder / "secret"
        self.secret.write_text("5" * 64)
        self.secret.chmod(0o600)

    def start(self, name, *arguments, hidden=()):
        log = open(self.folder / f"{name}.log", "ab")
        self.addCleanup(log.close)
        state = self.folder / name
        (state / "port").unlink(missing_ok=True)
        process = subprocess.Popen(
            [*hidden, ARGUMENTS.hearthd, "--name", name, "--state-dir", state, "--http", "off", "--listen", "127.0.0.1:0",
             "--context", "256", "--slots", "2", *arguments], stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for(lambda: (state / "port").exists() or process.poll() is not None, f"{name} is ready")
        self.assertIsNone(process.poll(), self.log(name))
        return process, f"127.0.0.1:{(state / 'port').read_text().strip()}"

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def hearth(self, server, *words):
        return subprocess.run([ARGUMENTS.hearth, "--server", server, *words], capture_output=True, text=True)

    def generate(self, server):
        return self.hearth(server, "generate", "--max-tokens", "30", "--temperature", "1", "--seed", "7", "And it came to pass")

    def has_state(self):
        return (self.folder / "b" / "standby-state").exists()

    def has_copy(self):
        return "has a copy of" in self.log("b")

    def hide(self):
        return ["unshare", "--mount", "sh", "-c", HIDE, self.disk]

    def assert_serves_from_copy(self, server, text):
        wait_for(lambda: self.generate(server).returncode == 0, f"b serves the model: {self.log('b')}")
        self.assertEqual(self.generate(server).stdout, text)
        self.assertIn("from its copy", self.log("b"))

    def test_one_that_is_promoted_serves_the_model_from_its_copy(self):
        a, a_server = self.start("a", "--model", self.disk / "demo.gguf", "--standby", self.secret)
        wait_for(lambda: self.generate(a_server).returncode == 0, "the model is ready")
        text = self.generate(a_server).stdout
        _, b_server = self.start("b", "--join", a_server, "--standby", self.secret, hidden=self.hide())
        wait_for(lambda: self.has_copy() and self.has_state(), "b has a copy, and the state of the home")
        a.kill()
        a.wait()
        shutil.rmtree(self.disk)
        promoted = self.hearth(b_server, "promote")
        self.assertEqual(promoted.returncode, 0, promoted.stderr)
        self.assertNotIn("demo", promoted.stdout)  # which would name what is missing
        self.assert_serves_from_copy(b_server, text)

    def test_one_that_is_elected_serves_the_model_from_its_copy(self):
        if shutil.which("etcd") is None:
            self.skipTest("etcd is not installed")
        store = self.start_etcd()
        a, a_server = self.start("a", *store)
        loaded = self.hearth(a_server, "load", self.disk / "demo.gguf")
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        text = self.generate(a_server).stdout
        _, b_server = self.start("b", *store, hidden=self.hide())
        wait_for(self.has_copy, "b has a copy")
        a.kill()
        a.wait()
        shutil.rmtree(self.disk)
        self.assert_serves_from_copy(b_server, text)

    def test_one_that_sees_the_file_copies_nothing(self):
        _, a_server = self.start("a", "--model", self.disk / "demo.gguf", "--standby", self.secret)
        wait_for(lambda: self.generate(a_server).returncode == 0, "the model is ready")
        self.start("b", "--join", a_server, "--standby", self.secret)
        wait_for(self.has_state, "b has the state of the home")
        self.assertFalse((self.folder / "b" / "model-copies").exists())

    def start_etcd(self):
        """What a host needs to be told of it."""
        with socket.socket() as client, socket.socket() as peer:
            for port in (client, peer):
                port.bind(("127.0.0.1", 0))
            clients, peers = (f"http://127.0.0.1:{port.getsockname()[1]}" for port in (client, peer))
        process = subprocess.Popen(
            ["etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", clients, "--advertise-client-urls", clients,
             "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return ["--state-store", f"etcd{clients.removeprefix('http')}/home", "--state-store-secret", self.secret]


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--hearth", required=True)
    ARGUMENTS, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["unshare", "--mount", "sh", "-c", HIDE, folder, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        print(f"skipped: mount namespaces cannot be made here ({tried.stderr.strip()})")
        return SKIPPED
    return unittest.main(argv=[sys.argv[0], *others], verbosity=2)


if __name__ == "__main__":
    sys.exit(main())
