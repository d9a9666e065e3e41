# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP link between a source and a destination that can be cut.

    link = CutLink("127.0.0.1", destination_port)
    src.qmp("migrate", uri=link.uri)
    link.cut("reset")
    link.end()

How it is cut:

    drop          nothing is taken any more, and nobody is told
    drop-stream   the same, in one direction only
    drop-answers  and in the other
    reset         both sides get a reset
    close         both sides get an end of file
"""
import select
import socket
import struct
import threading

GO = b"\x08\x00\x02\x00\x04FRGO"  # docs/stream.md, "Between two Ferry ends"
CUTS = ("drop", "drop-stream", "drop-answers", "reset", "close")
RESET = struct.pack("ii", 1, 0)   # linger for no time


class CutLink:
    def __init__(self, host, port):
        self.target = host, port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.wake, self.woken = socket.socketpair()
        self.lock = threading.Lock()
        self.source = self.destination = None
        self.how = None  # lock: the cut that is asked for
        self.taken = b""  # the last that the source gave, and
        self.given = b""  # the last that the destination got
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def cut(self, how):
        with self.lock:
            self.how = how
        self.wake.send(b"x")

    def end(self):
        """End the connections; bytes under way are lost.  A side that still
        waits for a connection gets an empty one.  May be called again."""
        if self.wake.fileno() < 0:
            return
        if self._asked() not in ("reset", "close"):
            self.cut("end")
        self.thread.join()
        self.wake.close()
        self.woken.close()

    def finish(self):
        """Both sides have closed.  A side that still waits for a connection
        gets an empty one."""
        if self.wake.fileno() >= 0:
            self.cut("finish")
            self.thread.join()

    def took_go(self):
        """Known after the end."""
        return GO in self.taken

    def gave_go(self):
        return GO in self.given

    # The thread

    def _asked(self):
        with self.lock:
            return self.how

    def _run(self):
        try:
            if self._connect():
                self._forward()
        except OSError:
            pass  # one side has gone: the other one sees it below
        self._close()

    def _connect(self):
        """Wait for the source; False when there will be none."""
        ready, _, _ = select.select([self.listener, self.woken], [], [])
        if self.listener not in ready:
            return False
        self.source, _ = self.listener.accept()
        self.destination = socket.create_connection(self.target)
        return True

    def _forward(self):
        speaks = {self.source, self.destination}
        while speaks and self._asked() not in ("reset", "close", "end"):
            how = self._asked()
            waits = speaks | {self.woken}
            if how in ("drop", "drop-stream"):
                waits.discard(self.source)
            if how in ("drop", "drop-answers"):
                waits.discard(self.destination)
            ready, _, _ = select.select(waits, [], [])
            if self.woken in ready:
                self.woken.recv(1)
                continue
            for end in ready:
                if not self._move(end):
                    speaks.discard(end)

    def _move(self, end):
        """False when there is no more."""
        other = self.source if end is self.destination else self.destination
        data = end.recv(65536)
        if not data:
            other.shutdown(socket.SHUT_WR)
        elif end is self.destination:
            self.source.sendall(data)
        else:
            self.taken = (self.taken + data)[-2 * len(GO):]
            self.destination.sendall(data)
            self.given = (self.given + data)[-2 * len(GO):]
        return bool(data)

    def _close(self):
        if self.source:
            self._take_rest()
        if not self.destination:
            self._disappoint()
        for end in (self.source, self.destination):
            if end and self._asked() == "reset":
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if end:
                end.close()
        self.listener.close()

    def _disappoint(self):
        try:
            socket.create_connection(self.target).close()
        except ConnectionRefusedError:
            pass  # it has gone

    def _take_rest(self):
        """What the source has given to the system is taken."""
        self.source.setblocking(False)
        try:
            while data := self.source.recv(65536):
                self.taken = (self.taken + data)[-2 * len(GO):]
        except OSError:
            pass
