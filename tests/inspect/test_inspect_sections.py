# SPDX-License-Identifier: GPL-2.0-or-later
"""Sections besides ram: before it, among its parts, behind it; and streams that
end in other ways than most.  Made-up ones, and real ones of QEMU 11.1, of which
the pages' content is left out.
"""
import gzip
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, FULL, PAGE, PART, PLAIN, ROOT, START,  # noqa
                         InspectTest, block_list, command, footer, head,
                         name, pages, record, section, tail, u32, u64)
import tap  # noqa: E402

NOISE = bytes(i * i % 251 for i in range(PAGE))
BLOCKS = section(START, block_list(("a", 4 * PAGE)))
PAGES = pages(PART, record(PLAIN, 1, NOISE, "a"))
RAM = bytes(PAGE) + NOISE + bytes(2 * PAGE)


def sample(what):
    """A stream that QEMU has written; tests/inspect/samples/README has how."""
    with gzip.open(os.path.join(ROOT, "tests", "inspect", "samples",
                                what + ".gz")) as f:
        return f.read()


class SectionTest(InspectTest):
    def good(self, *parts, block="a", ram=RAM):
        data, report = self.extract(b"".join(parts), block)
        if ram is not None:
            self.assertEqual(data, ram)
        return report


class Early(SectionTest):
    def early(self, content, number=9, what="early"):
        return section(FULL, content, number, what, 0, 1)

    def test_before_ram(self):
        """Its content has footers in it, with something behind that is no
        item of a stream."""
        for inner in (b"", footer(9), footer(9) * 20 + b"x", bytes(70000),
                      footer(9) + b"\1\0\0\0\1\3ra\n" + bytes(8),
                      footer(9) + b"\1\0\x10\0\1\3ram" + bytes(8),
                      footer(9) + b"\4\0\0\0\1\0" + bytes(8),
                      footer(9) + b"\x08\0\x02\0\5" + bytes(8),
                      footer(9) + b"\x08\0\x77\0\0",
                      footer(9) + b"\2\0\0\0\1" + bytes(9),
                      footer(9) + b"\x7e"):
            with self.subTest(inner[:30]):
                early = self.early(inner)
                report = self.good(
                    head(), early, command(2, u32(1)), BLOCKS, PAGES,
                    pages(END), tail(description={"devices": [
                        {"name": "early", "instance_id": 0},
                        {"name": "board", "instance_id": 0}]}))
                self.assertEqual(
                    [(d["name"], d["size"]) for d in report["devices"]],
                    [("early", len(early)), ("board", 29)])

    def test_behind_start(self):
        report = self.good(head(), BLOCKS, self.early(b"12"),
                           self.early(b"3", 10, "other"), PAGES, pages(END),
                           tail())
        self.assertEqual([d["name"] for d in report["devices"]],
                         ["early", "other", "board"])

    def test_listed_anywhere(self):
        """In the vmdescription; another instance is another device."""
        devices = [section(FULL, b"1", 3, "early", 1, 1),
                   section(FULL, b"2", 4, "board", 0, 1)]
        report = self.good(
            head(), self.early(b"12"), BLOCKS, PAGES, pages(END), *devices,
            tail((), {"devices": [{"name": "early", "instance_id": 1},
                                  {"name": "early", "instance_id": 0},
                                  {"name": "board", "instance_id": 0}]}))
        self.assertEqual([(d["name"], d["instance"])
                          for d in report["devices"]],
                         [("early", 0), ("early", 1), ("board", 0)])

    def test_drop_by_drop(self):
        """From a source that sends byte by byte; no more is waited for than
        is needed to tell."""
        stream = head() + self.early(b"1234") + BLOCKS + PAGES + \
            pages(END) + tail()
        for size in (1, 7):
            self.extract_pieces(stream, size)

    def extract_pieces(self, stream, size):
        read, write = os.pipe()
        with open(self.path("drops"), "wb") as f:
            f.write(stream)
        os.close(read)
        os.close(write)
        done = self.run_it(
            f"exec:dd if={self.path('drops')} bs={size} status=none")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_virtio_mem(self):
        report = self.good(sample("virtio-mem-11.1"), block="pc.ram",
                           ram=None)
        self.assertEqual((report["devices"][0]["name"],
                          report["devices"][0]["size"]),
                         ("0000:00:02.0/virtio-mem-device-early", 107))
        self.assertEqual(len(report["devices"]), 33)


class Iterable(SectionTest):
    def test_unknown(self):
        """Pieces of it stand everywhere."""
        parts = [section(START, b"begin", 5, "vfio", 3, 1),
                 section(PART, b"\1\2\3" * 9999, 5),
                 section(PART, b"\1\2\3", 5), section(END, b"x", 5)]
        report = self.good(head(), parts[0], BLOCKS, parts[1], PAGES,
                           parts[2], pages(END), parts[3], tail())
        self.assertEqual(report["iterables"], [
            {"name": "vfio", "id": 5, "instance": 3, "version": 1,
             "offset": len(head()), "sections": 4,
             "size": sum(map(len, parts))}])

    def test_dirty_bitmap(self):
        """What it has in it may look like the end."""
        bits = b"\x44" + name("bitmap") + u64(0) + u32(99) + u64(80) + \
            (footer(2) + b"\2\0\0\0\1" + u64(0x10) + footer(1)).ljust(80)
        parts = [section(START, b"\x1c" + name("disk") + name("bitmap") +
                         u32(65536) + b"\1\1", 2, "dirty-bitmap", 0, 1),
                 section(PART, bits + b"\1", 2),
                 section(END, b"\x42" + u64(0) + u32(8) + b"\x20\1", 2)]
        report = self.good(head(), BLOCKS, parts[0], parts[1], PAGES,
                           pages(END), parts[2], tail())
        self.assertEqual(report["iterables"][0]["size"],
                         sum(map(len, parts)))

    def test_block(self):
        """A disk with a stream on it."""
        inner = (footer(2) + PAGES).ljust(1 << 20)
        parts = [section(START, u64(2), 2, "block", 0, 1),
                 section(PART, u64(1 << 20 | 1) + name("disk") + inner +
                         u64(2 << 20 | 9) + name("disk") + u64(2), 2),
                 section(END, u64(100 << 9 | 4) + u64(2), 2)]
        report = self.good(head(), BLOCKS, parts[0], parts[1], PAGES,
                           pages(END), parts[2], tail())
        self.assertEqual(report["iterables"][0]["size"],
                         sum(map(len, parts)))

    def test_known_name_of_another_form(self):
        report = self.good(
            head(), BLOCKS, section(START, b"\x80??", 2, "dirty-bitmap", 0, 2),
            section(PART, u64(0), 3 - 1), PAGES, pages(END), tail())
        self.assertEqual(report["iterables"][0]["sections"], 2)

    def test_real_dirty_bitmap(self):
        report = self.good(sample("dirty-bitmap-11.1"), block="pc.ram",
                           ram=None)
        self.assertEqual([(x["name"], x["sections"], x["size"])
                          for x in report["iterables"]],
                         [("dirty-bitmap", 2, 70)])
        self.assertEqual(len(report["devices"]), 21)


class Snapshot(SectionTest):
    """Without END: the devices end RAM."""

    def test_made_up(self):
        report = self.good(head(), BLOCKS, PAGES, PAGES, tail())
        self.assertEqual([p["final"] for p in report["ram"]["passes"]],
                         [False, False])
        self.assertEqual(report["devices"][0]["name"], "board")

    def test_real(self):
        report = self.good(sample("background-snapshot-11.1"),
                           block="pc.ram", ram=None)
        self.assertEqual((len(report["devices"]), report["ram"]["plain"]),
                         (21, 36))

    def test_end_without_devices(self):
        self.refused(head() + BLOCKS + PAGES + b"\0",
                     text="the end before RAM has ended")


class Undescribed(SectionTest):
    """No vmdescription: the ends of devices are guessed."""

    def devices(self, *contents):
        return [section(FULL, content, 7 + i, "d" * (i + 1), i, 1)
                for i, content in enumerate(contents)]

    def test_guessed(self):
        parts = self.devices(b"", b"12", footer(9) + b"x", bytes(9))
        report = self.good(head(), BLOCKS, PAGES, pages(END), parts[0],
                           parts[1], command(2, u32(5)), *parts[2:], b"\0")
        self.assertEqual([(d["name"], d["size"]) for d in report["devices"]],
                         [("d" * (i + 1), len(p))
                          for i, p in enumerate(parts)])
        self.assertEqual(report["devices-size"],
                         sum(map(len, parts)) + 9)

    def test_snapshot(self):
        parts = self.devices(b"1", b"2")
        report = self.good(head(), BLOCKS, PAGES, *parts, b"\0")
        self.assertEqual(len(report["devices"]), 2)


class Old(SectionTest):
    """Machine types before 2.4: no configuration, no footers, and perhaps no
    vmdescription."""

    def old(self, *sections):
        """The sections without their footers."""
        return b"QEVM" + u32(3) + b"".join(s[:-5] for s in sections)

    def devices(self, *contents):
        return [section(FULL, content, 7 + i, "d" * (i + 1), i, 1)
                for i, content in enumerate(contents)]

    # What looks like a head, but for an id or a name that no section has.
    CONTENTS = (b"12", b"\4\0\0\0\1" * 9, b"\4\0\0\0\1\3a\nb" + bytes(8),
                b"\4\1\0\0\0\3abc" + bytes(8), b"x" * 5 + bytes(30))

    def test_described(self):
        devices = self.devices(*self.CONTENTS)
        text = tail((), {"devices": [
            {"name": "d" * (i + 1), "instance_id": i}
            for i in range(len(devices))]})
        report = self.good(self.old(BLOCKS, PAGES, pages(END), *devices),
                           text)
        self.assertEqual([d["size"] for d in report["devices"]],
                         [len(d) - 5 for d in devices])
        self.assertEqual(report["machine"], "")

    def test_not_described(self):
        devices = self.devices(*self.CONTENTS)
        stream = self.old(BLOCKS, PAGES, pages(END), *devices) + b"\0"
        report = self.good(stream)
        self.assertEqual([d["size"] for d in report["devices"]],
                         [len(d) - 5 for d in devices])
        path = self.write(stream)
        os.truncate(path, len(stream) + (100 << 20))
        self.assertEqual(len(self.inspect(path)["devices"]), len(devices))

    def test_commands(self):
        report = self.good(b"QEVM" + u32(3) + command(2, u32(5)) +
                           self.old(BLOCKS, PAGES, pages(END),
                                    *self.devices(b"1"))[8:] + b"\0")
        self.assertEqual(report["commands"][0]["value"], 5)

    def test_footers_without_configuration(self):
        self.good(b"QEVM" + u32(3), BLOCKS, PAGES, pages(END), tail())

    def test_configuration_without_footers(self):
        self.good(head(), self.old(BLOCKS, PAGES, pages(END),
                                   *self.devices(b"1", b"2"))[8:], b"\0")

    def test_cut(self):
        stream = self.old(BLOCKS, PAGES, pages(END))
        for size in (8, 20, len(stream) - 3, len(stream)):
            self.refused(stream[:size], kind="eof")

    def test_text(self):
        done = self.run_it(self.write(self.old(
            BLOCKS, PAGES, pages(END), *self.devices(b"1")) + b"\0"))
        self.assertIn("not told (a machine type before 2.4)", done.stdout)

    def test_real(self):
        for name, count in (("machine-2.3", 27), ("machine-2.0", 27)):
            _, report = self.extract(sample(name), "pc.ram")
            self.assertEqual(len(report["devices"]), count)


class Volume(SectionTest):
    """Zeros, or old bytes, behind the end."""

    def test_zeros(self):
        for size in (1, 4, 100, 1 << 16, 300 << 20):
            path = self.write(head() + BLOCKS + PAGES + pages(END) + tail())
            os.truncate(path, os.stat(path).st_size + size)
            self.assertEqual(self.inspect(path)["trailing"], size)

    def test_zeros_without_vmdescription(self):
        """Also where the id in the last footer ends with zeros, and where a
        device has many of them."""
        for number in (1, 256, 1 << 16, 0):
            device = section(FULL, bytes(200000) + b"x" + bytes(70000),
                             number, "x", 0, 1)
            stream = head() + BLOCKS + PAGES + pages(END) + device + b"\0"
            for size in (0, 1, 4, 100, 1 << 16, 300 << 20):
                path = self.write(stream)
                os.truncate(path, os.stat(path).st_size + size)
                report = self.inspect(path)
                self.assertEqual((report["trailing"],
                                  report["devices-size"],
                                  report["devices"][0]["size"]),
                                 (size, len(device), len(device)))

    def test_old_bytes(self):
        stream = head() + BLOCKS + PAGES + pages(END) + tail()
        for rest in (b"\x08", bytes(1000) + b"old", b"\x08\0\2\0\4FRG"):
            self.assertEqual(self.inspect(stream + rest)["trailing"],
                             len(rest))

    def test_not_written(self):
        """A volume that a stream was cut off on."""
        stream = head() + BLOCKS + PAGES + pages(END)
        device = section(FULL, b"12345", 7, "x", 0, 1)
        for cut in (b"", device[:-5], device[:-6]):
            self.refused(stream + cut + bytes(100000), kind="eof")


if __name__ == "__main__":
    tap.main()
