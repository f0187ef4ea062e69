#!/usr/bin/python3
"""The dashboard: its built files are those of its sources, and it does what it should in Chromium.

    dashboard_test.py --work DIR built                   builds daemon/dashboard/page anew and compares
    dashboard_test.py --work DIR browser --hearthd PATH  drives it in a browser; SCREENSHOTS=FOLDER keeps pictures
    dashboard_test.py --work DIR prepare                 makes DIR/chat.gguf, a model that chats, and installs what `chat` needs
    dashboard_test.py --work DIR chat --url URL          chats with the one model of the daemon that is there, after `prepare`

npm installs what is needed into DIR from the lock files. Skipped (exit code 77) where node, npm, a package or, for the
browser, Chromium cannot be had.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "daemon" / "dashboard" / "page"
sys.path.insert(0, str(ROOT / "tests" / "support"))
from chat_model import with_chat_template  # noqa: E402

MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.powerinfer.gguf"
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content or '' }}\n{% endfor %}"
CHAT = ["a chat is answered", "nothing was asked elsewhere"]  # the tests that need a daemon with a model alone
FILES = ["index.html", "app.js", "app.css", "icon.svg"]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def find_program(*names):
    for name in names:
        if path := shutil.which(name):
            return path
    return skip(f"there is no {names[0]}; deploy/install-dependencies.sh installs it")


def install(folder, work, *names):
    """A copy of what `names` lists of `folder`, with the packages of its lock file."""
    npm = find_program("npm")
    find_program("node")
    work.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", *names):
        source = folder / name
        if source.is_dir():
            shutil.rmtree(work / name, ignore_errors=True)
            shutil.copytree(source, work / name)
        else:
            shutil.copy(source, work / name)
    installed = work / "installed"
    lock = (folder / "package-lock.json").read_text()
    if installed.exists() and installed.read_text() == lock:
        return
    ran = subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=work, capture_output=True, text=True)
    if ran.returncode != 0:
        skip(f"npm cannot install packages: {ran.stderr.strip().splitlines()[-1:]}")
    installed.write_text(lock)


def check_built(work):
    install(PAGE, work, "build.mjs", "tsconfig.json", "src")
    subprocess.run(["npx", "--no-install", "tsc", "--noEmit"], cwd=work, check=True, timeout=120)
    subprocess.run(["node", "build.mjs", "built"], cwd=work, check=True, timeout=60)
    other = [name for name in FILES if (work / "built" / name).read_bytes() != (PAGE / "built" / name).read_bytes()]
    if other:
        sys.exit(f"daemon/dashboard/page/built is not what its sources make: {', '.join(other)}; "
                 "run `npm ci && npm run build` in daemon/dashboard/page and commit what it makes")
    print("the built files are those of the sources")


def find_chromium():
    return find_program("chromium", "chromium-browser", "google-chrome")


def prepare(work):
    work.mkdir(parents=True, exist_ok=True)
    (work / "chat.gguf").write_bytes(with_chat_template(MODEL.read_bytes(), TEMPLATE))
    find_chromium()
    install(HERE, work, "dashboard.mjs", "daemons.mjs")


def drive(work, *options, stdout=None, **environment):
    """Runs dashboard.mjs; `environment` is what it takes from there."""
    return subprocess.run(["node", "--test", *options, "dashboard.mjs"], cwd=work, timeout=280, stdout=stdout, text=True,
                          env={**os.environ, "CHROMIUM": find_chromium(), **environment})


def check_chat(work, url):
    ran = drive(work, *(f"--test-name-pattern={name}" for name in CHAT), stdout=subprocess.PIPE, HOME_URL=url)
    if ran.returncode != 0 or f"pass {len(CHAT)}\n" not in ran.stdout:
        sys.exit(f"{ran.stdout}\nnot all of these tests have passed: {', '.join(CHAT)}")
    print(f"passed: {', '.join(CHAT)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--hearthd")
    parser.add_argument("--url")
    parser.add_argument("what", choices=["built", "browser", "prepare", "chat"])
    arguments = parser.parse_args()
    if arguments.what == "built":
        check_built(arguments.work)
    if arguments.what in ("prepare", "browser"):
        prepare(arguments.work)
    if arguments.what == "chat":
        check_chat(arguments.work, arguments.url)
    if arguments.what == "browser":
        drive(arguments.work, HEARTHD=os.path.abspath(arguments.hearthd), MODEL=str(arguments.work / "chat.gguf")).check_returncode()


if __name__ == "__main__":
    main()
