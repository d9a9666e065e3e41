# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of ferry-relay share: relays, and pretended QEMUs.

A Chain is two relays joined by a link that the test can look at, cut and
damage; `source` and `destination` are the sockets of two pretended QEMUs:

    source -- relay --- link --- relay -- destination
"""
import collections
import functools
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from ferry_vm import TIMEOUT, connect_unix, wait_until  # noqa: E402

BUILD = os.environ.get("FERRY_BUILD", os.path.join(ROOT, "build"))
RELAY = os.path.join(BUILD, "tools", "relay", "ferry-relay")
PAGE = 4096


NO_RESUME = ["--resume-timeout", "0"]

# What it exits with.
STATUS = {"completed": 0, "failed": 1, "unknown": 2}


def sanitized():
    with open(RELAY, "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


class Relay:
    """A ferry-relay process; its errors are kept.  prefix is what runs it,
    somewhere else for example.  resumes: it waits for a link that has broken,
    as it does by default."""

    def __init__(self, folder, *args, prefix=(), program=RELAY, resumes=False,
                 **kwargs):
        self.errors = tempfile.TemporaryFile(dir=folder)
        self.output = tempfile.TemporaryFile(dir=folder)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", self.output)
        kwargs.setdefault("stderr", self.errors)
        if not (resumes or program != RELAY or
                {"--to-qemu", "--from-qemu"} & set(args)):
            args = [*args, *NO_RESUME]
        self.process = subprocess.Popen([*prefix, program, *args], **kwargs)

    @staticmethod
    def _written(file):
        """Its contents; a seek would move the relay's own place in it."""
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)

    def stderr(self):
        return self._written(self.errors).decode()

    def reports(self):
        """What --json has printed."""
        return [json.loads(line)
                for line in self._written(self.output).splitlines()]

    def wait_says(self, words):
        def look():
            said = self.stderr()
            if words not in said and self.process.poll() is not None:
                raise RuntimeError(f"ended without {words!r}: {said}")
            return words in said
        wait_until(look, words)

    def wait_listening(self):
        """The URI at which it listens."""
        self.wait_says("listening at ")
        return re.search(r"^ferry-relay: listening at (\S+)\n",
                         self.stderr(), re.M)[1]

    def wait(self):
        return self.process.wait(TIMEOUT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        said = self.stderr()
        self.errors.close()
        self.output.close()
        if "Sanitizer" in said or "runtime error:" in said:
            raise AssertionError(said)


class Wire:
    """The link, in the middle: passes bytes on, and counts them, until it is
    told to do something to them.  There is one thread for each direction."""

    def __init__(self, folder, target):
        self.path = os.path.join(folder, "wire")
        self.target = target
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.forward = bytearray()   # all that has passed
        self.reverse = bytearray()
        self.flip_at = None          # damage this byte of forward
        self.open_gate = threading.Event()  # reset: forward stands still
        self.open_gate.set()
        self.held = None             # a bytearray: forward is kept in it
        self.lock = threading.Lock()
        self.ends = []
        self.threads = [threading.Thread(target=self._run, daemon=True)]
        self.threads[0].start()

    def _run(self):
        try:
            near = self.listener.accept()[0]
        except OSError:
            return
        far = connect_unix(self.target)
        self.ends = [near, far]
        back = threading.Thread(target=self._pass, daemon=True,
                                args=(far, near, self.reverse, False))
        self.threads.append(back)
        back.start()
        self._pass(near, far, self.forward, True)

    def _pass(self, a, b, log, forward):
        try:
            while data := bytearray(a.recv(65536)):
                if forward:
                    self.open_gate.wait()
                    data = self._handle(data)
                log += data
                b.sendall(data)
        except OSError:
            pass  # this direction only: the other may have something to say
        for end, how in (a, socket.SHUT_RD), (b, socket.SHUT_WR):
            try:
                end.shutdown(how)
            except OSError:
                pass

    def _handle(self, data):
        with self.lock:
            if self.held is not None:
                self.held += data
                return b""
        at, done = self.flip_at, len(self.forward)
        if at is not None and done <= at < done + len(data):
            data[at - done] ^= 0x10
        return data

    def release(self, size=None):
        """Let go of that many bytes that are held, or of all and hold no
        more."""
        with self.lock:
            data = self.held[:size]
            del self.held[:size]
            if size is None:
                self.held = None
            self.forward += data
            self.ends[1].sendall(data)

    def cut(self):
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.open_gate.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        for thread in self.threads:
            thread.join(TIMEOUT)
        for end in self.ends:
            end.close()


class RelayTest(unittest.TestCase):
    RESUMES = False   # do relays wait for links that have broken, by default?

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ferry-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *args, **kwargs):
        kwargs.setdefault("resumes", self.RESUMES)
        relay = Relay(self.folder, *args, **kwargs)
        self.addCleanup(relay.close)
        return relay

    def listen(self, name):
        """A destination's socket, before anybody has connected."""
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(TIMEOUT)
        self.addCleanup(listener.close)
        listener.bind(self.path(name))
        listener.listen()
        return listener

    def accept(self, listener):
        sock = listener.accept()[0]
        sock.settimeout(TIMEOUT)
        self.addCleanup(sock.close)
        return sock

    def connect(self, name, relay):
        sock = connect_unix(self.path(name), relay.process)
        self.addCleanup(sock.close)
        return sock


class BookTest(RelayTest):
    """A sender written from docs/relay.md, at a receiver."""

    KEY = bytes(range(16)), bytes(range(100, 132))
    ARGS = ()

    def setUp(self):
        super().setUp()
        self.listener = self.listen("vm")
        self.receiver = self.start(
            "--role", "receive", "--listen", "unix:" + self.path("link"),
            "--connect", "unix:" + self.path("vm"), *self.ARGS, resumes=True)
        self.receiver.wait_listening()
        self.link = self.connect("link", self.receiver)
        self.link.sendall(self.summed(
            b"\xfeFRELAY\n" + struct.pack(">HHI8sQ", 4, 64, 0, b"zlib", 1)))
        receive(self.link, 36)
        self.link.sendall(self.summed(
            b"".join(self.KEY) + struct.pack(">I32s", 60000, b"")))
        self.destination = self.accept(self.listener)
        self.assertEqual(receive(self.link, 8), self.summed(bytes(4)))
        self.forward = 0    # bytes of the line,
        self.streams = collections.Counter()  # and of QEMU's streams

    @staticmethod
    def summed(data):
        return data + struct.pack(">I", zlib.crc32(data))

    @staticmethod
    def record(kind, body):
        return struct.pack(">I", kind << 24 | len(body)) + body

    def frame(self, kind, body=b"", channel=0):
        """As a record; of DATA, or of a kind that stands for no bytes."""
        place = struct.pack(">Q", channel << 56 | self.streams[channel])
        size = len(body) if kind == 1 else 0
        frame = self.summed(struct.pack(
            ">BBHIIII", kind, channel, 0, size, len(body), len(body),
            zlib.crc32(place + body))) + body
        self.streams[channel] += size
        self.forward += len(frame)
        return self.record(1, frame)

    def data(self, words):
        return self.frame(1, words)


class Chain:
    """Two relays with a Wire, or another link, between them."""

    LINK = Wire
    RESUMES = False

    def __init__(self, test, sender=(), receiver=()):
        resumes = self.RESUMES or test.RESUMES
        self.test = test
        self.listener = test.listen("qemu")
        self.receiver = test.start(
            "--listen", "unix:" + test.path("link"), "--connect",
            "unix:" + test.path("qemu"), "--role", "receive", "--once",
            "--json", *receiver, resumes=resumes)
        self.receiver.wait_listening()
        self.wire = self.LINK(test.folder, test.path("link"))
        test.addCleanup(self.wire.close)
        self.sender = test.start(
            "--listen", "unix:" + test.path("relay"), "--connect",
            "unix:" + self.wire.path, "--role", "send", "--once", "--json",
            *sender, resumes=resumes)
        self.destination = None

    @functools.cached_property
    def source(self):
        """Connects when it is first used.  The relay connects a peer that is
        silent for 0.1 s onward, perhaps before the test has set up the wire."""
        return self.test.connect("relay", self.sender)

    def accept(self):
        """The relays connect to the destination when the source speaks."""
        self.destination = self.test.accept(self.listener)

    def say(self, data):
        self.source.sendall(data)
        if not self.destination:
            self.accept()

    def hear(self, size):
        """That many bytes, at the destination."""
        return receive(self.destination, size)

    def carry(self, data):
        """All of a stream, which may be more than all buffers hold."""
        writer = threading.Thread(target=self.source.sendall, args=(data,))
        writer.start()
        if not self.destination:
            self.accept()
        self.test.assertEqual(self.hear(len(data)), data)
        writer.join(TIMEOUT)

    def finish(self, status="failed", back=None):
        """Both QEMUs close, and both relays end and say how it ended; by
        default the stream was cut short.  back is the destination's last word,
        which is SHUT where it has all."""
        if back is None:
            back = SHUT if status == "completed" else b""
        self.source.shutdown(socket.SHUT_WR)
        self.test.assertEqual(self.destination.recv(1), b"")
        self.destination.sendall(back)
        self.destination.close()
        self.test.assertEqual(receive_all(self.source), back)
        self.check_outcome(status)

    def check_outcome(self, status, *words):
        """At both ends the same: exit status, report, and log."""
        for relay in self.sender, self.receiver:
            self.test.assertEqual(relay.wait(), STATUS[status],
                                  relay.stderr())
            report, = relay.reports()
            self.test.assertEqual(report["status"], status)
            why = report.get({"failed": "error", "unknown": "reason"}.get(
                status), "")
            for word in words:
                self.test.assertIn(word, why)
            self.test.assertEqual(bool(why), status != "completed")
            self.test.assertIn(f"migration {report['migration']}: ",
                               relay.stderr())
            self.test.assertIn(why or "completed: ", relay.stderr())


def receive(sock, size):
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError(f"the connection ended after {len(data)} of "
                           f"{size} bytes")
        data += part
    return bytes(data)


def receive_all_or_reset(sock):
    try:
        return receive_all(sock)
    except ConnectionResetError:
        return b""


def receive_all(sock):
    data = bytearray()
    while part := sock.recv(1 << 20):
        data += part
    return bytes(data)


# QEMU's stream, as little of it as is needed

SHUT = struct.pack(">HHI", 1, 4, 0)       # on the return path: loaded
SHUT_FAILED = struct.pack(">HHI", 1, 4, 1)
PONG = struct.pack(">HHI", 2, 4, 1)
EOF = b"\0" + struct.pack(">BI", 6, 2) + b"{}"  # and what stands behind it

MACHINE = b"pc-i440fx-7.2"
HEADER = (b"QEVM" + struct.pack(">IBI", 3, 7, len(MACHINE)) + MACHINE)
OPEN_RETURN_PATH = struct.pack(">BHH", 8, 1, 0)
PING = struct.pack(">BHHI", 8, 2, 4, 1)
EOS = struct.pack(">Q", 0x10)
RAM_ID = 2
FOOTER = struct.pack(">BI", 0x7e, RAM_ID)
PART = struct.pack(">BI", 2, RAM_ID)
END = struct.pack(">BI", 3, RAM_ID)


def start_ram(blocks):
    out = [struct.pack(">BIB3sII", 1, RAM_ID, 3, b"ram", 0, 4),
           struct.pack(">Q", sum(blocks.values()) | 4)]
    for name, size in blocks.items():
        out.append(bytes([len(name)]) + name + struct.pack(">Q", size))
    return b"".join(out) + EOS + FOOTER


def head(offset, flags, name=None):
    if name is None:
        return struct.pack(">Q", offset | flags | 0x20)
    return struct.pack(">QB", offset | flags, len(name)) + name


def plain(offset, data, name=None):
    return head(offset, 8, name) + data


def zero(offset, name=None):
    return head(offset, 2, name) + b"\0"


def preamble(return_path=True, blocks=None):
    path = OPEN_RETURN_PATH + PING if return_path else b""
    return HEADER + path + start_ram(blocks or {b"pc.ram": 64 << 20})


def sample_stream(rand, pages=300, return_path=True):
    """A whole stream; zero pages in both forms, text, and noise."""
    out = [preamble(return_path), PART]
    name = b"pc.ram"
    for i in range(pages):
        kind = rand.randrange(4)
        offset = i * PAGE
        if kind == 0:
            out.append(zero(offset, name))
        else:
            page = (bytes(PAGE), rand.randbytes(PAGE),
                    (b"ferry %d " % i * 700)[:PAGE])[kind - 1]
            out.append(plain(offset, page, name))
        name = None
        if i % 64 == 63:
            out += [EOS, FOOTER, PART]
    out += [EOS, FOOTER, END, plain(0, b"last" * 1024), EOS, FOOTER]
    out.append(struct.pack(">BIB6sII", 4, 3, 6, b"device", 0, 1) +
               rand.randbytes(5000) + struct.pack(">BI", 0x7e, 3))
    return b"".join(out) + EOF


# One of multifd's connections

def multifd_first(channel):
    return struct.pack(">II16sB39s", 0x11223344, 1, b"", channel, b"")


def multifd_packet(flags, normal, size, offset=0, name=b"pc.ram"):
    """Its head; behind it come size bytes, if there are normal pages."""
    offsets = [offset + i * PAGE if i < normal else 0 for i in range(128)]
    return struct.pack(">IIIIIIQI28s256s128Q", 0x11223344, 1, flags, 128,
                       normal, size, 1, 0, b"", name, *offsets)
