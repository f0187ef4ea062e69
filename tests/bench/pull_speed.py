#!/usr/bin/env python3
"""How fast `hearth pull` fetches a file from this machine, beside curl, which checks no digest and leaves the disk for later.

    pull_speed.py --hearth PATH [--bytes N] [--pairs N] [--folder DIR] [--connections N]

Prints one JSON object: MB/s of both in each pair, taken in turn, and the ratios. Both write into new files below DIR.
"""

import argparse
import hashlib
import http.server
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file and its ranges; the kernel copies."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with open(self.server.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, end = (int(match[1]), min(int(match[2]) + 1, size)) if match else (0, size)
            self.send_response(206 if match else 200)
            if match:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
            self.send_header("Content-Length", str(end - first))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.flush()
            while first < end:
                first += os.sendfile(self.connection.fileno(), file.fileno(), first, min(end - first, 1 << 20))

    def log_message(self, *_):
        pass


def make_file(path, size):
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        block = b"GGUF" + os.urandom((16 << 20) - 4)
        while size > 0:
            digest.update(block[:size])
            size -= file.write(block[:size])
    return digest.hexdigest()


def seconds(words, made):
    os.sync()  # what the last one left to be written is not this one's
    begun = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - begun
    os.unlink(made)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearth", required=True)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        served = pathlib.Path(folder) / "served"
        digest = make_file(served, arguments.bytes)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.path = served
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, made = f"http://127.0.0.1:{server.server_address[1]}/m.gguf", f"{folder}/m.gguf"
        pull = [arguments.hearth, "pull", url, "--to", folder, "--sha256", digest, "--connections", str(arguments.connections)]
        curl = ["curl", "-sS", "-o", made, url]
        pairs = [(seconds(pull, made), seconds(curl, made)) for _ in range(arguments.pairs)]
        server.shutdown()
    speed = lambda took: round(arguments.bytes / took / 1e6)
    ratios = [round(theirs / ours, 2) for ours, theirs in pairs]
    print(json.dumps({"bytes": arguments.bytes, "hearth_mb_per_s": [speed(ours) for ours, _ in pairs],
                      "curl_mb_per_s": [speed(theirs) for _, theirs in pairs], "ratios": ratios,
                      "median_ratio": statistics.median(ratios)}))


if __name__ == "__main__":
    main()
