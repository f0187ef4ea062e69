#!/usr/bin/env python3
"""What 500 hostile connections of five kinds cost a stream that two hosts compute, on one machine.

    hostile_neighbours.py --hearthd PATH --hearth PATH [--rounds N] [--tokens N] [--connections N] [--at PORTS] [--device D]

Half-open, slow, oversized, malformed TLS and malformed frames, a fifth each, at the coordinator's encrypted port, at its door
and at the other host's tensor port, all at once and each begun anew as soon as it is closed. Prints one JSON object: tokens/s
without and with them in each round, taken in turn, the ratios, and the memory of both daemons. The neighbours run on this
machine too, at the lowest priority, since their own work is not to count; devices wait for their bytes (pace), as if they were
slower.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import ssl
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
PAUSE_S = 0.5


def strangers_tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = strangers_tls().wrap_bio(incoming, outgoing)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


async def closed(reader):
    while await reader.read(1 << 16):
        pass


async def half_open(reader, writer):
    await closed(reader)


async def slow(reader, writer):
    for byte in client_hello():
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(PAUSE_S)
    await closed(reader)


async def oversized(reader, writer):
    writer.write(b"\x16\x03\x01\xff\xff")  # a record of 64 KiB, which TLS does not know
    for _ in range(64):
        writer.write(os.urandom(1 << 14))
        await writer.drain()
        await asyncio.sleep(PAUSE_S)
    await closed(reader)


async def malformed_tls(reader, writer):
    hello = bytearray(client_hello())
    for _ in range(8):
        hello[random.randrange(len(hello))] = random.randrange(256)
    writer.write(bytes(hello))
    await closed(reader)


async def malformed_frames(reader, writer):
    """Behind a handshake without a certificate: what is no message of the door, no HTTP/2 and no frame."""
    writer.write(random.choice([b"\xff" * 64, b"\x00\x00\x10\x00" + os.urandom(4096), os.urandom(256),
                                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(512)]))
    await closed(reader)


KINDS = (half_open, slow, oversized, malformed_tls, malformed_frames)


async def neighbour(kind, number, ports, counts):
    tls = strangers_tls() if kind is malformed_frames else None
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", ports[number % len(ports)], ssl=tls, local_addr=(f"127.0.0.{2 + number % 40}", 0))
            counts[KINDS.index(kind)] += 1
            await asyncio.wait_for(kind(reader, writer), 60)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            if writer is not None:
                writer.transport.abort()
        await asyncio.sleep(PAUSE_S * (0.5 + random.random()))


def be_hostile(connections, ports, counts):
    async def all_of_them():
        await asyncio.gather(*(neighbour(KINDS[i % len(KINDS)], i // len(KINDS), ports, counts) for i in range(connections)))

    os.nice(19)
    asyncio.run(all_of_them())


def daemon(hearthd, device, folder, name, *words):
    log = open(folder / f"{name}.log", "w")
    process = subprocess.Popen([hearthd, "--name", name, "--state-dir", folder / name, "--http", "off", "--listen", "127.0.0.1:0",
                                "--device", device, *words], stdout=subprocess.PIPE, stderr=log, text=True)
    line = process.stdout.readline()
    assert " on " in line, line + (folder / f"{name}.log").read_text()
    return process


def tokens_per_second(hearth, server, tokens):
    """From the first message to the last one; a message may have several tokens."""
    process = subprocess.Popen([hearth, "--server", server, "--json", "generate", "In the beginning", "-n", str(tokens),
                                "--temperature", "0", "--ignore-eos"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    times = [time.monotonic() for _ in process.stdout]
    assert process.wait() == 0 and len(times) > 10, len(times)
    return tokens / (times[-1] - times[0])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cores:
    """How many cores processes have taken since this was made."""

    def __init__(self, *pids):
        self.pids, self.begin = pids, time.monotonic()
        self.before = [cpu_seconds(pid) for pid in pids]

    def taken(self):
        passed = time.monotonic() - self.begin
        return [round((cpu_seconds(pid) - before) / passed, 2) for pid, before in zip(self.pids, self.before)]


def resident_mb(process):
    pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearthd", required=True)
    parser.add_argument("--hearth", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--at", default="grpc,door,tensor", help="the ports")
    parser.add_argument("--device", default="cpu,memory=1GiB,threads=1,bandwidth=10G,pace=200M")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-hostile-"))
    a = daemon(arguments.hearthd, arguments.device, folder, "a", "--lan", "127.0.0.1:0", "--model", MODEL, "--use-every-host", "--context", "1024")
    server = f"127.0.0.1:{(folder / 'a' / 'port').read_text().strip()}"
    code = json.loads(subprocess.check_output([arguments.hearth, "--server", server, "--json", "invite"]))["code"]
    b = daemon(arguments.hearthd, arguments.device, folder, "b", "--tensor-listen", "127.0.0.1:0", "--join", code)
    try:
        while True:
            status = json.loads(subprocess.check_output([arguments.hearth, "--server", server, "--json", "status"]))
            if any(share.get("host") == "b" for plan in status.get("plans", []) if plan.get("active")
                   for share in plan.get("shares", [])):
                break
        tensor = next(host["address"] for host in status["hosts"] if host["name"] == "b")
        addresses = dict(zip(("grpc", "door"), (folder / "a" / "identity" / "lan").read_text().split()), tensor=tensor)
        ports = [int(addresses[name].rsplit(":", 1)[1]) for name in arguments.at.split(",")]
        counts = multiprocessing.Array("Q", len(KINDS))
        quiet, hostile, memory, cores = [], [], [(resident_mb(a), resident_mb(b))], []
        tokens_per_second(arguments.hearth, server, arguments.tokens)  # warm
        for _ in range(arguments.rounds):
            taken = Cores(a.pid, b.pid)
            quiet.append(tokens_per_second(arguments.hearth, server, arguments.tokens))
            cores.append(taken.taken())
            them = multiprocessing.Process(target=be_hostile, args=(arguments.connections, ports, counts))
            before = sum(counts)
            them.start()
            while sum(counts) < before + 2 * arguments.connections:  # their beginning is not measured
                time.sleep(0.1)
            taken = Cores(a.pid, b.pid, them.pid)
            hostile.append(tokens_per_second(arguments.hearth, server, arguments.tokens))
            cores.append(taken.taken())
            memory.append((resident_mb(a), resident_mb(b)))
            them.kill()
            them.join()
        ratios = [h / q for q, h in zip(quiet, hostile)]
        print(json.dumps({"quiet": [round(x, 1) for x in quiet], "hostile": [round(x, 1) for x in hostile],
                          "ratios": [round(x, 3) for x in ratios], "median_ratio": round(statistics.median(ratios), 3),
                          "connections_begun": dict(zip([kind.__name__ for kind in KINDS], counts)),
                          "cores_of_a_b_neighbours": cores, "resident_mb": memory}))
    finally:
        for process in (a, b):
            process.kill()
            process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
