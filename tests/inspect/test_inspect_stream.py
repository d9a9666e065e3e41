#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same guest as a bare stream.  tests/interop/test_inspected.py has QEMU
load it."""
import gzip
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, PAGE, PART, PLAIN, START, ZERO,  # noqa: E402
                         InspectTest, block_list, command, golden, head, name,
                         packed, pages, record, section, tail, u32, u64)
from test_inspect_containers import libvirt  # noqa: E402
import read_stream  # noqa: E402
import tap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
A, B = (bytes([c]) * PAGE for c in b"AB")
BLOCKS = (("pc.ram", 3 * PAGE), ("rom", PAGE))


def made(*parts, before=b"", capabilities=(), blocks=BLOCKS, devices=None):
    return head(capabilities=capabilities) + before + \
        section(START, block_list(*blocks)) + b"".join(parts) + pages(END) + \
        (tail() if devices is None else devices)


WHOLE = (pages(PART, record(PLAIN, 0, A, "pc.ram"), record(ZERO, 1),
               packed(2, A), record(ZERO, 0, b"", "rom")),
         pages(PART, packed(2, B, "pc.ram")))


class Streams(InspectTest):
    def stream(self, data, *args, status=0):
        """The new stream."""
        out = self.path("new")
        path = self.write(data) if isinstance(data, bytes) else data
        report = self.inspect(path, "--stream", out, *args, status=status)
        if status:
            self.assertFalse(os.path.exists(out))
            return report["error"]["message"]
        with open(out, "rb") as f:
            new = f.read()
        os.unlink(out)
        return new

    def test_bytes(self):
        """Each page once, as it was in the end, by its block."""
        self.assertEqual(
            self.stream(made(*WHOLE)),
            head() + section(START, block_list(*BLOCKS)) +
            pages(PART, record(PLAIN, 0, A, "pc.ram"), record(ZERO, 1),
                  record(PLAIN, 2, B), record(ZERO, 0, b"", "rom")) +
            pages(END) + tail())

    def test_commands(self):
        """They go."""
        self.assertEqual(
            self.stream(made(*WHOLE, before=command(1) + command(2, u32(7)))),
            self.stream(made(*WHOLE)))

    def test_configuration(self):
        """What is the guest's stays."""
        uuid = b"\x05" + name("configuration/uuid") + u32(1) + bytes(range(16))
        bits = b"\x05" + name("configuration/target-page-bits") + u32(1) + \
            u32(12)
        for more in uuid, bits, bits + uuid:
            new = self.stream(made(*WHOLE, before=more))
            self.assertEqual(new[len(head()):][:len(more) + 1], more + b"\1")

    def test_ids(self):
        data = head() + section(START, block_list(("a", PAGE)), 77) + \
            section(END, record(PLAIN, 0, A, "a") + u64(0x10), 77) + tail()
        found = self.inspect(self.stream(data))
        self.assertEqual(found["ram"]["plain"], 1)

    def test_device_before_ram(self):
        early = section(4, b"early", 50, "first", 3, 2)
        new = self.stream(made(*WHOLE, before=early))
        self.assertTrue(new.startswith(head() + early + b"\1"))

    def test_pages_that_never_came(self):
        """They are not written."""
        data = made(pages(PART, record(PLAIN, 0, A, "pc.ram"),
                          record(ZERO, 2)))
        new = read_stream.parse(self.stream(data))
        self.assertEqual([(r.kind, r.page_offset) for r in new.records()],
                         [("plain", 0), ("zero", 2 * PAGE)])

    def test_mapped(self):
        with gzip.open(os.path.join(HERE, "samples",
                                    "mapped-ram-11.1.gz")) as f:
            data = f.read()
        new = self.stream(data)
        self.assertLess(len(new), 400 << 10)
        self.assertEqual(self.inspect(new)["capabilities"], [])
        self.assertEqual(self.extract(new, "pc.ram")[0],
                         self.extract(data, "pc.ram")[0])

    def test_samples(self):
        for what in ("background-snapshot-11.1", "machine-2.0", "machine-2.3",
                     "postcopy-11.1", "virtio-mem-11.1"):
            with self.subTest(what):
                with gzip.open(os.path.join(HERE, "samples",
                                            what + ".gz")) as f:
                    data = f.read()
                new = self.stream(data)
                one, other = self.inspect(data), self.inspect(new)
                self.assertEqual(one["machine"], other["machine"])
                for report in one, other:
                    for device in report["devices"]:
                        del device["offset"]
                self.assertEqual(one["devices"], other["devices"])
                self.assertEqual(one.get("vmdescription"),
                                 other.get("vmdescription"))
                block = "pc.ram"
                self.assertEqual(self.extract(new, block)[0],
                                 self.extract(data, block)[0])

    def test_of_ferry(self):
        """Packs become pages."""
        for what in "packs", "batches", "compressed", "three-passes":
            with self.subTest(what):
                new = self.stream(golden(what))
                self.assertFalse(self.inspect(new)["ferry"])
                for block in self.inspect(new)["ram"]["blocks"]:
                    self.assertEqual(
                        self.extract(new, block["name"])[0],
                        self.extract(golden(what), block["name"])[0])

    def test_containers(self):
        """What is inside of them."""
        wanted = self.stream(made(*WHOLE))
        for form in "raw", "gzip":
            data = made(*WHOLE)
            if form == "gzip":
                data = gzip.compress(data)
            self.assertEqual(self.stream(libvirt(form, data)), wanted)
            self.assertEqual(self.stream(gzip.compress(libvirt(form, data))),
                             wanted)

    def test_dirty_bitmaps(self):
        with gzip.open(os.path.join(HERE, "samples",
                                    "dirty-bitmap-11.1.gz")) as f:
            path = self.write(f.read())
        done = self.run_it("--stream", self.path("new"), path)
        self.assertEqual(done.returncode, 0)
        self.assertIn("warning: the new stream has no dirty bitmaps",
                      done.stderr)

    def test_refused(self):
        other = section(START, b"", 9, "vfio", 0, 1)
        self.assertIn("section cannot be carried over: 'vfio'",
                      self.stream(made(*WHOLE, before=other), status=1))
        shared = [(n, size, u64(0)) for n, size in BLOCKS]
        self.assertIn("x-ignore-shared", self.stream(
            made(*WHOLE, capabilities=["x-ignore-shared"], blocks=shared),
            status=1))

    def test_damaged(self):
        """Half a guest is none."""
        self.stream(made(*WHOLE)[:-10], status=1)
        self.stream(made(*WHOLE)[:4300], status=1)

    def test_out(self):
        path = self.write(made(*WHOLE))
        taken = self.write(b"x", "taken")
        done = self.run_it("--stream", taken, path)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"cannot make '{taken}': File exists", done.stderr)
        done = self.run_it("--stream", self.path("no/folder"), path)
        self.assertEqual(done.returncode, 1)
        done = self.run_it("--stream", self.path("o"), "--extract", "pc.ram",
                           self.path("p"), path)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(sorted(os.listdir(self.folder)), ["stream", "taken"])
        with open(taken, "rb") as f:
            self.assertEqual(f.read(), b"x")

    def test_several(self):
        path = self.write(made(*WHOLE))
        done = self.run_it("--stream", self.path("a"), "--stream",
                           self.path("b"), path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(self.path("a"), "rb") as a, open(self.path("b"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertEqual(os.stat(self.path("a")).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    tap.main()
