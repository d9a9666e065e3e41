# SPDX-License-Identifier: GPL-2.0-or-later
"""A thin, long link: two network namespaces, with tests/lib/delay-link.c in
between.

    with DelayLink(build, mbit=20, rtt_ms=100) as link:
        subprocess.Popen([*link.source, ...])       # runs at one end
        subprocess.Popen([*link.destination, ...])  # and at the other
        ...                                         # which is link.address

Whoever sends fills the queue before the link, as is the way with queues, so
that a packet can take QUEUE_MS longer than half the round trip.
"""
import ctypes
import os
import socket
import subprocess
import threading
import unittest

ADDRESSES = "192.0.2.1", "192.0.2.2"
CLONE_NEWNET = 0x40000000
QUEUE_MS = 40       # of the link's rate
LEAST_QUEUE = 32768  # bytes


def run(*args):
    subprocess.run(args, check=True, capture_output=True)


class DelayLink:
    max_bandwidth = 0  # it is the link that limits
    address = ADDRESSES[1]

    def __init__(self, build, mbit, rtt_ms):
        self.program = os.path.join(build, "tests", "lib", "delay-link")
        self.bits = int(mbit * 1e6)
        self.rtt_ms = rtt_ms
        self.hosts = [f"ferry-{os.getpid()}-far{i}" for i in range(2)]
        self.process = None

    @property
    def source(self):
        return self._prefix(0)

    @property
    def destination(self):
        return self._prefix(1)

    def _file(self, side):
        return f"/run/netns/{self.hosts[side]}"

    def _prefix(self, side):
        # Unlike "ip netns exec", which mounts a /sys, also in a chroot.
        return ["nsenter", f"--net={self._file(side)}"]

    def enter(self, side):
        """What a thread, or a child before it becomes another program, calls
        to be at the source (0) or the destination."""
        path, libc = self._file(side), ctypes.CDLL(None, use_errno=True)

        def call():
            fd = os.open(path, os.O_RDONLY)
            if libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(fd)
        return call

    def socket(self, side):
        """A TCP socket of this process there."""
        made, enter = [], self.enter(side)

        def make():
            enter()
            made.append(socket.socket())
        thread = threading.Thread(target=make)  # only it moves
        thread.start()
        thread.join()
        return made[0]

    def _start(self):
        delay_us = int(self.rtt_ms * 500)
        queue = max(int(self.bits / 8000 * QUEUE_MS), LEAST_QUEUE)
        self.process = subprocess.Popen(
            [self.program, self._file(0), self._file(1), "far",
             *map(str, (self.bits, delay_us, queue))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            raise OSError("delay-link has failed, see above")

    def _configure(self, side):
        run(*self._prefix(side), "ip", "address", "add", ADDRESSES[side],
            "peer", ADDRESSES[1 - side], "dev", "far")
        for device in "lo", "far":
            run(*self._prefix(side), "ip", "link", "set", device, "up")

    def __enter__(self):
        try:
            for host in self.hosts:
                run("ip", "netns", "add", host)
            self._start()
            for side in range(2):
                self._configure(side)
        except (OSError, subprocess.CalledProcessError):
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
        for host in self.hosts:
            subprocess.run(["ip", "netns", "delete", host], check=False,
                           capture_output=True)


def open_link(test, build, mbit, rtt_ms):
    """A link that ends with the test, which is skipped where there can be
    none."""
    try:
        return test.enterContext(DelayLink(build, mbit, rtt_ms))
    except (OSError, subprocess.CalledProcessError) as err:
        raise unittest.SkipTest(
            "this machine makes no link with a delay: it takes root, network "
            f"namespaces and /dev/net/tun: {err}") from err
