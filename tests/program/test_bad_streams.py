#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A destination that is fed rubbish says what was wrong, and runs nothing."""
import os
import random
import sys
import zlib

import program_kit
import tap
from ferry_vm import connect_unix

sys.path.insert(0, os.path.join(program_kit.ROOT, "tests", "wire"))
import read_stream  # noqa: E402

FAILED = "ferry-vm: load of migration failed: "


class BadStreams(program_kit.ProgramTest):
    mem = "16M"
    append = "ws=1"

    def setUp(self):
        super().setUp()
        program_kit.need_accel(self, "soft")
        self.path = os.path.join(self.folder, "stream")

    def stream(self):
        """What a source writes: the bytes, and what is where in them."""
        src = self.source()
        src.set_capability("compress")
        self.move(src, f"file:{self.path}")
        with open(self.path, "rb") as f:
            data = f.read()
        return data, read_stream.parse(data)

    def load(self, data, *args, mem=mem):
        """Load that; what was said, which must be one line."""
        serial = os.path.join(self.folder, "serial")
        with open(self.path, "wb") as f:
            f.write(data)
        done = program_kit.run_vm(
            "-m", mem, "-accel", "soft", "-serial", f"file:{serial}",
            "-incoming", f"file:{self.path}", *args,
            env={**os.environ, "FERRY_ZLIB": "zlib"})
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertEqual(os.path.getsize(serial), 0, "the guest ran")
        self.assertTrue(done.stderr.startswith(FAILED), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def test_not_a_stream(self):
        for seed in range(10):
            data = random.Random(seed).randbytes(100000)
            self.assertIn(f"not a migration stream: magic 0x{data[:4].hex()}",
                          self.load(data))
        self.assertIn("not a migration stream", self.load(b"GET / HTTP/1.1"))
        self.assertIn("which is ferry-relay", self.load(b"\xfeFRELAY\n"))
        self.assertIn("ended at byte 0 ", self.load(b""))

    def test_rubbish_after_a_good_beginning(self):
        data, stream = self.stream()
        rubbish = random.Random(1).randbytes(len(data))
        for good in (4, 8, stream.sections[1].offset + 1,
                     stream.sections[1].records[7].offset,
                     stream.sections[-1].offset):
            with self.subTest(good):
                self.assertRegex(self.load(data[:good] + rubbish[good:]),
                                 "byte [0-9]+ of the stream")

    def test_cut_off(self):
        data, stream = self.stream()
        eof = stream.vmdescription[0]
        record = next(r for r in stream.records() if r.kind == "compressed")
        places = [1, 4, 12, eof - 1]
        places += [s.offset + n for s in stream.sections
                   for n in (0, 3, s.size)]
        places += [record.offset + 1, record.data_offset,
                   record.data_offset + 1]
        for n in places:
            with self.subTest(n):
                self.assertIn(f"the channel ended at byte {n} of the stream",
                              self.load(data[:n]))
        self.assertIn("device ", self.load(data[:eof - 10]))

    def test_flipped_bits(self):
        """In compressed pages, wherever zlib itself takes offence.  (Another
        decoder may take a Huffman code that is incomplete in a part that is
        not used; of the page it is as sure, by its checksum.)"""
        data, stream = self.stream()
        records = [r for r in stream.records() if r.kind == "compressed"]
        choose, refused = random.Random(2), 0
        while refused < 20:
            record = choose.choice(records)
            at = record.data_offset + choose.randrange(record.data_size)
            bad = bytearray(data)
            bad[at] ^= 1 << choose.randrange(8)
            if self.is_a_page(bad, record):
                continue
            refused += 1
            self.assertIn(
                f"block 'pc.ram', offset 0x{record.page_offset:x}: the "
                f"compressed page at byte {record.offset} of the stream is "
                "bad: ", self.load(bytes(bad)))

    @staticmethod
    def is_a_page(data, record):
        end = record.data_offset + record.data_size
        inflater = zlib.decompressobj()
        try:
            page = inflater.decompress(data[record.data_offset:end])
        except zlib.error:
            return False
        return inflater.eof and not inflater.unused_data and \
            len(page) == program_kit.PAGE

    def test_another_machine(self):
        data, _ = self.stream()
        self.assertIn("16777216 bytes of RAM, this machine 33554432",
                      self.load(data, mem="32M"))
        self.assertIn("has 1 CPUs, this machine has 2: give the same -smp",
                      self.load(data, "-smp", "2"))

    def test_silence(self):
        """Nothing comes after some good beginning: quit still quits."""
        data, stream = self.stream()
        record = stream.sections[1].records[100]
        for n in (8, 9, record.data_offset, stream.vmdescription[0] - 1):
            with self.subTest(n):
                uri = self.unix_uri(f"socket{n}")
                dst = self.destination(uri)
                with connect_unix(uri[len("unix:"):]) as sock:
                    sock.sendall(data[:n])
                    dst.wait_migration("active")
                    self.assertEqual(dst.status(), "inmigrate")
                    self.assertEqual(dst.quit(), 0)
                self.assertEqual(dst.serial.text(), b"")

    def test_silence_of_one_who_has_said_all(self):
        """Then the guest runs, and quit quits all the same."""
        data, stream = self.stream()
        uri = self.unix_uri()
        dst = self.destination(uri)
        with connect_unix(uri[len("unix:"):]) as sock:
            sock.sendall(data[:stream.vmdescription[0]])
            dst.serial.wait_for(lambda text: len(text) > 100)
            self.assertEqual(dst.status(), "running")
            self.assertEqual(dst.quit(), 0)


if __name__ == "__main__":
    tap.main()
