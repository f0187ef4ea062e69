#!/usr/bin/env python3
"""`hearth pull` from a server that does what it should not: the right file comes, or one clear line says what is wrong.

    pull_test.py --hearth PATH --hearthd PATH

Whatever happens, a file under the final name is the right one; at most NAME.part is left beside it.
"""

import argparse
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

DEMO_MODEL = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
ARGUMENTS = None
PATIENCE_S = 60
CHUNK = 8 << 20  # what one request asks for at least, where there is more


def model(size, seed=1):
    """Bytes that begin as a GGUF file does."""
    return b"GGUF" + random.Random(seed).randbytes(size - 4)


SMALL = model(100_000)
LARGE = model(3 * CHUNK + 12345)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        route = self.server.routes.get(self.path.split("?")[0])
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers)))
            seen = sum(path == self.path for path, _ in self.server.requests)
        try:
            if route is None:
                self.say(404, b"<html>not here</html>")
            else:
                route(self, seen)
        except ConnectionError:
            self.close_connection = True

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def say(self, status, data, **headers):
        self.head(status, Content_Length=len(data), **headers)
        self.wfile.write(data)

    def asked(self, size):
        """The range that is asked for, (first, behind last)."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return (int(match[1]), min(int(match[2]) + 1, size)) if match else (0, size)

    def serve(self, data, etag='"1"', send=None):
        """As a good server does; `send` sends the body otherwise."""
        first, end = self.asked(len(data))
        if self.headers.get("If-Range", etag) != etag:
            first, end = 0, len(data)
            self.head(200, Content_Length=len(data), ETag=etag)
        else:
            self.head(206, Content_Length=end - first, Content_Range=f"bytes {first}-{end - 1}/{len(data)}", ETag=etag)
        (send or self.wfile.write)(data[first:end])

    def break_off(self):
        """Ends the connection as one that was cut."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes, self.requests, self.lock = {}, [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # of connections that are cut

    def end(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class PullTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name) / "models"
        self.folder.mkdir()
        self.server = Server()
        self.addCleanup(self.server.end)
        self.environment = {name: value for name, value in os.environ.items()
                            if not re.fullmatch(r"(?i).*_proxy|HF_.*|XDG_.*|OLLAMA_.*", name)}
        self.environment.update(HOME=self.temporary.name, HEARTH_MODELS=str(self.folder), HF_ENDPOINT=self.server.url + "/")

    def route(self, path, answer):
        """`answer(handler, n)` answers the nth request for `path`."""
        self.server.routes[path] = answer
        return self.server.url + path

    def good(self, data, path="/m.gguf"):
        return self.route(path, lambda handler, n: handler.serve(data))

    def words(self, *words):
        return [ARGUMENTS.hearth, *map(str, words)]

    def run_hearth(self, *words, **more):
        return subprocess.run(self.words(*words), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                              env={**self.environment, **more})

    def pull(self, source, *flags, **more):
        return self.run_hearth("pull", source, *flags, **more)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())

    def assert_fetched(self, run, data, name="m.gguf", others=()):
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(self.files(), sorted([name, *others]))
        self.assertEqual(sha256((self.folder / name).read_bytes()), sha256(data))

    def assert_refused(self, run, *words, left=(), code=1):
        self.assertEqual((run.returncode, run.stdout), (code, ""), run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertTrue(run.stderr.startswith("hearth: ") and run.stderr[:-1].isprintable(), run.stderr)
        for word in words:
            self.assertIn(word, run.stderr)
        self.assertEqual(self.files(), sorted(left))

    # --- What should be ---

    def test_file_comes_and_its_path_is_printed(self):
        run = self.pull(self.good(SMALL) + "?download=true", "--sha256", sha256(SMALL).upper())
        self.assert_fetched(run, SMALL)
        self.assertEqual(run.stdout, f"{self.folder}/m.gguf\n")

    def test_json_says_what_was_checked(self):
        url = self.good(SMALL)
        told = json.loads(self.pull(url, "--json").stdout)
        self.assertEqual(told["files"], [{"path": f"{self.folder}/m.gguf", "bytes": len(SMALL), "sha256": sha256(SMALL), "checked": False}])
        told = json.loads(self.pull(url, "--json", "--name", "n.gguf", "--sha256", sha256(SMALL)).stdout)
        self.assertTrue(told["files"][0]["checked"])

    def test_large_file_comes_in_ranges(self):
        self.assert_fetched(self.pull(self.good(LARGE)), LARGE)
        asked = [f"bytes={begin}-{min(begin + CHUNK, len(LARGE)) - 1}" for begin in range(0, len(LARGE), CHUNK)]
        self.assertEqual(sorted(headers["Range"] for _, headers in self.server.requests), sorted(asked))

    def test_redirects_are_followed(self):
        url = self.route("/there", lambda handler, n: handler.say(302, b"", Location="/m.gguf"))
        self.good(SMALL)
        self.assert_fetched(self.pull(url, "--name", "m.gguf"), SMALL)

    @unittest.skipIf(os.geteuid() == 0 and os.path.isdir("/var/lib/hearth/models"), "root fetches for the service that is installed here")
    def test_folder_of_ones_own_is_made(self):
        run = self.pull(self.good(SMALL), HEARTH_MODELS="", XDG_DATA_HOME=self.temporary.name + "/data")
        self.assertEqual(run.stdout, self.temporary.name + "/data/hearth/models/m.gguf\n")

    def test_file_that_is_there_is_checked_and_not_fetched_again(self):
        (self.folder / "m.gguf").write_bytes(SMALL)
        url = self.good(SMALL)
        self.assert_fetched(self.pull(url, "--sha256", sha256(SMALL)), SMALL)
        self.assertEqual(self.server.requests, [])
        self.assert_refused(self.pull(url, "--sha256", sha256(LARGE)), "is another file", left=["m.gguf"])
        self.assert_refused(self.pull(url), "is there already", left=["m.gguf"])

    # --- Connections and servers that fail ---

    def test_connection_that_is_reset_is_gone_on_with(self):
        def answer(handler, n):
            def half(data):
                handler.wfile.write(data[:60_000])
                handler.break_off()
            handler.serve(SMALL, send=half if handler.asked(len(SMALL))[0] == 0 else None)
        run = self.pull(self.route("/m.gguf", answer))
        self.assert_fetched(run, SMALL)

    def break_behind(self, limit, data=SMALL, etag='"1"'):
        """A server that never sends what lies behind `limit`."""
        def answer(handler, n):
            def some(part):
                handler.wfile.write(part[:max(limit - handler.asked(len(data))[0], 0)])
                handler.wfile.flush()
                handler.close_connection = True
            handler.serve(data, etag, some)
        return answer

    def test_what_has_come_stays_and_the_next_pull_goes_on(self):
        url = self.route("/m.gguf", self.break_behind(60_000))
        run = self.pull(url, "--retries", 1)
        self.assert_refused(run, "ended before all had come", "what has come stays in", left=["m.gguf.part"])
        self.assertIn("unfinished", self.run_hearth("models", "--local").stdout)
        self.server.requests.clear()
        self.good(SMALL)
        self.assert_fetched(self.pull(url), SMALL)
        self.assertEqual(self.server.requests[0][1]["Range"], f"bytes=60000-{len(SMALL) - 1}")
        self.assertEqual(self.server.requests[0][1]["If-Range"], '"1"')

    def test_file_that_has_changed_meanwhile_begins_anew(self):
        url = self.route("/m.gguf", self.break_behind(60_000))
        self.pull(url, "--retries", 0)
        other = model(90_000, seed=2)
        self.route("/m.gguf", lambda handler, n: handler.serve(other, '"2"'))
        self.assert_fetched(self.pull(url), other)

    def test_file_that_changes_in_the_middle_begins_anew(self):
        other = model(len(LARGE), seed=2)
        def answer(handler, n):
            handler.serve(*((LARGE, '"1"') if n <= 2 else (other, '"2"')))
        self.assert_fetched(self.pull(self.route("/m.gguf", answer)), other)

    def test_file_that_changes_all_the_time_is_refused(self):
        def answer(handler, n):
            handler.serve(LARGE, f'"{n}"')
        self.assert_refused(self.pull(self.route("/m.gguf", answer)), "it changes while it is fetched")

    def test_damaged_rest_of_an_earlier_pull_is_fetched_anew(self):
        url = self.route("/m.gguf", self.break_behind(60_000))
        self.pull(url, "--retries", 0, "--sha256", sha256(SMALL))
        with open(self.folder / "m.gguf.part", "r+b") as part:
            part.seek(1000)
            part.write(b"damaged")
        self.good(SMALL)
        self.assert_fetched(self.pull(url, "--sha256", sha256(SMALL)), SMALL)

    def test_rest_of_another_file_is_not_gone_on_with(self):
        self.pull(self.route("/m.gguf", self.break_behind(60_000)), "--retries", 0)
        other = model(100_000, seed=2)
        self.assert_fetched(self.pull(self.good(other, "/other/m.gguf")), other)

    def test_ctrl_c_leaves_what_has_come(self):
        waits, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        def answer(handler, n):
            def half(data):
                handler.wfile.write(data[:50_000])
                handler.wfile.flush()
                waits.set()
                go_on.wait(PATIENCE_S)
            handler.serve(SMALL, send=half if n == 1 else None)
        url = self.route("/m.gguf", answer)
        with subprocess.Popen(self.words("pull", url), stderr=subprocess.PIPE, text=True, env=self.environment) as process:
            waits.wait(PATIENCE_S)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 130)
        self.assertTrue(err.endswith("hearth: cancelled\n"), err)
        if self.files():  # nothing of it may have come yet
            self.assertIn(f"what has come stays in {self.folder}/m.gguf.part", err)
        go_on.set()
        self.assert_fetched(self.pull(url), SMALL)

    def test_second_pull_of_the_same_file_is_refused(self):
        waits, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        def answer(handler, n):
            waits.set()
            go_on.wait(PATIENCE_S)
            handler.serve(SMALL)
        url = self.route("/m.gguf", answer)
        with subprocess.Popen(self.words("pull", url), stdout=subprocess.DEVNULL, env=self.environment) as first:
            waits.wait(PATIENCE_S)
            self.assert_refused(self.pull(url), "another hearth pull is fetching", left=["m.gguf.part"])
            self.assert_refused(self.run_hearth("rm", "m"), "is being fetched", left=["m.gguf.part"])
            go_on.set()
            self.assertEqual(first.wait(PATIENCE_S), 0)
        self.assertEqual(self.files(), ["m.gguf"])

    def test_slow_server_is_waited_for(self):
        def slowly(handler, data):
            for at in range(0, len(data), 1000):
                handler.wfile.write(data[at:at + 1000])
                handler.wfile.flush()
        self.assert_fetched(self.pull(self.route("/m.gguf", lambda handler, n: handler.serve(SMALL, send=lambda data: slowly(handler, data)))), SMALL)

    def stall(self, times):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        def answer(handler, n):
            def half(data):
                handler.wfile.write(data[:50_000])
                handler.wfile.flush()
                go_on.wait(PATIENCE_S)
                handler.close_connection = True
            handler.serve(SMALL, send=half if n <= times else None)
        return self.route("/m.gguf", answer)

    def test_connection_that_stalls_is_made_anew(self):
        self.assert_fetched(self.pull(self.stall(1), "--stall-seconds", 1), SMALL)

    def test_server_that_stalls_for_ever_is_given_up(self):
        run = self.pull(self.stall(9), "--stall-seconds", 1, "--retries", 0)
        self.assert_refused(run, "nothing came for 1 seconds", left=["m.gguf.part"])

    def test_busy_server_is_asked_again(self):
        def answer(handler, n):
            if n == 1:
                handler.say(503, b"busy")
            elif n == 2:
                handler.say(429, b"slower", Retry_After=1)
            else:
                handler.serve(SMALL)
        self.assert_fetched(self.pull(self.route("/m.gguf", answer)), SMALL)

    def test_server_that_stays_busy_is_given_up(self):
        url = self.route("/m.gguf", lambda handler, n: handler.say(503, b"busy"))
        self.assert_refused(self.pull(url, "--retries", 1), "has too much to do (HTTP 503)")
        self.assertEqual(len(self.server.requests), 2)
        self.route("/m.gguf", lambda handler, n: handler.say(429, b"slower", Retry_After=3600))
        self.assert_refused(self.pull(url), "try again in 3600 seconds")

    def test_server_that_nobody_runs_is_no_reason_to_wait(self):
        self.assert_refused(self.pull("http://127.0.0.1:1/m.gguf"), "cannot fetch http://127.0.0.1:1/m.gguf: Couldn't connect")

    def test_missing_and_forbidden_files_are_named(self):
        self.assert_refused(self.pull(self.server.url + "/none.gguf?secret=1"), "none.gguf: there is no such thing (HTTP 404)")
        url = self.route("/m.gguf", lambda handler, n: handler.say(403, b"no"))
        self.assert_refused(self.pull(url), "HTTP 403", "HF_TOKEN")

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
    def test_server_that_nobody_vouches_for_is_refused(self):
        certificate, key = self.temporary.name + "/certificate.pem", self.temporary.name + "/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.assert_refused(self.pull(self.good(SMALL).replace("http:", "https:")), "the server's certificate does not hold")
        self.assertEqual(self.server.requests, [])

    # --- Redirects ---

    def test_redirects_in_a_circle_end(self):
        url = self.route("/m.gguf", lambda handler, n: handler.say(302, b"", Location="/m.gguf"))
        self.assert_refused(self.pull(url), "redirects more than 10 times")

    def test_redirects_away_from_the_web_are_refused(self):
        for location in ("file:///etc/passwd", "ftp://127.0.0.1/m.gguf", "http://user:secret@127.0.0.1/m.gguf"):
            url = self.route("/m.gguf", lambda handler, n, to=location: handler.say(302, b"", Location=to))
            run = self.pull(url)
            self.assert_refused(run, "it redirects elsewhere")
            self.assertNotIn("secret", run.stderr)
        url = self.route("/m.gguf", lambda handler, n: handler.say(302, b""))
        self.assert_refused(self.pull(url), "redirects to nowhere")

    # --- Answers that lie ---

    def test_length_that_is_too_large_is_an_error(self):
        def answer(handler, n):
            handler.head(200, Content_Length=len(SMALL) + 1000)
            handler.wfile.write(SMALL)
            handler.close_connection = True
        self.assert_refused(self.pull(self.route("/m.gguf", answer), "--retries", 1), "ended before all had come")

    def test_length_that_is_too_small_is_found_by_the_digest(self):
        def answer(handler, n):
            handler.head(200, Content_Length=len(SMALL) - 1000)
            handler.wfile.write(SMALL)
            handler.close_connection = True
        url = self.route("/m.gguf", answer)
        self.assert_refused(self.pull(url, "--sha256", sha256(SMALL)), "but should be " + sha256(SMALL))

    def test_wrong_bytes_are_found_by_the_digest(self):
        wrong = SMALL[:5000] + b"wrong" + SMALL[5005:]
        run = self.pull(self.good(wrong), "--sha256", sha256(SMALL))
        self.assert_refused(run, f"its digest (SHA-256) is {sha256(wrong)}, but should be {sha256(SMALL)}")

    def test_server_without_ranges_sends_the_whole_file(self):
        self.assert_fetched(self.pull(self.route("/m.gguf", lambda handler, n: handler.say(200, LARGE))), LARGE)
        self.assertEqual(len(self.server.requests), 1)

    def test_server_without_ranges_that_breaks_begins_anew(self):
        def answer(handler, n):
            handler.head(200, Content_Length=len(LARGE))
            handler.wfile.write(LARGE[:len(LARGE) // 2] if n == 1 else LARGE)
            handler.close_connection = True
        self.assert_fetched(self.pull(self.route("/m.gguf", answer)), LARGE)

    def test_server_without_ranges_that_always_breaks_is_given_up(self):
        def answer(handler, n):
            handler.head(200, Content_Length=len(LARGE))
            handler.wfile.write(LARGE[:len(LARGE) // 2])
            handler.close_connection = True
        self.assert_refused(self.pull(self.route("/m.gguf", answer), "--retries", 1), "ended before all had come")
        self.assertEqual(len(self.server.requests), 2)

    def test_other_ranges_than_those_asked_for_are_refused(self):
        for content_range in ("bytes 5-99/100000", "bytes 0-99999999/100000000", "bytes 0-99/*", "nonsense", ""):
            url = self.route("/m.gguf", lambda handler, n, text=content_range: handler.say(206, SMALL[:100], Content_Range=text))
            self.assert_refused(self.pull(url), "other bytes than it was asked for")

    def test_more_bytes_than_announced_are_refused(self):
        def answer(handler, n):
            handler.head(206, Content_Range=f"bytes 0-99/{len(SMALL)}", Transfer_Encoding="chunked")
            handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (1000, SMALL[:1000]))
        self.assert_refused(self.pull(self.route("/m.gguf", answer)), "more than it announced")

    def test_web_page_is_no_model(self):
        url = self.route("/m.gguf", lambda handler, n: handler.say(200, b"<html>" + b"x" * 1000, Content_Type="text/html"))
        self.assert_refused(self.pull(url), "it is a web page, not a GGUF file")
        url = self.route("/m.gguf", lambda handler, n: handler.serve(b"PK\3\4" + b"x" * 1000))
        self.assert_refused(self.pull(url), "it is no GGUF file")

    def test_compressed_answer_is_refused(self):
        url = self.route("/m.gguf", lambda handler, n: handler.say(200, gzip.compress(SMALL), Content_Encoding="gzip"))
        self.assert_refused(self.pull(url), "compressed")
        self.assertEqual(self.server.requests[0][1]["Accept-Encoding"], "identity")

    def test_empty_answers_are_refused(self):
        def unsatisfiable(handler, n):
            handler.say(416, b"", Content_Range="bytes */0")
        for answer in (lambda handler, n: handler.say(200, b""), unsatisfiable):
            self.assert_refused(self.pull(self.route("/m.gguf", answer)), "it is empty")
        url = self.route("/m.gguf", lambda handler, n: handler.serve(b"GGUF"))
        self.assert_refused(self.pull(url), "4 bytes, too few")

    def test_answer_without_a_length_is_refused(self):
        def answer(handler, n):
            handler.head(200)
            handler.wfile.write(SMALL)
            handler.close_connection = True
        self.assert_refused(self.pull(self.route("/m.gguf", answer)), "does not say how long")

    def test_size_that_no_disk_holds_is_refused_before_anything_comes(self):
        def answer(handler, n):
            handler.say(206, SMALL[:100], Content_Range=f"bytes 0-99/{1 << 60}")
        self.assert_refused(self.pull(self.route("/m.gguf", answer)), "less than the", "make room")

    @unittest.skipUnless(os.geteuid() == 0, "only root can mount a small disk")
    def test_disk_without_room_is_told_before_anything_comes(self):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.folder], capture_output=True, check=False).returncode:
            self.skipTest("no disk can be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.folder], check=True)
        self.assert_refused(self.pull(self.good(SMALL)), "less than the", "make room")

    # --- Names ---

    def test_names_that_lead_elsewhere_are_refused(self):
        for path in ("/..%2F..%2Fm.gguf", "/a%2Fm.gguf", "/.m.gguf", "/m%0a.gguf", "/m.txt", "/", "/%ff.gguf"):
            self.assert_refused(self.pull(self.server.url + path), "the file's name in the URL")
        self.assert_refused(self.pull(self.good(SMALL), "--name", "../m.gguf"), "--name")
        self.assertEqual(self.server.requests, [])

    def test_sources_that_are_none_are_refused(self):
        for source in ("", "m", "file:///etc/passwd", "hf:", "hf:u", "hf:../..", "http://user:secret@a/m.gguf", "hf:u/r:\n"):
            run = self.pull(source)
            self.assert_refused(run)
            self.assertNotIn("secret", run.stderr)
        self.assert_refused(self.pull(self.good(SMALL), "--to", self.temporary.name + "/none"), "--to")

    # --- The hub ---

    def hub(self, files, lists=None):
        """The repository u/r with these files; `lists`: another list of them."""
        entries = [{"type": "file", "path": path, "size": len(data), "lfs": {"oid": sha256(data), "size": len(data)}}
                   for path, data in files.items()]
        self.route("/api/models/u/r/tree/main", lambda handler, n: handler.say(200, lists or json.dumps(entries).encode()))
        for path, data in files.items():
            self.good(data, "/u/r/resolve/main/" + path)

    def test_quantisation_names_a_file_of_the_hub(self):
        self.hub({"m-Q4_K_M.gguf": SMALL, "m-Q8_0.gguf": LARGE, "README.md": b"x"})
        self.assert_refused(self.pull("hf:u/r"), "has several models", "`hearth pull hf:u/r:m-Q4_K_M.gguf`", "m-Q8_0.gguf")
        self.assert_fetched(self.pull("hf:u/r:q4_k_m"), SMALL, "m-Q4_K_M.gguf")

    def test_parts_come_together(self):
        names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
        self.hub({"Q8 0/" + names[0]: SMALL, "Q8 0/" + names[1]: model(5000)})
        self.server.routes = {path.replace(" ", "%20"): answer for path, answer in self.server.routes.items()}
        run = self.pull("hf:u/r", "--json")
        self.assert_fetched(run, SMALL, names[0], others=names[1:])
        self.assertEqual(len(json.loads(run.stdout)["files"]), 2)
        listed = json.loads(self.run_hearth("models", "--local", "--json").stdout)["models"]
        self.assertEqual([(found["name"], found["missing_parts"], len(found["files"])) for found in listed], [("m", [], 2)])

    def test_missing_part_of_the_hub_is_told_before_anything_comes(self):
        self.hub({"m-00001-of-00002.gguf": SMALL})
        self.assert_refused(self.pull("hf:u/r"), "lacks part 2 of 2")

    def test_missing_part_of_a_url_leaves_those_that_are_whole(self):
        names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
        url = self.good(SMALL, "/" + names[0])
        self.assert_refused(self.pull(url), "m-00002-of-00002.gguf: there is no such thing", left=names[:1])
        self.assertIn("missing: part 2", self.run_hearth("models", "--local").stdout)

    def test_hub_that_lies_about_a_file_is_found_out(self):
        self.hub({"m.gguf": SMALL})
        self.good(SMALL[:-1], "/u/r/resolve/main/m.gguf")
        self.assert_refused(self.pull("hf:u/r"), f"has {len(SMALL) - 1} bytes, but should have {len(SMALL)}")
        self.good(SMALL[:-1] + b"!", "/u/r/resolve/main/m.gguf")
        self.assert_refused(self.pull("hf:u/r"), "its digest")

    def test_lists_that_make_no_sense_are_refused(self):
        for text in (b'[{"type": "file", "pa', b"{}", b"<html>", b"[" * 100_000, b'[{"type":"file","path":"m.gguf"}]'):
            self.hub({"m.gguf": SMALL}, text)
            self.assert_refused(self.pull("hf:u/r"), "the hub's list of files")
        self.hub({"m.gguf": SMALL}, b"[]")
        self.assert_refused(self.pull("hf:u/r"), "has no GGUF file")
        self.hub({"..\\m.gguf": SMALL})
        self.assert_refused(self.pull("hf:u/r"), "the file's name in the repository")

    def test_long_lists_have_several_pages(self):
        self.hub({"m.gguf": SMALL})
        first = self.server.routes["/api/models/u/r/tree/main"]
        self.server.routes["/next"] = first
        self.route("/api/models/u/r/tree/main", lambda handler, n: handler.say(200, b"[]", Link=f'<{self.server.url}/next>; rel="next"'))
        self.assert_fetched(self.pull("hf:u/r"), SMALL)

    def test_token_goes_to_the_hub_alone(self):
        elsewhere = Server()
        self.addCleanup(elsewhere.end)
        elsewhere.routes["/blob"] = lambda handler, n: handler.serve(SMALL)
        self.hub({"m.gguf": SMALL})
        self.route("/u/r/resolve/main/m.gguf", lambda handler, n: handler.say(302, b"", Location=elsewhere.url + "/blob"))
        self.assert_fetched(self.pull("hf:u/r", HF_TOKEN="hf_secret"), SMALL)
        self.assertEqual({headers.get("Authorization") for _, headers in self.server.requests}, {"Bearer hf_secret"})
        self.assertEqual([headers.get("Authorization") for _, headers in elsewhere.requests], [None])
        self.server.requests.clear()
        self.pull(self.good(SMALL, "/n.gguf"), HF_TOKEN="hf_secret")
        self.assertEqual(self.server.requests[0][1].get("Authorization"), None)
        self.assert_refused(self.pull("hf:u/r", HF_TOKEN="a\r\nX: y"), "HF_TOKEN", left=["m.gguf", "n.gguf"])

    # --- The catalogue ---

    FIGURES = {"architecture": "llama", "weights": "Q8_0", "layers": 2, "embedding": 64, "feed_forward": 128, "heads": 2, "kv_heads": 2,
               "vocabulary": 256, "context": 512}

    def catalogue(self, **models):
        """A catalogue of one's own: by name, what entries have besides."""
        entries = [{"name": name, "about": "of the test", "source": "hf:u/r:Q8_0", "figures": self.FIGURES, **more} for name, more in models.items()]
        path = pathlib.Path(self.temporary.name) / "own.json"
        path.write_text(json.dumps({"models": entries}))
        self.environment["HEARTH_CATALOGUE"] = str(path)
        return path

    def pull_known(self, name, server="127.0.0.1:1"):
        """What it says of the model beforehand, and the rest."""
        run = self.pull(name, "--server", server)
        outlook, run.stderr = run.stderr.split("\n", 1)
        return outlook, run

    def test_name_of_the_catalogue_is_fetched_from_where_it_says(self):
        self.hub({"m-Q8_0.gguf": SMALL})
        self.catalogue(good={"sha256": sha256(SMALL), "computed_bytes": 100_000})
        outlook, run = self.pull_known("good")
        self.assert_fetched(run, SMALL, "m-Q8_0.gguf")
        self.assertRegex(outlook, r"^good, 97\.7 KiB: not known whether it fits: no hearthd answers at 127\.0\.0\.1:1")

    def test_file_with_another_digest_than_the_catalogues_is_refused_before_it_comes(self):
        self.hub({"m-Q8_0.gguf": SMALL})
        self.catalogue(bad={"sha256": sha256(LARGE)})
        self.assert_refused(self.pull_known("bad")[1], "the hub's file has the digest")
        self.assertEqual([path for path, _ in self.server.requests if path.startswith("/u/")], [])

    def test_catalogues_digest_is_checked_where_the_hub_tells_none(self):
        files = json.dumps([{"type": "file", "path": "m-Q8_0.gguf", "size": len(SMALL)}]).encode()
        self.hub({"m-Q8_0.gguf": SMALL}, lists=files)
        self.catalogue(bad={"sha256": sha256(LARGE)}, good={"sha256": sha256(SMALL).upper()})
        self.assert_refused(self.pull_known("bad")[1], "its digest (SHA-256) is " + sha256(SMALL))
        self.assert_fetched(self.pull_known("good")[1], SMALL, "m-Q8_0.gguf")

    def test_catalogue_that_is_none_is_named(self):
        path = self.catalogue(good={"sha256": "12"})
        self.assert_refused(self.pull("good"), f"the catalogue {path}: model \"good\": sha256 has other than")
        self.catalogue(good={"figures": {"layers": "many"}})
        self.assert_refused(self.pull("good"), "the catalogue's figures of good: ")
        self.environment["HEARTH_CATALOGUE"] = self.temporary.name + "/none.json"
        self.assert_refused(self.pull("good"), "none.json")

    def test_name_that_the_catalogue_lacks_is_told(self):
        self.assert_refused(self.pull("abacus-7b"), 'the catalogue has no model called "abacus-7b"', "hearth models --catalogue")

    def test_catalogue_is_listed_and_shown_without_a_daemon(self):
        self.catalogue(mine={"computed_bytes": 2048})
        run = self.run_hearth("models", "--catalogue", "--server", "127.0.0.1:1")
        self.assertEqual((run.returncode, run.stderr.count("no hearthd answers")), (0, 1), run.stderr)
        self.assertRegex(run.stdout, r"(?m)^llama-3\.1-8b +4\.6 GiB  Llama 3\.1 8B Instruct, Meta$")
        self.assertRegex(run.stdout, r"(?m)^mine +2\.0 KiB  of the test$")
        run = self.run_hearth("show", "mine", "--server", "127.0.0.1:1")
        self.assertIn("source   hf:u/r:Q8_0\nweights  2.0 KiB, computed from its figures\ndigest   as the hub tells it\nhere     not known", run.stdout)
        self.pull(self.good(SMALL))
        self.assertIn(f"m: 97.7 KiB\nfile     {self.folder}/m.gguf\nfrom     models\n", self.run_hearth("show", "m").stdout)
        self.assert_refused(self.run_hearth("show", "nothing"), "no model called", left=["m.gguf"])

    def test_daemon_says_how_fast_models_of_the_catalogue_would_be(self):
        huge = {**self.FIGURES, "layers": 400, "embedding": 16384, "feed_forward": 65536, "heads": 128, "kv_heads": 128}
        self.hub({"m-Q8_0.gguf": SMALL})
        self.catalogue(tiny={}, huge={"figures": huge}, odd={"figures": {**self.FIGURES, "architecture": "abacus"}})
        with subprocess.Popen([ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--http", "off", "--state-dir", self.temporary.name + "/state",
                               "--log-level", "off"], stdout=subprocess.PIPE, text=True, env=self.environment) as daemon:
            server = daemon.stdout.readline().split()[-1]
            listed = self.run_hearth("--server", server, "--json", "models", "--catalogue")
            outlook, pulled = self.pull_known("tiny", server)
            shown = self.run_hearth("--server", server, "show", "huge")
            daemon.terminate()
        models = {model["name"]: model for model in json.loads(listed.stdout)["models"]}
        self.assertGreater(models["tiny"]["expected"]["tokens_per_second"], 10)
        self.assertEqual(models["tiny"]["expected"]["context_length"], 512)
        self.assertIn("missing", models["huge"])
        self.assertIn('"abacus" is not known', models["odd"]["unknown"])
        for name, model in models.items():  # those that come with the programs are all understood
            self.assertTrue(name == "odd" or "expected" in model or "missing" in model, (name, model))
        self.assertRegex(outlook, r"^tiny, \?: fits your home at \d+ tok/s, expected$")
        self.assert_fetched(pulled, SMALL, "m-Q8_0.gguf")
        self.assertIn("here     does not fit: ", shown.stdout)

    # --- What is there ---

    def test_models_are_listed_and_removed(self):
        self.pull(self.good(SMALL))
        self.assertIn(f"97.7 KiB  {self.folder}/m.gguf\n", self.run_hearth("models", "--local").stdout)
        self.assert_refused(self.run_hearth("rm", "n"), "there is no model", left=["m.gguf"])
        self.assert_refused(self.run_hearth("rm", str(self.folder / "m.gguf")), "is a path", left=["m.gguf"])
        self.assertEqual(self.run_hearth("rm", "m").stdout, "removed m: 97.7 KiB freed\n")
        self.assertEqual(self.files(), [])

    def test_model_that_was_fetched_is_loaded_by_its_name(self):
        model_file = DEMO_MODEL.read_bytes()
        self.assert_fetched(self.pull(self.good(model_file, "/demo.gguf")), model_file, "demo.gguf")
        with subprocess.Popen([ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--http", "off", "--state-dir", self.temporary.name + "/state",
                               "--log-level", "off", "--context", "512"], stdout=subprocess.PIPE, text=True, env=self.environment) as daemon:
            server = daemon.stdout.readline().split()[-1]
            run = self.run_hearth("--server", server, "--json", "load", "demo")
            loaded = json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else run.stderr
            daemon.terminate()
        self.assertEqual((loaded["name"], loaded["state"]), ("demo", "ready"))

    def test_load_of_a_name_that_nothing_has_says_so(self):
        self.assert_refused(self.run_hearth("load", "nothing"), "no local model \"nothing\"", "hearth models --local")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("hearth", "hearthd"):
        parser.add_argument(f"--{name}", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
