# SPDX-License-Identifier: GPL-2.0-or-later
"""--to-qemu and --from-qemu between pretended QEMUs: the independent reader of
tests/wire says what comes out."""
import os
import random
import socket
import struct
import sys
import threading
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from relay_kit import (END, EOS, FOOTER, PAGE, PART, ROOT,  # noqa: E402
                       SHUT, RelayTest, head, plain, preamble,
                       receive, receive_all, zero)
sys.path.insert(0, os.path.join(ROOT, "tests", "wire"))
import read_stream  # noqa: E402
import tap  # noqa: E402

DESCRIPTION = b'{"page_size": 4096, "devices": []}'
DEVICES = b"\0" + struct.pack(">BI", 6, len(DESCRIPTION)) + DESCRIPTION
NAME = b"pc.ram"
RAM = {NAME: 4 << 20}


def compressed(offset, data, name=None, level=1):
    packed = zlib.compress(data, level)
    return head(offset, 0x100, name) + struct.pack(">I", len(packed)) + packed


class Convert(RelayTest):
    def convert(self, option, data, pieces=1, status=0):
        """What comes out, and the relay."""
        listener = self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--once", "--json", option)
        source = self.connect("relay", relay)

        def send():
            size = len(data) // pieces + 1
            for at in range(0, len(data), size):
                source.sendall(data[at:at + size])
            source.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        destination = self.accept(listener)
        out = receive_all(destination)
        sender.join()
        if status == 0:
            destination.sendall(SHUT)
        destination.close()
        self.assertEqual(relay.wait(), status, relay.stderr())
        return out, relay

    def pages(self, count, seed):
        rand = random.Random(seed)
        kinds = [bytes(PAGE), None, b"text " * 819 + b"\n"]
        return [rand.choice(kinds) or rand.randbytes(PAGE)
                for _ in range(count)]

    def stream(self, pages, record):
        """Two passes, so that each page has two versions."""
        out = [preamble(blocks=RAM), PART]
        for i, page in enumerate(pages):
            out.append(record(i * PAGE, page, None if i else NAME))
        out += [EOS, FOOTER, END]
        for i, page in enumerate(reversed(pages)):
            out.append(record(i * PAGE, page))
        return b"".join([*out, EOS, FOOTER, DEVICES])

    def kinds(self, stream):
        return [r.kind for r in stream.records()]

    def test_to_qemu(self):
        pages = self.pages(300, 1)
        data = self.stream(pages, plain)
        before = read_stream.parse(data, ram=True)
        for pieces in (1, 777):
            self.setUp()
            out, relay = self.convert("--to-qemu", data, pieces)
            after = read_stream.parse(out, ram=True)
            self.assertEqual(before.ram, after.ram)
            kinds = self.kinds(after)
            for kind in ("zero", "plain", "compressed"):
                self.assertIn(kind, kinds)
            self.assertEqual(relay.reports()[0]["pages"], 600)

    def test_from_qemu(self):
        pages = self.pages(300, 2)
        data = self.stream(pages, compressed)
        before = read_stream.parse(data, ram=True)
        for pieces in (1, 777):
            self.setUp()
            out, _ = self.convert("--from-qemu", data, pieces)
            after = read_stream.parse(out, ram=True)
            self.assertEqual(before.ram, after.ram)
            self.assertEqual(set(self.kinds(after)), {"plain"})
            self.assertEqual(out, self.stream(pages, plain))

    def test_twice_in_a_section(self):
        """The second version of a page gets a section of its own, for every
        pair of kinds."""
        text, noise = b"a" * PAGE, random.Random(3).randbytes(PAGE)
        records = [plain(0, text, NAME), plain(PAGE, text), zero(0),
                   plain(0, noise, NAME), plain(PAGE, noise), plain(0, text)]
        for last in (PART, END):
            self.setUp()
            data = preamble(blocks=RAM) + last + b"".join(records) + EOS + \
                FOOTER + (b"" if last == END else END + EOS + FOOTER) + DEVICES
            out, _ = self.convert("--to-qemu", data)
            after = read_stream.parse(out, ram=True)
            ram = bytes(after.ram["pc.ram"])
            self.assertEqual(ram[:2 * PAGE], text + noise)
            self.assertFalse(any(ram[2 * PAGE:]))
            sections = [[r.page_offset for r in s.records]
                        for s in ram_parts(after)]
            # An END becomes a PART and an empty END.
            empty = [[]] if last == END else [[], []]
            self.assertEqual(sections,
                             [[0, PAGE], [0], [0, PAGE], [0], *empty])

    def test_very_many_in_a_section(self):
        """It is cut, so that they need not all be remembered."""
        count = (64 << 10) + 10
        data = preamble(blocks={NAME: count * PAGE}) + PART + zero(0, NAME) + \
            b"".join(head(i * PAGE, 2) + b"\0" for i in range(1, count)) + \
            EOS + FOOTER + END + EOS + FOOTER + DEVICES
        out, _ = self.convert("--to-qemu", data)
        parts = ram_parts(read_stream.parse(out))
        self.assertEqual([len(s.records) for s in parts],
                         [64 << 10, 10, 0, 0])

    def test_unlisted_block(self):
        """Names that only a page has are not collected."""
        data = preamble(blocks=RAM) + PART + plain(0, b"a" * PAGE, NAME) + \
            plain(0, b"b" * PAGE, b"other")
        out, relay = self.convert("--to-qemu", data, status=2)
        self.assertTrue(out.endswith(plain(0, b"b" * PAGE, b"other")))
        self.assertIn("block 'other', which is not listed", relay.stderr())

    def test_expand_keeps_the_rest(self):
        """What is not compressed passes as it is."""
        data = self.stream(self.pages(100, 4), plain)
        out, _ = self.convert("--from-qemu", data)
        self.assertEqual(out, data)

    def test_bad_page(self):
        """A compressed page that is bad ends it before it gets further."""
        good = compressed(0, b"b" * PAGE, NAME)
        bad = bytearray(compressed(PAGE, b"c" * PAGE))
        bad[-1] ^= 1
        data = preamble(blocks=RAM) + PART + good + bytes(bad) + EOS + FOOTER
        out, relay = self.convert("--from-qemu", data, status=1)
        self.assertTrue((preamble(blocks=RAM) + PART +
                         plain(0, b"b" * PAGE, NAME)).startswith(out))
        at = len(preamble(blocks=RAM) + PART + good)
        self.assertRegex(relay.stderr(), "a compressed page is bad: .*, "
                         f"at byte {at} of the stream\n")

    def test_prompt(self):
        """What can be converted is, as soon as the source falls silent."""
        listener = self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--from-qemu", "--once")
        source = self.connect("relay", relay)
        whole = preamble(blocks=RAM) + PART + compressed(0, b"d" * PAGE, NAME)
        source.sendall(whole + compressed(PAGE, b"e" * PAGE)[:15])
        destination = self.accept(listener)
        want = preamble(blocks=RAM) + PART + plain(0, b"d" * PAGE, NAME)
        self.assertEqual(receive(destination, len(want)), want)
        destination.sendall(b"back")
        self.assertEqual(receive(source, 4), b"back")

    def test_cut_short(self):
        """The destination gets what there is, and the relay says so."""
        data = self.stream(self.pages(30, 6), plain)
        for option in ("--to-qemu", "--from-qemu"):
            for size in (len(data) // 2, len(data) - 1):
                self.setUp()
                _, relay = self.convert(option, data[:size], status=1)
                report, = relay.reports()
                self.assertIn("the source has closed", report["error"])

    def test_not_understood(self):
        data = b"QEVM" + random.Random(5).randbytes(200000)
        for option in ("--to-qemu", "--from-qemu"):
            self.setUp()
            out, relay = self.convert(option, data, status=2)
            self.assertEqual(out, data)
            self.assertIn("passing on the rest", relay.stderr())


def ram_parts(stream):
    return [s for s in stream.sections if s.type in ("PART", "END")]


if __name__ == "__main__":
    tap.main()
