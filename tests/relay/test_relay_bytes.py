# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into one relay comes out of the other: all of it, exactly, and as
soon as it can."""
import contextlib
import fcntl
import glob
import gzip
import os
import pathlib
import pty
import random
import re
import resource
import select
import shlex
import socket
import struct
import subprocess
import sys
import termios
import threading
import unittest.mock
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from relay_kit import (END, EOF, EOS, FOOTER, PAGE, PART, PONG,  # noqa: E402
                       RELAY, ROOT, SHUT, SHUT_FAILED, STATUS, Chain,
                       RelayTest, Wire, head, multifd_first, multifd_packet,
                       plain, preamble, receive, receive_all,
                       receive_all_or_reset, sample_stream, sanitized, zero)
import tap  # noqa: E402
from ferry_vm import TIMEOUT, methods, wait_until  # noqa: E402


MIGRATIONS = 64  # RELAY_MIGRATIONS_MAX
CONNECTIONS = 2 * MIGRATIONS
GOING = 32  # more, while they end


def send_in_pieces(sock, data, cuts):
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        sock.sendall(data[start:cut])
        start = cut


class Exact(RelayTest):
    def check(self, data, cuts=(), status="completed", **kwargs):
        chain = Chain(self, **kwargs)
        chain.say(data[:1])
        sender = threading.Thread(
            target=send_in_pieces,
            args=(chain.source, data[1:], [c - 1 for c in cuts if c > 1]))
        sender.start()
        self.assertEqual(chain.hear(len(data)), data)
        sender.join()
        chain.finish(status)
        return chain

    def check_passes(self, data):
        """Also a stream that the relays do not understand."""
        chain = Chain(self)
        chain.say(data)
        chain.source.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(chain.destination), data)
        chain.destination.close()
        self.assertEqual(chain.receiver.wait(), chain.sender.wait(),
                         chain.sender.stderr())

    def test_sample(self):
        data = sample_stream(random.Random(1))
        chain = self.check(data)
        self.assertLess(len(chain.wire.forward), len(data) // 2)
        sent, = chain.sender.reports()
        received, = chain.receiver.reports()
        self.assertEqual(sent["status"], "completed")
        self.assertEqual(sent["role"], "send")
        self.assertEqual(received["role"], "receive")
        self.assertEqual(sent["bytes-in"], len(data))
        self.assertEqual(received["bytes-out"], len(data))
        self.assertEqual(sent["bytes-out"], received["bytes-in"])
        self.assertEqual(sent["pages"], received["pages"])
        self.assertTrue(sent["return-path"])
        self.assertNotIn("passed-on", sent)

    def test_cut_anywhere(self):
        """However the bytes arrive, cut in random places."""
        for seed in range(4):
            rand = random.Random(seed)
            data = sample_stream(rand, pages=100)
            self.setUp()
            self.check(data, rand.sample(range(1, len(data)), 60))

    def test_single_bytes(self):
        """Each byte of the preamble and of the first records by itself."""
        data = sample_stream(random.Random(5), pages=3)
        self.check(data, range(1, 300))

    def test_levels_and_threads(self):
        data = sample_stream(random.Random(6), pages=200)
        for level, threads in ((0, 1), (9, 2), (1, 8)):
            self.setUp()
            self.check(data, sender=["--compress-level", str(level),
                                     "--compress-threads", str(threads)],
                       receiver=["--decompress-threads", str(threads)])

    def test_methods(self):
        """Each that is built in; what it is shows in the greeting."""
        data = sample_stream(random.Random(21), pages=200)
        there = methods(RELAY)
        self.assertIn("zlib", there)
        for method in methods(RELAY, built_in=False):
            with self.subTest(method=method):
                self.setUp()
                asked = self.start("--compress-method", method, "--stdio",
                                   "--connect", "unix:/nowhere")
                asked.wait()
                self.assertEqual("not built in" in asked.stderr(),
                                 method not in there)
                if method not in there:
                    continue
                chain = self.check(data, sender=["--compress-method", method])
                if method == "auto":  # may send pages as they are
                    continue
                self.assertIn(method.encode(), chain.wire.forward[16:32])
                self.assertLess(len(chain.wire.forward), len(data) // 2)

    def test_history(self):
        """The smaller one counts; a page that comes again is sent as a few
        bytes, if it is in the history.  (Where the link is slow, packs have
        16 pages, and take the room of 64.)"""
        rand = random.Random(23)
        pages = [rand.randbytes(PAGE) for _ in range(400)]
        records = b"".join(plain(i * PAGE, page, None if i else b"pc.ram")
                           for i, page in enumerate(pages))
        data = preamble() + PART + records + EOS + FOOTER + END + records + \
            EOS + FOOTER + EOF
        for sender, receiver, size in (("64M", "64M", 64 << 20),
                                       ("0", "64M", 0), ("64M", "0", 0),
                                       ("9M", "1G", 9 << 20),
                                       ("16G", "9300K", 36 << 18)):
            with self.subTest(sender=sender, receiver=receiver):
                self.setUp()
                chain = self.check(data, sender=["--history", sender],
                                   receiver=["--history", receiver])
                for relay in chain.sender, chain.receiver:
                    self.assertEqual(relay.reports()[0]["history"], size)
                self.assertEqual(len(chain.wire.forward) < len(data) * 6 / 10,
                                 size > len(pages) * PAGE)

    @tap.only_if(not sanitized())  # sanitizers need more for themselves
    @unittest.mock.patch.dict(os.environ, MALLOC_PERTURB_="0")  # fills all
    def test_no_memory(self):
        """A relay that gets none for its history says so, and ends as after
        any other failure."""
        for limited in "sender", "receiver":
            with self.subTest(limited=limited):
                self.setUp()
                chain = Chain(self, sender=["--history", "4G"],
                              receiver=["--history", "4G"])
                resource.prlimit(getattr(chain, limited).process.pid,
                                 resource.RLIMIT_AS, (3 << 30, 3 << 30))
                chain.say(preamble() + PART + plain(0, bytes(PAGE), b"pc.ram"))
                chain.check_outcome("failed", "no memory for the history")
                for relay in chain.sender, chain.receiver:
                    self.assertNotIn("went away", relay.stderr())

    def test_recorded(self):
        """All recorded streams."""
        folder = os.path.join(ROOT, "tests", "wire", "golden")
        names = sorted(glob.glob(os.path.join(folder, "*.bin")))
        self.assertGreater(len(names), 4)
        for name in names:
            with open(name, "rb") as f:
                data = f.read()
            if data:
                self.setUp()
                self.check_passes(data)

    def test_random(self):
        """What is no stream at all passes too, and a line says so."""
        rand = random.Random(7)
        chain = self.check(rand.randbytes(1 << 20), status="unknown")
        self.assertIn("is not understood, and packed in blocks: not a migration "
                      "stream", chain.sender.stderr())
        self.assertIn("passed-on", chain.sender.reports()[0])

    def test_tls(self):
        """QEMU's own TLS is noise."""
        chain = self.check(b"\x16\x03\x01" +
                           random.Random(8).randbytes(50000),
                           status="unknown")
        self.assertIn("in blocks: QEMU's own TLS", chain.sender.stderr())

    def test_named(self):
        """What is passed on as it is has a name, not only a number."""
        for data, name in (
                (preamble() + struct.pack(">BHH", 8, 8, 0),
                 "command 8 (ENABLE_COLO)"),
                (struct.pack(">BHH", 8, 10, 0), "migrate -r")):
            with self.subTest(name):
                self.setUp()
                chain = self.check(data, status="unknown")
                self.assertIn(name, chain.sender.reports()[0]["passed-on"])

    def test_damaged_streams(self):
        """Bytes that QEMU would refuse are QEMU's to refuse."""
        rand = random.Random(9)
        whole = bytearray(sample_stream(rand, pages=40))
        for _ in range(6):
            data = bytearray(whole)
            data[rand.randrange(1, 600)] = rand.randrange(256)
            self.setUp()
            self.check_passes(bytes(data))

    def test_every_end(self):
        """A stream may end anywhere."""
        data = sample_stream(random.Random(10), pages=4)
        rand = random.Random(11)
        for size in rand.sample(range(2, len(data)), 8):
            self.setUp()
            chain = Chain(self)
            chain.say(data[:size])
            chain.source.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(chain.destination), data[:size])
            chain.destination.close()
            chain.check_outcome("failed", "the source has closed")

    def test_large(self):
        """More than all buffers hold, both ways at the same time."""
        data = sample_stream(random.Random(12), pages=4000)
        back = random.Random(13).randbytes(8 << 20)
        chain = Chain(self)
        chain.say(data[:1])
        threads = [
            threading.Thread(target=chain.source.sendall, args=(data[1:],)),
            threading.Thread(target=chain.destination.sendall, args=(back,))]
        for thread in threads:
            thread.start()
        heard = []
        reader = threading.Thread(
            target=lambda: heard.append(receive(chain.source, len(back))))
        reader.start()
        self.assertEqual(chain.hear(len(data)), data)
        for thread in [*threads, reader]:
            thread.join(TIMEOUT)
        self.assertEqual(heard, [back])
        chain.finish("unknown")


def frames_of(link, size):
    """How many of these bytes of the link stand for so many of the stream; 0
    if they are not enough."""
    at = 0
    while size > 0 and at + 24 <= len(link):
        stands_for, _, follow = struct.unpack_from(">4xIII", link, at)
        at += 24 + follow
        size -= stands_for
    return at if size <= 0 and at <= len(link) else 0


def before_damage(link, at):
    """How many bytes of the stream come before the frame that has that byte of
    the link, where alone it is damaged."""
    begin, size = 36, 0  # behind HELLO
    while at >= begin + 24:
        stands_for, _, follow = struct.unpack_from(">4xIII", link, begin)
        begin += 24 + follow
        if at >= begin:
            size += stands_for
    return size


class Prompt(RelayTest):
    """What was written arrives, with nothing behind it to push it."""

    def test_few_bytes(self):
        chain = Chain(self)
        data = preamble()
        sizes = [0, 1, 3, 30, len(data)]
        for start, end in zip(sizes, sizes[1:]):
            chain.say(data[start:end])
            self.assertEqual(chain.hear(end - start), data[start:end])
        chain.finish()

    def test_pages(self):
        """A page, and a handful, before a pause."""
        chain = Chain(self)
        data = preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram")
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)
        more = b"".join(plain(i * PAGE, bytes([i]) * PAGE)
                        for i in range(1, 9))
        chain.say(more)
        self.assertEqual(chain.hear(len(more)), more)
        chain.finish()

    def test_half_a_page(self):
        """Half a page keeps back nothing that came before it."""
        chain = Chain(self)
        data = preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram") + \
            head(PAGE, 8)
        chain.say(data + b"y" * 2000)
        self.assertEqual(chain.hear(len(data)), data)
        chain.say(b"y" * 2096)
        self.assertEqual(chain.hear(PAGE), b"y" * PAGE)
        chain.finish()

    def test_half_a_page_and_the_end(self):
        chain = Chain(self)
        data = preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram")[:3000]
        chain.say(data)
        chain.source.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(chain.destination), data)

    def test_half_a_head(self):
        chain = Chain(self)
        data = preamble() + PART + head(0, 8, b"pc.ram")[:5]
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)

    def test_half_a_frame(self):
        """The link falls silent in the middle of a frame: what came before it
        has arrived."""
        chain = Chain(self)
        chain.say(preamble())
        self.assertEqual(chain.hear(len(preamble())), preamble())
        chain.wire.held = bytearray()
        rand = random.Random(1)
        first = PART + plain(0, rand.randbytes(PAGE), b"pc.ram")
        second = plain(PAGE, rand.randbytes(PAGE))
        chain.say(first)
        frame = wait_until(lambda: frames_of(chain.wire.held, len(first)),
                           "first frame")
        chain.say(second)
        wait_until(lambda: len(chain.wire.held) > frame + 1000,
                   "second frame")
        for part in (10, 500):  # of its head, and of its body
            chain.wire.release(frame + part)
            self.assertEqual(chain.hear(len(first)), first)
            first, frame = b"", 0
        chain.wire.release()
        self.assertEqual(chain.hear(len(second)), second)
        chain.finish()

    def test_reverse(self):
        """An answer comes back at once, also when forward is blocked."""
        chain = Chain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.wire.open_gate.clear()
        rand = random.Random(14)
        data = b"".join(plain(i * PAGE, rand.randbytes(PAGE))
                        for i in range(3000))
        writer = threading.Thread(
            target=chain.source.sendall,
            args=(PART + head(0, 8, b"pc.ram") + bytes(PAGE) + data,))
        writer.start()
        for answer in (b"pong", b"p" * 100000, b"!"):
            chain.destination.sendall(answer)
            self.assertEqual(receive(chain.source, len(answer)), answer)
        self.assertTrue(writer.is_alive())
        chain.wire.open_gate.set()
        chain.hear(len(PART) + 15 + PAGE + len(data))
        writer.join(TIMEOUT)
        chain.finish()

    def test_back_pressure(self):
        """When the link stands still, the source soon can write no more."""
        chain = Chain(self, sender=["--compress-threads", "1"])
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.wire.open_gate.clear()
        chain.source.sendall(PART + head(0, 8, b"pc.ram") + bytes(PAGE))
        rand = random.Random(15)
        data = memoryview(b"".join(plain(i * PAGE, rand.randbytes(PAGE))
                                   for i in range(1, 4096)))
        chain.source.setblocking(False)
        sent = 0
        blocked = False
        while not blocked and sent < len(data):
            try:
                sent += chain.source.send(data[sent:sent + PAGE])
            except BlockingIOError:
                blocked = is_full(chain.source)
        self.assertTrue(blocked)
        self.assertLess(sent, 8 << 20)


def is_full(sock):
    """Still, when the reader has had time to make room?"""
    return not select.select([], [sock], [], 1)[1]


class Packed(RelayTest):
    """What --json says of the two sizes."""

    def check(self, data):
        chain = Chain(self)
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)
        chain.finish("completed")
        for relay in chain.sender, chain.receiver:
            report, = relay.reports()
            yield report["ratio"]

    def test_around_ram(self):
        """Devices and the first batch, which begins with the header."""
        devices = struct.pack(">BIB6sII", 4, 3, 6, b"device", 0, 1) + \
            b"state of a device " * 20000 + struct.pack(">BI", 0x7e, 3)
        pages = [plain(i * PAGE, b"t" * PAGE, None if i else b"pc.ram")
                 for i in range(20)]
        for ratio in self.check(preamble() + END + b"".join(pages) + EOS +
                                FOOTER + devices + EOF):
            self.assertGreater(ratio, 20)

    def test_larger(self):
        """Nothing hides that the stream has grown."""
        for ratio in self.check(preamble() + END + EOS + FOOTER + b"\0"):
            self.assertLess(ratio, 1)


class Foreign(RelayTest):
    """Streams of other VMMs, and other protocols, with --role send."""

    def test_packed(self):
        """Raw memory behind a head of odd size, and once more at another
        place: all of it is packed, and what was there is found."""
        rand = random.Random(40)
        words = [rand.randbytes(rand.randrange(3, 9)) for _ in range(500)]
        text = b"".join(rand.choices(words, k=200000))
        noise = rand.randbytes(3 << 20)
        data = b"CLH" + text + bytes(1 << 20) + noise + b"again" + text + noise
        chain = Chain(self, sender=["--compress-method", "zstd"])
        chain.carry(data)
        chain.finish("unknown")
        report, = chain.sender.reports()
        self.assertGreater(report["history"], 0)
        if "zstd" in methods(RELAY):
            self.assertLess(report["bytes-out"],
                            len(noise) * 3 // 2 + len(text))

    def test_at_once(self):
        """What is no whole block does not wait for the rest of it."""
        chain = Chain(self)
        rand = random.Random(41)
        for size in 5, 1, PAGE, PAGE + 100, 3 * PAGE - 100, 1:
            data = rand.randbytes(size)
            chain.say(data)
            self.assertEqual(chain.hear(size), data)
        chain.finish("unknown")

    def test_server_first(self):
        """The destination speaks first, as an NBD server does."""
        chain = Chain(self)
        self.assertTrue(chain.source)
        chain.accept()
        for _ in range(3):
            chain.destination.sendall(b"NBDMAGIC")
            self.assertEqual(receive(chain.source, 8), b"NBDMAGIC")
            chain.source.sendall(b"\0\0\0\3")
            self.assertEqual(chain.hear(4), b"\0\0\0\3")
        chain.finish("unknown")


class FoundAgain(RelayTest):
    """Recorded from QEMU 11.1: what has devices' sections before RAM, or
    between its parts, is packed as if these were not there."""

    def ratio(self, data, status):
        chain = Chain(self, sender=["--compress-level", "1"])
        chain.carry(data)
        chain.finish(status, b"")
        report, = chain.sender.reports()
        return report["ratio"], report

    def check(self, name, first, last, section):
        """The bytes from first to last are the section's."""
        path = os.path.join(ROOT, "tests", "relay", "streams", name)
        with gzip.open(path) as f:
            data = f.read()
        start = data.index(first)
        end = data.index(last, start) + len(last)
        plain_ratio, _ = self.ratio(data[:start] + data[end:], "completed")
        self.setUp()
        ratio, report = self.ratio(data, "unknown")
        self.assertIn(section, report["passed-on"])
        self.assertGreater(ratio, 0.9 * plain_ratio)
        self.assertFalse(report["return-path"])

    def test_virtio_mem(self):
        self.check("relay-virtio-mem.mig.gz", b"\4\0\0\0\x27$0000:00:02.0/",
                   b"~\0\0\0\x27", "virtio-mem-device-early")

    def test_dirty_bitmaps(self):
        self.check("relay-dirty-bitmaps.mig.gz", b"\1\0\0\0\2\x0cdirty-bitmap",
                   b"~\0\0\0\2", "section 'dirty-bitmap'")


class Multifd(RelayTest):
    """One of its connections, between pretended QEMUs."""

    def check(self, flags, size, status="unknown", cut=0):
        rand = random.Random(42)
        data = multifd_first(1)
        for i in range(3):
            data += multifd_packet(flags, 128, size, i << 20) + \
                b"".join(rand.randbytes(32) * 128
                         for _ in range(size // PAGE))
            data += multifd_packet(1, 0, size)
        data = data[:len(data) - cut]
        chain = Chain(self)
        chain.carry(data)
        chain.finish(status)
        report, = chain.sender.reports()
        return report, chain.sender.stderr()

    def test_plain(self):
        report, said = self.check(0, 128 * PAGE)
        self.assertGreater(report["ratio"], 30)
        self.assertEqual(report["pages"], 3 * 128)
        self.assertNotIn("passed-on", report)
        self.assertNotIn("not understood, and packed", said)

    def test_compressed(self):
        """The user hears what would be better."""
        report, said = self.check(2, 5 * PAGE)
        self.assertIn("with multifd-compression none", report["passed-on"])
        self.assertIn("multifd-compression zlib", said)

    def test_cut(self):
        report, _ = self.check(0, 128 * PAGE, status="failed", cut=700)
        self.assertIn("in the middle of a packet", report["error"])


class Ends(RelayTest):
    GREETING = 36   # bytes before the receiver connects onward

    def test_half_close_forward(self):
        """The destination hears the end, and can still speak."""
        chain = Chain(self)
        chain.say(preamble())
        chain.source.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(chain.destination), preamble())
        chain.destination.sendall(b"late words")
        self.assertEqual(receive(chain.source, 10), b"late words")
        chain.destination.close()
        self.assertEqual(chain.source.recv(1), b"")
        self.assertEqual(chain.receiver.wait(), 1)

    def test_half_close_reverse(self):
        """The source hears the end, and can still speak."""
        chain = Chain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.destination.sendall(b"bye")
        chain.destination.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(chain.source), b"bye")
        chain.say(PART)
        self.assertEqual(chain.hear(len(PART)), PART)
        chain.source.close()
        self.assertEqual(chain.destination.recv(1), b"")
        chain.check_outcome("failed", "closed before the end of RAM")

    def test_close_waits_for_delivery(self):
        """Without a return path the source's connection stays open until the
        destination has taken all and closed."""
        chain = Chain(self)
        data = sample_stream(random.Random(16), return_path=False)
        chain.say(data)
        chain.source.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(chain.destination), data)
        chain.source.setblocking(False)
        with self.assertRaises(BlockingIOError):
            chain.source.recv(1)
        self.assertIsNone(chain.sender.process.poll())
        chain.source.setblocking(True)
        chain.destination.close()
        self.assertEqual(chain.source.recv(1), b"")
        self.assertEqual(chain.sender.wait(), 0)
        self.assertIn("no return path", chain.sender.stderr())
        self.assertFalse(chain.sender.reports()[0]["return-path"])

    def test_destination_goes(self):
        """It closes in the midst of RAM: so must the source's connection, and
        both relays fail."""
        chain = Chain(self)
        chain.say(preamble() + PART)
        chain.destination.close()
        self.write_until_refused(chain.source)
        chain.check_outcome("failed", "the destination went away")
        self.assertNotIn("relay went away", chain.receiver.stderr())

    def write_until_refused(self, sock):
        page = plain(0, random.Random(17).randbytes(PAGE), b"pc.ram")
        with self.assertRaises(OSError):
            for _ in range(100000):
                sock.sendall(page)

    def test_last_words(self):
        """What a destination says before it closes still arrives."""
        chain = Chain(self)
        chain.say(preamble() + PART)
        chain.hear(len(preamble() + PART))
        chain.destination.sendall(b"I cannot go on")
        chain.destination.close()
        self.assertEqual(receive_all(chain.source), b"I cannot go on")

    def test_source_goes(self):
        """It closes in the midst of RAM: the destination hears the end after
        all that was written."""
        chain = Chain(self)
        data = preamble() + PART + plain(0, b"z" * PAGE, b"pc.ram")
        chain.say(data)
        chain.source.close()
        self.assertEqual(receive_all(chain.destination), data)
        chain.destination.close()
        chain.check_outcome("failed", "closed before the end of RAM")

    def check_cut(self, chain):
        """Both QEMUs see their connections close."""
        for sock in (chain.source, chain.destination):
            try:
                receive_all(sock)
            except ConnectionResetError:
                pass

    def test_killed(self):
        for victim in ("sender", "receiver"):
            self.setUp()
            chain = Chain(self)
            chain.say(preamble())
            chain.hear(len(preamble()))
            getattr(chain, victim).process.kill()
            self.check_cut(chain)
            survivor = {"sender": chain.receiver,
                        "receiver": chain.sender}[victim]
            self.assertEqual(survivor.wait(), 1)
            self.assertIn("the other relay went away", survivor.stderr())

    def test_link_cut(self):
        chain = Chain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.wire.cut()
        self.check_cut(chain)
        self.assertEqual(chain.sender.wait(), 1)
        self.assertEqual(chain.receiver.wait(), 1)

    def check_before_damage(self, heard, chain, at):
        self.assertLessEqual(len(heard),
                             before_damage(chain.wire.forward, at))

    def test_damage(self):
        """A flipped bit anywhere in the link's bytes: none that is wrong gets
        to the destination, and both ends fail."""
        data = sample_stream(random.Random(18), pages=150)
        self.setUp()
        chain = Chain(self)
        chain.say(data)
        chain.hear(len(data))
        chain.finish("completed")
        length = len(chain.wire.forward)
        rand = random.Random(19)
        for at in [40, 50, 70, *rand.sample(range(100, length), 8)]:
            with self.subTest(at=at):
                self.setUp()
                chain = Chain(self)
                chain.wire.flip_at = at
                with contextlib.suppress(OSError):  # cut off meanwhile
                    chain.source.sendall(data)
                    chain.source.shutdown(socket.SHUT_WR)
                if at > self.GREETING:
                    chain.accept()
                    try:
                        heard = receive_all(chain.destination)
                    except ConnectionResetError:
                        heard = b""
                    self.assertTrue(data.startswith(heard))
                    self.check_before_damage(heard, chain, at)
                    chain.destination.close()
                self.assertEqual(chain.receiver.wait(), 1)
                self.assertEqual(chain.sender.wait(), 1)

    def test_damaged_greeting(self):
        chain = Chain(self)
        chain.wire.flip_at = 20
        chain.source.sendall(preamble())
        self.assertEqual(chain.receiver.wait(), 1)
        self.assertEqual(chain.sender.wait(), 1)
        self.assertEqual(receive_all_or_reset(chain.source), b"")


class Live(RelayTest):
    """The line of --stats."""

    def terminal(self):
        """What reads all that was said on it, and its other end."""
        main, other = pty.openpty()
        self.addCleanup(os.close, main)
        os.set_blocking(main, False)
        said = bytearray()

        def read():
            with contextlib.suppress(BlockingIOError):
                said.extend(os.read(main, 65536))
            return said.decode()

        return read, other

    def start_it(self, **kwargs):
        """Of a migration that says something now and something later."""
        self.listener = self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--to-qemu", "--stats", "--once", **kwargs)
        source = self.connect("relay", relay)
        source.sendall(preamble(return_path=False))
        return relay, source

    def check(self, source, read):
        wait_until(lambda: "migration 1: b" in read(), "the line")
        source.sendall(b"\xff")
        wait_until(lambda: "passing on" in read(), "the reason")
        return read()

    def test_no_terminal(self):
        relay, source = self.start_it()
        said = self.check(source, relay.stderr)
        self.assertNotRegex(said, "[\r\033]")
        self.assertRegex(said, r"(?m)^migration 1: begins of 64\.0 MiB, link "
                         r"0\.0 MiB/s, ratio \d+\.\d\d(, waits for .*)?$")
        for line in said.splitlines():
            self.assertRegex(line, "^(ferry-relay|migration 1): ")

    def test_terminal(self):
        """It is wiped out by what is said, and fits."""
        read, other = self.terminal()
        fcntl.ioctl(other, termios.TIOCSWINSZ,
                    struct.pack("4H", 24, 20, 0, 0))
        _, source = self.start_it(stderr=other)
        os.close(other)
        text = self.check(source, read)
        self.assertIn("\033[Kmigration 1: begins\r", text)
        self.assertRegex(text, r"\r\033\[Kferry-relay: migration 1: passing")

    def test_passes(self):
        """RAM, pages that come again, and the end; also in --json."""
        chain = Chain(self, sender=["--stats"])
        read = chain.sender.stderr
        name = b"pc.ram"
        for data, words in (
                (preamble() + PART + plain(16 << 20, bytes(PAGE), name),
                 "25 % of 64.0 MiB"),
                (plain(48 << 20, bytes(PAGE)) + plain(0, b"b" * PAGE),
                 "pass 2, link "),
                (plain(0, b"c" * PAGE), "2 pages again"),
                (EOS + FOOTER + END, "guest stopped, "),
                (plain(0, b"d" * PAGE) + EOS + FOOTER + EOF,
                 "handed over, ")):
            chain.say(data)
            self.assertEqual(chain.hear(len(data)), data)
            wait_until(lambda: re.search("(?m)^migration 1: .*" + words,
                                         read()), words)
        chain.finish("completed")
        report, = chain.sender.reports()
        self.assertEqual((report["ram"], report["passes"],
                          report["pages-again"]), (64 << 20, 4, 3))
        self.assertGreater(report["dirty-rate"], 0)
        self.assertNotIn("ram", chain.receiver.reports()[0])

    def start_two(self, **kwargs):
        self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--to-qemu", "--stats", **kwargs)
        for _ in range(2):
            self.connect("relay", relay).sendall(preamble())
        return relay

    def test_two(self):
        relay = self.start_two()
        for number in 1, 2:
            relay.wait_says(f"\nmigration {number}: begins of 64.0 MiB, ")
        self.assertNotIn("2 migrations", relay.stderr())

    def test_two_on_a_terminal(self):
        """They share its line."""
        read, other = self.terminal()
        self.start_two(stderr=other)
        os.close(other)
        wait_until(lambda: re.search(r"\033\[K2 migrations, link [\d.]+ MiB/s; "
                                     r"1 begins; 2 begins\r", read()), "both")


class Touched(RelayTest):
    """A stranger connects.  The destination does not hear of it, and still
    waits when a migration comes."""

    def touch(self, name, relay, data):
        """Say something; it is refused at once."""
        sock = self.connect(name, relay)
        sock.sendall(data)
        self.assertEqual(receive_all_or_reset(sock), b"")

    def check_nobody(self, listener):
        """No peer was connected to the destination."""
        listener.setblocking(False)
        self.assertRaises(BlockingIOError, listener.accept)
        listener.settimeout(TIMEOUT)

    def check_goes_on(self, name, relay, listener):
        """A QEMU is connected to the destination, and then the relay ends."""
        source = self.connect(name, relay)
        data = sample_stream(random.Random(30), pages=20)
        source.sendall(data)
        source.shutdown(socket.SHUT_WR)
        destination = self.accept(listener)
        start = preamble()
        self.assertEqual(receive_all(destination)[:len(start)], start)
        destination.sendall(SHUT)
        destination.close()
        self.assertEqual(relay.wait(), 0, relay.stderr())

    STRANGERS = (b"GET / HTTP/1.0\r\n\r\n", b"QUIT\r\n",
                 b"SSH-2.0-x\r\n", b"\0" * 16)

    def check(self, role, words):
        listener = self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--once", *role)
        relay.wait_listening()
        for data in self.STRANGERS:
            self.touch("relay", relay, data)
        self.connect("relay", relay).close()
        wait_until(lambda: relay.stderr().count(words) ==
                   len(self.STRANGERS), "all reasons")
        self.check_nobody(listener)
        return relay, listener

    def test_convert(self):
        for role in "--to-qemu", "--from-qemu":
            with self.subTest(role):
                self.setUp()
                relay, listener = self.check([role], "and is no QEMU")
                self.check_goes_on("relay", relay, listener)

    def test_auto(self):
        relay, listener = self.check([], "no QEMU and no ferry-relay")
        self.assertIn('the peer begins with "GET / HT"', relay.stderr())
        self.check_leads_on(relay, listener)

    def test_receive(self):
        relay, listener = self.check(["--role", "receive"],
                                     "and is no ferry-relay")
        self.check_leads_on(relay, listener)

    def check_leads_on(self, relay, listener):
        """Through another relay."""
        sender = self.start("--listen", "unix:" + self.path("source"),
                            "--connect", "unix:" + self.path("relay"),
                            "--role", "send", "--once")
        self.check_goes_on("source", sender, listener)
        self.assertEqual(relay.wait(), 0, relay.stderr())

    BEGINNINGS = (b"QEVM", b"\x11\x22\x33\x44", b"\x16\x03", b"\x08\0\x0a")

    def test_begins_in_pieces(self):
        """Role auto waits until the bytes tell.  A peer that closes before is
        not connected to the destination, and a peer that goes on is."""
        listener = self.listen("far")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("far"))
        for start in self.BEGINNINGS:
            for size in range(1, len(start)):
                with self.subTest(start=start[:size]):
                    source = self.connect("relay", relay)
                    source.sendall(start[:size])
                    source.shutdown(socket.SHUT_WR)
                    self.assertEqual(receive_all(source), b"")
                    self.check_nobody(listener)
            source = self.connect("relay", relay)
            for byte in start:
                source.sendall(bytes([byte]))
            far = self.accept(listener)
            self.assertEqual(far.recv(1), b"\xfe")
            far.close()
            self.assertEqual(receive_all_or_reset(source), b"")


class Itself(RelayTest):
    """A relay whose --connect leads back to its --listen by a detour."""

    def check_detour(self, *role):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("wire"), "--json",
                           *role)
        relay.wait_listening()
        wire = Wire(self.folder, self.path("relay"))
        self.addCleanup(wire.close)
        source = self.connect("relay", relay)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        relay.wait_says("migration 1: failed: ")
        relay.wait_says("migration 2: refused: ")
        wait_until(relay.reports, "report")
        said = relay.stderr()
        self.assertIn("migration 1: failed: the other relay refuses: this "
                      "relay has connected to itself", said)
        self.assertIn("migration 2: refused: this relay has", said)
        self.assertNotIn("migration 3", said)
        self.assertEqual([r["migration"] for r in relay.reports()], [1])

    def test_auto(self):
        self.check_detour()

    def test_send(self):
        """This role takes every other peer."""
        self.check_detour("--role", "send")


class Silent(RelayTest):
    """QEMU's second connection for postcopy-preempt: it says nothing before
    the switch to postcopy, and the destination waits for it."""

    def pair(self, sender=(), receiver=()):
        self.target = self.listen("qemu")
        self.receiver = self.start(
            "--listen", "unix:" + self.path("link"), "--connect",
            "unix:" + self.path("qemu"), "--json", *receiver)
        self.receiver.wait_listening()
        self.sender = self.start(
            "--listen", "unix:" + self.path("relay"), "--connect",
            "unix:" + self.path("link"), "--json", *sender)

    def main(self):
        source = self.connect("relay", self.sender)
        source.sendall(preamble())
        destination = self.accept(self.target)
        self.assertEqual(receive(destination, len(preamble())), preamble())
        return source, destination

    def check_silent(self, side, there):
        """Nobody has said anything there; and then they do."""
        there.setblocking(False)
        self.assertRaises(BlockingIOError, there.recv, 1)
        there.settimeout(TIMEOUT)
        data = random.Random(31).randbytes(100000)
        sender = threading.Thread(target=side.sendall, args=(data,))
        sender.start()
        self.assertEqual(receive(there, len(data)), data)
        sender.join(TIMEOUT)
        there.sendall(b"back")
        self.assertEqual(receive(side, 4), b"back")

    def close_both(self, near, far):
        near.shutdown(socket.SHUT_WR)
        receive_all(far)
        far.close()
        self.assertEqual(near.recv(1), b"")

    def check(self, **roles):
        self.pair(**roles)
        source, destination = self.main()
        side = self.connect("relay", self.sender)
        there = self.accept(self.target)
        self.check_silent(side, there)
        quiet = self.connect("relay", self.sender)
        for near, far in (quiet, self.accept(self.target)), (side, there):
            self.close_both(near, far)
        self.check_sides()
        self.end_main(source, destination)

    def check_sides(self):
        """Each counts as a migration."""
        wait_until(lambda: len(self.sender.reports()) == 2, "both reports")
        for report in self.sender.reports():
            self.assertEqual(report["status"], "unknown")

    def test_auto(self):
        self.check()

    def test_roles(self):
        self.check(sender=["--role", "send"], receiver=["--role", "receive"])

    def test_to_qemu(self):
        self.check(sender=["--to-qemu"], receiver=["--to-qemu"])

    def end_main(self, source, destination):
        source.sendall(END + EOS + FOOTER + b"\0")
        destination.sendall(SHUT)
        self.assertEqual(receive(source, len(SHUT)), SHUT)
        self.close_both(source, destination)

    def check_statuses(self, status):
        for relay in self.sender, self.receiver:
            self.assertEqual(relay.wait(), status, relay.stderr())

    def test_once(self):
        """A migration is all of its connections."""
        self.pair(sender=["--once"], receiver=["--once"])
        source, destination = self.main()
        side = self.connect("relay", self.sender)
        there = self.accept(self.target)
        self.end_main(source, destination)
        self.check_silent(side, there)
        self.close_both(side, there)
        self.check_statuses(0)

    def test_once_unused(self):
        """A silent connection that has ended is not all of a migration."""
        self.pair(sender=["--once", "--role", "send"], receiver=["--once"])
        side = self.connect("relay", self.sender)
        self.close_both(side, self.accept(self.target))
        for relay in self.sender, self.receiver:
            relay.wait_says("migration 1: ended, and its outcome is unknown")
        self.end_main(*self.main())
        self.check_statuses(0)

    def check_nobody(self, *args, **kwargs):
        """A silent peer finds no destination: that is a failure."""
        relay = self.start("--role", "send", "--json", "--connect",
                           "unix:" + self.path("nobody"), *args, **kwargs)
        if not kwargs:
            side = self.connect("relay", relay)
            self.assertEqual(receive_all_or_reset(side), b"")
        self.assertEqual(relay.wait(), 1, relay.stderr())
        self.assertIn("migration 1: failed: ", relay.stderr())

    def test_nobody_there(self):
        self.check_nobody("--listen", "unix:" + self.path("relay"), "--once")

    def test_nobody_there_stdio(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.check_nobody("--stdio", stdin=theirs, stdout=theirs)

    def test_before(self):
        """A connection from before the migration goes on after it."""
        self.pair()
        side = self.connect("relay", self.sender)
        _, destination = self.main()
        there = self.accept(self.target)
        self.assertNotEqual(there.fileno(), destination.fileno())
        self.check_silent(side, there)

    def test_alone(self):
        """With --role send there need be no migration that it knows of."""
        self.pair(sender=["--role", "send"])
        side = self.connect("relay", self.sender)
        there = self.accept(self.target)
        self.check_silent(side, there)
        self.close_both(side, there)
        for relay in self.sender, self.receiver:
            wait_until(relay.reports, "report")
            relay.process.terminate()
        self.check_statuses(2)

    def check_stdio(self, used):
        self.pair(receiver=["--role", "receive"])
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT)
        with ours, theirs:
            self.sender = self.start(
                "--stdio", "--role", "send", "--connect",
                "unix:" + self.path("link"), stdin=theirs, stdout=theirs)
            theirs.close()
            there = self.accept(self.target)
            if used:
                self.check_silent(ours, there)
            self.close_both(ours, there)
        wait_until(self.receiver.reports, "report")
        self.receiver.process.terminate()
        self.check_statuses(2)

    def test_stdio(self):
        """As systemd starts it."""
        for used in True, False:
            with self.subTest(used=used):
                self.setUp()
                self.check_stdio(used)


class Outcomes(RelayTest):
    """What both relays say of how it ended, and that it is the same."""

    def end(self, data, back, status, *words):
        chain = Chain(self)
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)
        chain.finish(status, back)
        chain.check_outcome(status, *words)
        return chain

    def test_rows(self):
        whole = sample_stream(random.Random(30), pages=9)
        alone = sample_stream(random.Random(30), pages=9, return_path=False)
        opaque = preamble() + struct.pack(">BHH", 8, 9, 0) + b"anything"
        for data, back, status, words in (
                (whole, PONG + SHUT, "completed", ""),
                (alone, b"", "completed", ""),
                (alone[:-20], b"", "failed", "behind RAM"),
                (whole, b"", "unknown", "without saying"),
                (whole, PONG, "unknown", "without saying"),
                (whole, b"no return path" + SHUT, "unknown",
                 "without saying"),
                (whole, PONG + SHUT_FAILED, "failed", "could not load"),
                (opaque, b"", "unknown", "postcopy"),
                (opaque, PONG + SHUT, "completed", ""),
                (opaque, PONG + SHUT_FAILED, "failed", "could not load"),
                (whole[:-20], PONG, "failed", "behind RAM"),
                (preamble() + PART, PONG, "failed", "before the end of RAM"),
                (b"\x16\3\1", b"\x16\3\3\0\1\0", "unknown", "TLS")):
            with self.subTest(size=len(data), back=back):
                self.setUp()
                chain = self.end(data, back, status, words)
                for relay in chain.sender, chain.receiver:
                    self.assertEqual("; the destination has the guest"
                                     in relay.stderr(),
                                     SHUT in back and status == "completed")

    def test_several(self):
        """The exit status of a relay that goes on is the last outcome that is
        known."""
        whole = sample_stream(random.Random(31), pages=3, return_path=False)
        opaque = b"QEVM of a kind that nobody knows"
        for streams, status in (((opaque,), 2), ((opaque, whole, opaque), 0),
                                ((whole, opaque, whole[:-9], opaque), 1)):
            self.setUp()
            listener = self.listen("qemu")
            relay = self.start("--listen", "unix:" + self.path("relay"),
                               "--connect", "unix:" + self.path("qemu"),
                               "--to-qemu", "--json")
            for number, data in enumerate(streams):
                source = self.connect("relay", relay)
                source.sendall(data)
                source.shutdown(socket.SHUT_WR)
                with self.accept(listener) as destination:
                    receive_all(destination)
                wait_until(lambda: len(relay.reports()) > number, "the report")
            relay.process.terminate()
            self.assertEqual(relay.wait(), status, relay.stderr())


def start_receiver(test):
    """A receiver in front of a QEMU's listener, and the link to it."""
    listener = test.listen("qemu")
    receiver = test.start("--listen", "unix:" + test.path("link"),
                          "--connect", "unix:" + test.path("qemu"),
                          "--once", "--json")
    return listener, receiver, test.connect("link", receiver)


class OlderRelay(RelayTest):
    """At the other end is one that speaks version 1 only."""
    VERSION = 1
    VERDICT = b""  # what it says of a stream, and what it is told of others
    TOLD_WHOLE = []
    TOLD_CUT = [(3, b"the source has closed before the end of RAM")]

    def hello(self):
        hello = struct.pack(">8sHHI16s", b"\xfeFRELAY\n", self.VERSION, 64, 0,
                            b"zlib")
        return hello + struct.pack(">I", zlib.crc32(hello))

    def frame(self, kind, before, body, stands_for=b"", pages=0):
        """stands_for: bytes of the stream."""
        packed = zlib.compress(body) if pages else body
        head = struct.pack(">BBHIIII", kind, 0, pages, len(stands_for),
                           len(body), len(packed),
                           zlib.crc32(struct.pack(">Q", before) +
                                      (stands_for or body)))
        return head + struct.pack(">I", zlib.crc32(head)) + packed

    def frames(self, data):
        out = []
        while data:
            kind, size = struct.unpack_from(">B11xI", data)
            out.append((kind, data[24:24 + size]))
            data = data[24 + size:]
        return out

    def send(self, data):
        """What the sender writes behind HELLO, and how it ends."""
        listener = self.listen("link")
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--once", "--json")
        source = self.connect("relay", sender)
        source.sendall(data)
        source.shutdown(socket.SHUT_WR)
        link = self.accept(listener)
        self.assertEqual(receive(link, 36)[8:10], b"\0\3")
        link.sendall(self.hello())
        got = bytearray()
        while not any(kind in (2, 3) for kind, _ in self.frames(got)):
            got += link.recv(1 << 20)
        kind, body = self.frames(got)[-1]
        if kind == 3:
            link.sendall(self.frame(3, 0, b"the other relay says: " + body))
        else:
            link.sendall(self.frame(2, 0, bytes(8)) +
                         self.frame(4, 0, struct.pack(">Q", len(data))))
        sender.wait()
        return self.frames(got), sender.reports()[0]

    def test_receives_whole(self):
        data = sample_stream(random.Random(32), pages=3, return_path=False)
        frames, report = self.send(data)
        told = [*self.TOLD_WHOLE, (2, struct.pack(">Q", len(data)))]
        self.assertEqual(frames[-len(told):], told)
        self.assertEqual({kind for kind, _ in frames[:-len(told)]}, {1})
        self.assertEqual(report["status"], "completed")
        self.assertEqual(report["history"], 0)

    def test_receives_cut(self):
        """It learns that not all has come."""
        frames, report = self.send(preamble() + PART)
        self.assertEqual(frames[-len(self.TOLD_CUT):], self.TOLD_CUT)
        self.assertEqual(report["status"], "failed")
        self.assertEqual(report["error"],
                         "the source has closed before the end of RAM")

    def send_by_hand(self, link, data):
        """Some literals, and a frame with two pages, of which one is zero."""
        begin = preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram")
        first, page, zeros, last = (data[:len(begin) - PAGE], b"x" * PAGE,
                                    head(PAGE, 8) + bytes(PAGE),
                                    data[len(begin) + 8 + PAGE:])
        body = page + head(PAGE, 8) + b"end" + struct.pack(">HH", 0, 0x8008)
        link.sendall(self.hello() + self.frame(1, 0, first, first) +
                     self.frame(1, len(first), body, page + zeros + last, 2))
        if self.VERDICT:
            link.sendall(self.frame(5, len(data), self.VERDICT))
        link.sendall(self.frame(2, len(data), struct.pack(">Q", len(data))))

    def test_sends(self):
        """Whether the stream was whole, it does not say or does not know."""
        data = preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram") + \
            plain(PAGE, bytes(PAGE)) + b"end"
        for back, status in ((b"", "unknown"), (SHUT, "completed"),
                             (SHUT_FAILED, "failed")):
            with self.subTest(status=status):
                self.setUp()
                listener, receiver, link = start_receiver(self)
                self.send_by_hand(link, data)
                self.assertEqual(receive(link, 36), self.hello())
                destination = self.accept(listener)
                self.assertEqual(receive_all(destination), data)
                destination.sendall(back)
                destination.close()
                self.assertEqual(receiver.wait(), STATUS[status])
                report, = receiver.reports()
                self.assertEqual(report["status"], status)
                self.assertEqual(report["history"], 0)


class OlderRelay2(OlderRelay):
    """It knows of verdicts, but keeps no history."""
    VERSION = 2
    VERDICT = b"\4"
    TOLD_WHOLE = [(5, b"\1")]
    TOLD_CUT = [(5, b"\2the source has closed before the end of RAM"),
                (2, struct.pack(">Q", len(preamble() + PART)))]


class Recorded(RelayTest):
    """What a sender of version 3 has sent stays readable."""

    def stream(self):
        text = (b"text of a page " * 300)[:PAGE]
        other = text[:100] + bytes([text[100] ^ 1]) + text[101:]
        first = [text, text, bytes(PAGE), b"pattern!" * 512, other]
        return (preamble(blocks={b"pc.ram": 1 << 20}) + PART + b"".join(
            plain(i * PAGE, page, None if i else b"pc.ram")
            for i, page in enumerate(first)) +
            plain(0, other) + zero(9 * PAGE) + plain(PAGE, text) +
            EOS + FOOTER + END + EOS + FOOTER + EOF)

    def test_packs(self):
        """All kinds of pages, in two packs."""
        folder = os.path.join(ROOT, "tests", "fuzz", "corpus", "relay-receive")
        for method in methods(RELAY):
            if method == "auto":
                continue
            with self.subTest(method=method):
                self.setUp()
                listener, receiver, link = start_receiver(self)
                with open(os.path.join(folder, "pack-" + method), "rb") as f:
                    link.sendall(f.read())
                destination = self.accept(listener)
                self.assertEqual(receive_all(destination), self.stream())
                destination.sendall(SHUT)
                destination.close()
                self.assertEqual(receiver.wait(), 0, receiver.stderr())


class Commands(RelayTest):
    """exec:, which is two-way in a relay, and how its command ended."""

    def exec_relay(self, *args):
        return "exec:" + shlex.join([RELAY, "--stdio", *args])

    def children(self, relay):
        names = glob.glob(f"/proc/{relay.process.pid}/task/*/children")
        return "".join(pathlib.Path(n).read_text("ascii") for n in names)

    def move(self, source, listener):
        data = sample_stream(random.Random(40), pages=50)
        sender = threading.Thread(target=source.sendall, args=(data,))
        sender.start()
        destination = self.accept(listener)
        self.assertEqual(receive(destination, len(data)), data)
        sender.join()
        destination.sendall(PONG + SHUT)
        self.assertEqual(receive(source, 16), PONG + SHUT)
        source.shutdown(socket.SHUT_WR)
        self.assertEqual(destination.recv(1), b"")
        destination.close()
        self.assertEqual(source.recv(1), b"")

    def test_connect(self):
        """As by ssh, one after the other; nothing is left of them."""
        listener = self.listen("qemu")
        relay = self.start(
            "--listen", "unix:" + self.path("relay"), "--role", "send",
            "--json", "--connect", self.exec_relay(
                "--role", "receive", "--connect", "unix:" + self.path("qemu")))
        for number in range(2):
            self.move(self.connect("relay", relay), listener)
            wait_until(lambda: len(relay.reports()) > number, "the report")
        self.assertEqual([r["status"] for r in relay.reports()],
                         ["completed"] * 2)
        self.assertEqual(relay.stderr().count("migration 1: completed: "), 3)
        self.assertNotIn("exited", relay.stderr())
        wait_until(lambda: not self.children(relay), "all to be reaped")

    def test_listen(self):
        """The link is made from the receiver's side."""
        listener = self.listen("qemu")
        relay = self.start(
            "--role", "receive", "--connect", "unix:" + self.path("qemu"),
            "--listen", self.exec_relay("--role", "send", "--listen",
                                        "unix:" + self.path("relay")))
        self.move(self.connect("relay", relay), listener)
        self.assertEqual(relay.wait(), 0, relay.stderr())

    def to_command(self, command, status, return_path=False):
        self.start("--listen", "unix:" + self.path("link"), "--role",
                   "receive", "--connect", "exec:" + command,
                   "--once").wait_listening()
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--once")
        data = sample_stream(random.Random(41), pages=20,
                             return_path=return_path)
        with self.connect("relay", sender) as source:
            with contextlib.suppress(ConnectionError):
                source.sendall(data)
                source.shutdown(socket.SHUT_WR)
            receive_all_or_reset(source)
        self.assertEqual(sender.wait(), status, sender.stderr())
        return data, sender

    def test_destination(self):
        """It reads to the end and need not answer."""
        path = self.path("out")
        data, _ = self.to_command(f"cat > {path}", 0)
        self.assertEqual(pathlib.Path(path).read_bytes(), data)

    def test_destination_never_answers(self):
        """The source is told that its return path has ended, while it still
        sends."""
        path = self.path("out")
        self.start("--listen", "unix:" + self.path("link"), "--role",
                   "receive", "--connect", f"exec:exec cat > {path}",
                   "--once").wait_listening()
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--once")
        data = sample_stream(random.Random(42), pages=20)
        source = self.connect("relay", sender)
        source.settimeout(TIMEOUT)
        source.sendall(data[:-1])
        self.assertEqual(source.recv(1), b"")
        source.sendall(data[-1:])
        source.shutdown(socket.SHUT_WR)
        sender.wait()
        self.assertEqual(pathlib.Path(path).read_bytes(), data)

    def test_destination_is_asked(self):
        """It does not say what the source waits for."""
        _, sender = self.to_command("cat > /dev/null", 2, return_path=True)
        self.assertIn("without saying", sender.stderr())

    def test_destination_hangs(self):
        """A second signal ends a relay that waits for its command."""
        mark = self.path("mark")
        receiver = self.start(
            "--listen", "unix:" + self.path("link"), "--role", "receive",
            "--connect", "exec:exec > /dev/null; cat; "
            f"touch {mark}; exec sleep 100000")
        receiver.wait_listening()
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--once")
        source = self.connect("relay", sender)
        source.sendall(sample_stream(random.Random(43), pages=20))
        source.shutdown(socket.SHUT_WR)
        wait_until(lambda: os.path.exists(mark), "the end of the stream")
        receiver.process.terminate()
        receiver.wait_says("still running")
        receiver.process.terminate()
        self.assertEqual(receiver.wait(), 1)
        self.assertIn("terminated", receiver.stderr())
        self.assertNotIn("goes on running", receiver.stderr())

    def test_destination_fails(self):
        """It has taken all, and then it fails: both relays say why."""
        _, sender = self.to_command("cat > /dev/null; exit 3", 1)
        self.assertIn("exited with status 3", sender.stderr())

    def test_link_fails(self):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "exec:exit 7", "--once", "--json")
        source = self.connect("relay", relay)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        self.assertEqual(relay.wait(), 1)
        self.assertIn("exited with status 7", relay.reports()[0]["error"])


class Alone(RelayTest):
    """One relay and something that is no relay."""

    def test_nobody_there(self):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("nobody"),
                           "--once")
        source = self.connect("relay", relay)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        self.assertEqual(relay.wait(), 1)
        self.assertIn("nobody", relay.stderr())

    def check_no_relay(self, leave):
        listener = self.listen("far")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("far"), "--once")
        source = self.connect("relay", relay)
        source.sendall(preamble())
        destination = self.accept(listener)
        receive(destination, 4)
        leave(destination)
        self.assertEqual(receive_all_or_reset(source), b"")
        self.assertEqual(relay.wait(), 1)
        self.assertIn("closed the connection instead of answering: it is no "
                      "ferry-relay (a QEMU, perhaps", relay.stderr())

    def test_no_relay_there(self):
        """Like a QEMU, it closes when it sees no QEVM."""
        self.check_no_relay(lambda far: far.shutdown(socket.SHUT_WR))

    def test_no_relay_resets(self):
        """It closes with something that it has not read."""
        self.check_no_relay(lambda far: far.close())

    def test_qemu_not_there(self):
        """The receiver says why, and the sender logs it."""
        receiver = self.start("--listen", "unix:" + self.path("link"),
                              "--connect", "unix:" + self.path("no-qemu"),
                              "--once")
        self.connect("link", receiver).close()
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--once")
        source = self.connect("relay", sender)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        self.assertEqual(sender.wait(), 1)
        self.assertIn("no-qemu", sender.stderr())
        self.assertEqual(receiver.wait(), 1)

    def test_signals(self):
        """The first lets a migration go on, the second ends it."""
        chain = Chain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.sender.process.terminate()
        wait_until(lambda: "still running" in chain.sender.stderr(), "notice")
        chain.say(PART)
        self.assertEqual(chain.hear(len(PART)), PART)
        chain.sender.process.terminate()
        self.assertEqual(chain.sender.wait(), 1)
        self.assertIn("terminated", chain.sender.stderr())
        self.assertEqual(receive_all_or_reset(chain.destination), b"")

    def test_draining(self):
        """The relay does not listen any more: a late peer is told at once."""
        chain = Chain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.sender.process.terminate()
        chain.sender.wait_says("still running")
        wait_until(lambda: not os.path.exists(self.path("relay")), "socket")
        chain.finish()

    def test_only_one(self):
        """Standard output is one destination's.  A second source is refused,
        and the first one goes on."""
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT)
        self.addCleanup(ours.close)
        receiver = self.start("--listen", "unix:" + self.path("link"),
                              "--stdio", stdin=theirs, stdout=theirs)
        theirs.close()
        receiver.wait_listening()
        data = sample_stream(random.Random(22))
        sender, second = (self.start(
            "--listen", "unix:" + self.path(name), "--connect",
            "unix:" + self.path("link"), "--once") for name in ("1", "2"))
        source, intruder = self.connect("1", sender), self.connect("2", second)
        source.sendall(data[:100])
        got = receive(ours, 100)
        intruder.sendall(data[:100])
        self.assertEqual(receive_all_or_reset(intruder), b"")
        self.assertEqual(second.wait(), 1)
        self.assertIn("serves one only", second.stderr())
        source.sendall(data[100:])
        source.shutdown(socket.SHUT_WR)
        self.assertEqual(got + receive_all(ours), data)
        ours.sendall(SHUT)
        ours.close()
        self.assertEqual(sender.wait(), 0, sender.stderr())
        self.assertEqual(receiver.wait(), 0, receiver.stderr())

    def test_silent(self):
        """A peer that says nothing, or half a greeting, is turned away in the
        end.  It is no migration, and holds up no other peer."""
        listener = self.listen("qemu")
        receiver = self.start("--listen", "unix:" + self.path("link"),
                              "--connect", "unix:" + self.path("qemu"),
                              "--once")
        silent = [self.connect("link", receiver) for _ in range(2)]
        silent[1].sendall(b"\xfeFRE")
        for sock in silent:
            self.assertEqual(receive_all_or_reset(sock), b"")
        wait_until(lambda: receiver.stderr().count("what it wants") == 2,
                   "both reasons")
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--once")
        source = self.connect("relay", sender)
        source.sendall(preamble())
        self.assertEqual(receive(self.accept(listener), len(preamble())),
                         preamble())

    def test_signal_when_somebody_is_silent(self):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("far"))
        silent = self.connect("relay", relay)
        silent.sendall(b"\xfe")
        relay.process.terminate()
        self.assertEqual(relay.wait(), 0, relay.stderr())
        self.assertEqual(receive_all_or_reset(silent), b"")

    def served(self, relay):
        """How many connections of any kind the relay serves."""
        count = 0
        for name in glob.glob(f"/proc/{relay.process.pid}/task/*/comm"):
            with contextlib.suppress(OSError):  # the thread may end just now
                count += pathlib.Path(name).read_text(
                    "ascii") == "relay/forward\n"
        return count

    def test_crowd(self):
        """A limited number of connections is served.  A further one takes the
        place of the one that has been silent for longest."""
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("far"))
        relay.wait_listening()
        listener = self.listen("far")
        crowd = [self.connect("relay", relay) for _ in range(CONNECTIONS)]
        wait_until(lambda: self.served(relay) == CONNECTIONS, "a full relay")
        late = [self.connect("relay", relay) for _ in range(CONNECTIONS)]
        for sock in crowd:
            self.assertEqual(receive_all_or_reset(sock), b"")
        self.assertLessEqual(self.served(relay), CONNECTIONS + GOING)
        late[-1].sendall(preamble())
        self.assertEqual(self.accept(listener).recv(1), b"\xfe")
        wait_until(lambda: self.served(relay) == CONNECTIONS, "a full relay")

    def fill(self, relay, target):
        """As many migrations as it serves, through a relay that has room."""
        ends = []
        for _ in range(MIGRATIONS):
            source = self.connect("relay", relay)
            source.sendall(preamble())
            ends.append((source, self.accept(target)))
        return ends

    def check_full(self, relay, target, ends):
        """One more is told so; and there is room when one has gone."""
        source = self.connect("relay", relay)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        for end in ends.pop():
            end.close()
        wait_until(lambda: self.served(relay) < MIGRATIONS, "room")
        source = self.connect("relay", relay)
        source.sendall(preamble())
        self.accept(target)

    def test_full_sender(self):
        target = self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--to-qemu", "--compress-threads", "1", "--json")
        relay.wait_listening()
        self.check_full(relay, target, self.fill(relay, target))
        self.assertIn(f"migration {MIGRATIONS + 1}: refused: this relay serves "
                      f"{MIGRATIONS} migrations already", relay.stderr())
        self.assertEqual([r["migration"] for r in relay.reports()],
                         [MIGRATIONS])  # the one that has gone

    def test_full_receiver(self):
        """The sender of a migration too many says why as well."""
        target = self.listen("qemu")
        receiver = self.start("--listen", "unix:" + self.path("link"),
                              "--connect", "unix:" + self.path("qemu"),
                              "--role", "receive", "--decompress-threads", "1")
        receiver.wait_listening()
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            "--role", "send", "--compress-threads", "1")
        sender.wait_listening()
        self.fill(sender, target)
        extra = self.start("--listen", "unix:" + self.path("extra"),
                           "--connect", "unix:" + self.path("link"),
                           "--role", "send", "--once")
        source = self.connect("extra", extra)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        self.assertEqual(extra.wait(), 1)
        words = f"this relay serves {MIGRATIONS} migrations already"
        self.assertIn("the other relay refuses: " + words, extra.stderr())
        self.assertIn(words, receiver.stderr())

    def own_filters(self, *args):
        """How many seccomp filters it has that we have not."""
        def count(pid):
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            return int(re.search(r"^Seccomp_filters:\t(\d+)$", status,
                                 re.M)[1])
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--role", "send", *args)
        relay.wait_listening()
        return count(relay.process.pid) - count("self")

    def test_sandbox(self):
        said = subprocess.run([RELAY, "--version"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        wanted = int("sandbox: seccomp\n" in said)
        self.assertEqual(
            self.own_filters("--connect", "unix:" + self.path("qemu")),
            wanted)

    def test_no_sandbox_for_commands(self):
        self.assertEqual(self.own_filters("--connect", "exec:cat"), 0)

    def test_signal_when_idle(self):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("far"))
        self.connect("relay", relay).close()
        relay.process.terminate()
        self.assertEqual(relay.wait(), 0)
        self.assertFalse(os.path.exists(self.path("relay")))

    def test_signals_while_it_ends(self):
        """They do not change what it exits with."""
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("far"))
        relay.wait_listening()
        while relay.process.poll() is None:
            relay.process.terminate()
        self.assertEqual(relay.wait(), 0, relay.stderr())

    def test_many_at_once(self):
        """Each migration has its own state."""
        listener = self.listen("qemu")
        link, relay = "unix:" + self.path("link"), "unix:" + self.path("relay")
        receiver = self.start("--listen", link, "--connect",
                              "unix:" + self.path("qemu"),
                              "--decompress-threads", "1")
        self.connect("link", receiver).close()
        sender = self.start("--listen", relay, "--connect", link, "--stats",
                            "--compress-threads", "1")
        streams = [sample_stream(random.Random(20 + i), pages=50 + i)
                   for i in range(6)]
        sources = [self.connect("relay", sender) for _ in streams]
        sinks = []
        for source, data in zip(sources, streams):
            source.sendall(data[:9])
            sinks.append(self.accept(listener))
        for source, data in zip(reversed(sources), reversed(streams)):
            threading.Thread(target=send_in_pieces, daemon=True,
                             args=(source, data[9:], [5000])).start()
        for sink, data in zip(sinks, streams):
            self.assertEqual(receive(sink, len(data)), data)
        for source, sink in zip(sources, sinks):
            source.shutdown(socket.SHUT_WR)
            self.assertEqual(sink.recv(1), b"")
            sink.close()
            self.assertEqual(source.recv(1), b"")


if __name__ == "__main__":
    tap.main()
