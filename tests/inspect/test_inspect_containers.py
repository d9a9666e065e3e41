# SPDX-License-Identifier: GPL-2.0-or-later
"""What people's files wrap a stream in: it is found by its content."""
import bz2
import gzip
import json
import lzma
import os
import resource
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (FULL, INSPECT, TIMEOUT, InspectTest,  # noqa: E402
                         golden, head, section)
import tap  # noqa: E402

PLAIN = golden("three-passes")


def packer(*program):
    def pack(data):
        try:
            return subprocess.run(program, input=data, capture_output=True,
                                  check=True, timeout=TIMEOUT).stdout
        except FileNotFoundError:
            raise unittest.SkipTest(f"this machine has no {program[0]}") \
                from None
    return pack


# As libvirt numbers them.
FORMATS = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress,
           "xz": lzma.compress, "lzop": packer("lzop", "-c"),
           "zstd": packer("zstd", "-c")}
COMPRESSED = [name for name in FORMATS if name != "raw"]


def libvirt(form, data, magic=b"LibvirtQemudSave", version=2, running=1,
            order="<", xml=b"<domain/>\0<cookie/>"):
    """An image of libvirt, as docs/inspect.md has it."""
    number = list(FORMATS).index(form) if form in FORMATS else form
    return magic + struct.pack(order + "19I", version, len(xml), running,
                               number, 10, *[0] * 14) + xml + data


class ContainerTest(InspectTest):
    def same(self, data, kinds, *args):
        """It has the stream PLAIN in containers of these kinds."""
        wanted = self.inspect(PLAIN)
        report = self.inspect(data, *args)
        self.assertEqual([c["kind"] for c in report["containers"]], kinds)
        for key in ("bytes", "machine", "ram", "devices", "trailing"):
            self.assertEqual(report[key], wanted[key])
        return report


class Compressed(ContainerTest):
    def test_formats(self):
        for name in COMPRESSED:
            with self.subTest(name):
                self.same(FORMATS[name](PLAIN), [name])

    def test_from_a_pipe(self):
        for name in COMPRESSED:
            with self.subTest(name):
                done = subprocess.run(
                    [INSPECT, "--json", "-"], input=FORMATS[name](PLAIN),
                    capture_output=True, timeout=TIMEOUT, check=True)
                self.assertEqual(json.loads(done.stdout)["bytes"],
                                 len(PLAIN))

    def test_joined(self):
        """One file behind the other, and zeros behind the last one."""
        for name in ("gzip", "bzip2", "xz", "zstd"):
            with self.subTest(name):
                pack = FORMATS[name]
                self.same(pack(PLAIN[:1000]) + pack(PLAIN[1000:]) +
                          bytes(5000), [name])

    def test_skippable_frame(self):
        """pzstd begins with one."""
        self.same(b"\x50\x2a\x4d\x18\4\0\0\0size" + FORMATS["zstd"](PLAIN),
                  ["zstd"])

    def test_inside_of_each_other(self):
        self.same(gzip.compress(bz2.compress(lzma.compress(PLAIN))),
                  ["gzip", "bzip2", "xz"])
        data = PLAIN
        for _ in range(10):
            data = gzip.compress(data)
        self.refused(data, kind="unsupported",
                     text="more than 6 files inside of each other")

    def test_large(self):
        """More than any buffer, in small pieces of output and of input."""
        data = PLAIN + os.urandom(3 << 20) + bytes(40 << 20)
        for name in COMPRESSED:
            with self.subTest(name):
                report = self.inspect(FORMATS[name](data))
                self.assertEqual(report["trailing"], len(data) - len(PLAIN))

    def within(self, path, seconds=20):
        """Run it with so much CPU time."""
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

        return self.run_it(path, preexec_fn=limit)

    def test_bombs(self):
        """A few kilobytes that hold gigabytes: behind the end, as a machine's
        memory that is to be copied, and as a device."""
        pack = FORMATS["zstd"]
        zeros = pack(bytes(64 << 20)) * 100
        done = self.within(self.write(pack(PLAIN) + zeros))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        mapped = head(capabilities=["mapped-ram"]) + b"\1"
        for start in (mapped, head() + section(FULL, b"", 1, "x")[:-5]):
            done = self.within(self.write(pack(start) + zeros))
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\d+ bytes of the file give more "
                             r"than \d+, which is not believed")

    def test_cut(self):
        """What came before the cut is told."""
        noise = os.urandom(600000)
        for name in ("gzip", "bzip2", "xz", "zstd"):
            data = FORMATS[name](PLAIN + noise)[:-30]
            with self.subTest(name):
                self.refused(data, kind="eof", text=f"{name}: the compressed "
                             f"data ends in the middle, at byte {len(data)}")
        report = self.inspect(FORMATS["lzop"](PLAIN + noise)[:-30], status=1)
        self.assertIn("does not take all of the data",
                      report["error"]["message"])
        self.assertEqual(report["machine"], "fake-1.0")

    def test_damaged(self):
        for name in COMPRESSED:
            data = bytearray(FORMATS[name](PLAIN + os.urandom(3 << 20)))
            for i in range(1000):
                data[len(data) // 2 + i] ^= 0xFF
            with self.subTest(name):
                self.refused(bytes(data), kind="stream", text=f"{name}: ")

    def test_no_program(self):
        path = self.write(FORMATS["lzop"](PLAIN))
        done = self.run_it(path, env={**os.environ, "PATH": "/nowhere"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("the program 'lzop', which decompresses it, is not "
                      "installed", done.stderr)

    def test_short_files(self):
        for size in range(20):
            self.refused(FORMATS["gzip"](PLAIN)[:size], kind="eof")


class Libvirt(ContainerTest):
    def test_formats(self):
        for name in FORMATS:
            with self.subTest(name):
                report = self.same(libvirt(name, FORMATS[name](PLAIN)),
                                   ["libvirt"] + [name] * (name != "raw"))
                self.assertEqual(report["containers"][0]["note"],
                                 f"{name}, the guest was running")
                self.assertEqual(report["warnings"], [])

    def test_what_it_says_of_itself(self):
        """A host of the other byte order; an older version; a stopped guest;
        a number that is not known, which does not matter."""
        for note, data in (
                ("raw, the guest was running", libvirt("raw", PLAIN,
                                                       order=">")),
                ("raw, the guest was stopped", libvirt(
                    "raw", PLAIN, version=1, running=0)),
                ("format 7, the guest was running", libvirt(7, PLAIN))):
            report = self.same(data, ["libvirt"])
            self.assertEqual(report["containers"][0]["note"], note)

    def test_unfinished(self):
        path = self.write(libvirt("raw", PLAIN, b"LibvirtQemudPart"))
        done = self.run_it(path)
        self.assertEqual(done.returncode, 0)
        self.assertIn("warning: libvirt has not finished this image",
                      done.stderr)
        self.assertIn("container       libvirt: raw", done.stdout)

    def test_damaged(self):
        good = libvirt("raw", PLAIN)
        self.refused(libvirt("raw", PLAIN, version=3), kind="unsupported",
                     text="version 3 of libvirt's images")
        self.refused(good[:50], kind="eof", text="the head of libvirt's")
        self.refused(good[:100], kind="eof", text="the XML in libvirt's")
        self.refused(libvirt("raw", b"\x7fELF" + bytes(60)),
                     text="which is an ELF file")

    def test_whole_file_compressed(self):
        self.same(gzip.compress(libvirt("xz", FORMATS["xz"](PLAIN))),
                  ["gzip", "libvirt", "xz"])

    def test_offset(self):
        path = self.write(b"x" * 512 + libvirt("lzop",
                                               FORMATS["lzop"](PLAIN)))
        self.inspect(f"file:{path},offset=512")


if __name__ == "__main__":
    tap.main()
