# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF cores of ferry-inspect beside those of QEMU's dump-guest-memory, of the
same stopped guest; and what reads cores, over them."""
import os
import shutil
import subprocess

import interop_kit
import qemu_vm
import tap
from elf_core import Core
from interop_kit import FERRY_INSPECT, TIMEOUT
from test_inspected import SIZE, STRESS, qemu_of

CHUNK = 1 << 20


class Pc(qemu_vm.QemuVm):
    MACHINE = "pc"


class Q35(qemu_vm.QemuVm):
    MACHINE = "q35"


class Isa(qemu_vm.QemuVm):
    MACHINE = "isapc"


class Micro(qemu_vm.QemuVm):
    MACHINE = "microvm"


class DumpTest(interop_kit.InteropTest):
    def start(self, qemu, *args, kind=Pc, mem=f"size={SIZE}B"):
        vm = kind(qemu, *args, mem=mem)
        self.addCleanup(vm.close)
        return vm

    def stress(self, qemu, *args, **kwargs):
        vm = self.start(qemu, "-kernel", STRESS, "-append",
                        "ws=8 rate=3000 words=4 beat=10", *args, **kwargs)
        vm.serial.wait_for(lambda text: text.count(b".") > 20)
        return vm

    def both(self, vm, *args):
        """ferry-inspect's core and QEMU's."""
        ours, theirs = self.path("ours"), self.path("theirs")
        vm.qmp("stop")
        vm.qmp("dump-guest-memory", paging=False, protocol=f"file:{theirs}")
        vm.save(self.path("saved"))
        done = subprocess.run(
            [FERRY_INSPECT, "--elf", ours, "--raw", self.path("raw"), *args,
             self.path("saved")],
            stdout=subprocess.DEVNULL, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0)
        return Core(ours), Core(theirs)

    def check_load(self, ours, theirs, load):
        for at in range(load.address, load.address + load.size, CHUNK):
            size = min(CHUNK, load.address + load.size - at)
            if ours.read(at, size) != theirs.read(at, size):
                self.fail(f"differs behind {at:#x}")

    def check(self, vm, *args, but=()):
        """All is the same, but for device memory."""
        ours, theirs = self.both(vm, *args)
        self.assertEqual(ours.machine, theirs.machine)
        count = len(theirs.notes)
        self.assertEqual(ours.notes[:count], theirs.notes)
        self.assertEqual([n.owner for n in ours.notes[count:]],
                         ["VMCOREINFO"] * (len(ours.notes) - count))
        self.assertEqual(
            [(p.address, p.size) for p in ours.loads],
            [(p.address, p.size) for p in theirs.loads
             if p.address not in but])
        for load in ours.loads:
            self.check_load(ours, theirs, load)
        return ours, theirs


class Layout(DumpTest):
    def test_boards(self):
        qemu = interop_kit.need_qemu()
        for kind in Pc, Q35, Isa, Micro:
            with self.subTest(kind.MACHINE):
                self.check(self.stress(qemu, "-smp", "2", kind=kind)
                           if kind in (Pc, Q35) else
                           self.start(qemu, kind=kind))
                for name in "ours", "theirs", "raw", "saved":
                    os.unlink(self.path(name))

    def test_vga(self):
        vm = self.stress(interop_kit.need_qemu(), "-vga", "std")
        ours, theirs = self.both(vm)
        extra = {p.address for p in theirs.loads} - \
            {p.address for p in ours.loads}
        self.assertEqual(len(extra), 1, "the card's own memory")
        for load in ours.loads:
            self.check_load(ours, theirs, load)

    def test_numa_and_plugged(self):
        objects = [arg for name, mib in (("m0", 16), ("m1", 32), ("d", 128))
                   for arg in ("-object",
                               f"memory-backend-ram,size={mib}M,id={name}")]
        vm = self.stress(
            interop_kit.need_qemu(), *objects, "-numa", "node,memdev=m0",
            "-numa", "node,memdev=m1", "-device", "pc-dimm,memdev=d",
            mem="48M,slots=2,maxmem=1G")
        self.check(vm, "--ram", "m0,m1", "--place", "d=0x100000000")

    def test_releases(self):
        for release in "bullseye", "trixie":
            with self.subTest(release):
                ours, theirs = self.check(self.stress(interop_kit.need(
                    qemu_of(release), f"QEMU of {release}")))
                if release == "bullseye":  # the whole file is the same
                    self.assertEqual(ours.loads, theirs.loads)
                for name in "ours", "theirs", "raw", "saved":
                    os.unlink(self.path(name))


class Linux(DumpTest):
    """Of a guest that runs 64-bit code."""

    def setUp(self):
        super().setUp()
        guest = interop_kit.need_guest()
        vm = self.start(interop_kit.need_qemu(), *guest.options(), "-smp", "2",
                        mem="256M")
        vm.wait_tick(3)
        self.ours, self.theirs = self.check(vm)

    def run_tool(self, *args):
        if not shutil.which(args[0]):
            self.skipTest(f"this machine has no {args[0]}")
        done = subprocess.run(args, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_raw(self):
        with open(self.path("raw"), "rb") as f:
            for at in range(0, 256 << 20, CHUNK):
                self.assertTrue(f.read(CHUNK) == self.theirs.read(at, CHUNK))

    def test_tools(self):
        """gdb shows the same of both.  makedumpfile makes a kdump of ours, and
        crash says of both whose they are, which needs the third note."""
        gdb = [self.run_tool("gdb", "-batch", "-nx", "-ex", "info registers",
                             "-ex", "thread 2", "-ex", "info registers", "-c",
                             self.path(name)) for name in ("ours", "theirs")]
        self.assertIn("rip", gdb[0])
        self.assertEqual(*gdb)

        self.run_tool("makedumpfile", "-c", "-d", "31", self.path("ours"),
                      self.path("kdump"))
        self.assertLess(os.path.getsize(self.path("kdump")), 64 << 20)
        for name in "ours", "kdump":
            self.assertRegex(self.run_tool("crash", "--osrelease",
                                           self.path(name)), r"^\d+\.\d+")


if __name__ == "__main__":
    tap.main()
