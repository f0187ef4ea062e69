#!/usr/bin/env python3
"""Random faults for hours beside a steady load: what fault_matrix.py does to hosts one by one, drawn from a seed, in one home that
goes on. Two clients ask for the same texts again and again; each has to come whole, and equal to that of the unbroken run. Memory,
file descriptors and threads of every hearthd are read every few seconds; a host that comes for a while and goes is among the faults.

    tests/cluster/soak.py --hearthd H --hearth H --hours 2 --samples F.jsonl --picture F.svg [--seed N]

No clock jumps here: after one that was set back the timers of gRPC 1.51 stand still for as long, and the next lost connection is not
made anew before that. Prints what happens, a line each, and a summary at the end, which fails where a text was another one or did not come. With --summary
it is made of samples that are there already. Skipped (77) where namespaces cannot be made or etcd is not installed."""

import argparse
import collections
import contextlib
import html
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from fault_matrix import FAULTS, PROMPTS, SKIPPED, Failure, Home, Network, Stream, fault

SAMPLE_S = 10
QUIET_S = (10, 40)  # between two faults
TARGETS = ("coordinator", "standby", "worker")
# How often each is drawn. A host that is killed begins anew, and with it what can be seen of its memory.
WEIGHTS = {"kill -9": 1, "SIGSTOP 3 s": 3, "SIGSTOP 60 s": 1, "partition": 3, "one-way loss": 3, "10 % loss": 3, "200 ms delay": 3,
           "disk full": 3, "host comes and goes": 3}
STALL_S = 1  # from here on a pause between two pieces of a text counts as one
SETTLED_S = 600  # a process is expected not to grow after that


class Record:
    """What happened when, in a file as well; for several threads."""

    def __init__(self, path):
        self.lock, self.file, self.start = threading.Lock(), open(path, "w"), time.monotonic()

    def add(self, kind, **what):
        with self.lock:
            line = {"kind": kind, "at_s": round(time.monotonic() - self.start, 1), **what}
            print(json.dumps(line), file=self.file, flush=True)
            if kind not in ("process", "stream"):
                print(json.dumps(line), flush=True)


def load(home, phase, record, ends):
    """One client: asks for one text after the other."""
    while not ends.is_set():
        stream, outcome = Stream(home, phase), "equal"
        try:
            if stream.finish() != home.texts[phase]:
                outcome = f"another text: {stream.text[-200:]}"
        except Failure as failure:
            outcome = str(failure)
        record.add("stream", phase=phase, tokens=PROMPTS[phase][1] if outcome == "equal" else 0, first_s=stream.first_s,
                   stalls_s=[round(pause, 2) for pause in stream.pauses[2:] if pause >= STALL_S], outcome=outcome)
        if outcome != "equal":
            record.add("wrong", phase=phase, outcome=outcome)
            ends.wait(1)


def sample(home, record, ends):
    """What each hearthd holds, until the end."""
    while not ends.wait(SAMPLE_S):
        for letter, process in list(home.processes.items()):
            about = pathlib.Path("/proc", str(process.pid))
            try:
                if letter == "e" or "hearthd" not in (about / "cmdline").read_text():
                    continue
                status = dict(line.split(":", 1) for line in (about / "status").read_text().splitlines())
                record.add("process", host=letter, pid=process.pid, rss_mb=int(status["VmRSS"].split()[0]) / 1024,
                           threads=int(status["Threads"]), files=len(os.listdir(about / "fd")))
            except OSError:
                pass  # ended meanwhile


def befall(home, name, target):
    """One fault from its beginning to where all is as before; the seconds that took after it had passed."""
    if name == "host comes and goes":
        home.start("x")
        time.sleep(20)
        home.kill("x")
    else:
        with fault(home, name, home.machine_of(target)):
            time.sleep(FAULTS[name])
    return home.await_whole()


def soak(home, arguments, record):
    chance, ends = random.Random(arguments.seed), threading.Event()
    others = [threading.Thread(target=load, args=(home, phase, record, ends)) for phase in PROMPTS]
    others.append(threading.Thread(target=sample, args=(home, record, ends)))
    for other in others:
        other.start()
    try:
        while time.monotonic() - record.start < arguments.hours * 3600:
            time.sleep(chance.uniform(*QUIET_S))
            name = chance.choices(list(WEIGHTS), WEIGHTS.values())[0]
            target = chance.choice(TARGETS)
            record.add("fault", name=name, target=target)
            record.add("whole", name=name, after_s=round(befall(home, name, target), 1))
    except Failure as failure:
        record.add("wrong", outcome=str(failure))
    finally:
        ends.set()
        for other in others:
            other.join()


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def lives(samples):
    """The samples of each process, by host and process number."""
    by_process = collections.defaultdict(list)
    for line in samples:
        if line["kind"] == "process":
            by_process[line["host"], line["pid"]].append(line)
    return by_process


def summary(samples):
    """Words and figures, and whether all is as it should be."""
    streams = [line for line in samples if line["kind"] == "stream"]
    stalls = sorted(stall for line in streams for stall in line["stalls_s"])
    wrong = [line for line in samples if line["kind"] == "wrong"]
    back = [line["after_s"] for line in samples if line["kind"] == "whole"]
    lines = [f"{max(line['at_s'] for line in samples) / 3600:.2f} hours, {len(back)} faults, {len(streams)} texts, "
             f"{sum(line['tokens'] for line in streams)} tokens; not as it should be: {len(wrong)}",
             f"{len(stalls)} pauses of {STALL_S} s and more" +
             (f", half of them above {statistics.median(stalls):.1f} s, the longest {stalls[-1]:.1f} s" if stalls else "") +
             (f"; whole again {statistics.median(back):.1f} s after a fault, at most {max(back):.1f} s" if back else "")]
    for (host, pid), life in lives(samples).items():
        begin, end = life[0]["at_s"], life[-1]["at_s"]
        if end - begin < 2 * SETTLED_S:
            continue
        settled = [line for line in life if SETTLED_S <= line["at_s"] - begin < SETTLED_S + 300]
        last = [line for line in life if line["at_s"] > end - 300]
        figures = (f"{what} {statistics.median(line[key] for line in settled):.0f} -> "
                   f"{statistics.median(line[key] for line in last):.0f}"
                   for key, what in (("rss_mb", "MB"), ("files", "files"), ("threads", "threads")))
        lines.append(f"{host} ({(end - begin) / 60:.0f} minutes), from its 10th minute to its last ones: " + ", ".join(figures))
    return "\n".join(lines), bool(streams) and not wrong


class Chart:
    """Lines over time in a strip of a picture."""
    WIDTH, HEIGHT, LEFT = 900, 120, 60

    def __init__(self, title, lines, hours):
        self.title, self.lines, self.hours = title, lines, hours
        self.top = max([value for _, points in lines for _, value in points], default=0) or 1

    def place(self, at_s, value):
        x = self.LEFT + at_s / 3600 / self.hours * (self.WIDTH - self.LEFT - 10)
        return f"{x:.1f},{self.HEIGHT - 20 - value / self.top * (self.HEIGHT - 45):.1f}"

    def svg(self, y, faults):
        parts = [f'<g transform="translate(0,{y})"><text x="{self.LEFT}" y="14">{html.escape(self.title)}</text>',
                 f'<text x="{self.LEFT - 6}" y="32" text-anchor="end">{self.top:.0f}</text>',
                 f'<text x="{self.LEFT - 6}" y="{self.HEIGHT - 18}" text-anchor="end">0</text>',
                 f'<path class="axis" d="M{self.LEFT},20V{self.HEIGHT - 20}H{self.WIDTH - 10}"/>']
        for at_s in faults:
            x = self.place(at_s, 0).split(",")[0]
            parts.append(f'<path class="fault" d="M{x},{self.HEIGHT - 20}v-4"/>')
        for name, points in self.lines:
            parts.append(f'<polyline class="{name}" points="{" ".join(self.place(*point) for point in points)}"/>')
        return "".join(parts) + "</g>"


def picture(samples):
    """SVG: tokens, pauses, memory, files and threads over time; below each axis a mark for every fault."""
    hours = max(line["at_s"] for line in samples) / 3600
    minutes = range(int(hours * 60) + 1)
    tokens, pauses = dict.fromkeys(minutes, 0), dict.fromkeys(minutes, 0)
    for line in samples:
        if line["kind"] == "stream":
            minute = int(line["at_s"] / 60)
            tokens[minute] += line["tokens"]
            pauses[minute] = max([pauses[minute], *line["stalls_s"]])
    charts = [Chart("tokens a minute, by when their text was whole", [("all", [(60 * m + 30, n) for m, n in tokens.items()])], hours),
              Chart("longest pause of the texts of a minute, s", [("all", [(60 * m + 30, n) for m, n in pauses.items()])], hours)]
    for key, title in (("rss_mb", "memory of each hearthd, MB"), ("files", "its file descriptors"), ("threads", "its threads")):
        charts.append(Chart(f"{title} (a, b: may lead; w: works; x: comes and goes)", [
            (host, [(line["at_s"], line[key]) for line in life]) for (host, _), life in lives(samples).items()], hours))
    faults = [line["at_s"] for line in samples if line["kind"] == "fault"]
    body = "".join(chart.svg(i * Chart.HEIGHT, faults) for i, chart in enumerate(charts))
    style = ("text{font:12px sans-serif;fill:#444}polyline{fill:none;stroke:#444}.axis{fill:none;stroke:#999}.fault{stroke:#c33}"
             ".a{stroke:#1668b0}.b{stroke:#c7681a}.w{stroke:#2b8a3e}.x{stroke:#9247ad}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Chart.WIDTH} {len(charts) * Chart.HEIGHT}">'
            f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearthd", type=pathlib.Path)
    parser.add_argument("--hearth", type=pathlib.Path)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=pathlib.Path, required=True, help="What was seen, a line each")
    parser.add_argument("--picture", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="A folder in which the logs stay")
    parser.add_argument("--summary", action="store_true", help="Only of the samples that are there")
    parser.set_defaults(clock=None)
    arguments = parser.parse_args()
    if not arguments.summary:
        if shutil.which("etcd") is None:
            print("skipped: etcd is not installed")
            return SKIPPED
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-soak-", dir=arguments.keep))
            if not arguments.keep:
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            try:
                network = stack.enter_context(Network("abwxce", plain_frames=True))
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"skipped: network namespaces cannot be made here ({error})")
                return SKIPPED
            print(f"seed {arguments.seed}", flush=True)
            home = stack.enter_context(Home(network, folder / "home", arguments, stages=1))
            soak(home, arguments, Record(arguments.samples))
    samples = read(arguments.samples)
    if arguments.picture:
        arguments.picture.write_text(picture(samples))
    words, is_well = summary(samples)
    print(words)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
