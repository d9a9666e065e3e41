# SPDX-License-Identifier: GPL-2.0-or-later
"""Links that break: the migration goes on by another connection, or both ends
say why it does not."""
import hmac
import os
import random
import socket
import stat
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from breaking_link import WAYS, BreakingChain  # noqa: E402
from relay_kit import (BookTest, END, EOS, FOOTER, PART, SHUT,  # noqa: E402
                       RelayTest, plain, preamble, receive, receive_all,
                       receive_all_or_reset, sample_stream)
import tap  # noqa: E402
from ferry_vm import TIMEOUT, connect_unix, wait_until  # noqa: E402

PAGE = 4096


class Resume(RelayTest):
    def test_without_a_break(self):
        """A line costs nothing that can be seen."""
        data = sample_stream(random.Random(1))
        chain = BreakingChain(self)
        chain.move(data)
        chain.finish("completed")
        report, = chain.sender.reports()
        self.assertEqual(report["resumes"], 0)
        self.assertEqual(report["bytes-sent-again"], 0)

    def test_acknowledgements(self):
        """They are less than a hundredth of what they acknowledge."""
        chain = BreakingChain(self)
        chain.move(random.Random(23).randbytes(8 << 20))
        chain.finish("unknown")
        self.assertGreater(chain.link.forward, 8 << 20)
        self.assertGreater(chain.link.reverse, 0)
        self.assertLess(chain.link.reverse, chain.link.forward // 100)

    def check_break(self, how, at, rand):
        data = sample_stream(rand, pages=1500)
        chain = BreakingChain(self)
        chain.say(data[:100])
        chain.hear(100)
        chain.link.breaks(how, at)
        chain.move(data[100:], rand.randbytes(300000))
        chain.finish("unknown")  # the answer was no return path
        report, = chain.sender.reports()
        self.assertEqual(report["resumes"], 1, chain.sender.stderr())
        self.assertLessEqual(report["bytes-sent-again"], 64 << 20)
        self.assertIn("the link goes on after", chain.sender.stderr())
        self.assertIn("the link goes on after", chain.receiver.stderr())

    def test_breaks(self):
        rand = random.Random(2)
        for how in WAYS[:2]:
            for at in 0, 1, rand.randrange(1000), rand.randrange(1 << 20):
                with self.subTest(how=how, at=at):
                    self.setUp()
                    self.check_break(how, at, rand)

    def test_black_hole(self):
        """Nobody is told that the link has gone."""
        self.check_break("drop", 300000, random.Random(3))

    def test_breaks_in_silence(self):
        """Nobody has anything to say meanwhile."""
        data = sample_stream(random.Random(4), pages=40)
        chain = BreakingChain(self)
        chain.say(data[:100])
        chain.hear(100)
        chain.link.breaks("reset")
        chain.link.wait_connections(2)
        chain.say(data[100:])
        self.assertEqual(chain.hear(len(data) - 100), data[100:])
        chain.finish("completed")

    def test_again_and_again(self):
        rand = random.Random(5)
        chain = BreakingChain(self)
        head = preamble() + PART
        chain.say(head)
        chain.hear(len(head))
        for number in range(8):
            data = b"".join(plain((number * 50 + i) * PAGE,
                                  rand.randbytes(PAGE),
                                  None if number or i else b"pc.ram")
                            for i in range(50))
            chain.link.breaks(rand.choice(WAYS[:2]), rand.randrange(100000))
            chain.move(data, rand.randbytes(20000))
        chain.source.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(chain.destination), b"")
        chain.destination.close()
        self.assertEqual(chain.sender.wait(), 1)
        self.assertEqual(chain.sender.reports()[0]["resumes"], 8)

    def test_away_for_a_while(self):
        """Attempts fail at first."""
        data = sample_stream(random.Random(6), pages=400)
        chain = BreakingChain(self)
        chain.say(data[:100])
        chain.hear(100)
        chain.link.refuse(True)
        chain.link.breaks("reset")
        chain.sender.wait_says("the link has broken")
        time.sleep(1)
        chain.link.refuse(False)
        chain.say(data[100:])
        self.assertEqual(chain.hear(len(data) - 100), data[100:])
        chain.finish("completed")
        report, = chain.sender.reports()
        self.assertGreaterEqual(report["link-down"], 900)


class Answers(RelayTest):
    def test_nobody_listens(self):
        """A destination answers more than the link keeps, and the source does
        not take it: what the source says gets through all the same."""
        rand = random.Random(22)
        data, answer = rand.randbytes(6 << 20), rand.randbytes(6 << 20)
        memory = ["--memory", "4M"]   # a link keeps 1 MiB of it
        chain = BreakingChain(self, memory, memory)
        chain.say(data[:100])
        chain.hear(100)
        threads = [threading.Thread(target=chain.destination.sendall,
                                    args=(answer,)),
                   threading.Thread(target=chain.source.sendall,
                                    args=(data[100:],))]
        for thread in threads:
            thread.start()
        self.assertEqual(chain.hear(len(data) - 100), data[100:])
        chain.link.breaks("reset")
        self.assertEqual(receive(chain.source, len(answer)), answer)
        for thread in threads:
            thread.join()
        chain.finish("unknown")


class Versions(RelayTest):
    def test_one_does_not_resume(self):
        """Then both speak version 3, and a link that breaks is the end."""
        for sender, receiver in ((["--resume-timeout", "0"], []),
                                 ([], ["--resume-timeout", "0"])):
            with self.subTest(sender=sender):
                self.setUp()
                data = sample_stream(random.Random(14), pages=100)
                chain = BreakingChain(self, sender, receiver)
                chain.move(data)
                chain.finish("completed")
                self.setUp()
                chain = BreakingChain(self, sender, receiver)
                chain.say(preamble())
                chain.hear(len(preamble()))
                chain.link.breaks("reset")
                self.assertEqual(receive_all_or_reset(chain.source), b"")
                self.assertEqual(receive_all_or_reset(chain.destination), b"")
                chain.destination.close()
                self.assertEqual(chain.sender.wait(), 1)
                self.assertEqual(chain.receiver.wait(), 1)


class Phases(RelayTest):
    """How long a link may be away depends on where the guest is."""

    def broken_chain(self, data, heard=None):
        """The link goes, and stays away, when the destination has data."""
        chain = BreakingChain(self, ["--resume-timeout-stopped", "1"])
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)
        chain.link.refuse(True)
        chain.link.breaks("reset")
        chain.sender.wait_says("the link has broken")
        return chain

    def check_gives_up(self, data):
        chain = self.broken_chain(data)
        begin = time.monotonic()
        self.assertEqual(receive_all_or_reset(chain.source), b"")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(chain.sender.wait(), 1)
        self.assertIn("did not go on within", chain.sender.stderr())

    def test_guest_stands_still(self):
        self.check_gives_up(preamble() + PART + EOS + FOOTER + END +
                            plain(0, b"x" * PAGE, b"pc.ram") + EOS + FOOTER)

    def test_switchover_start(self):
        self.check_gives_up(preamble() + struct.pack(">BHH", 8, 11, 0))

    def test_not_understood(self):
        self.check_gives_up(b"no stream of QEMU's" * 10)

    def test_handed_over(self):
        """The destination has everything, and its word is lost: the source is
        kept waiting, and the log says what a person can do."""
        data = sample_stream(random.Random(12), pages=40)
        chain = self.broken_chain(data)
        chain.sender.wait_says("WARNING: the destination may have the whole")
        chain.source.settimeout(3)  # longer than with a guest that is stopped
        self.assertRaises(TimeoutError, chain.source.recv, 1)
        chain.destination.sendall(SHUT)
        chain.link.refuse(False)
        chain.source.settimeout(TIMEOUT)
        self.assertEqual(receive(chain.source, len(SHUT)), SHUT)
        chain.finish("completed", back=b"")

    def test_receiver_ended(self):
        """Also where the other relay says goodbye then."""
        data = sample_stream(random.Random(15), pages=40)
        chain = BreakingChain(self)
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)
        for _ in range(2):
            chain.receiver.process.terminate()
            time.sleep(0.2)
        chain.sender.wait_says("The source is kept waiting")
        chain.source.settimeout(1)
        self.assertRaises(TimeoutError, chain.source.recv, 1)
        chain.source.close()
        self.assertEqual(chain.sender.wait(), 1)

    def test_source_gives_up(self):
        """After that, too: nobody is kept waiting then."""
        data = sample_stream(random.Random(13), pages=40)
        chain = self.broken_chain(data)
        chain.source.close()
        self.assertEqual(chain.sender.wait(), 1)
        self.assertIn("did not go on within", chain.sender.stderr())


    def start_of_stream(self):
        return preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram")

    def test_cancelled_meanwhile(self):
        """The source gives up, and bytes of its wait in the relay."""
        chain = self.broken_chain(self.start_of_stream())
        chain.source.sendall(plain(PAGE, b"y" * PAGE) * 3)
        time.sleep(0.3)  # they are read, and cannot be written
        begin = time.monotonic()
        chain.source.close()
        self.assertEqual(chain.sender.wait(), 1)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertIn("the source has closed its connection",
                      chain.sender.stderr())

    def test_not_handed_over(self):
        """The source says its last bytes while the link is away: the
        destination cannot have them, so nobody is kept waiting."""
        data = sample_stream(random.Random(16), pages=40)
        chain = self.broken_chain(data[:-3000])
        chain.source.sendall(data[-3000:])
        self.assertEqual(receive_all_or_reset(chain.source), b"")
        self.assertEqual(chain.sender.wait(), 1)
        self.assertIn("did not go on within", chain.sender.stderr())
        self.assertNotIn("kept waiting", chain.sender.stderr())

    def test_handed_over_later(self):
        """The same, but the link comes back, and goes again."""
        data = sample_stream(random.Random(17), pages=40)
        chain = BreakingChain(self, ["--resume-timeout-stopped", "10"])
        chain.say(data[:-3000])
        chain.hear(len(data) - 3000)
        chain.link.refuse(True)
        chain.link.breaks("reset")
        chain.sender.wait_says("the link has broken")
        chain.source.sendall(data[-3000:])
        chain.link.refuse(False)
        self.assertEqual(chain.hear(3000), data[-3000:])
        chain.link.refuse(True)
        chain.link.breaks("reset")
        chain.sender.wait_says("The source is kept waiting")
        chain.link.refuse(False)
        chain.finish("completed")


class Strangers(RelayTest):
    def test_silent_ones(self):
        """More than a relay has room for keep no link from coming back."""
        data = sample_stream(random.Random(20), pages=100)
        chain = BreakingChain(self, ["--resume-timeout", "5"])
        chain.say(data[:100])
        chain.hear(100)
        strangers = [self.connect("link", chain.receiver)
                     for _ in range(200)]
        chain.link.breaks("reset", 50000)
        chain.move(data[100:])
        chain.finish("completed")
        self.assertEqual(chain.sender.reports()[0]["resumes"], 1)
        self.assertIn("others have come", chain.receiver.stderr())
        self.assertEqual(receive_all_or_reset(strangers[0]), b"")


class Draining(RelayTest):
    """A receiver that is about to end is there for those that it has."""

    def test_one_signal(self):
        data = sample_stream(random.Random(18), pages=100)
        chain = BreakingChain(self)
        chain.say(data[:100])
        chain.hear(100)
        chain.receiver.process.terminate()
        chain.receiver.wait_says("migrations still running: 1")
        other = self.start("--role", "send", "--listen",
                           "unix:" + self.path("other"), "--connect",
                           "unix:" + self.path("link"), resumes=True)
        source = self.connect("other", other)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        other.wait_says("the other relay refuses: this relay is about to end")
        chain.link.breaks("reset", 50000)
        chain.move(data[100:])
        chain.finish("completed")
        self.assertEqual(chain.sender.reports()[0]["resumes"], 1)

    def test_stranger(self):
        """One that says nothing does not keep it from ending."""
        chain = BreakingChain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.receiver.process.terminate()
        chain.receiver.wait_says("migrations still running: 1")
        stranger = self.connect("link", chain.receiver)
        begin = time.monotonic()
        chain.finish()
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(receive_all_or_reset(stranger), b"")

    def test_first_has_ended(self):
        """With --once, of several migrations."""
        data = sample_stream(random.Random(19), pages=100)
        listener = self.listen("vm")
        chain = BreakingChain(self, *(
            ["--route", f"second=unix:{self.path(name)}"]
            for name in ("out", "vm")))
        chain.say(data)
        chain.hear(len(data))
        second = self.connect("out", chain.sender)
        second.sendall(data[:100])
        end = self.accept(listener)
        receive(end, 100)
        chain.source.shutdown(socket.SHUT_WR)
        chain.destination.sendall(SHUT)
        chain.destination.close()
        self.assertEqual(receive_all(chain.source), SHUT)
        for relay in chain.sender, chain.receiver:
            wait_until(relay.reports, "report")
        chain.link.breaks("reset")
        second.sendall(data[100:])
        self.assertEqual(receive(end, len(data) - 100), data[100:])
        second.shutdown(socket.SHUT_WR)
        end.sendall(SHUT)
        end.close()
        self.assertEqual(receive_all(second), SHUT)
        for relay in chain.sender, chain.receiver:
            self.assertEqual(relay.wait(), 0, relay.stderr())


class Routes(RelayTest):
    def start_both(self, routes, at_receiver):
        receiver = self.start(
            "--role", "receive", "--listen", "unix:" + self.path("link"),
            *[word for name in at_receiver for word in
              ("--route", f"{name}=unix:{self.path('vm-' + name)}")])
        receiver.wait_listening()
        sender = self.start(
            "--role", "send", "--connect", "unix:" + self.path("link"),
            *[word for name in routes for word in
              ("--route", f"{name}=unix:{self.path('to-' + name)}")])
        sender.wait_says(f"route {routes[-1]}: listening at ")
        return sender, receiver

    def test_two_guests(self):
        """At once, each to its own destination; also without resuming."""
        names = ["one", "two"]
        sender, receiver = self.start_both(names, names)
        listeners = {name: self.listen("vm-" + name) for name in names}
        data = {name: sample_stream(random.Random(name)) for name in names}
        sources = {name: self.connect("to-" + name, sender) for name in names}
        for name in names:
            sources[name].sendall(data[name][:100])
        ends = {name: self.accept(listeners[name]) for name in names}
        for name in names:
            thread = threading.Thread(target=sources[name].sendall,
                                      args=(data[name][100:],))
            thread.start()
            self.assertEqual(receive(ends[name], len(data[name])), data[name])
            thread.join()
        for name in names:
            sources[name].close()
            ends[name].close()
        self.assertIn("route two", receiver.stderr())

    def test_unknown(self):
        sender, receiver = self.start_both(["one", "other"], ["one"])
        source = self.connect("to-other", sender)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        sender.wait_says("there is no route 'other' here")
        receiver.wait_says("there is no route 'other' here")

    def test_none_named(self):
        _, receiver = self.start_both(["one"], ["one"])
        for resumes in True, False:
            sender = self.start("--role", "send", "--listen",
                                "unix:" + self.path(f"out{resumes}"),
                                "--connect", "unix:" + self.path("link"),
                                resumes=resumes)
            source = self.connect(f"out{resumes}", sender)
            source.sendall(preamble())
            self.assertEqual(receive_all_or_reset(source), b"")
            sender.wait_says("the other one names none")


class RoutesFolder(RelayTest):
    def setUp(self):
        super().setUp()
        for name in "out", "in":
            os.mkdir(self.path(name))
        self.receiver = self.start(
            "--role", "receive", "--listen", "unix:" + self.path("link"),
            "--routes", self.path("in"))
        self.receiver.wait_listening()
        open(self.path("out/first"), "w", encoding="ascii").close()
        self.sender = self.start(
            "--role", "send", "--connect", "unix:" + self.path("link"),
            "--routes", self.path("out"))
        self.sender.wait_says("route first: listening at ")

    def ask(self, name):
        with open(self.path("out/" + name), "x", encoding="ascii"):
            pass
        wait_until(lambda: stat.S_ISSOCK(os.stat(self.path("out/" + name))
                                         .st_mode)
                   if os.path.exists(self.path("out/" + name)) else False,
                   "a socket")

    def move(self, name):
        data = sample_stream(random.Random(name), pages=20)
        listener = self.listen("in/" + name)
        source = self.connect("out/" + name, self.sender)
        source.sendall(data)
        end = self.accept(listener)
        self.assertEqual(receive(end, len(data)), data)
        source.close()
        end.close()
        listener.close()

    def test_guests_come_and_go(self):
        self.move("first")
        for _ in range(2):
            self.ask("later")
            self.move("later")
            os.unlink(self.path("in/later"))
            os.unlink(self.path("out/later"))
            self.sender.wait_says("route later: its socket was removed")
        self.assertIn("route later", self.receiver.stderr())
        self.sender.process.terminate()
        self.sender.wait()
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_no_destination(self):
        source = self.connect("out/first", self.sender)
        source.sendall(preamble())
        self.assertEqual(receive_all_or_reset(source), b"")
        self.sender.wait_says("there is no route 'first' here")

    def test_what_is_no_route(self):
        """Other files stay as they are."""
        os.mkdir(self.path("out/folder"))
        for name in ".hidden", "a b", "x" * 32:
            open(self.path("out/" + name), "w", encoding="ascii").close()
        with open(self.path("out/text"), "w", encoding="ascii") as f:
            f.write("text")
        other = self.listen("out/other")   # somebody else's
        self.sender.wait_says("route other: ")
        self.ask("last")
        self.assertEqual(sorted(os.listdir(self.path("out"))),
                         sorted([".hidden", "a b", "x" * 32, "text", "folder",
                                 "first", "other", "last"]))
        self.assertEqual(self.sender.stderr().count("route other: "), 1)
        other.close()

    def test_killed(self):
        """A relay takes over the sockets of one that was killed."""
        self.sender.process.kill()
        self.sender.wait()
        self.sender = self.start(
            "--role", "send", "--connect", "unix:" + self.path("link"),
            "--routes", self.path("out"))
        self.sender.wait_says("route first: listening at ")
        self.move("first")


class ManyAtOnce(RelayTest):
    """A host is evacuated: many guests by one pair of relays."""

    GUESTS = 20
    RATE = 16 << 20   # bytes a second on the link, of all
    MEMORY = 100 << 20

    def test_evacuation(self):
        """All get there within what the rate allows, evenly, and histories
        keep to their budget."""
        guests = range(self.GUESTS)
        receiver = self.start("--role", "receive", "--listen",
                              "unix:" + self.path("link"), "--memory",
                              str(self.MEMORY >> 20) + "M",
                              *self.routes("vm"), resumes=True)
        receiver.wait_listening()
        sender = self.start("--role", "send", "--connect",
                            "unix:" + self.path("link"), "--json",
                            "--max-bandwidth", str(self.RATE >> 20) + "M",
                            *self.routes("out"), resumes=True)
        listeners = [self.listen(f"vm{i}") for i in guests]
        data = preamble() + PART + b"".join(
            plain(i * PAGE, random.Random(i).randbytes(PAGE),
                  None if i else b"pc.ram") for i in range(1000))
        said = len(preamble())
        sources, ends = [], []
        for i in guests:  # all are there before any begins
            sources.append(self.connect(f"out{i}", sender))
            sources[-1].sendall(data[:said])
            ends.append(self.accept(listeners[i]))
            receive(ends[-1], said)
        threads = [
            *(threading.Thread(target=self.move, args=(source, data[said:]))
              for source in sources),
            *(threading.Thread(target=self.read, args=(end, len(data) - said))
              for end in ends)]
        self.ended = []
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        self.assertEqual(len(self.ended), self.GUESTS)
        took = [end - begin for end in self.ended]
        # The pages are noise, so the link carries as much.
        least = self.GUESTS * len(data) / self.RATE
        self.assertGreater(max(took), 0.9 * least)
        # None starves: the first one is not done long before the last.
        self.assertGreater(min(took), 0.5 * least, took)
        wait_until(lambda: len(sender.reports()) == self.GUESTS, "reports")
        self.assertLessEqual(sum(r["history"] for r in sender.reports()),
                             self.MEMORY)

    def routes(self, name):
        return [arg for i in range(self.GUESTS) for arg in
                ("--route", f"guest{i}=unix:{self.path(name)}{i}")]

    def move(self, source, data):
        source.sendall(data)
        source.shutdown(socket.SHUT_WR)
        receive_all_or_reset(source)

    def read(self, end, size):
        receive(end, size)
        self.ended.append(time.monotonic())
        end.close()


class ByTheBook(BookTest):
    def say(self, words):
        self.link.sendall(self.data(words))
        self.assertEqual(receive(self.destination, len(words)), words)

    def hear(self, words):
        """A frame of these, between records of other kinds."""
        self.destination.sendall(words)
        frame = b""
        while len(frame) < 24 + len(words):
            head, = struct.unpack(">I", receive(self.link, 4))
            body = receive(self.link, head & 0xffffff)
            frame += body if head >> 24 == 1 else b""
        self.assertEqual(frame[24:], words)

    def resume(self, arrived, secret=BookTest.KEY[1]):
        """Ask, and prove; returns the connection and its GRANT's place."""
        def prove(who, got):
            return hmac.digest(secret, key_id + nonce + challenge[4:] + who +
                               struct.pack(">QQ", arrived, got), "sha256")

        key_id, nonce = self.KEY[0], random.Random(arrived).randbytes(16)
        link = self.connect("link", self.receiver)
        link.sendall(b"\xfeFRESUM\n" + key_id + nonce)
        challenge = receive(link, 20)
        self.assertEqual(challenge[:4], struct.pack(">I", 1))
        link.sendall(struct.pack(">Q", arrived) + prove(b"s", 0))
        grant = link.recv(40, socket.MSG_WAITALL)
        if not grant:
            return None, None
        got, = struct.unpack(">Q", grant[:8])
        self.assertEqual(grant[8:], prove(b"r", got))
        return link, got

    def test_goes_on(self):
        self.say(b"one ")
        self.hear(b"answer")
        link, got = self.resume(arrived=30)
        self.assertEqual(got, self.forward)
        receive_all_or_reset(self.link)   # it ends
        self.link = link
        self.say(b"two ")
        self.hear(b"another")

    def test_from_where_it_was(self):
        """Bytes of a frame that came only in part are not asked for again."""
        self.say(b"one ")
        record = self.data(b"two ")
        self.link.sendall(record[:20])
        before = self.forward - 28
        link, got = self.resume(arrived=0)
        self.assertGreaterEqual(got, before)
        link.sendall(self.record(1, record[4:][got - before:]))
        self.assertEqual(receive(self.destination, 4), b"two ")

    def test_wrong_proof(self):
        self.say(b"one ")
        self.assertIsNone(self.resume(0, bytes(32))[0])
        self.receiver.wait_says("cannot prove")
        self.say(b"two ")

    def test_late_proof(self):
        """Of an attempt that was given up: more has been acknowledged."""
        self.say(b"one ")
        self.hear(b"answer")
        self.link.sendall(self.record(2, struct.pack(">Q", 30)))
        self.say(b"two ")   # behind the acknowledgement
        self.assertIsNone(self.resume(arrived=10)[0])
        self.receiver.wait_says("by a later connection")
        self.say(b"three ")
        self.hear(b"another")


class Fails(RelayTest):
    def test_patience_ends(self):
        chain = BreakingChain(self, ["--resume-timeout", "1"])
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.link.refuse(True)
        chain.link.breaks("reset")
        self.assertEqual(receive_all_or_reset(chain.source), b"")
        self.assertEqual(chain.sender.wait(), 1)
        self.assertEqual(receive_all_or_reset(chain.destination), b"")
        chain.destination.close()
        self.assertEqual(chain.receiver.wait(), 1)
        for relay in chain.sender, chain.receiver:
            self.assertIn("did not go on within", relay.reports()[0]["error"])

    def test_receiver_is_another(self):
        """The relay that was there has gone, and the new one says so: nobody
        waits for five minutes."""
        chain = BreakingChain(self)
        chain.say(preamble())
        chain.hear(len(preamble()))
        chain.receiver.process.kill()
        chain.receiver.wait()
        os.unlink(self.path("link"))
        again = self.start("--listen", "unix:" + self.path("link"),
                           "--connect", "unix:" + self.path("qemu"), "--role",
                           "receive", resumes=True)
        self.assertEqual(receive_all_or_reset(chain.source), b"")
        self.assertEqual(chain.sender.wait(), 1)
        self.assertIn("knows nothing of this migration",
                      chain.sender.reports()[0]["error"])
        again.wait_says("does not have (any more)")

    def test_stranger(self):
        """Without the secret nobody can take the link, and the migration is not
        disturbed."""
        data = sample_stream(random.Random(7), pages=100)
        chain = BreakingChain(self)
        chain.say(data[:100])
        chain.hear(100)
        magic = b"\xfeFRESUM\n"
        for id_and_nonce in bytes(32), random.Random(8).randbytes(32):
            sock = connect_unix(self.path("link"))
            sock.sendall(magic + id_and_nonce)
            self.assertEqual(receive_all(sock), bytes(20))
            sock.close()
        chain.receiver.wait_says("refused: the peer wants to go on")
        chain.say(data[100:])
        self.assertEqual(chain.hear(len(data) - 100), data[100:])
        chain.finish("completed")
        self.assertEqual(chain.sender.reports()[0]["resumes"], 0)

    def test_terminated(self):
        """A relay that is told to end says goodbye: the other one does not
        wait."""
        for first in "sender", "receiver":
            with self.subTest(first=first):
                self.setUp()
                chain = BreakingChain(self)
                chain.say(preamble())
                chain.hear(len(preamble()))
                relay = getattr(chain, first)
                relay.process.terminate()
                relay.wait_says("still running")
                relay.process.terminate()
                self.assertEqual(receive_all_or_reset(chain.source), b"")
                self.assertEqual(receive_all_or_reset(chain.destination), b"")
                chain.destination.close()
                self.assertEqual(chain.sender.wait(), 1)
                self.assertEqual(chain.receiver.wait(), 1)

    def test_source_goes(self):
        """The source closes while the link is down: its bytes still arrive."""
        data = preamble() + PART + plain(0, b"x" * PAGE, b"pc.ram")
        chain = BreakingChain(self)
        chain.say(data[:50])
        chain.hear(50)
        chain.link.refuse(True)
        chain.link.breaks("reset")
        chain.sender.wait_says("the link has broken")
        chain.source.sendall(data[50:])
        chain.source.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        chain.link.refuse(False)
        self.assertEqual(receive_all(chain.destination), data[50:])
        chain.destination.close()
        chain.check_outcome("failed", "the source has closed")


if __name__ == "__main__":
    tap.main()
