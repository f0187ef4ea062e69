#!/usr/bin/env python3
"""`hearth report`, `doctor` and `top` against a real hearthd whose names, paths and texts tell much about its owner.

    report_test.py --hearthd PATH --hearth PATH
"""

import argparse
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
PROMPT = "The unmistakable prompt of zebrawood"
OWNER = "zacharias"
ARGUMENTS = None


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-report-"))
        cls.home = cls.folder / OWNER
        cls.home.mkdir()
        model = cls.home / "private-letters.gguf"
        shutil.copy(MODEL, model)
        cls.environment = {**os.environ, "HOME": str(cls.home), "USER": OWNER}
        for name in ("HEARTH_SERVER", "HEARTH_KEY", "HEARTH_MODELS", "http_proxy"):
            cls.environment.pop(name, None)
        cls.daemon = subprocess.Popen(
            [ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--name", "zacharias-den", "--lan", "127.0.0.1:0",
             "--context", "512", "--threads", "1", "--model", model, "--log-level", "error"],
            stdout=subprocess.PIPE, text=True, env=cls.environment)
        cls.server = cls.daemon.stdout.readline().split()[-1]
        cls.http = cls.daemon.stdout.readline().split()[-1].split("/")[2]
        cls.environment["HEARTH_SERVER"] = cls.server
        cls.hearth("status", "--wait-hosts", "1", "--timeout", "60")
        cls.text = cls.hearth("generate", PROMPT, "-n", "24", "--temperature", "0").stdout
        cls.code = cls.hearth("invite").stdout.split()[-1]
        cls.key = cls.hearth("key", "create", "--api", "cousin-quirin").stdout.strip()
        subprocess.run([ARGUMENTS.hearth, "load", "/data/of-zacharias/none.gguf"], capture_output=True, env=cls.environment, check=False)
        cls.hearth("report", str(cls.folder / "report.txt"), "--http", cls.http)
        cls.report = (cls.folder / "report.txt").read_text(encoding="utf-8")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        code = cls.daemon.wait(timeout=30)
        cls.daemon.stdout.close()
        shutil.rmtree(cls.folder)
        if code != 0:
            raise RuntimeError(f"the daemon ended with {code}")

    @classmethod
    def hearth(cls, *words, code=0, **environment):
        run = subprocess.run([ARGUMENTS.hearth, *words], capture_output=True, text=True, timeout=120, check=False,
                             env={**cls.environment, **environment})
        if code is not None and run.returncode != code:
            raise AssertionError(f"{words} ended with {run.returncode}: {run.stdout}{run.stderr}")
        return run

    # --- The report ---

    def test_report_has_what_a_fault_needs(self):
        for part in ("== versions ==", "hearth ", "== doctor ==", "ok       processor: ", "== status ==", "host-1", "== plans ==",
                     "== metrics ==", 'hearth_generated_tokens_total{model="model-1"} 24', "== events (UTC) ==", "model-1 is ready"):
            self.assertIn(part, self.report)
        self.assertNotIn("not told", self.report)

    def test_report_tells_nothing_of_its_owner(self):
        self.assertGreater(len(self.text.strip()), 10)
        secrets = [OWNER, "private-letters", "quirin", self.code, self.code[10:40], self.key, self.key[8:30], str(self.folder),
                   socket.gethostname(), "zebrawood", *[line for line in self.text.splitlines() if len(line) > 10]]
        for secret in secrets:
            self.assertNotIn(secret, self.report)
        self.assertNotIn("PRIVATE KEY", self.report)

    def test_report_is_its_owners_and_takes_nothing_elses_place(self):
        path = self.folder / "report.txt"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertIn("the file exists", self.hearth("report", str(path), code=1).stderr)

    def test_report_without_a_daemon_says_what_it_could_not_ask(self):
        path = self.folder / "alone.txt"
        self.hearth("report", str(path), "--http", "127.0.0.1:1", HEARTH_SERVER="127.0.0.1:1")
        report = path.read_text(encoding="utf-8")
        self.assertIn("no hearthd listens at 127.0.0.1:1", report)
        self.assertEqual(report.count("not told: "), 3)

    def test_report_of_a_port_that_wants_a_key_is_asked_for_by_https(self):
        state = self.folder / "https"
        with subprocess.Popen([ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0", "--lan", "127.0.0.1:0", "--state-dir", state,
                               "--log-level", "error"], stdout=subprocess.PIPE, text=True, env=self.environment) as daemon:
            server = daemon.stdout.readline().split()[-1]
            http = "localhost:" + daemon.stdout.readline().split()[-1].split("/")[2].split(":")[-1]
            key, authority, bad = (self.folder / name for name in ("http.key", "home.pem", "bad.key"))
            key.write_text(self.hearth("--server", server, "key", "create", "--api", "me", "--authority", str(authority)).stdout)
            bad.write_text("hearth-" + "a" * 32)
            words = lambda name, *more: ["--server", server, "report", str(self.folder / name), "--http", http, *more]
            self.hearth(*words("with.txt", "--http-key", str(key), "--authority", str(authority)))
            self.hearth(*words("wrong.txt", "--http-key", str(bad), "--authority", str(authority)))
            self.hearth(*words("stranger.txt", "--http-key", str(key)))
            daemon.terminate()
        reports = {name: (self.folder / f"{name}.txt").read_text(encoding="utf-8") for name in ("with", "wrong", "stranger")}
        self.assertIn("hearth_host_alive{", reports["with"])
        self.assertNotIn("not told", reports["with"])
        self.assertNotIn(key.read_text().strip()[8:30], reports["with"])
        self.assertIn("it wants a key that counts (HTTP 401)", reports["wrong"])
        self.assertRegex(reports["stranger"], r"not told: .*(certificate|SSL)")

    def test_report_refuses_files_that_have_no_key(self):
        empty = self.folder / "empty.key"
        empty.write_text(" \n")
        for words, said in ((("--http-key", str(empty)), "has no key for HTTP"), (("--authority", str(empty)), "--authority"),
                            (("--http-key", str(self.folder / "none.key")), "none.key")):
            run = self.hearth("report", str(self.folder / "never.txt"), *words, code=2)
            self.assertIn(said, run.stderr)
        self.assertFalse((self.folder / "never.txt").exists())

    # --- The doctor ---

    def test_doctor_of_a_daemon_that_answers_finds_nothing_wrong(self):
        run = self.hearth("doctor")
        self.assertIn(f"ok       daemon: hearthd answers at {self.server}", run.stdout)
        self.assertNotIn("WRONG", run.stdout)
        found = json.loads(self.hearth("doctor", "--json").stdout)
        self.assertEqual(found["wrong"], 0)
        self.assertEqual({"severity", "subject", "what", "cost", "remedy"}, set(found["findings"][0]))

    def test_doctor_names_the_program_that_has_the_port_and_ends_with_1(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            run = self.hearth("--server", f"127.0.0.1:{taken.getsockname()[1]}", "doctor", code=1)
        self.assertIn("WRONG    daemon: ", run.stdout)
        self.assertIn("        do: ", run.stdout)
        self.assertEqual(run.stderr, "hearth: one thing is wrong\n")

    def test_doctor_names_a_certificate_that_is_over(self):
        identity = self.home / "home2" / ".local/state/hearth/identity"
        identity.mkdir(parents=True)
        if not shutil.which("openssl"):
            self.skipTest("openssl makes the certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "3", "-keyout",
                        identity / "key", "-out", identity / "home.pem"], check=True, capture_output=True)
        run = self.hearth("doctor", HOME=str(self.home / "home2"))
        self.assertRegex(run.stdout, r"warning  certificates: the certificate in \S+home.pem ends on ")

    def test_doctor_works_without_a_daemon(self):
        run = self.hearth("doctor", HEARTH_SERVER="127.0.0.1:1", code=None)
        self.assertIn("daemon: no hearthd listens at 127.0.0.1:1", run.stdout)

    # --- top ---

    def test_top_shows_one_picture_where_there_is_no_terminal(self):
        for run in (self.hearth("top"), self.hearth("top", "--once")):
            self.assertRegex(run.stdout, r"(?m)^private-letters +ready +0 +0 ")
            self.assertRegex(run.stdout, r"(?m)^zacharias-den +alive +cpu ")
            self.assertNotIn("\x1b", run.stdout)
        self.assertEqual(json.loads(self.hearth("top", "--json").stdout)["models"][0]["tokens_generated"], 24)

    def test_top_on_a_terminal_goes_on_until_q(self):
        for key in (b"q", b"\x03"):
            main, side = pty.openpty()
            process = subprocess.Popen([ARGUMENTS.hearth, "top"], stdin=side, stdout=side, stderr=side, env=self.environment, start_new_session=True,
                                       preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            os.close(side)
            seen = b""
            pressed = False
            while True:
                try:
                    seen += os.read(main, 65536)
                except OSError:  # the other end is closed
                    break
                if not pressed and seen.count(b"\x1b[H") >= 2:
                    os.write(main, key)
                    pressed = True
            os.close(main)
            self.assertEqual(process.wait(timeout=30), 0)
            self.assertIn(b"private-letters", seen)
            self.assertTrue(seen.startswith(b"\x1b[?1049h") and seen.rstrip().endswith(b"\x1b[?1049l"), seen[-100:])
            self.assertIsNotNone(re.search(rb"q: end", seen))

    def test_top_without_a_daemon_is_an_error(self):
        self.assertIn("no hearthd answers", self.hearth("top", HEARTH_SERVER="127.0.0.1:1", code=1).stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("hearthd", "hearth"):
        parser.add_argument(f"--{option}", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
