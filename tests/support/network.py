"""A network of machines that are network namespaces at one bridge, with links of a rate that can change and that can be bad. It
needs root, `ip` and, for rates, `tc`."""

import ctypes
import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import unittest

SKIPPED = 77  # of ctest
BAD_LINK = pathlib.Path(__file__).with_name("bad_link.py")


def _run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


def _make_frames_plain(space, device):
    """Lets the device of a namespace send frames as they go over wires, each of at most 1500 bytes and with its checksum."""
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{space}") as there:
        if libc.setns(there.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {space}")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
                for feature in (0x17, 0x1f, 0x24):  # ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO
                    off = ctypes.create_string_buffer(struct.pack("II", feature, 0))
                    request = struct.pack("16sQ8x", device.encode(), ctypes.addressof(off))
                    fcntl.ioctl(asked, 0x8946, request)  # SIOCETHTOOL
        finally:
            libc.setns(home.fileno(), 0)


def run_tests(network, rate=None):
    """The unittest program in this network, whose links have that rate; skipped where it cannot be made."""
    try:
        with network:
            for letter in network.letters if rate else "":
                network.limit(letter, rate)
            unittest.main(argv=sys.argv[:1])
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: such network namespaces cannot be made here ({error})")
        sys.exit(SKIPPED)


class Network:
    """Machines of one letter each; the first has the address 10.77.0.1 and so on."""

    def __init__(self, letters, plain_frames=False):
        self.letters = letters
        self.plain_frames = plain_frames
        self.name = f"hearth{os.getpid()}"
        self.bad = {}  # by machine

    def __enter__(self):
        """Raises OSError or CalledProcessError where namespaces cannot be made; nothing is left of them then, nor when the
        program is terminated."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError):
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.bad.values():
            process.kill()
            process.wait()
        for space in [self._switch(), *map(self._space, self.letters)]:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)

    def _make(self):
        switch = self._switch()
        _run("ip", "netns", "add", switch)
        _run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "bridge", "up")
        for letter in self.letters:
            space = self._space(letter)
            _run("ip", "netns", "add", space)
            _run("ip", "-n", space, "link", "set", "lo", "up")
            _run("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", letter, "netns", switch)
            _run("ip", "-n", switch, "link", "set", "dev", letter, "master", "bridge", "up")
            _run("ip", "-n", space, "address", "add", f"{self.address(letter)}/24", "dev", "eth0")
            _run("ip", "-n", space, "link", "set", "eth0", "up")
            if self.plain_frames:
                _make_frames_plain(space, "eth0")

    def _switch(self):
        return self.name + "-switch"

    def _space(self, letter):
        return self.name + letter

    def address(self, letter):
        return f"10.77.0.{1 + self.letters.index(letter)}"

    def words(self, letter, words):
        """A command line that runs `words` on a machine."""
        return ["ip", "netns", "exec", self._space(letter), *map(str, words)]

    def limit(self, letter, rate, burst="64kb"):
        """Makes a machine's link as slow as `rate` (tc's words, for example 10mbit), both ways, from now on; `burst` passes at
        once."""
        for space, device in ((self._space(letter), "eth0"), (self._switch(), letter)):
            _run("tc", "-n", space, "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", burst,
                 "latency", "50ms")

    def spoil(self, letter, **how):
        """Makes a machine's link as bad as bad_link.py says (`sends`, `receives`, `delay_ms`) until it is mended; the network has
        plain frames."""
        switch = self._switch()
        near, far = f"bad-{letter}", f"bad-{letter}-net"
        _run("ip", "-n", switch, "link", "add", near, "type", "veth", "peer", "name", far)
        _run("ip", "-n", switch, "link", "set", near, "up")
        _run("ip", "-n", switch, "link", "set", "dev", letter, "nomaster")
        words = ["ip", "netns", "exec", switch, sys.executable, BAD_LINK, letter, near, json.dumps(how)]
        self.bad[letter] = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True)
        if self.bad[letter].stdout.readline() != "up\n":
            raise OSError(f"the link of {letter} cannot be made bad")
        _run("ip", "-n", switch, "link", "set", "dev", far, "master", "bridge", "up")

    def mend(self, letter):
        """Makes a link that was spoilt good again."""
        process = self.bad.pop(letter)
        process.kill()
        process.wait()
        process.stdout.close()
        _run("ip", "-n", self._switch(), "link", "delete", f"bad-{letter}")
        _run("ip", "-n", self._switch(), "link", "set", "dev", letter, "master", "bridge")
