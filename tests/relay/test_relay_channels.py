#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several connections of a migration's in one link.

A pretended source has a main connection and others besides (multifd's,
postcopy-preempt's); the relays carry all of them over one link, and connect to
the destination as often.
"""
import contextlib
import random
import re
import socket
import struct
import threading
import time
import unittest

from relay_kit import (BookTest, PAGE, PART, SHUT, Chain, RelayTest, multifd_first,
                       multifd_packet, plain, preamble, receive, receive_all,
                       receive_all_or_reset, sample_stream, sanitized)
import tap
from ferry_vm import TIMEOUT, connect_unix

SIDE_WINDOW = 16 << 20  # docs/relay.md
PACKET = 128 * PAGE
SAID = len(preamble() + PART)  # with which sample_stream() begins


def multifd_stream(rand, channel, packets, pages=None):
    """One of multifd's connections; pages: what it takes them from."""
    out = [multifd_first(channel)]
    for i in range(packets):
        out.append(multifd_packet(0, 128, PACKET, i * PACKET))
        out.append(rand.randbytes(PACKET) if pages is None
                   else b"".join(rand.choices(pages, k=128)))
    return b"".join(out)


class Channels(Chain):
    """A link that the relays would make again, so one with channels."""
    RESUMES = True

    def __init__(self, test, sender=(), receiver=()):
        super().__init__(test, sender, receiver)
        self.listener.listen(64)

    def more(self, begin=b""):
        """One more connection; (source's end, destination's end)."""
        source = self.test.connect("relay", self.sender)
        source.sendall(begin)
        return source, self.test.accept(self.listener)


class Moves(threading.Thread):
    """Writes all of a stream, and half-closes."""

    def __init__(self, sock, data):
        super().__init__(daemon=True)
        self.sock, self.data = sock, data
        self.start()

    def run(self):
        self.sock.sendall(self.data)
        self.sock.shutdown(socket.SHUT_WR)


class Exact(RelayTest):
    """Bytes come out as they went in, on each connection."""

    def check(self, streams, sender=()):
        """The first stream is the main connection's."""
        chain = Channels(self, sender)
        pairs = []
        for stream in streams:
            if pairs:
                pairs.append(chain.more(stream[:64]))
            else:
                chain.say(stream[:64])
                pairs.append((chain.source, chain.destination))
        writers = [Moves(source, stream[64:])
                   for (source, _), stream in zip(pairs, streams)]
        got = [None] * len(pairs)

        def read(i):
            got[i] = receive_all(pairs[i][1])
            if i == 0:  # a destination has all before it says so
                for reader in readers[1:]:
                    reader.join(TIMEOUT)
                pairs[i][1].sendall(SHUT)
            pairs[i][1].close()
        readers = [threading.Thread(target=read, args=(i,))
                   for i in range(len(pairs))]
        for thread in reversed(readers):  # the first waits for the others
            thread.start()
        for thread in readers + writers:
            thread.join(TIMEOUT)
        for i, stream in enumerate(streams):
            self.assertTrue(got[i] == stream, f"connection {i}")
        self.assertEqual(receive_all(pairs[0][0]), SHUT)
        for source, _ in pairs[1:]:
            self.assertEqual(receive_all(source), b"")
        chain.check_outcome("completed")
        return chain

    def test_multifd(self):
        rand = random.Random(1)
        for channels in 1, 2, 8:
            streams = [sample_stream(rand)] + [
                multifd_stream(rand, i, 3) for i in range(channels)]
            chain = self.check(streams)
            sent, = chain.sender.reports()
            self.assertEqual(sent["bytes-in"], sum(map(len, streams)))
            self.assertEqual(sent["connections"], channels + 1)
            self.doCleanups()
            self.setUp()

    def test_one_history(self):
        """What one connection has sent need not be sent by another."""
        rand = random.Random(2)
        pages = [rand.randbytes(PAGE) for _ in range(2000)]
        streams = [sample_stream(rand)] + [
            multifd_stream(rand, i, 40, pages) for i in range(4)]
        sent, = self.check(streams).sender.reports()
        distinct = len(pages) * PAGE + len(streams[0])
        self.assertLess(sent["bytes-out"], 1.2 * distinct)

    def test_strange(self):
        """Nothing is understood, and comes in all sizes."""
        rand = random.Random(3)
        self.check([rand.randbytes(100), rand.randbytes(1),
                    b"\0" * 65, rand.randbytes(3 << 20),
                    sample_stream(rand)[100:]])

    def test_preempt(self):
        """Pages that the destination has asked for; they are not in packs,
        and encoded all the same."""
        rand = random.Random(4)
        page = (b"asked for " * 500)[:PAGE]
        streams = [sample_stream(rand),
                   b"".join(plain(i * PAGE, page, b"pc.ram")
                            for i in range(300))]
        sent, = self.check(streams).sender.reports()
        self.assertGreater(sent["ratio"], 1.5)

    def test_methods(self):
        rand = random.Random(5)
        for method in "zlib", "lz4", "zstd":
            self.check([sample_stream(rand)] +
                       [multifd_stream(rand, i, 2) for i in range(2)],
                       ["--compress-method", method])
            self.doCleanups()
            self.setUp()


class Flow(RelayTest):
    """No connection waits for another one."""

    def set_up(self, count):
        chain = Channels(self)
        chain.say(preamble() + PART)
        chain.hear(len(preamble() + PART))
        return chain, [chain.more(multifd_first(i)) for i in range(count)]

    def test_stalled(self):
        """A destination that does not read one of its connections gets what
        comes on the others."""
        rand = random.Random(6)
        chain, (stalled, other) = self.set_up(2)
        receive(stalled[1], 64)
        receive(other[1], 64)
        data = rand.randbytes(4 * SIDE_WINDOW)
        writer = Moves(stalled[0], data)
        time.sleep(0.5)  # it has filled what there is to be filled
        for _ in range(10):
            more = rand.randbytes(1 << 20)
            other[0].sendall(more)
            self.assertEqual(receive(other[1], len(more)), more)
            chain.source.sendall(plain(0, more[:PAGE], b"pc.ram"))
            chain.hear(PAGE + 15)
        self.assertTrue(writer.is_alive())
        self.assertTrue(receive_all(stalled[1]) == data)
        writer.join(TIMEOUT)

    def test_stalled_source(self):
        """The same of a source that does not read what comes back."""
        rand = random.Random(7)
        chain, (stalled, other) = self.set_up(2)
        data = rand.randbytes(4 * SIDE_WINDOW)
        writer = Moves(stalled[1], data)
        time.sleep(0.5)
        for _ in range(10):
            more = rand.randbytes(1 << 20)
            other[1].sendall(more[:PAGE])
            self.assertEqual(receive(other[0], PAGE), more[:PAGE])
            other[0].sendall(more)
        self.assertTrue(writer.is_alive())
        self.assertTrue(receive_all(stalled[0]) == data)
        writer.join(TIMEOUT)
        chain.destination.sendall(SHUT)
        self.assertEqual(receive(chain.source, len(SHUT)), SHUT)

    def test_random_stalls(self):
        """Each end reads and writes when it likes to."""
        for seed in range(4):
            rand = random.Random(seed)
            streams = [sample_stream(rand)] + [
                multifd_stream(rand, i, rand.randrange(12))
                for i in range(rand.randrange(1, 5))]
            self.stall(seed, streams)
            self.doCleanups()
            self.setUp()

    def stall(self, seed, streams):
        chain = Channels(self)
        chain.say(streams[0][:64])
        pairs = [(chain.source, chain.destination)]
        pairs += [chain.more(stream[:64]) for stream in streams[1:]]
        got = [bytearray() for _ in streams]

        def write(i):
            rand, at = random.Random(seed * 100 + i), 64
            while at < len(streams[i]):
                size = rand.choice((1, 100, PAGE, 100000, 1 << 20))
                pairs[i][0].sendall(streams[i][at:at + size])
                at += size
                if rand.random() < 0.05:
                    time.sleep(rand.random() / 10)
            pairs[i][0].shutdown(socket.SHUT_WR)

        def read(i):
            rand = random.Random(seed * 100 + 50 + i)
            while data := pairs[i][1].recv(rand.choice((1000, 1 << 20))):
                got[i] += data
                if rand.random() < 0.02:
                    time.sleep(rand.random() / 10)
            if i == 0:
                for reader in readers[1:]:
                    reader.join(TIMEOUT)
                pairs[i][1].sendall(SHUT)
            pairs[i][1].close()
        writers, readers = ([threading.Thread(target=run, args=(i,))
                             for i in range(len(pairs))]
                            for run in (write, read))
        threads = readers + writers
        for thread in reversed(threads):  # as above
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        for i, stream in enumerate(streams):
            self.assertTrue(got[i] == stream, f"seed {seed}, connection {i}")
        chain.check_outcome("completed")


class Connections(RelayTest):
    def pair(self):
        """Two relays with any number of links; the sender, and where the
        destination listens."""
        receiver = self.start("--role", "receive", "--listen",
                              "unix:" + self.path("link"), "--connect",
                              "unix:" + self.path("qemu"), resumes=True)
        receiver.wait_listening()
        sender = self.start("--role", "send", "--listen",
                            "unix:" + self.path("relay"), "--connect",
                            "unix:" + self.path("link"), resumes=True)
        sender.wait_listening()
        listener = self.listen("qemu")
        return sender, listener

    def begin(self, seed):
        """A chain, and the stream of which the beginning has passed."""
        chain = Channels(self)
        stream = sample_stream(random.Random(seed))
        chain.say(stream[:SAID])
        chain.hear(SAID)
        return chain, stream

    @staticmethod
    def end(chain, stream):
        """The rest passes, and the migration has succeeded."""
        chain.source.sendall(stream[SAID:])
        size = len(stream) - SAID
        chain.test.assertEqual(chain.hear(size), stream[SAID:])
        chain.finish("completed")

    def test_order(self):
        """The destination is connected to in the order of the source, also
        where nothing is said."""
        chain = Channels(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        sources = [self.connect("relay", chain.sender) for _ in range(6)]
        ends = [self.accept(chain.listener) for _ in sources]
        for i in 3, 0, 5, 1, 4, 2:
            sources[i].sendall(multifd_first(i))
            self.assertEqual(receive(ends[i], 64), multifd_first(i))

    def test_full_queue(self):
        """A destination that listens with a short queue, as QEMU does, and
        takes its time."""
        chain = Channels(self)
        chain.listener.listen(0)
        chain.say(preamble())
        sources = [self.connect("relay", chain.sender) for _ in range(6)]
        for i, source in enumerate(sources):
            source.sendall(multifd_first(i))
        time.sleep(0.3)
        for i in range(6):
            self.assertEqual(receive(self.accept(chain.listener), 64),
                             multifd_first(i))

    def test_second_migration(self):
        """There is one destination: a second migration is refused, and told
        so, while the first one is on its way."""
        chain = Channels(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        second = self.connect("relay", chain.sender)
        second.sendall(preamble())
        self.assertEqual(receive_all_or_reset(second), b"")
        chain.sender.wait_says("migration 2: refused: migration 1 is on its "
                               "way here")
        chain.source.sendall(PART)
        chain.hear(len(PART))
        chain.finish()

    def test_next_migration(self):
        """When the source has ended one, another one may come at once, though
        the destination has not."""
        sender, listener = self.pair()
        before = None
        for _ in range(3):
            source = self.connect("relay", sender)
            source.sendall(preamble())
            end = self.accept(listener)
            receive(end, len(preamble()))
            source.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(end), b"")
            if before:
                before.close()
            before = end

    def test_source_breaks_one(self):
        """A connection that breaks breaks at the other end, and nothing else
        does."""
        chain, stream = self.begin(8)
        source, end = chain.more(multifd_first(0))
        receive(end, 64)
        source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        # A unix socket that is closed with bytes unread resets its peer.
        end.sendall(b"unread")
        time.sleep(0.2)
        source.close()
        receive_all_or_reset(end)
        end.close()
        self.end(chain, stream)

    def test_destination_breaks_one(self):
        chain, stream = self.begin(9)
        source, end = chain.more(multifd_first(0))
        receive(end, 64)
        end.close()
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                source.sendall(bytes(PAGE))
                time.sleep(0.01)
        source.close()
        self.end(chain, stream)

    def test_destination_is_gone(self):
        """It takes no further connection.  Somebody who only looks at the port
        must not end a migration, so QEMU has to see that it lacks one."""
        chain, stream = self.begin(10)
        chain.listener.close()
        source = self.connect("relay", chain.sender)
        source.sendall(multifd_first(0))
        self.assertEqual(receive_all_or_reset(source), b"")
        silent = self.connect("relay", chain.sender)
        self.assertEqual(receive_all_or_reset(silent), b"")
        self.end(chain, stream)

    def test_others_stay(self):
        """When a migration has ended, connections that do not end by
        themselves are ended; silent ones at once."""
        for words in b"", multifd_first(0):
            chain = Channels(self)
            stream = sample_stream(random.Random(11))
            chain.say(stream)
            chain.hear(len(stream))
            source, end = chain.more(words)
            begin = time.monotonic()
            chain.finish("completed")
            self.assertEqual(receive_all_or_reset(source), b"")
            receive_all_or_reset(end)
            if not words:
                self.assertLess(time.monotonic() - begin, 1.5)
            self.doCleanups()
            self.setUp()

    def test_main_after_silent(self):
        """What was there before, and says nothing, is no migration: the main
        connection has a link of its own, and others join that."""
        sender, listener = self.pair()
        silent = self.connect("relay", sender)
        first = self.accept(listener)
        main = self.connect("relay", sender)
        main.sendall(preamble())
        end = self.accept(listener)
        self.assertEqual(receive(end, len(preamble())), preamble())
        side = self.connect("relay", sender)
        side.sendall(multifd_first(0))
        self.assertEqual(receive(self.accept(listener), 64), multifd_first(0))
        silent.sendall(b"x")
        self.assertEqual(receive(first, 1), b"x")

    def test_main_breaks(self):
        """All connections end with the first one."""
        chain = Channels(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        source, end = chain.more(multifd_first(0))
        receive(end, 64)
        chain.destination.close()
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                chain.source.sendall(bytes(PAGE))
                time.sleep(0.01)
        self.assertEqual(receive_all_or_reset(source), b"")
        self.assertEqual(receive_all_or_reset(end), b"")
        chain.check_outcome("failed")

    def test_killed_while_busy(self):
        """All connections write at that time."""
        for _ in range(3):
            chain = Channels(self, ["--resume-timeout", "1"])
            chain.say(preamble())
            chain.hear(len(preamble()))
            rand = random.Random(12)
            pairs = [chain.more(multifd_first(i)) for i in range(6)]
            data = multifd_stream(rand, 0, 40)

            def write(source):
                with contextlib.suppress(OSError):
                    while True:
                        source.sendall(data)

            def read(end):
                with contextlib.suppress(OSError):
                    while end.recv(1 << 20):
                        pass
            threads = [threading.Thread(target=run, args=(sock,))
                       for pair in pairs for run, sock in
                       zip((write, read), pair)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            chain.receiver.process.kill()
            for thread in threads:
                thread.join(TIMEOUT)
            self.assertEqual(chain.sender.wait(), 1, chain.sender.stderr())
            self.doCleanups()
            self.setUp()

    def test_killed(self):
        """Either relay."""
        for name in "sender", "receiver":
            chain = Channels(self, ["--resume-timeout", "1"])
            chain.say(preamble())
            chain.hear(len(preamble()))
            pairs = [chain.more(multifd_first(i)) for i in range(3)]
            getattr(chain, name).process.kill()
            for source, end in pairs + [(chain.source, chain.destination)]:
                self.assertEqual(receive_all_or_reset(source), b"")
                receive_all_or_reset(end)
            self.doCleanups()
            self.setUp()


DATA, LAST, ABORT, DELIVERED, VERDICT, PACK, OPEN, CREDIT, RESET = range(1, 10)


def total(size):
    return struct.pack(">Q", size)


class Hostile(BookTest):
    """A sender that keeps no rules."""

    ARGS = "--resume-timeout-stopped", "0"

    def check(self, *frames, words="the link is damaged"):
        """The last one is too much."""
        record = b"".join(self.frame(*frame) for frame in frames)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.link.sendall(record)
            self.link.shutdown(socket.SHUT_WR)
        self.receiver.wait_says("failed: " + words)
        receive_all_or_reset(self.link)
        receive_all_or_reset(self.destination)
        self.receiver.process.terminate()
        self.assertEqual(self.receiver.wait(), 1, self.receiver.stderr())

    def test_frames(self):
        one = (OPEN, b"", 1)
        for frames in (
                [(DATA, b"x", 1)], [(LAST, total(0), 1)], [(RESET, b"", 1)],
                [(CREDIT, total(1), 1)], [(OPEN, b"", 2)], [one, one],
                [(OPEN, b"", 0)], [(RESET, b"why", 0)],
                [(OPEN, b"x", 1)], [one, (VERDICT, b"\1", 1)],
                [one, (ABORT, b"why", 1)], [(DELIVERED, total(0))],
                [(LAST, total(0)), (LAST, total(0))],
                [(LAST, total(0)), (DATA, b"x")],
                [(LAST, total(1))], [(DATA, b"x"), (LAST, total(0))],
                [one, (LAST, total(0), 1), (DATA, b"x", 1)],
                [(CREDIT, b"")], [(10, b"")]):
            with self.subTest(frames=frames):
                self.check(*frames)
            self.doCleanups()
            self.setUp()

    def test_too_much(self):
        """More than there is credit for, at a destination that takes
        nothing."""
        some = (DATA, bytes(32767), 1)
        self.check((OPEN, b"", 1), *[some] * (2 * SIDE_WINDOW // 32767))

    def test_many(self):
        """256 connections, and no more; memory is taken as they use it."""
        self.listener.listen(256)
        self.link.sendall(b"".join(self.frame(OPEN, b"", i)
                                   for i in range(1, 256)))
        ends = [self.accept(self.listener) for _ in range(1, 256)]
        self.link.sendall(self.frame(DATA, b"last", 255))
        self.assertEqual(receive(ends[-1], 4), b"last")
        with open(f"/proc/{self.receiver.process.pid}/status",
                  encoding="ascii") as f:
            resident = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
        self.assertTrue(resident < 256 << 10 or sanitized(), resident)
        self.check((OPEN, b"", 0))

    def test_reset_early(self):
        """Before the destination has taken the connection."""
        self.listener.listen(0)
        queued = connect_unix(self.path("vm"))
        self.addCleanup(queued.close)
        self.link.sendall(self.frame(OPEN, b"", 1) +
                          self.frame(RESET, b"why", 1))
        self.receiver.wait_says("the other relay says: why")
        for _ in range(2):
            end = self.accept(self.listener)
        self.assertEqual(receive_all_or_reset(end), b"")

    def test_allowed(self):
        """What comes of a channel that was reset, and credit that gets
        less."""
        self.link.sendall(b"".join(self.frame(*frame) for frame in (
            (OPEN, b"", 1), (CREDIT, total(1 << 30)), (CREDIT, total(5)),
            (DATA, b"some", 1))))
        end = self.accept(self.listener)
        self.assertEqual(receive(end, 4), b"some")
        self.link.sendall(b"".join(self.frame(*frame) for frame in (
            (RESET, b"why", 1), (DATA, b"more", 1), (DATA, b"words"))))
        self.assertEqual(receive_all_or_reset(end), b"")
        self.assertEqual(receive(self.destination, 5), b"words")


if __name__ == "__main__":
    tap.main()
