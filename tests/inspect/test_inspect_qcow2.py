# SPDX-License-Identifier: GPL-2.0-or-later
"""Internal snapshots of qcow2 images: made-up ones, damaged ones, and QEMU's.

The image is written from QEMU's docs/interop/qcow2.txt.
"""
import gzip
import os
import random
import resource
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (INSPECT, TIMEOUT, InspectTest, golden,  # noqa: E402
                         u16, u32, u64)
import qemu_vm  # noqa: E402
import tap  # noqa: E402

QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
VERSION = qemu_vm.version(QEMU)
PLAIN = golden("three-passes")
SIZE = qemu_vm.odd_ram(32)


class Image:
    """Snapshots whose clusters are all over the file."""

    def __init__(self, version=3, bits=9, disk=100000, features=0,
                 extended=False, extra=24):
        self.version, self.bits, self.disk = version, bits, disk
        self.features = features | (16 if extended else 0)
        self.extended, self.extra = extended, extra
        self.cluster = 1 << bits
        self.per_table = self.cluster // (16 if extended else 8)
        self.snapshots = []
        self.clusters = {0: None}
        self.random = random.Random(bits)
        self.free = list(range(1, 4000))
        self.random.shuffle(self.free)

    def put(self, data):
        """A new cluster with it; where it is."""
        at = self.free.pop()
        self.clusters[at] = data.ljust(self.cluster, b"\0")
        return at * self.cluster

    def put_run(self, data):
        """Clusters in a row, behind all others."""
        at = max(self.clusters) + 4001
        for i in range(0, len(data), self.cluster):
            self.clusters[at + i // self.cluster] = \
                data[i:i + self.cluster].ljust(self.cluster, b"\0")
        return at * self.cluster

    def entry(self, data):
        """Of an L2 table, for a cluster with this data."""
        if data is None:
            return u64(0) + (u64(0) if self.extended else b"")
        host = self.put(data)
        if not self.extended:
            return u64(host)
        part = self.cluster // 32
        bits = 0
        for i in range(32):
            if any(data[i * part:(i + 1) * part]):
                bits |= 1 << i
            else:  # noise where nothing is to be read
                cluster = bytearray(self.clusters[host // self.cluster])
                cluster[i * part:(i + 1) * part] = b"\xa5" * part
                self.clusters[host // self.cluster] = bytes(cluster)
        return u64(host) + u64(bits)

    def add(self, name, state, ident=None, disk=None, size=None):
        disk = self.disk if disk is None else disk
        reach = self.per_table * self.cluster
        first = (disk + reach - 1) // reach
        l1 = [0] * first
        pieces = [state[i:i + self.cluster]
                  for i in range(0, len(state), self.cluster)]
        for i in range(0, len(pieces), self.per_table):
            table = b"".join(map(self.entry, pieces[i:i + self.per_table]))
            l1.append(self.put(table))
        self.snapshots.append((name, ident or str(len(self.snapshots) + 1),
                               self.put_run(b"".join(map(u64, l1))), len(l1),
                               len(state) if size is None else size, disk))

    def table(self):
        out = b""
        for name, ident, l1, entries, size, disk in self.snapshots:
            extra = (u64(size) + u64(disk) + u64(0))[:self.extra]
            out += u64(l1) + u32(entries) + u16(len(ident)) + \
                u16(len(name)) + u32(1700000000) + u32(5) + u64(7 * 10**9) + \
                u32(size & 0xFFFFFFFF if len(extra) < 8 else 0) + \
                u32(len(extra)) + extra + ident.encode() + name.encode()
            out = out.ljust((len(out) + 7) // 8 * 8, b"\0")
        return out

    def bytes(self):
        table = self.put_run(self.table())
        head = b"QFI\xfb" + u32(self.version) + u64(0) + u32(0) + \
            u32(self.bits) + u64(self.disk) + u32(0) + u32(0) + u64(0) + \
            u64(0) + u32(0) + u32(len(self.snapshots)) + u64(table) + \
            u64(self.features) + u64(0) + u64(0) + u32(4) + u32(104)
        self.clusters[0] = head.ljust(self.cluster, b"\0")
        out = bytearray((max(self.clusters) + 1) * self.cluster)
        for at, data in self.clusters.items():
            out[at * self.cluster:(at + 1) * self.cluster] = data
        return bytes(out)


class SnapshotTest(InspectTest):
    def check(self, image, *names):
        data = image.bytes()
        wanted = self.inspect(PLAIN)
        for name in names or ("one",):
            report = self.inspect(data, "--snapshot", name)
            self.assertEqual([c["kind"] for c in report["containers"]],
                             ["qcow2"])
            for key in "bytes", "ram", "devices", "trailing":
                self.assertEqual(report[key], wanted[key])
        return report


class MadeUp(SnapshotTest):
    def image(self, *args, **kwargs):
        image = Image(*args, **kwargs)
        image.add("one", PLAIN)
        return image

    def test_versions_and_clusters(self):
        for version in (2, 3):
            for bits in (9, 10, 12, 16):
                self.check(self.image(version, bits))

    def test_extra_data(self):
        """It may be short, or longer than is known."""
        for extra in (0, 8, 16, 24):
            self.check(self.image(extra=extra))
        long = self.image()
        table = long.table
        long.table = lambda: table().replace(
            u32(24) + u64(len(PLAIN)) + u64(100000) + u64(0),
            u32(40) + u64(len(PLAIN)) + u64(100000) + u64(0) + b"x" * 16)
        self.check(long)

    def test_places(self):
        """The state begins where the disk ended when it was saved."""
        for disk in (0, 1, 32767, 32768, 32769, 1 << 20):
            self.check(self.image(disk=disk))
        image = Image(disk=1 << 20)
        image.add("one", PLAIN, disk=5 << 20)
        self.check(image)

    def test_extended(self):
        sparse = PLAIN + bytes(20000) + b"x"
        for bits in (14, 16):
            image = Image(bits=bits, extended=True)
            image.add("one", sparse)
            report = self.inspect(image.bytes(), "--snapshot", "one")
            self.assertEqual(report["trailing"], 20001)
            self.assertEqual(report["devices"],
                             self.inspect(PLAIN)["devices"])

    def test_zero_clusters(self):
        """Those that are not there, and those that are marked so."""
        image = Image()
        image.add("one", PLAIN + bytes(512 * 2 - len(PLAIN) % 512))
        data = bytearray(image.bytes())
        l1, entries = image.snapshots[0][2:4]
        l2 = struct.unpack_from(">Q", data, l1 + 8 * (entries - 1))[0]
        last = l2 + 8 * ((len(PLAIN) // 512 + 1) % 64)
        entry = struct.unpack_from(">Q", data, last)[0]
        self.assertNotEqual(entry, 0)
        data[entry:entry + 512] = b"\xa5" * 512
        for value in (0, entry | 1, 1):
            data[last:last + 8] = u64(value)
            self.inspect(bytes(data), "--snapshot", "one")

    def test_list(self):
        image = Image()
        image.add("first", PLAIN)
        image.add("disk", b"")
        image.add("2", golden("plain"), "ID")
        path = self.write(image.bytes())
        report = self.run_it(path)
        self.assertEqual((report.returncode, report.stderr), (0, ""))
        self.assertRegex(report.stdout, r"(?m)^1 +first +2023-\d\d-\d\d "
                         r"[\d:]{8} +%.1f KiB$" % (len(PLAIN) / 1024))
        self.assertRegex(report.stdout, r"(?m)^2 +disk .* disk only$")
        said = subprocess.run([INSPECT, "--json", path], check=True,
                              capture_output=True, timeout=TIMEOUT).stdout
        self.assertIn(b'"clock" : 7000000000', said)
        # A name goes before an id; one of a disk alone is none.
        for name, machine in (("first", "three"), ("1", "three"),
                              ("ID", "plain"), ("2", "plain")):
            report = self.inspect(path, "--snapshot", name)
            self.assertEqual(report["bytes"], len(
                PLAIN if machine == "three" else golden("plain")))
        for name in ("disk", "third"):
            self.refused(path, "--snapshot", name, kind="other",
                         text=f"has no snapshot '{name}' of a guest")
        self.refused(path, "--extract", "ram0", self.path("out"),
                     kind="other", text="--snapshot NAME")

    def test_without_snapshots(self):
        image = Image()
        self.refused(image.bytes(), text="a qcow2 disk image without")
        image.add("disk", b"")
        self.refused(image.bytes(), text="a qcow2 disk image without")
        self.refused(PLAIN, "--snapshot", "x", kind="other",
                     text="no image with snapshots")

    def test_from_a_pipe(self):
        data = self.image().bytes()
        for packed in (data, gzip.compress(data)):
            subprocess.run([INSPECT, "--snapshot", "one", "-"], check=True,
                           input=packed, capture_output=True,
                           timeout=TIMEOUT)

    def test_offset(self):
        path = self.write(bytes(777) + self.image().bytes())
        self.inspect(f"file:{path},offset=777", "--snapshot", "one")

    def test_names_cannot_drive_a_terminal(self):
        image = Image()
        image.add("\x1b[2J", PLAIN)
        for args in ((), ("--snapshot", "1")):
            done = self.run_it(*args, self.write(image.bytes()))
            self.assertEqual(done.returncode, 0)
            self.assertNotIn("\x1b", done.stdout)


class Damaged(SnapshotTest):
    def refuse(self, image, text, kind="stream", data=None):
        self.refused(data or image.bytes(), "--snapshot", "one", kind=kind,
                     text=text)

    def image(self, **kwargs):
        image = Image(**kwargs)
        image.add("one", PLAIN)
        return image

    def test_features(self):
        for features, text in ((4, "whose data is in another file"),
                               (32, "unknown incompatible feature 5"),
                               (1 << 63, "unknown incompatible feature 63")):
            self.refuse(self.image(features=features), text, "unsupported")
        self.check(self.image(features=1 | 8))  # dirty, compression
        done = self.run_it("--snapshot", "one",
                           self.write(self.image(features=2).bytes()))
        self.assertIn("marked as corrupt", done.stderr)
        data = bytearray(self.image().bytes())
        data[35] = 2
        self.refuse(None, "that is encrypted", "unsupported", bytes(data))

    def test_head(self):
        good = self.image().bytes()
        for at, value, text, kind in (
                (4, u32(1), "another version", "unsupported"),
                (4, u32(4), "another version", "unsupported"),
                (20, u32(8), "clusters of 8 bits", "stream"),
                (20, u32(22), "clusters of 22 bits", "stream"),
                (60, u32(65537), "65537 snapshots", "stream"),
                (64, u64((1 << 64) - 1), "refers to byte", "eof"),
                (64, u64(len(good) - 30), "refers to byte", "eof")):
            data = bytearray(good)
            data[at:at + len(value)] = value
            self.refuse(None, text, kind, bytes(data))
        for size in (5, 50, 71, 72, 103):
            self.refuse(None, "cut short", "eof", good[:size])

    def test_entries(self):
        image = self.image()
        good = image.bytes()
        table = struct.unpack_from(">Q", good, 64)[0]
        for at, value, text, kind in (
                (0, u64(1 << 62), "refers to byte", "eof"),
                (8, u32((32 << 17) + 1), "L1 entries", "stream"),
                (14, u16(65535), "refers to byte", "eof"),
                (36, u32(2000), "2000 bytes of extra", "stream"),
                (40, u64((1 << 63) - 1), "a snapshot of", "stream"),
                (48, u64((1 << 63) - 1), "a snapshot of", "stream")):
            data = bytearray(good)
            data[table + at:table + at + len(value)] = value
            if at == 14:
                data = data[:table + 100]
            self.refuse(None, text, kind, bytes(data))

    def test_tables(self):
        image = self.image()
        good = image.bytes()
        l1, entries = image.snapshots[0][2:4]
        l2 = struct.unpack_from(">Q", good, l1 + 8 * (entries - 1))[0]
        for at, value, text, kind in (
                (l1 + 8 * (entries - 1), u64(1 << 50), "refers to byte",
                 "eof"),
                (l2, u64(1 << 50), "refers to byte", "eof"),
                (l2, u64(1 << 62 | 512), "compressed clusters",
                 "unsupported")):
            data = bytearray(good)
            data[at:at + 8] = value
            self.refuse(None, text, kind, bytes(data))
        # In extended ones offsets may be where no cluster is.
        image = Image(bits=14, extended=True)
        image.add("one", PLAIN)
        data = bytearray(image.bytes())
        l1, entries = image.snapshots[0][2:4]
        l2 = struct.unpack_from(">Q", data, l1 + 8 * (entries - 1))[0]
        host = struct.unpack_from(">Q", data, l2)[0]
        data[l2:l2 + 8] = u64(host + 512)
        self.refuse(None, f"a cluster at byte {host + 512}", "stream",
                    bytes(data))
        data[l1 + 8 * (entries - 1):l1 + 8 * entries] = u64(l2 + 512)
        self.refuse(None, f"an L2 table at byte {l2 + 512}", "stream",
                    bytes(data))

    def limited(self, data):
        """It ends, within a few seconds of CPU."""
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (10, 10))

        return self.run_it("--snapshot", "one", self.write(data),
                           preexec_fn=limit)

    def test_endless(self):
        """A small file that says it has 2^60 bytes: of nothing; of one
        cluster again and again; of one table again and again."""
        for state in (PLAIN, PLAIN[:100] + bytes(412)):
            image = Image()
            image.add("one", state, size=1 << 60)
            done = self.limited(image.bytes())
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "has more clusters than the file|"
                             "stream")
        # A page again and again, in a stream that never ends.
        part = u64(0x08 | 0x20) + b"x" * 4096
        image = Image(bits=16)
        image.add("one", (PLAIN[:90] + part * 100)[:65536], size=1 << 60)
        data = bytearray(image.bytes())
        l1, entries = image.snapshots[0][2:4]
        l2 = struct.unpack_from(">Q", data, l1 + 8 * (entries - 1))[0]
        data[l2:l2 + 65536] = data[l2:l2 + 8] * 8192
        self.assertEqual(self.limited(bytes(data)).returncode, 1)

    def test_cut(self):
        """What there is of the stream is kept."""
        image = self.image()
        data = image.bytes()
        l1, entries = image.snapshots[0][2:4]
        bad = bytearray(data)
        # The cluster in the middle of the pages leads out of the file.
        l2 = struct.unpack_from(">Q", data, l1 + 8 * (entries - 1))[0]
        bad[l2 + 8 * 5:l2 + 8 * 6] = u64(1 << 40)
        out = self.path("out")
        report = self.inspect(bytes(bad), "--snapshot", "one", "--extract",
                              "ram0", out, status=3)
        self.assertGreater(report["ram"]["compressed"], 0)


@unittest.skipUnless(VERSION, "no qemu-system-x86_64")
class Real(InspectTest):
    def test_savevm(self):
        disk = self.path("disk.qcow2")
        for options in ("cluster_size=64k",
                        "extended_l2=on,cluster_size=128k"):
            try:
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                                "-o", options, disk, "64M"], check=True,
                               timeout=TIMEOUT)
            except FileNotFoundError:
                self.skipTest("this machine has no qemu-img")
            with qemu_vm.QemuVm(
                    QEMU, "-S", "-drive", f"if=none,id=d,file={disk}",
                    mem=f"size={SIZE}B") as vm:
                for name in ("one", "two"):
                    self.assertEqual(vm.qmp("human-monitor-command", **{
                        "command-line": f"savevm {name}"}), "")
                with open(vm.save_ram(SIZE), "rb") as f:
                    expected = f.read()
            for name in ("one", "two"):
                got, _ = self.extract(disk, "pc.ram", "--snapshot", name)
                self.assertTrue(got[:0xa0000] == expected[:0xa0000])
                self.assertTrue(got[1 << 20:] == expected[1 << 20:])


if __name__ == "__main__":
    tap.main()
