"""A network of machines that are network namespaces at one bridge, with links of a rate that can change. It needs root, `ip`
and, for rates, `tc`."""

import os
import signal
import subprocess
import sys


def _run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


class Network:
    """Machines of one letter each; the first has the address 10.77.0.1 and so on."""

    def __init__(self, letters):
        self.letters = letters
        self.name = f"hearth{os.getpid()}"

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
