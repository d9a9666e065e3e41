# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged streams: where and why is said, and nothing else happens.

A stream that ends anywhere is told to end there; a byte that is changed where
it matters is found at, or closely behind, its place.
"""
import itertools
import json
import lzma
import os
import re
import signal
import subprocess
import sys
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (COMPRESSED, END, FULL, INSPECT, PAGE,  # noqa: E402
                         PART, PLAIN, START, TIMEOUT, ZERO, InspectTest,
                         block_list, command, footer, golden, head, name,
                         packed, pages, record, section, tail, u16, u32,
                         whole, zero_range)
import read_stream  # noqa: E402
import tap  # noqa: E402
from ferry_vm import wait_until  # noqa: E402

NAMED = re.compile(r"byte (\d+)")


def boundaries(s):
    """Where records, sections, devices and commands of a stream begin."""
    yield from (r.offset for r in s.records())
    yield from (x.offset for x in s.sections)
    yield from (d["offset"] for d in s.devices)
    yield from (c["offset"] for c in s.commands)
    yield from (s.vmdescription[0], s.vmdescription[0] - 1, 0, 4, 8)


class Busy(InspectTest):
    """What would take hours if the work grew faster than the input.  The size
    is what tells: these take less than a second or run into the limit."""

    def start(self):
        return head() + section(START, block_list(("a", PAGE))) + pages(END)

    def described(self, text, devices=b""):
        return self.start() + devices + b"\0\6" + u32(len(text)) + text

    def device(self):
        """The head of one."""
        return b"\4" + u32(5) + name("x") + u32(0) + u32(1)

    def test_chain_of_commands(self):
        """Footers, each of them followed by a command that the next footer is
        in: so each may be the end of the device, up to the last."""
        link = footer(5) + b"\x08" + u16(1) + u16(5)
        text = json.dumps({"devices": [{"name": n, "instance_id": 0}
                                       for n in "xy"]}).encode()
        self.refused(self.described(text, self.device() + link * (3 << 20)),
                     text="device 'x' of the vmdescription does not end")

    def test_long_name(self):
        """Of a device: longer than a section can say, and so not looked for
        at each footer."""
        text = json.dumps({"devices": [{"name": n, "instance_id": 0}
                                       for n in ("x", "y" * (8 << 20))]})
        self.refused(self.described(text.encode(), self.device() +
                                    footer(5) * (4 << 20)),
                     text="has no list of devices")

    def test_members(self):
        """One name again and again; many that have the same hash."""
        many = b",".join(b'"%d":1' % i for i in range(200000))
        again = b",".join([b'"199999":1'] * 200000)
        alike = b",".join(b'"' + b"".join(k) + b'":1' for k in
                          itertools.product((b"Ez", b"FY"), repeat=16))
        for members in (many + b"," + again, alike):
            self.refused(self.described(b'{"devices":[],' + members + b"}"),
                         text="has an object of too many members")

    def test_drop_by_drop(self):
        """A description that comes in very small pieces: what has come is not
        looked through again with each."""
        count = 300000
        process = subprocess.Popen([INSPECT, "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        process.stdin.write(self.start() + b"\0\6" + u32(15 << 20) + b"{" +
                            b" " * (14 << 20))
        process.stdin.flush()
        for _ in range(count):
            os.write(process.stdin.fileno(), b" ")
        _, err = process.communicate(timeout=TIMEOUT)
        self.assertIn(b"says that it has %d bytes" % (15 << 20), err)

    def test_many_descriptions(self):
        """Each of which says that half of the stream is its own."""
        size = 8 << 20
        one = b"\0\x06" + u32(size // 2) + b"{}"
        self.refused(head() + section(START, block_list(("a", PAGE))) +
                     pages(END) + one * (size // len(one)))


class Truncated(InspectTest):
    def check(self, name, sizes):
        data = golden(name)
        for size in sizes:
            message = self.refused(data[:size], kind="eof")
            self.assertEqual(NAMED.findall(message), [str(size)])

    def test_at_every_boundary(self):
        for name in ("three-passes", "two-blocks"):
            s = read_stream.parse(golden(name))
            end = s.vmdescription[0]
            self.check(name, [at for at in set(boundaries(s)) if at < end])

    def test_at_every_byte(self):
        """Of a small one; not what looks like a stream that has no
        vmdescription, which ends with EOF."""
        end = read_stream.parse(golden("ferry-peer")).vmdescription[0]
        self.check("ferry-peer", range(end))

    def test_in_the_vmdescription(self):
        data = golden("plain")
        at, size = read_stream.parse(data).vmdescription
        self.inspect(data[:at])
        for cut in (at + 1, at + 5):
            self.refused(data[:cut], kind="eof", text=f"byte {cut} ")
        for cut in (at + 6, at + size - 1):
            self.refused(data[:cut], text=f"at byte {at} of the stream says "
                         f"that it has {size - 5} bytes, and the stream "
                         f"ended at byte {cut}")


class Flipped(InspectTest):
    def flip(self, data, at, kind="stream", text="", near=16, *args):
        """Change a byte; what is said names a place near it."""
        bad = bytearray(data)
        bad[at] ^= 0xFF
        message = self.refused(bytes(bad), "--verify", *args, kind=kind,
                               text=text)
        named = int(NAMED.findall(message)[0])
        self.assertLessEqual(abs(named - at), near, message)

    def setUp(self):
        super().setUp()
        self.data = golden("three-passes")
        self.s = read_stream.parse(self.data)

    def test_head(self):
        self.flip(self.data, 0, text="not a migration stream: magic")
        self.flip(self.data, 7, text="stream version")
        self.flip(self.data, 8, text="no configuration section")
        self.flip(self.data, 9, text="a machine name of")

    def test_sections(self):
        first = self.s.sections[0]
        self.flip(self.data, first.offset, text="unknown section type 0xfe")
        self.flip(self.data, first.offset + first.size - 5, text="no footer")
        self.flip(self.data, first.offset + first.size - 1, text="the footer")
        second = self.s.sections[1]
        self.flip(self.data, second.offset + 4, text="has not begun")
        # name, instance, version of ram
        self.flip(self.data, first.offset + 6, "eof", "section 'fake': ",
                  len(self.data))
        self.flip(self.data, first.offset + 12, "unsupported",
                  "instance 255 of the ram section")
        self.flip(self.data, first.offset + 16, "unsupported", "version 251")

    def test_records(self):
        r = next(r for r in self.s.records() if r.kind == "compressed")
        self.flip(self.data, r.offset + 7, text="a RAM record with flags")
        self.flip(self.data, r.offset + 2, text="is outside block 'ram0'")
        self.flip(self.data, r.data_offset - 3, text="a compressed page of")
        r = next(r for r in self.s.records() if r.kind == "zero")
        self.flip(self.data, r.offset + r.data_offset - r.offset,
                  text="a zero page filled with")

    def test_every_byte_of_compressed_data(self):
        """None is missed: zlib has a checksum."""
        r = list(r for r in self.s.records() if r.kind == "compressed")[3]
        for at in range(r.data_offset, r.data_offset + r.data_size):
            bad = bytearray(self.data)
            bad[at] ^= 0xFF
            self.refused(bytes(bad), "--verify", text=f"block 'ram0', offset "
                         f"0x{r.page_offset:x}: the compressed page at byte "
                         f"{r.offset} of the stream is bad")
            self.inspect(bytes(bad))  # not looked at

    def test_changes(self):
        """Of a page: their encoding, a run's counts, their number."""
        self.data = golden("changes")
        self.s = read_stream.parse(self.data)
        r = next(r for r in self.s.records() if r.kind == "xbzrle")
        self.flip(self.data, r.data_offset - 3, text="changes of a page in enc")
        self.flip(self.data, r.data_offset - 2, text="of a page in 652")
        self.flip(self.data, r.data_offset,
                  text=f"offset 0x{r.page_offset:x}: bad changes")

    def test_devices(self):
        d = self.s.devices[0]
        for at in (0, 5, 6, 13):  # type, name's length, name, instance
            self.flip(self.data, d["offset"] + at, "stream",
                      "device 'fake' of the vmdescription does not begin at")
        for at in (4, d["size"] - 1, d["size"] - 5):
            self.flip(self.data, d["offset"] + at, "stream", "device 'fake' of "
                      "the vmdescription does not end with a footer; it "
                      "begins", d["size"])

    def test_vmdescription(self):
        at, _ = self.s.vmdescription
        for place in (at, at + 5):  # type, first brace
            self.flip(self.data, place, "eof", "behind RAM", 500)
        self.flip(self.data, at + 4, text="at byte %d" % at)
        self.flip(self.data, at + 2, text="at byte %d" % at)
        self.flip(self.data, at + 6, text="is not JSON")


class Refused(InspectTest):
    def start(self, *blocks):
        return head() + section(START, block_list(*blocks or [("a", PAGE)]))

    def unsupported(self, stream, text):
        message = self.refused(stream, kind="unsupported", text=text)
        self.assertRegex(message, r"^before byte \d+ of the stream: ")

    def test_records_by_name(self):
        self.unsupported(self.start() + pages(PART, record(
            0x80, 0, b"", "a")), "RDMA")

    def test_commands_by_name(self):
        for number, text in ((8, "(ENABLE_COLO)"), (99, "command 99"),
                             (9, "(POSTCOPY_RESUME, postcopy)"),
                             (10, "(RECV_BITMAP, postcopy)")):
            self.unsupported(self.start() + command(number), text)

    def test_capabilities_by_name(self):
        self.unsupported(head(capabilities=["mapped-disk"]) + b"\1",
                         "capability 'mapped-disk'")

    def test_sections_without_an_end(self):
        """Those whose content is known, and others."""
        for name, content in (("dirty-bitmap", b"\1"), ("early", b""),
                              ("dirty-bitmap", b"\x50")):
            good = section(START, content, 2, name, 0, 1)
            for size in range(len(good)):
                self.refused(self.start() + good[:size], kind="eof")
        self.refused(self.start() + section(START, b"\1", 2, "dirty-bitmap",
                                            0, 1) + pages(PART)[:5],
                     kind="eof")
        self.refused(self.start() + section(PART, b"\1", 9),
                     text="section 9, which has not begun")

    def test_order(self):
        self.refused(head() + pages(PART), text="has not begun")
        self.refused(head() + b"\0", text="the end before RAM has ended")
        start = section(START, block_list(("a", PAGE)))
        self.refused(head() + start + start, text="a second START")
        self.refused(self.start() + pages(PART, record(ZERO, 0)),
                     text="without a block")
        self.refused(self.start() + pages(PART, record(ZERO, 0, b"", "b")),
                     text="unknown RAM block 'b'")

    def test_compressed_pages(self):
        good = zlib.compress(b"x" * PAGE)
        out = self.path("out")
        for data in (zlib.compress(b"x" * (PAGE - 1)),
                     zlib.compress(b"x" * (PAGE + 1)), good + b"x",
                     good[:-1], good[:-4] + u32(1)):
            stream = whole(pages(PART, record(COMPRESSED, 5, data, "pc.ram")))
            self.refused(stream, "--verify",
                         text="block 'pc.ram', offset 0x5000")
            error = self.inspect(stream, "--extract", "pc.ram", out,
                                 status=3)["error"]
            self.assertIn("block 'pc.ram', offset 0x5000", error["message"])
            os.unlink(out)

    def test_vmdescription_that_is_none(self):
        start = self.start() + pages(END)
        for description, text in (({"page_size": PAGE}, "no list of devices"),
                                  ({"devices": 3}, "no list of devices"),
                                  ({"devices": [{"name": "x"}]},
                                   "no list of devices")):
            self.refused(start + tail((), description), text=text)
        for begin, fault in ((b'{"x":[' + b"0," * (1 << 20), "too many values"),
                             (b"{", "is nested too deeply"),
                             (b'{"x":/*"*/', "it has a comment")):
            deep = begin + b"[" * 1000000
            self.refused(start + b"\0\6" + u32(len(deep)) + deep,
                         text=fault)

    def test_larger_pages(self):
        """Only the end says that a page is twice as large."""
        self.refused(self.start() + pages(PART, record(ZERO, 0, b"", "a")) +
                     pages(END) + tail((), {"page_size": 8192,
                                            "devices": []}),
                     kind="unsupported", text="pages of 8192 bytes")

    def test_devices_not_described(self):
        stream = self.start() + pages(END)
        self.refused(stream + section(FULL, b"", 2, "x", 0, 1) + tail(()),
                     text=f"byte {len(stream)} of the stream: something")

    def test_names_cannot_drive_a_terminal(self):
        done = self.run_it(self.write(
            head(machine="\x1b[2J") + section(START, block_list(
                ("\x1b[1m", PAGE))) + pages(END) + tail()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        self.assertIn("\\033[2J", done.stdout)

    def test_nor_can_errors(self):
        name = "\x1b[2J"
        done = self.run_it(self.write(self.start((name, PAGE)) + pages(
            PART, record(ZERO, 5, b"", name))))
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("\x1b", done.stderr)
        self.assertIn("is outside block '?[2J'", done.stderr)


class Foreign(InspectTest):
    """Files that people have, and that are no streams, are named."""

    def named(self, data, text):
        self.refused(data, text="not a migration stream: magic "
                     f"0x{data[:4].hex()}, which is {text}")

    def test_heads(self):
        for data, text in (
                (b"KDMV" + bytes(508), "a VMDK disk image"),
                (b"KDUMP   " + bytes(4088), "a kdump-compressed dump"),
                (b"DISKDUMP" + bytes(4088), "a diskdump dump"),
                (b"makedumpfile\0\0\0\0" + bytes(80), "a dump of memory by "
                 "makedumpfile, flattened"),
                (b"Xen saved domain, xl format\n \0 \r", "a virtual machine "
                 "saved by Xen's xl"),
                (b"\xff" * 8 + b"XENF", "a virtual machine saved by Xen's "
                 "libxc"),
                (b"\xd1\xbe\xd2\xbe", "a virtual machine suspended by "
                 "VMware"),
                (b"\x7fVirtualBox SavedState V2.0\n", "a virtual machine saved "
                 "by VirtualBox"),
                (b"\0\0\x64\x86\x84\x19\x10\x07", "a snapshot of "
                 "Firecracker"),
                (b'{"snapshots":{}}', "JSON, perhaps of a snapshot of Cloud"),
                (bytes(512), "nothing but zero bytes at its beginning")):
            self.named(data, text)

    def test_compressed(self):
        self.named(lzma.compress(golden("plain"), lzma.FORMAT_ALONE),
                   "an lzma file")
        self.named(b"\x04\x22\x4d\x18", "an lz4 file")

    def test_cloud_hypervisor(self):
        """A folder."""
        for what in ("state.json", "memory-ranges", "config.json"):
            self.write(b"{}", what)
        self.refused(self.folder, text="a snapshot of Cloud Hypervisor")
        os.unlink(self.path("state.json"))
        self.refused(self.folder, kind="other", text="Is a directory")

    def test_program(self):
        with open(INSPECT, "rb") as f:
            self.named(f.read(4096), "an ELF file")


class Extraction(InspectTest):
    def cut(self, stream, size, ram, missing):
        """Extract from what is left: RAM up to the cut."""
        out = self.path("out")
        report = self.inspect(stream[:size], "--extract", "pc.ram", out,
                              status=3)
        with open(out, "rb") as f:
            self.assertEqual(f.read(), ram.ljust(16 * PAGE, b"\0"))
        os.unlink(out)
        self.assertEqual(report["ram"]["blocks"][0]["missing"], missing)
        self.assertEqual(report["warnings"], [
            f"RAM block 'pc.ram': {missing} of its 16 pages never came, and "
            "are zero in the file",
            "RAM block 'pc.ram' was extracted as far as it came, so its pages "
            "may be old"])

    def test_damage_leaves_what_came(self):
        """Of pages of each kind those that came whole."""
        x = b"x" * PAGE
        start = head() + section(START, block_list(("pc.ram", 16 * PAGE)))
        parts = [record(PLAIN, 0, x, "pc.ram"), packed(1, x),
                 zero_range(2, 3), record(PLAIN, 5, x), record(ZERO, 6)]
        part = b"\2" + u32(1)
        stream = whole(pages(PART, *parts))
        at = len(start + part)
        self.assertEqual(stream[:at], start + part)
        ram = (b"", x, x * 2, x * 2, x * 2 + bytes(3 * PAGE) + x,
               x * 2 + bytes(3 * PAGE) + x)
        for i, came in enumerate((0, 1, 2, 5, 6, 7)):
            if i:
                for more in (0, 5):
                    self.cut(stream, at + more, ram[i], 16 - came)
            if i < len(parts):
                at += len(parts[i])

    def test_no_page_leaves_no_file(self):
        stream = whole(pages(PART, record(PLAIN, 0, b"x" * PAGE, "pc.ram")))
        for size in (10, 100, 150, 4000):
            self.refused(stream[:size], "--extract", "pc.ram",
                         self.path("out"), kind="eof")
            self.assertEqual(os.listdir(self.folder), ["stream"])

    def test_bad_page(self):
        """What comes before it, and with it in the pool, is kept."""
        x = b"x" * PAGE
        self.cut(whole(pages(
            PART, record(PLAIN, 0, x, "pc.ram"), packed(1, x),
            record(COMPRESSED, 2, b"no zlib"), record(ZERO, 2))),
            10000, x * 2, 13)

    def test_damage_behind_ram_leaves_it(self):
        out = self.path("out")
        good = whole(pages(PART, packed(0, b"x" * PAGE, "pc.ram")))
        report = self.inspect(good[:-5], "--extract", "pc.ram", out, status=3)
        self.assertEqual(report["warnings"], [
            "RAM block 'pc.ram': 15 of its 16 pages never came, and are zero "
            "in the file"])
        with open(out, "rb") as f:
            self.assertEqual(f.read(), b"x" * PAGE + bytes(15 * PAGE))

    def test_never_overwrites(self):
        path = self.write(golden("plain"))
        self.refused(path, "--extract", "ram0", path, kind="other",
                     text="File exists")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), golden("plain"))

    def begin_extract(self):
        """In the midst of RAM; and the rest of the stream."""
        try:
            os.close(os.open(self.folder, os.O_RDWR | os.O_TMPFILE))
        except OSError as err:
            self.skipTest(f"this machine has no files without a name: {err}")
        stream = whole(pages(PART, packed(0, b"x" * PAGE, "pc.ram")))
        process = subprocess.Popen(
            [INSPECT, "--extract", "pc.ram", self.path("out"), "-"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        process.stdin.write(stream[:150])
        process.stdin.flush()

        def is_mapped():
            with open(f"/proc/{process.pid}/maps", encoding="utf-8") as f:
                return self.folder in f.read()

        wait_until(is_mapped, "the file")
        return process, stream[150:]

    def test_killed_leaves_no_file(self):
        process, _ = self.begin_extract()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT), -signal.SIGINT)
        self.assertEqual(os.listdir(self.folder), [])

    def test_never_overwrites_at_the_end(self):
        """What has come while the stream was read."""
        process, rest = self.begin_extract()
        self.write(b"mine", "out")
        self.assertIn(b"File exists", process.communicate(rest)[1])
        self.assertEqual(process.returncode, 1)
        with open(self.path("out"), "rb") as f:
            self.assertEqual(f.read(), b"mine")

    # A sanitizer needs /proc.
    @tap.only_if(os.environ.get("FERRY_SANITIZE", "none") == "none")
    def test_named_from_the_start(self):
        """Where a file could not be given its name later: without /proc."""
        hide = ["unshare", "-rm", "sh", "-c",
                "mount -t tmpfs none /proc && exec \"$@\"", "sh"]
        if subprocess.run([*hide, "true"], capture_output=True).returncode:
            self.skipTest("this machine allows no mounts in a namespace of "
                          "their own")
        stream = whole(pages(PART, packed(0, b"x" * PAGE, "pc.ram")))
        out = self.path("out")
        for size, status in ((100, 1), (150, 3), (len(stream), 0)):
            done = subprocess.run(
                [*hide, INSPECT, "--extract", "pc.ram", out, "-"],
                input=stream[:size], capture_output=True, timeout=TIMEOUT)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(os.path.exists(out), status != 1)
            if status != 1:
                with open(out, "rb") as f:
                    self.assertEqual(f.read(),
                                     b"x" * PAGE + bytes(15 * PAGE))
                os.unlink(out)

    def test_unknown_block(self):
        out = self.path("out")
        self.refused(golden("two-blocks"), "--extract", "pc.ram", out,
                     kind="other", text="there is no RAM block 'pc.ram' to "
                     "extract; there is 'ram0', 'ram1'")
        self.assertFalse(os.path.exists(out))

    def test_twice(self):
        self.refused(golden("plain"), "--extract", "ram0", self.path("x"),
                     "--extract", "ram0", self.path("y"), kind="other",
                     text="extracted twice")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_full_disk(self):
        """An error, and not a signal."""
        disk = self.path("disk")
        os.mkdir(disk)
        mount = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=128k "
                 "none \"$0\" && exec \"$@\"", disk]
        if subprocess.run([*mount, "true"], capture_output=True).returncode:
            self.skipTest("this machine allows no mounts in a namespace of "
                          "their own")
        x = b"x" * PAGE
        for make in (lambda i: packed(i, x, "pc.ram"),
                     lambda i: record(PLAIN, i, x, "pc.ram"),
                     lambda i: record(PLAIN, i * 7 % 512, x, "pc.ram")):
            path = self.write(whole(pages(PART, *map(make, range(512))),
                                    blocks=[("pc.ram", 512 * PAGE)]))
            done = subprocess.run(
                [*mount, INSPECT, "--extract", "pc.ram", disk + "/out", path],
                capture_output=True, text=True, timeout=TIMEOUT)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn("No space left on device", done.stderr)


class CommandLine(InspectTest):
    def test_bad_ones(self):
        for args, text in (
                ([], "nothing to inspect"), (["--what", "x"], "--what: inv"),
                (["--extract", "a"], "--extract: requires BLOCK OUT"),
                (["--decompress-threads", "0", "x"], "between 1 and 255"),
                (["no:such"], "expects a valid migration protocol"),
                (["tcp:nowhere"], "tcp:nowhere")):
            done = self.run_it(*args)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_no_such_file(self):
        self.refused(self.path("none"), kind="other", text="No such file")

    def test_version_and_help(self):
        self.assertRegex(self.run_it("--version").stdout,
                         r"^ferry-inspect \d+\.\d+")
        for option in ("--help", "-h"):
            done = self.run_it(option)
            self.assertEqual(done.returncode, 0)
            self.assertIn("Usage: ferry-inspect", done.stdout)
            self.assertLess(max(map(len, done.stdout.splitlines())), 80)

    def test_output_that_fails(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run(
                [INSPECT, self.write(golden("plain"))], stdout=full,
                stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write the report", done.stderr)


if __name__ == "__main__":
    tap.main()
