#!/usr/bin/python3
"""The dashboard: its built files are those of its sources, and it does what it should in Chromium.

    dashboard_test.py --work DIR built                   builds daemon/dashboard/page anew and compares
    dashboard_test.py --work DIR browser --hearthd PATH  drives it in a browser; SCREENSHOTS=FOLDER keeps pictures

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


def check_browser(work, hearthd):
    chromium = find_program("chromium", "chromium-browser", "google-chrome")
    install(HERE, work, "dashboard.mjs", "daemons.mjs")
    model = work / "chat.gguf"
    model.write_bytes(with_chat_template(MODEL.read_bytes(), TEMPLATE))
    subprocess.run(["node", "--test", "dashboard.mjs"], cwd=work, check=True, timeout=280,
                   env={**os.environ, "HEARTHD": os.path.abspath(hearthd), "MODEL": str(model), "CHROMIUM": chromium})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--hearthd")
    parser.add_argument("what", choices=["built", "browser"])
    arguments = parser.parse_args()
    if arguments.what == "built":
        check_built(arguments.work)
    else:
        check_browser(arguments.work, arguments.hearthd)


if __name__ == "__main__":
    main()
