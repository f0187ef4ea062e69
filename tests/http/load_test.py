#!/usr/bin/python3
"""Opens 1,000 streams of hearthd's HTTP face at once: 300 go in mid-stream, 50 do not read, 50 send one byte a second.

    load_test.py --hearthd PATH

The others get the whole text that a client alone gets, every slot is free in the end and the memory is back.
"""

import argparse
import asyncio
import json
import resource
import socket
import unittest

from daemon import Daemon
from openai_client_test import await_model

ARGUMENTS = None
STREAMS, GO, SILENT, DRIPPING = 1000, 300, 50, 50
PATIENCE = 120  # seconds for everything: a machine that is busy takes a few times as long
MOST_GROWTH = 96 << 20  # of resident memory: what an allocator keeps, not 1,000 streams


def request_bytes(**fields):
    body = json.dumps({"prompt": "In the beginning", "temperature": 0, "stream": True, "ignore_eos": True, **fields}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)) + body


def text_of(answer):
    """The text of a whole stream; None where it was cut off."""
    events = [line[6:] for line in answer.decode().split("\n") if line.startswith("data: ")]
    if not events or events[-1].strip() != "[DONE]":
        return None
    return "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1])


class LoadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        cls.daemon = Daemon(ARGUMENTS.hearthd, "--slots", "16", "--queue", "2000")
        await_model(cls.daemon.url)
        cls.host, port = cls.daemon.address.split(":")
        cls.port = int(port)

    @classmethod
    def tearDownClass(cls):
        code = cls.daemon.stop()
        if code != 0:
            raise RuntimeError(f"hearthd exited with {code} after SIGTERM")

    async def ask(self, **fields):
        """The whole answer to one request."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(request_bytes(**fields))
        answer = await reader.read()
        writer.close()
        return answer

    async def go_in_mid_stream(self):
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(request_bytes(max_tokens=400))
        await reader.readuntil(b"data: ")
        writer.transport.abort()

    async def do_not_read(self, done):
        """A stream of more than the system keeps for a connection, of which nothing is read until the others are done."""
        silent = socket.socket()
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(silent, (self.host, self.port))
        await loop.sock_sendall(silent, request_bytes(max_tokens=250, logprobs=20))
        await done.wait()
        silent.close()

    async def send_one_byte_a_second(self):
        """What the server says to it."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        answer = asyncio.ensure_future(reader.read())
        for byte in request_bytes(max_tokens=4):
            writer.write(bytes([byte]))
            if (await asyncio.wait([answer], timeout=1))[0]:
                break
        writer.close()
        return answer.result()

    async def metrics(self):
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        lines = (await reader.read()).decode().splitlines()
        writer.close()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in lines if line.startswith("hearth_")}

    def test_thousand_streams_harm_nobody(self):
        asyncio.run(self.thousand_streams())

    async def thousand_streams(self):
        expected = text_of(await self.ask(max_tokens=16))
        self.assertTrue(expected)
        before = self.daemon.resident_bytes()
        others_done = asyncio.Event()
        silent = [asyncio.ensure_future(self.do_not_read(others_done)) for _ in range(SILENT)]
        dripping = [asyncio.ensure_future(self.send_one_byte_a_second()) for _ in range(DRIPPING)]
        going = [asyncio.ensure_future(self.go_in_mid_stream()) for _ in range(GO)]
        others = [asyncio.ensure_future(self.ask(max_tokens=16)) for _ in range(STREAMS - GO - SILENT - DRIPPING)]
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*others)
            self.assertEqual({text_of(answer) for answer in answers}, {expected})
            others_done.set()
            await asyncio.gather(*silent, *going)
            for answer in await asyncio.gather(*dripping):
                self.assertIn(b" 408 ", answer[:20])
            while True:
                metrics = await self.metrics()
                if metrics['hearth_requests_running{model="demo"}'] + metrics['hearth_requests_waiting{model="demo"}'] == 0:
                    break
                await asyncio.sleep(0.05)
        self.assertEqual(metrics['hearth_kv_positions{model="demo"}'], 0)
        self.assertGreaterEqual(metrics['hearth_requests_total{model="demo",outcome="cancelled"}'], GO // 2)
        self.assertEqual(text_of(await self.ask(max_tokens=16)), expected)
        self.assertLess(self.daemon.resident_bytes() - before, MOST_GROWTH)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--hearthd", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=["load_test.py", *rest])
