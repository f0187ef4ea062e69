#!/usr/bin/env python3
"""Passes Ethernet frames between two devices of its network namespace, as a bad cable or radio does. Usage:

    bad_link.py MACHINE NETWORK '{"sends": 0.1, "receives": 0.1, "delay_ms": 100}'

MACHINE and NETWORK are the devices to either side. Of what the machine sends, and of what it receives, these shares are lost; the
rest comes so much later, each way. Prints "up" once it passes frames, until it is killed. Checksums have to be in the frames: see
Network(plain_frames=True)."""

import heapq
import json
import random
import select
import socket
import sys
import time

ALL_PROTOCOLS = 3
OUTGOING = 4  # of what a packet socket is shown: what its own device sends


def open_device(name):
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    device.bind((name, 0))
    device.setblocking(False)
    return device


def take(device):
    """The frames that have come, 64 at most."""
    for _ in range(64):
        try:
            frame, origin = device.recvfrom(1 << 17)
        except BlockingIOError:
            return
        if origin[2] != OUTGOING:
            yield frame


def main():
    machine, network = open_device(sys.argv[1]), open_device(sys.argv[2])
    how = {"sends": 0, "receives": 0, "delay_ms": 0, **json.loads(sys.argv[3])}
    lost = {machine: how["sends"], network: how["receives"]}
    other = {machine: network, network: machine}
    chance = random.Random(1)
    on_the_way, count = [], 0  # a heap of (when, number, where, frame)
    print("up", flush=True)
    while True:
        wait = max(0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        for device in select.select([machine, network], [], [], wait)[0]:
            for frame in take(device):
                if chance.random() < lost[device]:
                    continue
                count += 1
                heapq.heappush(on_the_way, (time.monotonic() + how["delay_ms"] / 1000, count, other[device], frame))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, device, frame = heapq.heappop(on_the_way)
            try:
                device.send(frame)
            except OSError:
                pass  # no room, or larger than the device takes: lost


if __name__ == "__main__":
    main()
