"""A hearthd with the demo model and a chat template, for the tests of its HTTP face."""

import pathlib
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from chat_model import with_chat_template  # noqa: E402

MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content or '' }}\n{% endfor %}"


class Daemon:
    """On free ports, ready to answer when made. Leave it by `with`, or stop it. `model`: the file of another one."""

    def __init__(self, hearthd, *arguments, model=None, context=512, http="127.0.0.1:0"):
        self.folder = tempfile.TemporaryDirectory()
        if model is None:
            model = pathlib.Path(self.folder.name) / "chat.gguf"
            model.write_bytes(with_chat_template(MODEL.read_bytes(), TEMPLATE))
        self.process = subprocess.Popen(
            [hearthd, "--listen", "127.0.0.1:0", "--http", http, "--state-dir", self.folder.name,
             "--name", "http-test", "--log-level", "warning", "--model", str(model), "--model-name", "demo",
             "--context", str(context), "--threads", "2", *arguments],
            stdout=subprocess.PIPE, text=True)
        lines = [self.process.stdout.readline() for _ in range(2)]
        if not lines[0].startswith("hearthd ready on "):
            raise RuntimeError(f"hearthd did not start: {lines}")
        self.grpc_address = lines[0].split()[-1]
        self.url = lines[1].split()[-1]  # http://HOST:PORT/v1, or https://
        self.address = self.url.split("/")[2]

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.process.stdout.close()
        self.folder.cleanup()
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code = self.stop()
        if kind is None and code != 0:
            raise RuntimeError(f"hearthd exited with {code} after SIGTERM")
