#!/usr/bin/python3
"""Drives hearthd with OpenAI's own client for node, and with curl as the README shows it.

    openai_client_test.py --hearthd PATH --hearth PATH --work DIR

The client's package is installed into DIR by npm from package-lock.json. Skipped (exit code 77) where node, npm or the
package cannot be had.
"""

import argparse
import http.client
import json
import math
import os
import pathlib
import re
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from daemon import ROOT, Daemon

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = ("package.json", "package-lock.json", "openai_client.mjs")


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def install_client(work):
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            skip(f"there is no {program}; deploy/install-dependencies.sh installs it")
    work.mkdir(parents=True, exist_ok=True)
    for name in PACKAGE:
        shutil.copy(HERE / name, work / name)
    installed = work / "installed"
    lock = (HERE / "package-lock.json").read_text()
    if installed.exists() and installed.read_text() == lock:
        return
    npm = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=work, capture_output=True, text=True)
    if npm.returncode != 0:
        skip(f"npm cannot install the client: {npm.stderr.strip().splitlines()[-1:]}")
    installed.write_text(lock)


def await_model(url, context=None):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url.replace("/v1", "/health"), timeout=10, context=context) as health:
                return json.loads(health.read())
        except urllib.error.HTTPError:
            time.sleep(0.05)  # 503: the model is being loaded
    raise RuntimeError("the model did not become ready")


def readme_examples():
    """The commands of README's section on OpenAI's clients, by their language."""
    section = (ROOT / "README.md").read_text().split("## OpenAI clients")[1].split("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)


def run_readme(daemon):
    examples = readme_examples()
    if not examples:
        raise RuntimeError("README shows no OpenAI clients")
    for language, text in examples:
        program = {"sh": ["bash", "-e"], "python": [sys.executable]}[language]
        ran = subprocess.run(program, input=text.replace("127.0.0.1:7780", daemon.address), capture_output=True, text=True,
                             timeout=60, check=False)
        print(ran.stdout, ran.stderr)
        if ran.returncode != 0 or not ran.stdout.strip() or '"error":{' in ran.stdout:
            raise RuntimeError(f"README's example in {language} does not work")


def post(url, body):
    """The answer to a request: its code and its JSON."""
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"}, data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def first_state(path):
    """The first row of the float32 values of a .npy file, divided by its length."""
    data = path.read_bytes()
    columns = int(re.search(rb"\(\d+, (\d+)\)", data).group(1))
    start = 10 + struct.unpack_from("<H", data, 8)[0]
    row = struct.unpack_from(f"<{columns}f", data, start)
    return [value / math.sqrt(sum(other * other for other in row)) for value in row]


def check_responses(url):
    """The events of a streamed response, as they are on the wire."""
    body = {"input": "In the beginning", "max_output_tokens": 4, "temperature": 0, "stream": True}
    request = urllib.request.Request(f"{url}/responses", headers={"Content-Type": "application/json"},
                                     data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as stream:
        events = [event.split("\n") for event in stream.read().decode().strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in events]
    data = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
    if names != [event["type"] for event in data] or names[0] != "response.created" or names[-1] != "response.incomplete":
        raise RuntimeError(f"a streamed response has the events {names}")
    text = "".join(event["delta"] for event in data if event["type"] == "response.output_text.delta")
    if text != data[-1]["response"]["output"][0]["content"][0]["text"]:
        raise RuntimeError("the deltas of a streamed response are not its text")


def check_encoder(hearthd):
    """A model that makes embeddings only: its vectors are those of the oracle, and it says that it does not chat."""
    fixture = ROOT / "tests" / "engine" / "model" / "embedding_fixtures" / "encoder_with_positions"
    tokens = [i * 5 % 24 for i in range(12)]
    with Daemon(hearthd, model=fixture.with_suffix(".gguf"), context=64) as daemon:
        await_model(daemon.url)
        code, answer = post(f"{daemon.url}/embeddings", {"input": [tokens, tokens[:3]]})
        if code != 200:
            raise RuntimeError(f"an encoder does not embed: {code} {answer}")
        vector = answer["data"][0]["embedding"]
        error = max(abs(a - b) for a, b in zip(vector, first_state(fixture.with_suffix(".npy")), strict=True))
        if error > 0.01:
            raise RuntimeError(f"an encoder's vector is {error} beside the oracle's")
        code, answer = post(f"{daemon.url}/embeddings", {"input": ["The house of God", "the sea " * 40]})
        if code != 400 or answer["error"]["code"] != "context_length_exceeded":
            raise RuntimeError(f"a long text was not refused: {code} {answer}")
        code, answer = post(f"{daemon.url}/embeddings", {"input": "The house of God", "encoding_format": "base64"})
        if code != 200 or answer["usage"]["total_tokens"] != 6:
            raise RuntimeError(f"a text was not embedded: {code} {answer}")
        code, answer = post(f"{daemon.url}/completions", {"prompt": "the"})
        if code != 400 or "embeddings only" not in answer["error"]["message"]:
            raise RuntimeError(f"an encoder was to continue text: {code} {answer}")


def refusal(url, key, authority):
    """The code and the words of what GET `url` is refused with."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30,
                                    context=ssl.create_default_context(cafile=authority)) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]["message"]


def check_https(arguments, authority):
    """Where other machines reach it: HTTPS by the home's own certificate, and keys."""
    def hearth(*words):
        ran = subprocess.run([arguments.hearth, "--server", daemon.grpc_address, *words], capture_output=True, text=True,
                             timeout=60, check=True)
        return ran.stdout.strip()

    with Daemon(arguments.hearthd, "--slots", "4", "--queue", "16", http="0.0.0.0:0") as daemon:
        key = hearth("key", "create", "--api", "anna", "--authority", str(authority))
        if key in hearth("key", "list", "--json") or json.loads(hearth("key", "list", "--json"))["members"][0]["name"] != "anna":
            raise RuntimeError("a list of keys does not name the owner, or shows the secret")
        url = f"https://localhost:{daemon.address.split(':')[-1]}/v1"
        await_model(url, ssl.create_default_context(cafile=authority))
        run_client(arguments.work, url, key, {"NODE_EXTRA_CA_CERTS": str(authority)})
        for given, words in (("", "a key is needed"), ("hearth-" + "a" * 32, "none of this home's")):
            code, message = refusal(f"{url}/models", given, authority)
            if code != 401 or words not in message:
                raise RuntimeError(f"the key {given!r} was answered with {code} {message}")
        try:
            urllib.request.urlopen(url.replace("https", "http"), timeout=30).close()
        except urllib.error.HTTPError as error:
            if error.code != 400 or b"this port speaks HTTPS" not in error.read():
                raise
        check_revoked(url, key, authority, lambda: hearth("key", "revoke", "anna"))


def check_revoked(url, key, authority, revoke):
    """A stream of a key that is revoked ends soon, and the key counts no more."""
    request = urllib.request.Request(f"{url.removesuffix('/v1')}/dashboard/news", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30, context=ssl.create_default_context(cafile=authority)) as stream:
        stream.readline()
        revoke()
        since = time.monotonic()
        try:
            while stream.readline():
                pass
        except (http.client.IncompleteRead, OSError):
            pass  # cut off, as it should be
        if time.monotonic() - since > 2:
            raise RuntimeError("the stream of a revoked key went on")
    if refusal(f"{url}/models", key, authority)[0] != 401:
        raise RuntimeError("a revoked key still counts")


def run_client(work, url, key, environment):
    subprocess.run(["node", "--test", "openai_client.mjs"], cwd=work, check=True, timeout=200,
                   env={**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": key, **environment})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--hearth", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    check_encoder(arguments.hearthd)
    with Daemon(arguments.hearthd, "--slots", "4", "--queue", "16") as daemon:
        await_model(daemon.url)
        run_readme(daemon)
        check_responses(daemon.url)
        install_client(arguments.work)
        run_client(arguments.work, daemon.url, "none", {})
    with tempfile.TemporaryDirectory() as folder:
        check_https(arguments, pathlib.Path(folder) / "authority.pem")


if __name__ == "__main__":
    main()
