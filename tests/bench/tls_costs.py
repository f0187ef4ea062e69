#!/usr/bin/env python3
"""What TLS costs a text that two hosts compute: tokens/s of an encrypted home beside one of --insecure-network.

    tls_costs.py --bin DIR [--rounds N] [--tokens N] [--rate 1gbit] [--device D] [--model M.gguf]

Two network namespaces of this machine, joined by a link of the rate (root is needed), have a daemon of each home. Each round takes
one text from either home, in turn and in the other order each time; texts have to be equal. Prints one JSON object: tokens/s, the
ratios of the rounds, encrypted to plain, their median and their quartiles. Devices wait for their bytes (pace), as if they were
slower.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from network import Network  # noqa: E402 (found by the line above)


class Home:
    """Two daemons, a and b, and what they write."""

    def __init__(self, arguments, network, folder, name, port, coordinates, joins):
        """`coordinates`: flags of the coordinator, `joins`: those of the other, which may depend on the home."""
        self.arguments, self.network, self.folder, self.name, self.processes = arguments, network, folder, name, []
        self.server = f"{'127.0.0.1' if name == 'encrypted' else network.address('a')}:{port}"
        self.start("a", "--listen", self.server, "--model", arguments.model, "--use-every-host", "--context", "1024", *coordinates)
        self.start("b", "--listen", f"127.0.0.1:{port}", "--tensor-listen", f"{network.address('b')}:0", *joins(self))
        while not self.shared():
            time.sleep(0.2)

    def start(self, machine, *words):
        log = open(self.folder / f"{self.name}-{machine}.log", "w")
        process = subprocess.Popen(self.network.words(machine, [
            self.arguments.bin / "hearthd", "--name", machine, "--state-dir", self.folder / f"{self.name}-{machine}", "--http", "off",
            "--device", self.arguments.device, *words]), stdout=subprocess.PIPE, stderr=log, text=True)
        self.processes.append(process)
        line = process.stdout.readline()
        assert " on " in line, line + pathlib.Path(log.name).read_text()

    def ask(self, *words):
        return json.loads(subprocess.check_output(self.network.words(
            "a", [self.arguments.bin / "hearth", "--server", self.server, "--json", *words])))

    def shared(self):
        return any(share.get("host") == "b" for plan in self.ask("status").get("plans", []) if plan.get("active")
                   for share in plan.get("shares", []))

    def write(self):
        """Tokens per second from the first message to the last one, and the text."""
        process = subprocess.Popen(self.network.words("a", [
            self.arguments.bin / "hearth", "--server", self.server, "--json", "generate", "In the beginning", "-n",
            self.arguments.tokens, "--temperature", "0", "--ignore-eos"]), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        times, text = [], ""
        for line in process.stdout:
            times.append(time.monotonic())
            text += json.loads(line).get("delta", {}).get("text", "")
        assert process.wait() == 0 and len(times) > 10, len(times)
        return self.arguments.tokens / (times[-1] - times[0]), text

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def measure(arguments, network, folder):
    homes = []
    try:
        homes.append(Home(arguments, network, folder, "plain", 7770, ["--insecure-network"],
                          lambda home: ["--insecure-network", "--join", home.server]))
        homes.append(Home(arguments, network, folder, "encrypted", 7780, ["--lan", f"{network.address('a')}:7771"],
                          lambda home: ["--join", home.ask("invite")["code"]]))
        speeds = {home.name: [] for home in homes}
        texts = {home.write()[1] for home in homes}  # warm
        for number in range(arguments.rounds):
            for home in homes if number % 2 else reversed(homes):
                speed, text = home.write()
                assert texts == {text}, (home.name, text)
                speeds[home.name].append(speed)
        return speeds
    finally:
        for home in homes:
            home.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--rate", default="1gbit")
    parser.add_argument("--device", default="cpu,memory=1GiB,threads=1,bandwidth=10G,pace=200M")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-tls-"))
    try:
        with Network("ab") as network:
            for machine in network.letters:
                network.limit(machine, arguments.rate)
            speeds = measure(arguments, network, folder)
        ratios = [e / p for e, p in zip(speeds["encrypted"], speeds["plain"])]
        print(json.dumps({**{name: [round(speed, 1) for speed in of] for name, of in speeds.items()},
                          "ratios": [round(ratio, 3) for ratio in ratios], "median_ratio": round(statistics.median(ratios), 3),
                          "quartiles": [round(quartile, 3) for quartile in statistics.quantiles(ratios, n=4)]}))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
