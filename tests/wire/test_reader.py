#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The independent reader over the golden streams, whole and damaged.

Whole: it finds in them what golden-cases.c says, RAM to the last byte, so
that reader, specification and source agree.  Damaged: it refuses each kind of
damage, and says where it is.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import read_pack  # noqa: E402
import read_stream  # noqa: E402
import tap  # noqa: E402
from read_stream import PAGE, StreamError, parse  # noqa: E402

NAMES = ["batches", "boards", "changes", "compressed", "dictionary",
         "ferry-peer", "other-peer", "older-ferry", "packs", "plain", "three-passes",
         "two-blocks", "zero-range"]


def golden(name):
    with open(os.path.join(HERE, "golden", name + ".bin"), "rb") as f:
        return f.read()


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


# What golden-cases.c puts into RAM.

def text(seed):
    return b"".join(f"page {seed}, line {i % 7}".encode().ljust(32, b"\0")
                    for i in range(PAGE // 32))


def noise(seed):
    out = bytearray()
    for _ in range(PAGE):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(seed >> 24)
    return bytes(out)


def memory(pages, content):
    ram = bytearray(pages * PAGE)
    for page, data in content.items():
        ram[page * PAGE:(page + 1) * PAGE] = data
    return ram


def many():
    return memory(150, {p: text(p) for p in range(0, 150, 5)} |
                  {33: noise(33)})


def write(ram, *writes):
    """(page, value), as the guests of golden-cases.c do."""
    for page, value in writes:
        at = page * PAGE + value % (PAGE // 4) * 4
        ram[at:at + 4] = struct.pack("<I", value)
    return ram


def three_passes(ram):
    ram[5 * PAGE:6 * PAGE] = bytes(PAGE)
    return write(ram, (0, 0x11111111), (1, 0x22222222), (0, 0x33333333),
                 (0, 0x44444444), (149, 0x55555555))


def changes():
    ram = memory(2, {1: bytes(PAGE - 1) + b"\2"})
    return write(ram, (1, 0x22222222), (1, 0x44444444), (0, 0x66666666),
                 (1, 0x77777777))


def packs():
    return memory(150, {p: text(p) for p in range(0, 150, 5)} |
                  {33: noise(33), 11: text(10), 149: text(10),
                   12: b"\xcc" * PAGE})


def history():
    ram = memory(1040, {p: text(p) for p in range(0, 1024, 64)} |
                 {1: noise(1), 1023: noise(1)[5:] + bytes(5)})
    ram[PAGE + 256:PAGE + 512] = b"\x5a" * 256
    return write(ram, (1, 0x5A5A5A5A))


EXPECTED_RAM = {
    "batches": {"ram0": many()},
    "boards": {"ram0": memory(1, {})},
    "changes": {"ram0": changes()},
    "compressed": {"ram0": many()},
    "dictionary": {"ram0": history()},
    "ferry-peer": {"ram0": memory(2, {0: text(7)})},
    "other-peer": {"ram0": memory(2, {0: text(7)})},
    "older-ferry": {"ram0": many()},
    "packs": {"ram0": three_passes(packs())},
    "plain": {"ram0": memory(5, {1: text(1), 3: bytes(PAGE - 1) + b"\1"})},
    "three-passes": {"ram0": three_passes(many())},
    "two-blocks": {"ram0": memory(70, {69: text(69)}),
                   "ram1": memory(3, {0: text(70)})},
    "zero-range": {"ram0": memory(70, {0: text(7)})},
}

# Per section: zero, plain and compressed records, batches, ranges, packs,
# changes.
EXPECTED_PAGES = {
    "batches": [(119, 0, 0, 3), (0, 0, 0)],
    "boards": [(1, 0, 0), (0, 0, 0)],
    "changes": [(1, 1, 0), (0, 2, 0), (0, 0, 0, 0, 0, 0, 1), (1, 0, 0),
                (0, 0, 0, 0, 0, 0, 2)],
    "compressed": [(119, 1, 30), (0, 0, 0)],
    "dictionary": [(0, 0, 0, 0, 17, 16), (0, 0, 0, 0, 0, 1), (0, 0, 0)],
    "ferry-peer": [(1, 0, 1), (0, 0, 0)],
    "other-peer": [(1, 0, 1), (0, 0, 0)],
    "older-ferry": [(2, 0, 0, 3, 31), (0, 0, 0)],
    "packs": [(2, 0, 0, 0, 31, 3), (1, 0, 0, 0, 0, 1),
              (0, 0, 0, 0, 0, 1), (0, 0, 0, 0, 0, 1)],
    "plain": [(3, 2, 0), (0, 0, 0)],
    "three-passes": [(119, 1, 30), (1, 0, 2), (0, 0, 1), (0, 0, 2)],
    "two-blocks": [(71, 2, 0), (0, 0, 0)],
    "zero-range": [(0, 1, 0, 0, 2), (0, 0, 0)],
}
KINDS = ["zero", "plain", "compressed", "batch", "zero-range", "pack",
         "xbzrle"]
HANDED_OVER = ("dictionary", "ferry-peer", "older-ferry", "packs",
               "zero-range")
METHODS = {"batches": "lz4", "dictionary": "zstd", "older-ferry": "lz4",
           "packs": "lz4"}


class Whole(unittest.TestCase):
    """What the reader finds is what the source was told to send."""

    def each(self):
        for name in NAMES:
            data = golden(name)
            yield name, data, parse(data, ram=True)

    def test_ram(self):
        for name, _, s in self.each():
            self.assertEqual(s.ram, EXPECTED_RAM[name], name)

    def test_counts(self):
        for name, _, s in self.each():
            report = read_stream.report(s)["sections"]
            self.assertEqual([[x[kind] for kind in KINDS]
                              for x in report[1:]],
                             [list(x) + [0] * (len(KINDS) - len(x))
                              for x in EXPECTED_PAGES[name]], name)

    def test_frame(self):
        for name, data, s in self.each():
            self.assertEqual(s.machine, "fake-1.0")
            self.assertEqual(s.size, len(data))
            self.assertEqual([x.type for x in s.sections],
                             ["START"] + ["PART"] *
                             (len(EXPECTED_PAGES[name]) - 1) + ["END"],
                             name)
            self.assertIsNone(s.opaque)

    def test_what_ferry_never_sends(self):
        for name, _, s in self.each():
            methods = [f"compress-method-{METHODS[name]}"] \
                if name in METHODS else []
            self.assertEqual((s.capabilities, s.page_bits, s.uuid),
                             (methods, None, None))
            for r in s.records():
                if r.kind == "compressed":
                    self.assertLessEqual(r.data_size, 4091)

    def test_grouping(self):
        """Ascending pages, and a name at least every 64; only a batch or a
        pack may come behind zero pages that stand behind its first page."""
        for name, data, s in self.each():
            for section in s.sections:
                keys = [(r.block, r.page_offset) for r in section.records
                        if r.kind not in ("batch", "pack")]
                self.assertEqual(keys, sorted(keys))
                for r in section.records:
                    self.assertEqual(r.pages, sorted(r.pages))
                run = 0
                for i, r in enumerate(section.records):
                    flags = int.from_bytes(data[r.offset:r.offset + 8],
                                           "big") % PAGE
                    run = run + 1 if flags & read_stream.CONTINUE else 1
                    self.assertLessEqual(run, 64)
                    self.assertTrue(i or run == 1)

    def test_commands(self):
        hello = [(1, None), (2, read_stream.HELLO)]
        go = [(2, read_stream.GO)]
        numbers = {v[0]: k for k, v in read_stream.COMMANDS.items()}
        for name, _, s in self.each():
            expected = {"ferry-peer": hello + go, "zero-range": hello + go,
                        "older-ferry": hello + go,
                        "packs": hello + [(0x4650, 2), (0x4653, None)] + go,
                        "dictionary": hello + [(0x4650, 16), (0x4653, None)]
                        + go,
                        "other-peer": hello}.get(name, [])
            self.assertEqual([(numbers[c["command"]], c.get("value"))
                              for c in s.commands], expected, name)
            self.assertEqual(s.handed_over,
                             name in HANDED_OVER, name)

    def test_dictionaries(self):
        """Of pack 15 a page that has the same content at another place, of
        pack 16 the same page as it was before, both of pack 0."""
        data = golden("dictionary")
        refs = []
        for r in parse(data).records():
            if r.kind == "pack":
                at = r.data_offset + read_pack.HEAD.size
                count = data[at - 1]
                refs.append([read_pack.REF.unpack_from(
                    data, at + i * read_pack.REF.size) for i in range(count)])
        self.assertEqual(refs, 15 * [[]] + [[(15, 1)], [(16, 1)]])

    def test_fake_device(self):
        for name, _, s in self.each():
            if name != "boards":
                device, = s.devices
                self.assertEqual(device["fields"], {
                    "counter": 0x0123456789ABCDEF, "reg": [1, 0xFFFFFFFE],
                    "flag": True, "fifo": b"0123456789abcdef".hex()})
                self.assertEqual(device["subsections"], [])

    def test_boards(self):
        devices = parse(golden("boards")).devices
        fields = {
            "irq": 0xFE, "port": 0x1234, "status": 0xDEADBEEF, "added": 3,
            "count": [1, (1 << 64) - 1, 1 << 63],
            "timer": [{"deadline": 1000, "armed": True},
                      {"deadline": 2000, "armed": False}],
            "fifo": "000102feff"}
        self.assertEqual([(d["name"], d["instance"], d["version"], d["id"])
                          for d in devices],
                         [("board", 0, 3, 2), ("board", 1, 3, 4),
                          ("plain-board", 7, 1, 5)])
        self.assertEqual(devices[0]["fields"], fields)
        self.assertEqual(devices[1]["fields"], fields)
        self.assertEqual(devices[0]["subsections"], [
            {"name": "board/lost", "version": 2, "fields": {"lost": 99}},
            {"name": "board/debug", "version": 1,
             "fields": {"debug": True, "watch": "5a5a"}}])
        self.assertEqual(devices[1]["subsections"], [])
        self.assertEqual(devices[2]["fields"], {
            "timer[0]": {"deadline": 77, "armed": True},
            "status": 0x01020304})


class Foreign(unittest.TestCase):
    """What QEMU may write and Ferry does not."""

    def setUp(self):
        self.data = golden("two-blocks")
        self.ram = EXPECTED_RAM["two-blocks"]

    def with_block_extras(self, extra):
        """The list of blocks with something after each length."""
        first = 21 + 17 + 8 + 13
        return (self.data[21:first] + extra + self.data[first:first + 13] +
                extra + self.data[first + 13:])

    def test_page_sizes_after_postcopy_advise(self):
        advise = b"\x08\0\3\0\0"
        for extra in (b"", u64(2 << 20)):
            data = self.data[:21] + advise + self.with_block_extras(extra)
            self.assertEqual(parse(data, ram=True).ram, self.ram)
        with self.assertRaises(StreamError):
            parse(self.data[:21] + self.with_block_extras(u64(2 << 20)))

    def test_guest_addresses(self):
        shared = (b"\5\x1aconfiguration/capabilities" + u32(1) + u32(1) +
                  b"\x0fx-ignore-shared")
        data = self.data[:21] + shared + self.with_block_extras(u64(0))
        self.assertEqual(parse(data, ram=True).ram, self.ram)

    def test_unknown_field_types(self):
        data = self.data.replace(b'"bool"', b'"tmp2"')
        device, = parse(data).devices
        self.assertEqual(device["fields"]["flag"], "01")

    def test_opaque_devices(self):
        """A description that the specification does not cover may be wrong,
        one that it covers may not."""
        device, = parse(self.data).devices
        wrong = self.data.replace(b'"size":16', b'"size":17')
        self.assertNotEqual(wrong, self.data)
        with self.assertRaises(StreamError):
            parse(wrong)
        s = parse(wrong.replace(b'"bool"', b'"tmp2"'))
        self.assertEqual(s.devices, [])
        self.assertEqual(s.opaque, (device["offset"], device["size"]))


class Program(unittest.TestCase):
    """read_stream.py as people run it."""

    def run_it(self, *args, stdin=None):
        return subprocess.run(
            [sys.executable, os.path.join(HERE, "read_stream.py"), *args],
            input=stdin, capture_output=True)

    def path(self, name):
        return os.path.join(HERE, "golden", name + ".bin")

    def test_json(self):
        for args, stdin in (((self.path("boards"),), None),
                            (("-",), golden("boards"))):
            done = self.run_it(*args, stdin=stdin)
            self.assertEqual(done.returncode, 0, done.stderr)
            out = json.loads(done.stdout)
            self.assertEqual(out["blocks"],
                             [{"name": "ram0", "length": PAGE}])
            self.assertEqual(out["devices"][2]["fields"]["status"],
                             0x01020304)

    def test_ram_files(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_it(self.path("two-blocks"), "--ram", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            for name, expected in EXPECTED_RAM["two-blocks"].items():
                with open(os.path.join(folder, name + ".ram"), "rb") as f:
                    self.assertEqual(f.read(), expected)

    def test_bad_stream(self):
        for data, text in ((golden("plain")[:-1], b"byte 8709: the stream"),
                           (b"", b"byte 0: the stream ends")):
            done = self.run_it("-", stdin=data)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout, b"")
            self.assertIn(text, done.stderr)


class Damage(unittest.TestCase):
    """Each test puts one fault into a good stream."""

    def refuse(self, data, offset, cause):
        with self.assertRaises(StreamError) as caught:
            parse(data)
        self.assertIn(cause, caught.exception.cause)
        self.assertEqual(caught.exception.offset, offset,
                         caught.exception.cause)

    def change(self, data, at, new, cause, offset=None, old=None):
        """Replace old (as many bytes as new) at an offset."""
        size = len(new) if old is None else old
        self.refuse(data[:at] + new + data[at + size:],
                    at if offset is None else offset, cause)

    def insert(self, data, at, new, cause, offset=None):
        self.change(data, at, new, cause, offset, old=0)

    def setUp(self):
        self.plain = golden("plain")
        self.packed = golden("compressed")
        self.boards = golden("boards")
        self.ferry = golden("ferry-peer")

    # The frame

    def test_header(self):
        self.change(self.plain, 0, b"QEMU", "magic 0x51454d55")
        self.change(self.plain, 4, u32(2), "stream version 2")

    def test_configuration(self):
        self.change(self.plain, 8, b"\1", "instead of the configuration")
        self.change(self.plain, 9, u32(0), "a machine type of 0 bytes")
        self.change(self.plain, 9, u32(256), "a machine type of 256 bytes")
        self.change(self.plain, 14, b"\0", "a NUL byte", offset=13)

    def test_configuration_subsections(self):
        def subsection(name, content):
            return (b"\5" + bytes([len(name)]) + name.encode() + u32(1) +
                    content)

        self.insert(self.plain, 21, subsection("configuration/x", b""),
                    "configuration subsection 'configuration/x'", 22)
        bits = subsection("configuration/target-page-bits", u32(13))
        self.insert(self.plain, 21, bits, "pages of 13 bits",
                    21 + len(bits) - 4)
        many = subsection("configuration/capabilities", u32(65))
        self.insert(self.plain, 21, many, "65 capabilities",
                    21 + len(many) - 4)

    def test_good_configuration_subsections(self):
        """These are read, so that the refusals above are for their reason."""
        extra = (b"\5\x1aconfiguration/capabilities" + u32(1) + u32(1) +
                 b"\3foo" +
                 b"\5\x1econfiguration/target-page-bits" + u32(1) + u32(12) +
                 b"\5\x12configuration/uuid" + u32(1) + bytes(range(16)))
        s = parse(self.plain[:21] + extra + self.plain[21:])
        self.assertEqual((s.capabilities, s.page_bits, s.uuid),
                         (["foo"], 12, bytes(range(16)).hex()))

    def test_section_types(self):
        self.change(self.plain, 21, b"\x09", "section type 0x09")
        self.change(self.plain, 21, b"\x04", "a device before RAM")
        self.change(self.plain, 21, b"\x00", "EOF before RAM")

    def test_commands(self):
        data, at = self.ferry, 21
        self.change(data, at + 1, b"\0\7", "command 7", offset=at)
        self.change(data, at + 3, b"\0\1", "OPEN_RETURN_PATH with 1 bytes")
        ping = data[at + 5:at + 14]
        self.assertEqual(ping[:5], b"\x08\0\2\0\4")
        self.change(data, at + 8, b"\0\5", "PING with 5 bytes")
        self.insert(self.plain, at, ping, "PING without a return path")
        self.insert(data, at, data[at:at + 5], "open already", at + 5)
        go = data[-9:]
        self.insert(data, at + 14, go, "GO before the vmdescription")

    def test_a_command_is_fine_between_sections(self):
        s = parse(self.plain)
        for section in s.sections + [None]:
            at = section.offset if section else s.devices[0]["offset"]
            parse(self.plain[:at] + b"\x08\0\x0b\0\0" + self.plain[at:])

    def test_footers(self):
        s = parse(self.boards)
        ends = [x.offset + x.size for x in s.sections] + \
            [d["offset"] + d["size"] for d in s.devices]
        for end in ends:
            self.change(self.boards, end - 5, b"\x7d",
                        "0x7d instead of a footer")
            self.change(self.boards, end - 4, u32(77),
                        "the footer of section 77")

    # The ram section

    def test_start(self):
        at = 21
        self.change(self.plain, at + 6, b"rom", "iterable section 'rom'",
                    at + 5)
        self.change(self.plain, at + 5, b"\0", "name is empty")
        self.change(self.plain, at + 9, u32(1), "ram with instance 1")
        self.change(self.plain, at + 13, u32(3), "ram with version 3")
        start = parse(self.plain).sections[0]
        whole = self.plain[at:at + start.size]
        self.insert(self.plain, at, whole, "a second START", at + start.size)

    def test_block_list(self):
        data, at = golden("two-blocks"), 21 + 17
        total, first, second = 73 * PAGE, at + 8, at + 8 + 13
        self.change(data, at, u64(total | 8), "ram starts with flags 0x008")
        self.change(data, at, u64(total - PAGE | 4),
                    "block 'ram1' with 12288 bytes", second + 5)
        self.change(data, at, u64(total + PAGE | 4), "is empty",
                    second + 13)
        self.change(data, first + 5, u64(0), "with 0 bytes")
        self.change(data, first + 5, u64(PAGE + 1), "with 4097 bytes")
        self.change(data, second + 4, b"0", "block 'ram0' twice", second)
        self.change(data, second + 13, u64(8), "0x8 instead of EOS")

    def test_section_order(self):
        s = parse(self.plain)
        part, end = s.sections[1], s.sections[2]
        whole = self.plain[part.offset:part.offset + part.size]
        self.insert(self.plain, 21, whole, "pages before RAM has begun")
        self.change(self.plain, part.offset + 1, u32(9), "section 9, which")
        behind = end.offset + end.size
        self.insert(self.plain, behind, whole,
                    "section type 0x02 instead of a device")
        self.change(self.plain, end.offset, b"", "a device before RAM",
                    old=end.size)

    # Records

    def record(self, data, kind, nth=0):
        return [r for r in parse(data).records() if r.kind == kind][nth]

    def test_flags(self):
        r = self.record(self.plain, "zero")
        at = r.offset
        for flags, cause in ((0, "flags 0x000"), (0x20, "flags 0x020"),
                             (0x0A, "flags 0x00a"), (0x30, "flags 0x030"),
                             (0x04, "flags 0x004"), (0x102, "flags 0x102"),
                             (0x80, "RDMA"),
                             (0x200, "multifd"), (0xC00, "flags 0xc00"),
                             (0x402, "flags 0x402")):
            self.change(self.plain, at, u64(flags), cause)
        self.change(self.plain, at, u64(PAGE | 0x10), "flags 0x010")

    def test_where_a_page_belongs(self):
        r = self.record(self.plain, "zero")
        self.change(self.plain, r.offset, u64(0x22), "without a block")
        self.change(self.plain, r.offset + 9, b"rom0", "unknown block 'rom0'",
                    r.offset + 8)
        self.change(self.plain, r.offset, u64(5 * PAGE | 2),
                    "offset 0x5000 is outside block 'ram0'")

    def test_fill_byte(self):
        r = self.record(self.plain, "zero")
        self.change(self.plain, r.data_offset, b"\1", "filled with 0x01")

    def test_twice_in_a_section(self):
        r = self.record(self.plain, "zero", 1)
        copy = self.plain[r.offset:r.data_offset + 1]
        self.insert(self.plain, r.data_offset + 1, copy,
                    "twice in one section")
        # QEMU writes such sections.
        at = r.data_offset + 1
        twice = self.plain[:at] + copy + self.plain[at:]
        self.assertEqual(
            read_stream.parse(twice, may_repeat=True).repeated, 1)
        # In another section it is what sections are for.
        at = parse(self.plain).sections[2].offset + 5
        parse(self.plain[:at] + copy + self.plain[at:])

    def test_current_block_survives_sections(self):
        data = golden("three-passes")
        r = parse(data).sections[2].records[0]
        word = int.from_bytes(data[r.offset:r.offset + 8], "big")
        bare = data[:r.offset] + u64(word | 0x20) + data[r.offset + 13:]
        self.assertEqual(parse(bare, ram=True).ram, parse(data, ram=True).ram)

    # Compressed pages

    def replace_page(self, raw, cause, size=None):
        r = self.record(self.packed, "compressed", 1)
        head = u32(len(raw) if size is None else size)
        self.change(self.packed, r.data_offset - 4, head + raw, cause,
                    r.offset, old=4 + r.data_size)

    def test_good_compressed_pages(self):
        """Any level and window, also those that grow."""
        r = self.record(self.packed, "compressed", 1)
        for level, bits, page in ((0, 15, text(9)), (9, 15, noise(1)),
                                  (1, 9, text(9)), (6, 12, text(9))):
            z = zlib.compressobj(level, wbits=bits)
            raw = z.compress(page) + z.flush()
            data = (self.packed[:r.data_offset - 4] + u32(len(raw)) + raw +
                    self.packed[r.data_offset + r.data_size:])
            ram = parse(data, ram=True).ram["ram0"]
            self.assertEqual(ram[r.page_offset:r.page_offset + PAGE], page)

    def test_compressed_length(self):
        r = self.record(self.packed, "compressed")
        at = r.data_offset - 4
        self.change(self.packed, at, u32(0), "a compressed page of 0 bytes")
        self.change(self.packed, at, u32(4111), "of 4111 bytes")

    def test_bad_zlib(self):
        page = text(5)
        good = zlib.compress(page)
        self.replace_page(good[:-1] + bytes([good[-1] ^ 1]), "data check")
        self.replace_page(good[:-4], "cut off")
        self.replace_page(b"\0" + good[1:], "incorrect header")
        self.replace_page(zlib.compress(page[:-1]), "less than a page")
        self.replace_page(zlib.compress(page + b"\0"), "more than a page")
        self.replace_page(zlib.compress(b""), "less than a page")
        self.replace_page(good + b"\0", "after the end of the zlib stream")
        self.replace_page(good + good, "after the end of the zlib stream")
        self.replace_page(zlib.compress(page, wbits=-15), "incorrect header")
        self.replace_page(zlib.compress(page, wbits=31), "incorrect header")
        z = zlib.compressobj(zdict=page)
        self.replace_page(z.compress(page) + z.flush(), "Error 2")

    # Batches and ranges, between two Ferry ends

    def batch(self, pages=2, gaps=(1,), size=20, method=True):
        """A stream that may have one, and it in place of its first record."""
        data = golden("batches")
        r = parse(data).sections[1].records[0]
        if not method:
            data = data.replace(b"compress-method-lz4", b"x-a-capability-lz4x")
        head = u64(0x400) + b"\4ram0" + bytes([pages])
        head += b"".join(struct.pack(">H", gap) for gap in gaps) + u32(size)
        return data[:r.offset] + head + data[r.offset:], r.offset

    def refuse_batch(self, cause, at=0, **what):
        data, offset = self.batch(**what)
        self.refuse(data, offset + at, cause)

    def test_batch_head(self):
        self.refuse_batch("a batch of 0 pages", 13, pages=0, gaps=())
        self.refuse_batch("a batch of 65 pages", 13, pages=65)
        self.refuse_batch("a page twice", 14, gaps=(0,))
        self.refuse_batch("outside block 'ram0'", gaps=(150,))
        self.refuse_batch("in 0 bytes", 16, size=0)
        self.refuse_batch("in 8192 bytes", 16, size=2 * PAGE)
        self.refuse_batch("a bad batch")
        self.refuse_batch("batch with compress-method None", method=False)

    def test_compressed_page_among_batches(self):
        data = golden("batches")
        r = parse(data).sections[1].records[0]
        self.insert(data, r.offset, u64(0x100) + b"\4ram0" + u32(1) + b"x",
                    "compressed with compress-method lz4")

    def test_packs_command(self):
        data = golden("packs")
        at = data.index(b"\x08\x46\x50\0\4")
        command = data[at:at + 9]
        out = "PACKS out of its place"
        self.insert(data, at, command, out, at + 9)
        other = golden("batches")  # to nobody who has said what it reads
        self.insert(other, parse(other).sections[1].offset, command, out)
        other = parse(self.ferry)
        record = next(r for r in other.sections[1].records
                      if r.kind == "compressed")
        self.insert(self.ferry, other.sections[1].offset, command,
                    "compressed with compress-method",
                    record.offset + len(command))
        first = next(r for r in parse(data).sections[1].records
                     if r.kind == "pack")
        self.refuse(data[:at] + data[at + 9:], first.offset - 9,
                    "pack with compress-method lz4")

    def test_sum(self):
        data = golden("packs")
        at = data.rindex(b"\x08\x46\x53\0\x08")
        command = data[at:at + 13]
        self.change(data, at + 3, b"\0\7", "SUM with 7 bytes")
        self.insert(data, at + 13, b"\x08\0\x0b\0\0", "EOF without SUM",
                    at + 18)
        self.refuse(data[:at] + data[at + 13:], at, "EOF without SUM")
        self.insert(self.ferry, parse(self.ferry).vmdescription[0] - 1,
                    command, "SUM without PACKS")

    def test_sum_covers_devices(self):
        data = golden("packs")
        counter = data.index(bytes.fromhex("0123456789ABCDEF"))
        if read_pack.xxhash:
            self.change(data, counter, b"\2", "a wrong SUM",
                        data.rindex(b"\x08\x46\x53"))

    def refuse_pack(self, raw, cause, window=1):
        """A first pack, or a list of packs of which the last is bad."""
        raws = raw if isinstance(raw, list) else [raw]
        history = read_pack.History(window, read_stream.unpack_body)
        for good in raws[:-1]:
            history.read(good, [0])
        with self.assertRaises(read_pack.PackError) as caught:
            history.read(raws[-1], [0])
        self.assertIn(cause, str(caught.exception))

    def test_bad_packs(self):
        def pack(body, pages=1, extra=0, codec=0, size=None, refs=0):
            return read_pack.HEAD.pack(
                0, len(body) if size is None else size, codec, pages,
                extra, refs) + body

        def refer(back, page):
            return pack(b"\2" + struct.pack(">HB", back, page))

        def good(number):
            page = bytes(range(256)) * 16
            value = read_pack.checksum(number, [0], [page], b"") \
                if read_pack.xxhash else 0
            return struct.pack(">Q", value) + pack(b"\4" + page)[8:]

        self.refuse_pack(b"", "without a head")
        self.refuse_pack(pack(b"\0", pages=2), "a pack of 2 pages")
        self.refuse_pack(pack(b"\5"), "kind 5")
        self.refuse_pack(pack(b"\4"), "too short")
        self.refuse_pack(pack(b"\0", extra=1), "too short")
        self.refuse_pack(pack(b"\0\0"), "behind the body's end")
        self.refuse_pack(pack(b"\0", size=2), "another size")
        self.refuse_pack(pack(b"\0", codec=9), "codec 9")
        self.refuse_pack(pack(b"\0", codec=3), "not shorter")
        self.refuse_pack(refer(0, 0), "not there")
        self.refuse_pack(refer(1, 0), "outside of the window")
        self.refuse_pack([good(0), refer(1, 1)], "not there")
        self.refuse_pack([good(0), good(1), refer(2, 0)],
                         "outside of the window")
        self.refuse_pack([good(0), pack(b"\3\0\1\0" + b"\xff" * 64)],
                         "too many words")
        def dictionary(refs, codec=2):
            body = b"".join(struct.pack(">HB", *ref) for ref in refs)
            return pack(body, codec=codec, size=4097, refs=len(refs))

        self.refuse_pack(dictionary([(0, 0)]), "not there")
        self.refuse_pack(dictionary([(1, 0)]), "outside of the window")
        self.refuse_pack([good(0), dictionary([(0, 0)])], "not there")
        self.refuse_pack([good(0), dictionary([(1, 1)])], "not there")
        self.refuse_pack([good(0), good(1), dictionary([(2, 0)])],
                         "outside of the window")
        self.refuse_pack([good(0), dictionary(65 * [(1, 0)])], "65 pages")
        self.refuse_pack([good(0), dictionary([(1, 0)])[:-1]], "too short")
        self.refuse_pack([good(0), dictionary([(1, 0)], 0)], "for nothing")
        self.refuse_pack([good(0), dictionary([(1, 0)], 1)], "for zlib")
        if read_pack.xxhash:
            self.refuse_pack(pack(b"\0"), "a wrong checksum")

    def test_dictionary(self):
        """A frame of zstd that is written by hand: the first byte of the
        body, 3996 bytes of what stands before it, and 100 bytes."""
        first = bytes(range(256)) * 16
        page = first[100:] + bytes(range(100, 200))
        literals = b"\4" + page[-100:]
        bits = (3996 - 2051) | (3997 + 3 - 2048) << 11 | 1 << 22
        block = (struct.pack("<H", len(literals) << 4 | 1 << 2) + literals +
                 bytes([1, 0x54, 1, 11, 47]) + bits.to_bytes(3, "little"))
        frame = (bytes.fromhex("28B52FFD60") + struct.pack("<H", 4097 - 256) +
                 (1 | 2 << 1 | len(block) << 3).to_bytes(3, "little") + block)

        def pack(number, content, rest, codec, refs):
            value = read_pack.checksum(number, [0], [content], b"") \
                if read_pack.xxhash else 0
            return read_pack.HEAD.pack(value, 4097, codec, 1, 0, refs) + rest

        try:
            read_stream.zstd_library()
        except ImportError as err:
            self.skipTest(str(err))
        history = read_pack.History(1, read_stream.unpack_body)
        history.read(pack(0, first, b"\4" + first, 0, 0), [0])
        pages, extra = history.read(
            pack(1, page, b"\0\1\0" + frame, 2, 1), [0])
        self.assertEqual((pages, extra), ([page], b""))

    def changes(self, *data, encoding=1, size=None):
        """A stream with an XBZRLE record instead of its last plain page, and
        where that is."""
        r = self.record(self.plain, "plain", -1)
        data = bytes(data)
        size = len(data) if size is None else size
        head = u64(r.page_offset | 0x40) + b"\4ram0"
        out = head + bytes([encoding]) + struct.pack(">H", size) + data
        return (self.plain[:r.offset] + out +
                self.plain[r.data_offset + PAGE:]), r

    def refuse_changes(self, cause, at, *data, **how):
        stream, r = self.changes(*data, **how)
        self.refuse(stream, r.offset + 13 + at, cause)

    def test_changes(self):
        stream, r = self.changes(0, 1, 7, 0xFD, 0x1F, 2, 8, 9)
        page = parse(stream, ram=True).ram["ram0"][r.page_offset:][:PAGE]
        self.assertEqual(page, b"\7" + bytes(PAGE - 3) + b"\x08\x09")
        kind = self.record(stream, "xbzrle")
        self.assertEqual((kind.data_size, kind.pages), (8, [r.page_offset]))

    def test_bad_changes(self):
        self.refuse_changes("encoding 2", 0, 0, 1, 7, encoding=2)
        self.refuse_changes("changes of 0 bytes", 1)
        self.refuse_changes("changes of 4097 bytes", 1, 0, size=PAGE + 1)
        self.refuse_changes("ends in a count", 4, 0)
        self.refuse_changes("ends in the new bytes", 6, 0, 2, 7)
        self.refuse_changes("0 bytes change", 5, 0, 0)
        self.refuse_changes("0 bytes stay", 7, 0, 1, 7, 0, 1, 7)
        self.refuse_changes("more than two bytes", 4, 0x80, 0x80, 1)
        self.refuse_changes("more than a page", 6, 0xFF, 0x1F, 2, 7, 7)

    def test_range(self):
        data = golden("zero-range")
        r = self.record(data, "zero-range")
        at = r.data_offset - 8
        self.change(data, at, u64(0), "a range of no pages")
        self.change(data, at, u64(70), "outside block 'ram0'", r.offset)
        self.change(data, at, u64(1 << 60), "a range of 1152921504606846976")
        self.change(data, at, u64(64), "twice in one section",
                    self.record(data, "zero-range", 1).offset)

    # Devices and the end

    def test_device_head(self):
        for d in parse(self.boards).devices:
            at = d["offset"]
            name = len(d["name"])
            self.change(self.boards, at, b"\3", "0x03 instead of a device")
            self.change(self.boards, at + 6, b"X", "but the vmdescription",
                        at + 5)
            self.change(self.boards, at + 6 + name, u32(3), "has instance 3")
            self.change(self.boards, at + 10 + name, u32(9), "has version 9")

    def test_device_missing(self):
        d = parse(self.boards).devices[2]
        self.change(self.boards, d["offset"], b"",
                    "section type 0x00 instead of a device", old=d["size"])

    def test_device_added(self):
        d = parse(self.boards).devices[2]
        end = d["offset"] + d["size"]
        self.insert(self.boards, end, self.boards[d["offset"]:end],
                    "section type 0x04 instead of EOF")

    def test_truth_value(self):
        at = self.boards.index(struct.pack(">QB", 1000, 1)) + 8
        self.change(self.boards, at, b"\2", "a truth value of 2")

    def test_subsections(self):
        at = self.boards.index(b"\5\x0aboard/lost")
        self.change(self.boards, at, b"\6",
                    "0x06 instead of subsection 'board/lost'")
        self.change(self.boards, at + 2, b"B", "subsection 'Board/lost'",
                    at + 1)
        self.change(self.boards, at + 12, u32(3), "has version 3")

    def test_eof(self):
        at, size = parse(self.plain).vmdescription
        self.change(self.plain, at - 1, b"\1",
                    "section type 0x01 instead of EOF")
        self.change(self.plain, at - 1, b"", "the stream ends in EOF",
                    old=1)
        self.insert(self.plain, at, b"\0", "bytes between EOF and")

    def test_vmdescription(self):
        at, size = parse(self.plain).vmdescription
        length = at + 1
        self.change(self.plain, length, u32(size - 5 - 1),
                    "bytes after the end", len(self.plain) - 1)
        self.change(self.plain, length, u32(size - 5 + 1),
                    "the stream ends in the vmdescription", len(self.plain))
        self.change(self.plain, length, u32((16 << 20) + 1),
                    "a vmdescription of 16777217 bytes")
        self.change(self.plain, len(self.plain) - 1, b"]",
                    "the vmdescription is not JSON", at + 5)
        self.change(self.plain, self.plain.index(b"4096"), b"8192",
                    "another page size", at + 5)

    def test_bytes_behind_the_end(self):
        for data in (self.plain, self.boards, self.ferry):
            self.insert(data, len(data), b"\0", "bytes after the end",
                        len(data) - (9 if data is self.ferry else 0))
        go = self.ferry[-9:]
        self.insert(self.plain, len(self.plain), go, "bytes after the end")
        self.insert(self.ferry, len(self.ferry) - 9, go,
                    "bytes after the end")

    # Damage of any kind

    def test_every_prefix(self):
        for data in (self.boards, self.ferry, b""):
            for size in range(len(data)):
                if data is self.ferry and size == len(data) - 9:
                    self.assertFalse(parse(data[:size]).handed_over)
                    continue
                with self.assertRaises(StreamError) as caught:
                    parse(data[:size])
                in_go = data is self.ferry and size > len(data) - 9
                self.assertEqual(caught.exception.offset,
                                 len(data) - 9 if in_go else size)

    def test_every_byte(self):
        """For any wrong byte, the reader says so or reads on; it never
        crashes."""
        for data in (self.boards, self.ferry):
            for at in range(len(data)):
                for flip in (0x01, 0x20, 0x80):
                    try:
                        parse(data[:at] + bytes([data[at] ^ flip]) +
                              data[at + 1:])
                    except StreamError as e:
                        self.assertLessEqual(e.offset, len(data))


if __name__ == "__main__":
    tap.main()
