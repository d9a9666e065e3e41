# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that stand still at random, in either direction.

A proxy between a QEMU and its relay: each direction of each connection is
passed on by a thread of its own, which now and then takes nothing for a while.
"""
import random
import socket
import threading
import time

from relay_kit import TIMEOUT


class Stalls:
    """Listens at `path`, and leads to `target`."""

    LONGEST = 0.3  # seconds

    def __init__(self, path, target, seed):
        self.target = target
        self.rand = random.Random(seed)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.ends = []
        self.threads = []
        self.start(self.accept)

    def start(self, run, *args):
        thread = threading.Thread(target=run, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.target)  # waits where the queue is full
            self.ends += [near, far]
            for ends in (near, far), (far, near):
                self.start(self.carry, *ends, self.rand.random())

    def carry(self, a, b, seed):
        rand = random.Random(seed)
        try:
            while data := a.recv(rand.choice((4096, 1 << 16, 1 << 20))):
                if rand.random() < 0.02:
                    time.sleep(rand.uniform(0, self.LONGEST))
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            for end in a, b:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(TIMEOUT)
        for end in self.ends:
            end.close()
