# SPDX-License-Identifier: GPL-2.0-or-later
"""A link between two hosts: two network namespaces, joined and shaped.

Without root it is loopback, and the rate becomes the source's max-bandwidth.
"""
import os
import subprocess

ADDRESSES = "10.77.0.1", "10.77.0.2"


def run(*args):
    subprocess.run(args, check=True)


class Link:
    """As a context: .source and .destination are what to put before a command
    to run it there, .address is the destination's."""

    def __init__(self, mbit=None, pinned=False):
        self.mbit = mbit  # None: not shaped
        self.pinned = pinned  # each host has one CPU
        self.real = os.geteuid() == 0
        self.hosts = [f"ferry-{os.getpid()}-{i}" for i in range(2)]

    @property
    def max_bandwidth(self):
        """Bytes a second that a source has to keep to, or 0."""
        return 0 if self.real or not self.mbit else self.mbit * 125000

    @property
    def address(self):
        return ADDRESSES[1] if self.real else "127.0.0.1"

    @property
    def source(self):
        return self._prefix(0)

    @property
    def destination(self):
        return self._prefix(1)

    def _prefix(self, side):
        pin = ["taskset", "-c", str(side)] if self.pinned else []
        return [*pin, "ip", "netns", "exec", self.hosts[side]] \
            if self.real else pin

    def _interface(self, side):
        return f"fb{os.getpid() % 100000}-{side}"

    def _configure(self, side):
        device = self._interface(side)
        inside = ["ip", "-n", self.hosts[side]]
        run("ip", "link", "set", device, "netns", self.hosts[side])
        run(*inside, "address", "add", f"{ADDRESSES[side]}/24", "dev", device)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "set", device, "up")
        if self.mbit:
            self._shape(side, "add")

    def _shape(self, side, verb):
        run(*self._prefix(side), "tc", "qdisc", verb, "dev",
            self._interface(side), "root", "tbf", "rate", f"{self.mbit}mbit",
            "burst", "256k", "latency", "20ms")

    def set_rate(self, mbit):
        """Of a link that is shaped, from now on."""
        self.mbit = mbit
        for side in range(2 if self.real else 0):
            self._shape(side, "change")

    def cut(self):
        """From now on frames go to an address that nobody has: they are lost,
        and neither end is told."""
        for side in range(2):
            run("ip", "-n", self.hosts[side], "neighbour", "replace",
                ADDRESSES[1 - side], "lladdr", "02:00:00:00:00:00", "nud",
                "permanent", "dev", self._interface(side))

    def mend(self):
        for side in range(2):
            run("ip", "-n", self.hosts[side], "neighbour", "delete",
                ADDRESSES[1 - side], "dev", self._interface(side))

    def __enter__(self):
        if self.real:
            for host in self.hosts:
                run("ip", "netns", "add", host)
            run("ip", "link", "add", self._interface(0), "type", "veth",
                "peer", "name", self._interface(1))
            for side in range(2):
                self._configure(side)
        return self

    def __exit__(self, *exc):
        if self.real:
            for host in self.hosts:
                subprocess.run(["ip", "netns", "delete", host], check=False)
