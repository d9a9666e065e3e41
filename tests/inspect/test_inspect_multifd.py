# SPDX-License-Identifier: GPL-2.0-or-later
"""multifd: the main channel alone, and with the files of its side channels."""
import ctypes
import ctypes.util
import gzip
import os
import sys
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, PAGE, PART, PLAIN, START, ZERO,  # noqa: E402
                         InspectTest, block_list, command, head, name, pages,
                         record, section, tail, u32, u64)
from test_inspect_sections import sample  # noqa: E402
import tap  # noqa: E402

MAGIC = u32(0x11223344) + u32(1)
FLUSH = u64(0x200)
COUNT = 8
A, B, C = (bytes(i * k % 251 for i in range(PAGE)) for k in (3, 5, 7))


class Zstd:
    """A stream that is flushed now and then, by the library."""

    class Buffer(ctypes.Structure):
        _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t),
                    ("pos", ctypes.c_size_t)]

    def __init__(self):
        found = ctypes.util.find_library("zstd")
        if not found:
            raise unittest.SkipTest("this machine has no libzstd")
        self.lib = ctypes.CDLL(found)
        self.lib.ZSTD_createCCtx.restype = ctypes.c_void_p
        self.state = ctypes.c_void_p(self.lib.ZSTD_createCCtx())

    def pack(self, data):
        out = ctypes.create_string_buffer(len(data) + 1000)
        to = self.Buffer(ctypes.addressof(out), len(out), 0)
        copy = ctypes.create_string_buffer(data, len(data))
        of = self.Buffer(ctypes.addressof(copy), len(data), 0)
        left = self.lib.ZSTD_compressStream2(
            self.state, ctypes.byref(to), ctypes.byref(of), 1)  # flush
        assert left == 0 and of.pos == len(data)
        return out.raw[:to.pos]


class Zlib:
    def __init__(self):
        self.state = zlib.compressobj(1)

    def pack(self, data):
        return self.state.compress(data) + self.state.flush(
            zlib.Z_SYNC_FLUSH)


class Plain:
    def pack(self, data):
        return data


METHODS = {0: Plain, 1: Zlib, 2: Zstd}


class Channel:
    number = 0  # of the next packet, of all channels

    def __init__(self, ident, method=0, guest=b"g" * 16):
        self.method = method
        self.packer = METHODS[method]()
        self.out = MAGIC + guest + bytes([ident]) + bytes(39)

    def packet(self, normal=(), zero=(), block="a", sync=False, size=None,
               method=None, counts=None, raw=None):
        """normal: (page, content)."""
        method = self.method if method is None else method
        data = self.packer.pack(b"".join(x[1] for x in normal)) \
            if normal else b""
        data = data if raw is None else raw
        offsets = [i * PAGE for i, _ in normal] + [i * PAGE for i in zero]
        counts = counts or (len(normal), len(zero))
        self.out += MAGIC + u32(method << 1 | sync) + u32(128) + \
            u32(counts[0]) + u32(len(data) if size is None else size) + \
            u64(Channel.number) + u32(counts[1]) + bytes(28) + \
            (block.encode() if offsets else b"").ljust(256, b"\0") + \
            b"".join(map(u64, offsets)).ljust(128 * 8, b"\0") + data
        Channel.number += 1
        return self

    def sync(self, size=4096):
        """An old size stands in it."""
        return self.packet(sync=True, size=size)


def start(flushes=0):
    blocks = block_list(("a", COUNT * PAGE))
    return head() + section(START, blocks[:-8] + FLUSH * flushes + u64(0x10))


def part(kind, *records, flushes=0):
    return pages(kind, *records, FLUSH * flushes)


class MultifdTest(InspectTest):
    def setUp(self):
        super().setUp()
        Channel.number = 0

    def run_all(self, main, channels, *args, status=0, order=None):
        paths = [self.write(main, "main")]
        for i, channel in enumerate(channels):
            data = channel if isinstance(channel, bytes) else channel.out
            paths.append(self.write(data, f"side{i}"))
        paths = [paths[i] for i in order or range(len(paths))]
        return self.inspect(paths[0], *args, *paths[1:], status=status) \
            if paths[0].endswith("main") else \
            self.inspect_main(paths, *args, status=status)

    def inspect_main(self, paths, *args, status):
        """The main channel is not the first one."""
        done = self.run_it("--json", *args, *paths)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def whole(self, main, channels, ram, **kwargs):
        out = self.path("out")
        report = self.run_all(main, channels, "--extract", "a", out, **kwargs)
        with open(out, "rb") as f:
            self.assertEqual(f.read(), ram)
        os.unlink(out)
        return report


class Together(MultifdTest):
    def rounds(self, method):
        """Three, of two channels.  Pages 3 and 7 do not go there."""
        x, y = Channel(0, method), Channel(1, method)
        x.sync(), y.sync()
        x.packet([(0, A), (1, A)]), y.packet([(2, B)], [4, 5])
        x.sync(), y.packet([(6, C)], sync=True)
        x.packet([(2, C)], [0]), y.packet([(4, A)])
        x.sync(), y.sync()
        x.packet([(1, B)])
        x.sync(), y.sync(), y.packet()
        return [x, y]

    RAM = bytes(PAGE) + B + C + bytes(PAGE) + A + bytes(PAGE) + bytes(PAGE) \
        + A

    def main(self, flushed):
        n = 1 if flushed else 0
        return start(n) + part(
            PART, record(ZERO, 3, b"", "a"), record(ZERO, 7),
            flushes=n) + part(PART, record(ZERO, 6, b"", "a"), flushes=n) + \
            part(END, record(PLAIN, 7, A, "a"), flushes=n) + tail()

    def test_methods(self):
        for method in METHODS:
            for flushed in (True, False):
                with self.subTest(f"{method} {flushed}"):
                    Channel.number = 0
                    report = self.whole(self.main(flushed),
                                        self.rounds(method), self.RAM)
                    self.assertEqual(
                        report["ram"]["compressed" if method else "plain"],
                        7 if method else 8)
                    self.assertFalse(report["pages-elsewhere"])
                    self.assertEqual(report["devices"][0]["name"], "board")

    def test_verify(self):
        for method in METHODS:
            Channel.number = 0
            channels = self.rounds(method)
            for args in ((), ("--verify",)):
                self.run_all(self.main(True), channels, *args)

    def test_flushes_from_the_first_part_on(self):
        """START has none, and is a round all the same."""
        Channel.number = 0
        main = start() + self.main(True)[len(start(1)):]
        self.whole(main, self.rounds(0), self.RAM)

    def test_several_flushes_in_a_section(self):
        x = Channel(0)
        x.sync().packet([(i, A) for i in range(COUNT)]).sync()
        x.packet([(0, B)]).sync().packet([(0, C)]).sync().sync()
        self.whole(start(1) + part(PART, flushes=3) + part(END, flushes=1) +
                   tail(), [x], C + A * 7)

    def test_order_of_files(self):
        channels = self.rounds(0)
        for order in ((0, 2, 1), (1, 0, 2), (2, 1, 0)):
            out = self.path("out")
            self.run_all(self.main(True), channels, "--extract", "a", out,
                         order=order)
            with open(out, "rb") as f:
                self.assertEqual(f.read(), self.RAM)
            os.unlink(out)

    def test_compressed_files(self):
        channels = [gzip.compress(c.out) for c in self.rounds(1)]
        self.whole(gzip.compress(self.main(True)), channels, self.RAM)

    def test_passes(self):
        report = self.run_all(self.main(True), self.rounds(0))
        self.assertEqual([p["plain"] + p["zero"]
                          for p in report["ram"]["passes"]], [8, 4, 2])

    def test_device_state(self):
        """vfio's packets have another form."""
        x = Channel(0)
        x.sync().packet([(i, A) for i in range(COUNT)])
        x.out += MAGIC + u32(0x40) + b"vfio".ljust(256, b"\0") + u32(0) + \
            u32(5) + b"state"
        x.sync().sync()
        self.whole(start(1) + part(PART, flushes=1) + part(END, flushes=1) +
                   tail(), [x], A * 8)


class Alone(MultifdTest):
    """Never a RAM of zeros, and never status 0."""

    def test_flushes(self):
        for main in (start(1), start(1) + part(PART, flushes=1)):
            out = self.path("out")
            report = self.run_all(main + part(END, flushes=1) + tail(), [],
                                  "--extract", "a", out, status=1)
            self.assertIn("went over multifd's side channels",
                          report["error"]["message"])
            self.assertTrue(report["pages-elsewhere"])
            self.assertEqual(report["devices"][0]["name"], "board")
            self.assertFalse(os.path.exists(out))

    def test_zero_pages_only(self):
        """A QEMU before 8.0."""
        out = self.path("out")
        report = self.run_all(start() + part(
            PART, *[record(ZERO, i, b"", "a") for i in range(5)]) +
            part(END) + tail(), [], "--extract", "a", out, status=1)
        self.assertIn("went over multifd's", report["error"]["message"])
        self.assertFalse(os.path.exists(out))

    def test_cut(self):
        out = self.path("out")
        self.run_all(start(1) + part(PART, record(ZERO, 1, b"", "a"),
                                     flushes=1), [], "--extract", "a", out,
                     status=1)
        self.assertFalse(os.path.exists(out))

    def test_real(self):
        report = self.inspect(sample("multifd-main-7.2"), status=1)
        self.assertIn("went over multifd's", report["error"]["message"])
        self.assertEqual(len(report["devices"]), 21)

    def test_side_channels_alone(self):
        x = Channel(0).sync()
        path = self.write(x.out)
        done = self.run_it(path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("give the file of the main channel", done.stderr)

    def test_two_streams(self):
        path = self.write(start() + part(END) + tail())
        done = self.run_it(path, path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("one stream can be inspected", done.stderr)


class Damaged(MultifdTest):
    MAIN = start(1) + part(PART, flushes=1) + part(END, flushes=1) + tail()

    def refuse(self, channels, text, kind="stream", status=1, main=MAIN,
               args=("--verify",)):
        report = self.run_all(main, channels, *args, status=status)
        self.assertEqual(report["error"]["kind"], kind)
        self.assertIn(text, report["error"]["message"])
        return report

    def good(self, ident=0, method=0):
        return Channel(ident, method).sync()

    def test_missing_channel(self):
        x, y = self.good(0), self.good(1)
        x.packet([(0, A)]).sync().sync(), y.packet([(1, A)]).sync().sync()
        out = self.path("out")
        report = self.refuse([x], "the file of a channel is missing", "eof",
                             3, args=("--extract", "a", out))
        self.assertIn("7 of its 8 pages never came", report["warnings"][0])
        with open(out, "rb") as f:
            self.assertEqual(f.read(), A + bytes(7 * PAGE))
        self.refuse([x, y, x], "channel 0 of multifd was given twice",
                    "other")

    def test_cut(self):
        x = self.good().packet([(0, A), (1, B)]).sync().sync()
        for size in range(0, len(x.out), 333):
            out = self.path("out")
            status = 3 if size > 64 + 2 * 1344 + PAGE else 1
            report = self.refuse([x.out[:size]] if size > 3 else [],
                                 "", "eof", status,
                                 args=("--extract", "a", out))
            self.assertEqual(os.path.exists(out), status == 3)
            if status == 3:
                self.assertIn(report["ram"]["blocks"][0]["missing"], (6, 7))
                os.unlink(out)

    def test_packets(self):
        for make, text in (
                (lambda x: x.packet([(0, A)], size=5), "1 pages in 5 bytes"),
                (lambda x: x.packet([(8, A)]), "which does not have it"),
                (lambda x: x.packet([(0, A)], block="b"), "which does not"),
                (lambda x: x.packet([(0, A)], block=""), "has no name"),
                (lambda x: x.packet([(0, A)], block="x" * 256),
                 "has no name"),
                (lambda x: x.packet([(0, A)], counts=(129, 0)), "129 pages"),
                (lambda x: x.packet([(0, A)], counts=(1, 128)),
                 "128 zero pages"),
                (lambda x: x.packet([(0, A)], counts=(1, (1 << 32) - 1)),
                 "zero pages"),
                (lambda x: setattr(x, "out", x.out + b"x" * 20),
                 "no packet of multifd, but 0x78787878")):
            x = self.good()
            make(x)
            self.refuse([x], text)

    def test_offsets(self):
        x = self.good().packet([(0, A)], [7])
        x.out = x.out.replace(u64(7 * PAGE), u64(7 * PAGE + 1))
        self.refuse([x], "a page at offset 0x7001")

    def test_compressed(self):
        for method in (1, 2):
            packer = METHODS[method]()
            short, long = packer.pack(A[:-1]), packer.pack(A + b"xx")
            for raw, text in ((short, "less data than pages"),
                              (METHODS[method]().pack(A + b"x"),
                               "more data than pages"),
                              (b"nonsense", "bad compressed data"),
                              (b"", "less data than pages")):
                x = self.good(0, method).packet([(0, A)], raw=raw)
                self.refuse([x], text)
            self.assertTrue(long)

    def test_methods(self):
        for method, text in ((4, "qpl"), (8, "uadk"), (16, "qatzip"),
                             (3, "an unknown method")):
            x = self.good().packet([(0, A)], method=method)
            self.refuse([x], f"multifd-compression by {text}", "unsupported")


if __name__ == "__main__":
    tap.main()
