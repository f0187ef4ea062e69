#!/usr/bin/python3
"""Drives hearthd with OpenAI's own client for node, and with curl as the README shows it.

    openai_client_test.py --hearthd PATH --work DIR

The client's package is installed into DIR by npm from package-lock.json. Skipped (exit code 77) where node, npm or the
package cannot be had.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
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


def await_model(url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url.replace("/v1", "/health"), timeout=10) as health:
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
        if ran.returncode != 0 or not ran.stdout.strip() or '"error"' in ran.stdout:
            raise RuntimeError(f"README's example in {language} does not work")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with Daemon(arguments.hearthd, "--slots", "4", "--queue", "16") as daemon:
        await_model(daemon.url)
        run_readme(daemon)
        install_client(arguments.work)
        subprocess.run(["node", "--test", "openai_client.mjs"], cwd=arguments.work, check=True, timeout=200,
                       env={**os.environ, "OPENAI_BASE_URL": daemon.url, "OPENAI_API_KEY": "none"})


if __name__ == "__main__":
    main()
