# SPDX-License-Identifier: GPL-2.0-or-later
"""A link between two relays that breaks again and again, and comes back.

    link = BreakingLink(folder, path_of_the_receiver)
    link.path                  where the sender connects to
    link.breaks("reset", at)   the present connection breaks, once it has
                               carried so many bytes forward

How it breaks:

    reset   both ends see a reset
    close   both ends see an end of file
    drop    nothing is taken any more, and nobody is told
"""
import os
import select
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from relay_kit import Chain, receive  # noqa: E402
from ferry_vm import TIMEOUT, connect_unix  # noqa: E402

RESET = struct.pack("ii", 1, 0)   # linger for no time
WAYS = ("reset", "close", "drop")


class BreakingLink:
    def __init__(self, folder, target, family=socket.AF_UNIX):
        self.target = target
        self.listener = socket.socket(family)
        if family == socket.AF_UNIX:
            self.path = os.path.join(folder, "breaking")
            self.listener.bind(self.path)
            self.uri = "unix:" + self.path
        else:
            self.listener.bind(("127.0.0.1", 0))
            self.uri = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.listen()
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.how = None       # lock: how the next one breaks,
        self.at = 0           # lock: and where
        self.refuses = False  # lock: new connections end at once
        self.connections = 0  # lock
        self.forward = 0      # lock: bytes that were passed on, of all
        self.reverse = 0      # lock
        self.ended = False    # lock
        self.dead = []        # dropped, and kept open
        self.ends = []        # lock: of the present connection
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def breaks(self, how, at=0):
        """As soon as `at` more bytes have gone forward."""
        with self.lock:
            self.how, self.at = how, self.forward + at

    def refuse(self, refuses):
        with self.lock:
            self.refuses = refuses

    def wait_connections(self, count, timeout=60):
        with self.changed:
            if not self.changed.wait_for(lambda: self.connections >= count,
                                         timeout):
                raise TimeoutError(f"{self.connections} connections")

    def close(self):
        with self.lock:
            self.ended = True
            ends = list(self.ends)
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for end in [*ends, *self.dead]:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in list(self.threads):
            thread.join()
        for end in self.dead:
            end.close()

    # Threads

    def _reach(self):
        if isinstance(self.target, tuple):  # from another address each time
            with self.lock:
                last = self.connections % 250 + 2
            return socket.create_connection(self.target, TIMEOUT,
                                            (f"127.0.0.{last}", 0))
        return connect_unix(self.target)

    def _accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            with self.changed:
                refuses = self.refuses
                self.connections += not refuses
                self.changed.notify_all()
            if refuses:
                near.close()
                continue
            thread = threading.Thread(target=self._carry, daemon=True,
                                      args=(near, self._reach()))
            self.threads.append(thread)
            thread.start()

    def _breaks_now(self):
        """How, or None; used up."""
        with self.lock:
            how = self.how if self.forward >= self.at else None
            if how:
                self.how = None
            return how

    def _carry(self, near, far):
        ends = [near, far]
        with self.lock:
            self.ends = ends
        how = self._pass(near, far)
        if how == "drop":
            self.dead += ends
            return
        for end in ends:
            if how == "reset":
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()

    def _pass(self, near, far):
        """Until it breaks, and how; "close" where a peer has ended it."""
        while True:
            with self.lock:
                if self.ended:
                    return "close"
                left = self.at - self.forward if self.how else 65536
            how = self._breaks_now()
            if how:
                return how
            ready, _, _ = select.select([near, far], [], [], 0.02)
            for end in ready:
                try:
                    data = end.recv(max(1, min(65536, left))
                                    if end is near else 65536)
                    (far if end is near else near).sendall(data)
                except OSError:
                    return "reset"
                if not data:
                    return "close"
                with self.lock:
                    if end is near:
                        self.forward += len(data)
                    else:
                        self.reverse += len(data)


class BreakingChain(Chain):
    """Two relays that resume, with a link that breaks between them."""

    LINK = BreakingLink
    RESUMES = True

    @property
    def link(self):
        return self.wire

    def move(self, data, answer=b""):
        """All of it arrives, and answer comes back meanwhile."""
        self.say(data[:100])
        threads = [threading.Thread(target=self.source.sendall,
                                    args=(data[100:],)),
                   threading.Thread(target=self.destination.sendall,
                                    args=(answer,))]
        heard = []
        threads.append(threading.Thread(target=lambda: heard.append(
            receive(self.source, len(answer)))))
        for thread in threads:
            thread.start()
        self.test.assertEqual(self.hear(len(data)), data)
        for thread in threads:
            thread.join(TIMEOUT)
        self.test.assertEqual(heard, [answer])
