#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Physical memory, raw and as an ELF core.  tests/interop/test_dumped.py
compares them with what QEMU itself dumps."""
import gzip
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, PAGE, PART, PLAIN,  # noqa: E402
                         START, InspectTest, block_list, head, pages, record,
                         section, tail)
from elf_core import Core  # noqa: E402
import tap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MIB, GIB = 1 << 20, 1 << 30
HOLE = 0xA0000, 0xC0000


def content(c):
    return bytes([c]) * PAGE


def made(blocks, content_of=(), machine="pc-i440fx-7.2"):
    """content_of: (block, page, byte)."""
    records = [record(PLAIN, page, content(c), block)
               for block, page, c in content_of]
    return head(machine) + section(START, block_list(*blocks)) + \
        pages(PART, *records) + pages(END) + tail()


class MemoryTest(InspectTest):
    def convert(self, kind, data, *args, status=0):
        """The new file, and the report."""
        out = self.path("new")
        if os.path.exists(out):
            os.unlink(out)
        path = self.write(data) if isinstance(data, bytes) else data
        done = self.run_it("--json", "--" + kind, out, *args, path)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(os.path.exists(out), status == 0)
        return out, json.loads(done.stdout)

    def core(self, data, *args):
        return Core(self.convert("elf", data, *args)[0])

    def parts(self, data, *args):
        """(address, size) of what the core has."""
        return [(p.address, p.size) for p in self.core(data, *args).loads]

    def refused(self, data, *args):
        return self.convert("elf", data, *args, status=1)[1]["error"][
            "message"]


class Layout(MemoryTest):
    def test_low(self):
        for machine in "pc-i440fx-2.4", "pc-q35-11.1", "":
            self.assertEqual(
                self.parts(made([("pc.ram", 16 * MIB)], machine=machine)
                           if machine else self.old(16 * MIB)),
                [(0, 16 * MIB)])

    def old(self, size):
        """A machine type before 2.4."""
        return head()[:8] + made([("pc.ram", size)],
                                 machine="x")[len(head("x")):]

    def test_old(self):
        self.assertIn("before 2.4 has more than 3 GiB",
                      self.refused(self.old(3 * GIB + PAGE)))

    def test_split(self):
        for machine, least, low in (("pc-q35-8.0", 2816, 2048),
                                    ("pc-i440fx-8.0", 3584, 3072),
                                    ("isapc", 3585, 3584),
                                    ("microvm", 3073, 3072)):
            for mib in least - 1, least, least + 1000:
                with self.subTest(machine=machine, mib=mib):
                    first = mib if mib < least else low
                    wanted = self.low(machine, first * MIB)
                    if mib > first:
                        wanted.append((4 * GIB, (mib - first) * MIB))
                    block = "microvm.ram" if machine == "microvm" else "pc.ram"
                    self.assertEqual(self.parts(made(
                        [(block, mib * MIB)], machine=machine)), wanted)

    @staticmethod
    def low(machine, end):
        """What is below 4 GiB, without firmware."""
        gap = {"isapc": 0xc0000, "microvm": 0xf0000}.get(machine)
        return [(0, gap), (MIB, end - MIB)] if gap else [(0, end)]

    def test_rom(self):
        """An isapc has it below 1 MiB, too."""
        core = self.core(made(
            [("pc.ram", 2 * MIB), ("pc.bios", 256 << 10),
             ("pc.rom", 128 << 10)],
            [("pc.bios", 63, 9), ("pc.bios", 32, 8), ("pc.rom", 0, 7),
             ("pc.ram", 0xc0, 1)], machine="isapc"))
        self.assertEqual([(p.address, p.size) for p in core.loads], [
            (0, 0xc0000), (0xc0000, 0x20000), (0xe0000, 0x20000),
            (MIB, MIB), (4 * GIB - (256 << 10), 256 << 10)])
        self.assertEqual([core.read(at, PAGE) for at in (0xc0000, 0xe0000,
                                                         0xff000)],
                         [content(7), content(8), content(9)])

    def test_split_content(self):
        """Above 4 GiB the block goes on."""
        data = made([("pc.ram", 4 * GIB)], [
            ("pc.ram", 3 * GIB // PAGE - 1, 7), ("pc.ram", 3 * GIB // PAGE, 8)])
        core = self.core(data)
        self.assertEqual(core.read(3 * GIB - PAGE, PAGE), content(7))
        self.assertEqual(core.read(4 * GIB, PAGE), content(8))
        raw, _ = self.convert("raw", data)
        self.assertEqual(os.stat(raw).st_size, 5 * GIB)
        self.assertLess(os.stat(raw).st_blocks * 512, MIB)
        with open(raw, "rb") as f:
            f.seek(3 * GIB - PAGE)
            self.assertEqual(f.read(2 * PAGE), content(7) + bytes(PAGE))
            f.seek(4 * GIB)
            self.assertEqual(f.read(2 * PAGE), content(8) + bytes(PAGE))

    def test_vga(self):
        data = made([("pc.ram", MIB), ("0000:00:02.0/vga.vram", 16 * MIB)],
                    [("pc.ram", 0x9f, 1), ("pc.ram", 0xa0, 2),
                     ("pc.ram", 0xbf, 3), ("pc.ram", 0xc0, 4)])
        core = self.core(data)
        self.assertEqual([(p.address, p.size) for p in core.loads],
                         [(0, HOLE[0]), (HOLE[1], MIB - HOLE[1])])
        self.assertEqual(core.read(0x9f000, PAGE), content(1))
        self.assertEqual(core.read(0xc0000, PAGE), content(4))
        with open(self.convert("raw", data)[0], "rb") as f:
            raw = f.read()
        self.assertEqual(len(raw), MIB)
        self.assertEqual(raw[0xa0000:0xc0000], bytes(0x20000))

    def test_firmware(self):
        data = made([("pc.ram", MIB), ("pc.bios", 256 << 10)],
                    [("pc.bios", 63, 9)])
        core = self.core(data)
        self.assertEqual(core.loads[1].address, 4 * GIB - (256 << 10))
        self.assertEqual(core.read(4 * GIB - PAGE, PAGE), content(9))
        raw, _ = self.convert("raw", data)
        self.assertEqual(os.stat(raw).st_size, MIB)

    NUMA = [("m1", 3 * GIB), ("m0", GIB), ("dimm", 128 * MIB)]

    def test_numa(self):
        """The second node is on both sides of the gap."""
        data = made(self.NUMA, [("m1", 2 * GIB // PAGE, 5)])
        args = "--ram", "m0,m1", "--place", f"dimm={5 * GIB:#x}"
        core = self.core(data, *args)
        self.assertEqual(
            [(p.address, p.size) for p in core.loads],
            [(0, GIB), (GIB, 2 * GIB), (4 * GIB, GIB),
             (5 * GIB, 128 * MIB)])
        self.assertEqual(core.read(4 * GIB, PAGE), content(5))

    def test_left_out(self):
        _, report = self.convert("elf", made(self.NUMA), "--ram", "m0,m1")
        self.assertEqual(report["warnings"][0], "RAM block 'dimm' is left "
                         "out: the stream does not say where it is (--place)")

    def test_places_alone(self):
        """Then the board need not be known."""
        self.assertEqual(
            self.parts(made([("a", MIB)], machine="virt"), "--place",
                       "a=0x40000000"), [(GIB, MIB)])

    def test_refused(self):
        data = made(self.NUMA)
        for args, text in (
                ((), "no RAM block 'pc.ram': say by --ram"),
                (("--ram", "m0,x"), "no RAM block 'x'"),
                (("--ram", "m0,"), "no RAM block ''"),
                (("--ram", "m0", "--place", "x=0"), "no RAM block 'x'"),
                (("--ram", "m0", "--place", "m1=0"), "is over another one"),
                (("--ram", "m0,m0", "--place", "m1=0x1000"),
                 "is over another one"),
                (("--ram", "m0", "--place", "m1=0x100000001"), "cannot be at"),
                (("--ram", "m0", "--place", "m1=0xfffffffffffff000"),
                 "cannot be at")):
            with self.subTest(args):
                self.assertIn(text, self.refused(data, *args))
        self.assertIn("where machine 'virt-7.2' has its memory is not known",
                      self.refused(made([("pc.ram", MIB)],
                                        machine="virt-7.2")))

    def test_bad_place(self):
        for bad in "m1", "m1=", "m1=x", "m1=12z", "m1=-1":
            done = self.run_it("--elf", self.path("o"), "--place", bad, "x")
            self.assertEqual(done.returncode, 2)
            self.assertIn("--place takes BLOCK=ADDRESS", done.stderr)


class Parts(MemoryTest):
    """Of a guest that is not whole what came is written, with status 3."""

    DATA = made([("pc.ram", 4 * PAGE)], [("pc.ram", 1, 1), ("pc.ram", 2, 2)])

    def check(self, size, wanted, text):
        path = self.write(self.DATA[:size])
        raw, elf = self.path("raw"), self.path("elf")
        done = self.run_it("--raw", raw, "--elf", elf, "--stream",
                           self.path("new"), path)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("the guest is not whole: " + text, done.stderr)
        self.assertFalse(os.path.exists(self.path("new")))
        with open(raw, "rb") as f:
            self.assertEqual(f.read(), wanted)
        self.assertEqual(Core(elf).read(0, 4 * PAGE), wanted)

    def test_devices(self):
        self.check(-4, bytes(PAGE) + content(1) + content(2) + bytes(PAGE),
                   "2 of its 4 pages never came\n")

    def test_ram(self):
        self.check(self.DATA.index(content(2)[:64]) + 64,
                   bytes(PAGE) + content(1) + bytes(2 * PAGE),
                   "3 of its 4 pages never came, and others may be old\n")

    def test_nothing(self):
        for size in 5, self.DATA.index(content(1)[:64]) + 64:
            self.convert("raw", self.DATA[:size], status=1)


class Elf(MemoryTest):
    def sample(self, what):
        with gzip.open(os.path.join(HERE, "samples", what + ".gz")) as f:
            return self.write(f.read(), what)

    def test_registers(self):
        path = self.sample("background-snapshot-11.1")
        core = self.core(path)
        cpu = {f["name"]: f for f in json.loads(self.run_it(
            "--json", "--device", "cpu", path).stdout)[0]["fields"]}
        regs = cpu["env.regs"]["value"]
        self.assertEqual([n.owner for n in core.notes], ["CORE", "QEMU"])
        status, state = core.notes[0].content, core.notes[1].content
        self.assertEqual(len(status), 144)  # SeaBIOS is 32-bit code
        ebx, ecx = struct.unpack_from("<II", status, 72)
        self.assertEqual((ebx, ecx), (regs[3] & 0xffffffff,
                                      regs[1] & 0xffffffff))
        self.assertEqual(struct.unpack_from("<I", status, 120)[0],
                         cpu["env.eip"]["value"])
        self.assertEqual(struct.unpack_from("<IIQQ", state),
                         (1, 440, regs[0], regs[3]))
        self.assertEqual(core.machine, 3)

    def test_no_registers(self):
        out, report = self.convert("elf", made([("pc.ram", MIB)]))
        self.assertIn("the core has no registers", report["warnings"][0])
        core = Core(out)
        self.assertEqual((core.notes, core.machine), ([], 62))

    def note(self, size=60, name=b"VMCOREINFO\0"):
        return (struct.pack("<III", len(name), size, 0) +
                name.ljust(12, b"\0") + b"OSRELEASE=1\n".ljust(size, b"x"))

    def linux(self, page):
        return head("pc-i440fx-7.2") + section(START, block_list(
            ("pc.ram", MIB))) + pages(PART, record(
                PLAIN, 5, page.ljust(PAGE, b"\0"), "pc.ram")) + pages(END) + \
            tail()

    def test_vmcoreinfo(self):
        core = self.core(self.linux(self.note()))
        self.assertEqual([(n.owner, n.content[:12]) for n in core.notes],
                         [("VMCOREINFO", b"OSRELEASE=1\n")])

    def test_no_vmcoreinfo(self):
        for page in (self.note(size=5000), self.note(name=b"VMCOREINFX\0"),
                     b"x" + self.note(), struct.pack("<I", 11)):
            self.assertEqual(self.core(self.linux(page[:PAGE])).notes, [])

    def test_several_forms(self):
        path = self.write(made([("pc.ram", MIB)], [("pc.ram", 1, 1)]))
        done = self.run_it("--elf", self.path("e"), "--raw", self.path("r"),
                           "--stream", self.path("s"), path)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(sorted(os.listdir(self.folder)),
                         ["e", "r", "s", "stream"])


if __name__ == "__main__":
    tap.main()
