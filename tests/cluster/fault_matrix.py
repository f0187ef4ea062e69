#!/usr/bin/env python3
"""What happens to whom while what is done: every fault of a matrix, with real processes on machines that are network namespaces.

a and b may lead (their state is in an etcd at e), w works for them and was told of a alone, x comes and goes, c has the client; w
leads a stage in a home without b. In each cell a fault befalls one of them, in a phase, and passes again. The text of every stream
has to be that of an unbroken run, whole, within a bound; then all machines have to be back in the cluster. Cells follow one another
in one home, which is made anew after one that failed. Those that would be the same are left out: a client has no part in what goes
on without it, and stage leaders are workers while nothing is computed.

    tests/cluster/fault_matrix.py --hearthd H --hearth H --clock C --results F.jsonl [--cells TARGET/FAULT/PHASE ...]

With --results cells that are there already are not run again; --table prints them as Markdown. Skipped (77) where namespaces cannot
be made or etcd is not installed."""

import argparse
import collections
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from network import Network  # noqa: E402 (found by the line above)

MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
SKIPPED = 77
PATIENCE_S = 120  # what takes longer hangs
# Disks apart from this machine's, and their size; that of etcd is never full.
DISKS = {"a": "96m", "b": "96m", "w": "96m", "x": "96m", "e": "1g"}
DEVICE = "cpu,memory=256MiB,threads=1,pace=20M"
PROMPTS = {  # by phase: a text, and how many tokens are to follow it
    "prompt": ("And it came to pass " * 80, 40),
    "generation": ("In the beginning", 200),
}

TARGETS = ["worker", "stage leader", "coordinator", "standby", "client"]
PHASES = ["idle", "loading", "prompt", "generation", "plan change"]
# By name: how long it lasts, in seconds; what does not stop a stream ends with it.
FAULTS = {"kill -9": 3, "SIGSTOP 3 s": 3, "SIGSTOP 60 s": 60, "partition": 8, "one-way loss": 8, "10 % loss": 20,
          "200 ms delay": 20, "disk full": 8, "clock jump": 8}
LINKS = {"partition": {"sends": 1, "receives": 1}, "one-way loss": {"sends": 1}, "10 % loss": {"sends": 0.1, "receives": 0.1},
         "200 ms delay": {"delay_ms": 100}}

Cell = collections.namedtuple("Cell", "target fault phase")


def has_meaning(cell):
    if cell.target == "client":
        return cell.phase in ("prompt", "generation") and cell.fault not in ("disk full", "clock jump")
    return cell.target != "stage leader" or cell.phase not in ("idle", "loading")


CELLS = [cell for cell in itertools.starmap(Cell, itertools.product(TARGETS, FAULTS, PHASES)) if has_meaning(cell)]


class Failure(Exception):
    """A cell that is not as it should be, in words."""


def await_that(what, condition):
    """How long it took until the condition held."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > PATIENCE_S:
            raise Failure(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.2)
    return time.monotonic() - start


class Stream:
    """A `hearth generate` on the client's machine, read as it comes."""

    def __init__(self, home, phase):
        prompt, tokens = PROMPTS[phase]
        self.process = home.hearth_process("generate", prompt, "-n", tokens, "--temperature", "0", "--ignore-eos")
        self.text = b""
        self.pauses = [0.0]
        self.first_s = None
        self.started = time.monotonic()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        last = self.started
        while piece := os.read(self.process.stdout.fileno(), 1 << 16):
            now = time.monotonic()
            if self.first_s is None:
                self.first_s = now - self.started
            self.pauses.append(now - last)
            last = now
            self.text += piece

    def finish(self):
        """The whole text."""
        self.thread.join(PATIENCE_S)
        if self.thread.is_alive():
            self.process.kill()
            self.thread.join()
            raise Failure(f"the stream hangs after {len(self.text)} bytes")
        errors = self.process.stderr.read()
        if self.process.wait() != 0:
            raise Failure(f"the stream ended after {len(self.text)} bytes: {errors.strip()[-300:]}")
        return self.text


class Home:
    def __init__(self, network, folder, arguments, stages):
        self.network, self.folder, self.arguments, self.stages = network, folder, arguments, stages
        self.letters = "abw" if stages == 1 else "aw"  # of two hosts each leads a stage
        self.processes = {}
        self.servers = ",".join(f"{network.address(letter)}:7770" for letter in "ab")
        folder.mkdir()
        for letter, size in DISKS.items():
            (folder / letter).mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "hearth", folder / letter], check=True)
        (folder / "secret").write_text("5" * 64)
        (folder / "secret").chmod(0o600)

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def begin(self):
        at = f"http://{self.network.address('e')}"
        self.run("e", ["etcd", "--data-dir", self.folder / "e" / "etcd", "--listen-client-urls", f"{at}:2379",
                       "--advertise-client-urls", f"{at}:2379", "--logger", "zap", "--log-level", "error"])
        for letter in self.letters:
            self.start(letter)
        self.await_whole()
        self.texts, self.first_s = {}, {}
        for phase in PROMPTS:
            stream = Stream(self, phase)
            self.texts[phase], self.first_s[phase] = stream.finish(), stream.first_s
            print(f"unbroken {phase}: first token after {stream.first_s:.1f} s, the last after "
                  f"{time.monotonic() - stream.started:.1f} s, longest pause {max(stream.pauses):.1f} s", flush=True)

    def __exit__(self, *_):
        for letter in list(self.processes):
            self.kill(letter)
        for letter in DISKS:
            subprocess.run(["umount", "--lazy", self.folder / letter], capture_output=True)

    def run(self, letter, words, **how):
        with open(self.folder / f"{letter}.log", "a") as log:
            process = subprocess.Popen(self.network.words(letter, words), stderr=log, text=True, **how)
        self.processes[letter] = process
        return process

    def start(self, letter):
        """A hearthd that is ready."""
        at = self.network.address(letter)
        words = [self.arguments.hearthd, "--name", letter, "--state-dir", self.folder / letter / "state", "--http", "off",
                 "--insecure-network", "--listen", f"{at}:7770", "--tensor-listen", f"{at}:7772", "--device", DEVICE]
        if letter in "ab":
            words += ["--model", MODEL, "--context", "512", "--slots", "2", "--use-every-host", "--stages", self.stages,
                      "--state-store", f"etcd://{self.network.address('e')}:2379/matrix",
                      "--state-store-secret", self.folder / "secret"]
        else:
            words += ["--join", self.servers if letter == "x" else self.servers.split(",")[0]]
        environment = {**os.environ, "LD_PRELOAD": str(self.arguments.clock)} if self.arguments.clock else None
        process = self.run(letter, words, stdout=subprocess.PIPE, env=environment)
        too_late = threading.Timer(PATIENCE_S, process.kill)
        too_late.start()
        line = process.stdout.readline()
        too_late.cancel()
        if " on " not in line:
            raise Failure(f"{letter} did not start: {line} {(self.folder / f'{letter}.log').read_text()[-300:]}")

    def kill(self, letter):
        process = self.processes.pop(letter)
        process.kill()
        process.wait()

    def hearth_process(self, *words):
        return subprocess.Popen(self.network.words("c", [self.arguments.hearth, "--server", self.servers, *words]),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ask(self, *words):
        """What a command answers; None where it fails, as it may while one host follows another."""
        process = self.hearth_process(*words)
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        return json.loads(out) if process.returncode == 0 else None

    def hosts(self):
        """Whether each is there, by name, the leader first; none where nobody answers."""
        status = self.ask("status", "--json")
        return {host["name"]: host["state"] == "alive" for host in status["hosts"]} if status else {}

    def plan(self):
        """The one in use, if any."""
        plan = self.ask("plan", "--json")
        return plan if plan and plan["active"] else None

    def is_whole(self):
        if {name for name, is_there in self.hosts().items() if is_there} != set(self.letters):
            return False
        plan = self.plan()
        return plan is not None and any(share["host"] == "w" and sum(map(int, share["neurons"])) > 0 for share in plan["shares"])

    def await_whole(self):
        return await_that("all hosts are back and w has a share", self.is_whole)

    def machine_of(self, target):
        leader = next(iter(self.hosts()))
        if target == "coordinator":
            return leader
        if target == "standby":
            return "b" if leader == "a" else "a"
        if target == "stage leader" and "w leads layers" not in self.plan()["explanation"]:
            raise Failure("w leads no stage")
        return "c" if target == "client" else "w"


@contextlib.contextmanager
def fault(home, name, letter):
    """The fault has befallen the machine, and passes at the end."""
    process = home.processes[letter]
    if name == "kill -9":
        home.kill(letter)
        yield
        if letter != "c":
            home.start(letter)
    elif name.startswith("SIGSTOP"):
        process.send_signal(signal.SIGSTOP)
        yield
        process.send_signal(signal.SIGCONT)
    elif name == "disk full":
        filler = home.folder / letter / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        yield
        filler.unlink()
    elif name == "clock jump":
        process.send_signal(signal.SIGUSR2)
        yield
        process.send_signal(signal.SIGUSR2)
    else:
        home.network.spoil(letter, **LINKS[name])
        try:
            yield
        finally:
            home.network.mend(letter)


def let_it_last(cell, stream):
    """For as long as the fault lasts; what slows a stream down and does not stop it, no longer than the stream."""
    end = time.monotonic() + FAULTS[cell.fault]
    while time.monotonic() < end and not (stream and cell.fault in LINKS and not stream.thread.is_alive()):
        time.sleep(0.05)


def begin(home, cell):
    """Gets to where the fault is to happen; the stream that is there then, if any."""
    if cell.phase == "idle":
        return None
    if cell.phase in ("loading", "prompt"):
        if home.ask("unload", MODEL.stem, "--json") is None:
            raise Failure("the model cannot be unloaded")
        loading = home.hearth_process("load", MODEL)
        if cell.phase == "loading":
            return None
        loading.communicate()  # nothing is held any more of a prompt that was read before
        home.await_whole()
    stream = Stream(home, "prompt" if cell.phase == "prompt" else "generation")
    if cell.phase == "prompt":
        time.sleep(home.first_s["prompt"] / 2)
        return stream
    await_that("the stream has begun", lambda: len(stream.text) > 20 or not stream.thread.is_alive())
    if cell.phase == "plan change":
        home.start("x")
        await_that("x is there", lambda: home.hosts().get("x") or not stream.thread.is_alive())
    return stream


def run_cell(home, cell):
    """Its longest pause in s, if there was a stream, and how long until all was as before."""
    home.await_whole()
    machine = home.machine_of(cell.target)
    stream = begin(home, cell)
    if cell.target == "client":
        home.processes["c"] = stream.process
    if stream and (not stream.thread.is_alive() or (cell.phase == "prompt" and stream.text)):
        raise Failure("the stream was further already")
    with fault(home, cell.fault, machine):
        let_it_last(cell, stream)
    home.processes.pop("c", None)
    pause = None
    if stream and cell == ("client", "kill -9", cell.phase):
        stream.thread.join()
        stream = None
    if stream:
        key = "prompt" if cell.phase == "prompt" else "generation"
        if stream.finish() != home.texts[key]:
            raise Failure(f"another text: {stream.text[-200:]}")
        pause = max(stream.pauses)
    if "x" in home.processes:
        home.kill("x")
    back = home.await_whole()
    if Stream(home, "generation").finish() != home.texts["generation"]:
        raise Failure("another text afterwards")
    return pause, back


def table(results):
    """Markdown: for each fault and target how many cells are equal, and the longest pause of a text that was being written."""
    lines = ["| fault | " + " | ".join(TARGETS) + " |", "|---" * (1 + len(TARGETS)) + "|"]
    for name in FAULTS:
        row = [name]
        for target in TARGETS:
            there = [results[cell] for cell in CELLS if cell[:2] == (target, name) and cell in results]
            equal = [result for result in there if result["outcome"] == "equal"]
            pauses = [result["pause_s"] for result in equal if result["cell"][2] in ("generation", "plan change")]
            pauses = [pause for pause in pauses if pause is not None]
            row.append(f"{len(equal)} of {len(there)}" + (f", {max(pauses):.1f} s" if pauses else "") if there else "")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def read_results(path):
    results = {}
    if path and path.exists():
        for line in path.read_text().splitlines():
            result = json.loads(line)
            results[Cell(*result["cell"])] = result
    return results


def run_cells(cells, arguments, network, folder):
    """The results of these cells, which have one kind of home."""
    cells, homes = list(cells), 0
    while cells:
        homes += 1
        stages = 2 if cells[0].target == "stage leader" else 1
        with Home(network, folder / f"home{stages}-{homes}", arguments, stages) as home:
            while cells:
                cell, start = cells.pop(0), time.monotonic()
                result = {"cell": cell, "outcome": "equal", "pause_s": None, "back_s": None}
                try:
                    result["pause_s"], result["back_s"] = run_cell(home, cell)
                except Failure as failure:
                    result["outcome"] = str(failure)
                result["seconds"] = time.monotonic() - start
                yield result
                if result["outcome"] != "equal":
                    break


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearthd", type=pathlib.Path)
    parser.add_argument("--hearth", type=pathlib.Path)
    parser.add_argument("--clock", type=pathlib.Path, help="The library whose clock jumps; without it that is left out")
    parser.add_argument("--results", type=pathlib.Path, help="Where they are kept, a line each")
    parser.add_argument("--cells", nargs="*", metavar="TARGET/FAULT/PHASE", help="Those that contain one of these; default: all")
    parser.add_argument("--keep", type=pathlib.Path, help="A folder in which the logs stay")
    parser.add_argument("--table", action="store_true", help="Only print the results that there are")
    arguments = parser.parse_args()
    results = read_results(arguments.results)
    if arguments.table:
        return print(table(results))
    if shutil.which("etcd") is None:
        print("skipped: etcd is not installed")
        return SKIPPED
    wanted = [cell for cell in CELLS if cell not in results and (arguments.clock or cell.fault != "clock jump") and
              (not arguments.cells or any(part in "/".join(cell) for part in arguments.cells))]
    failed = 0
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-faults-", dir=arguments.keep))
        if not arguments.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            network = stack.enter_context(Network("abwxce", plain_frames=True))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"skipped: network namespaces cannot be made here ({error})")
            return SKIPPED
        by_leader = [[cell for cell in wanted if (cell.target == "stage leader") == leads] for leads in (False, True)]
        for result in itertools.chain(*(run_cells(cells, arguments, network, folder) for cells in by_leader)):
            print(json.dumps(result), flush=True)
            results[result["cell"]] = result
            failed += result["outcome"] != "equal"
            if arguments.results:
                with open(arguments.results, "a") as file:
                    file.write(json.dumps(result) + "\n")
    print(table(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
