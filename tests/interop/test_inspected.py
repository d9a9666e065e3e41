# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-inspect over what QEMUs of four releases write, in every way that each
of them has.

A guest that writes its memory is stopped, and saved or moved.  What is
extracted is, byte for byte, what QEMU's own pmemsave says of it.
"""
import functools
import json
import os
import socket
import subprocess
import sys
import threading
import unittest

import interop_kit
import newest_qemu
import qemu_vm
import tap
from ferry_vm import wait_until
from interop_kit import BUILD, CACHE, FERRY_INSPECT, TIMEOUT

STRESS = os.path.join(BUILD, "tests", "guest", "stress.multiboot")
SIZE = qemu_vm.odd_ram(32)
# The rest of the first MiB shows devices and firmware.
HOLE = range(0xA0, 0x100)
PAGE = 4096
CHANNELS = 3


@functools.cache
def qemu_of(release):
    return interop_kit.attempt(newest_qemu.qemu_of, CACHE, release)


class Vm(qemu_vm.QemuVm):
    MACHINE = "pc"


class OldVm(qemu_vm.QemuVm):
    MACHINE = "pc-i440fx-2.2"


class Tee:
    """Joins a source to a destination, and keeps what the source says, each
    connection in a file of its own."""

    def __init__(self, listen, connect):
        self.connect, self.files = connect, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(listen)
        self.listener.listen(16)
        self.folder = os.path.dirname(listen)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                source, _ = self.listener.accept()
            except OSError:
                return
            there = socket.socket(socket.AF_UNIX)
            there.connect(self.connect)
            path = os.path.join(self.folder, f"tee{len(self.files)}")
            self.files.append(path)
            for args in ((source, there, path), (there, source, os.devnull)):
                threading.Thread(target=self.pump, args=args,
                                 daemon=True).start()

    @staticmethod
    def pump(source, target, path):
        with open(path, "wb", buffering=0) as f:
            while True:
                try:
                    data = source.recv(1 << 20)
                    f.write(data)
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(data)
                except OSError:
                    return


class Ways:
    """Of one QEMU."""

    def setUp(self):
        super().setUp()
        self.qemu = self.need()
        self.version = qemu_vm.version(self.qemu)

    def since(self, *version):
        if self.version < version:
            self.skipTest(f"this machine's QEMU is {self.version}, which has "
                          "no such way")

    def start(self, *args, kind=Vm):
        vm = kind(self.qemu, "-kernel", STRESS, "-append",
                  "ws=8 rate=3000 words=4 beat=10", *args, mem=f"size={SIZE}B")
        self.addCleanup(vm.close)
        vm.made_by = args, kind
        if "-incoming" not in args:
            vm.serial.wait_for(lambda text: text.count(b".") > 20)
        return vm

    def inspect(self, paths, *args):
        out = self.path("extracted")
        done = subprocess.run(
            [FERRY_INSPECT, "--json", "--verify", "--extract", "pc.ram", out,
             *args, *paths], capture_output=True, text=True, timeout=TIMEOUT,
            check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def check_ram(self, path, vm):
        """It is the guest's."""
        with open(path, "rb") as got, \
                open(vm.save_ram(SIZE), "rb") as wanted:
            for page in range(SIZE // PAGE):
                if got.read(PAGE) != wanted.read(PAGE) and page not in HOLE:
                    self.fail(f"page {page:#x} differs")

    def check_stream(self, vm, paths, args):
        """As a bare stream the guest is loaded, and runs on."""
        out = self.path("bare")
        done = subprocess.run([FERRY_INSPECT, "--stream", out, *args, *paths],
                              stdout=subprocess.DEVNULL, timeout=TIMEOUT,
                              check=False)
        self.assertEqual(done.returncode, 0)
        made_by, kind = vm.made_by
        there = self.start(*(arg.replace(self.path("disk"), self.path("empty"))
                             for arg in made_by), "-S",
                           "-incoming", f"exec:cat {out}", kind=kind)
        wait_until(lambda: there.status() != "inmigrate", "the guest")
        self.check_ram(vm.save_ram(SIZE), there)
        beats = there.serial.text().count(b".")
        there.qmp("cont")
        there.serial.wait_for(lambda text: text.count(b".") > beats + 3)
        os.unlink(out)

    def check(self, vm, *paths, args=()):
        """What ferry-inspect says; RAM is the guest's."""
        report = self.inspect(paths, *args)
        self.check_ram(self.path("extracted"), vm)
        os.unlink(self.path("extracted"))
        self.check_stream(vm, paths, args)
        self.assertTrue(report["complete"])
        self.assertIn("timer", [d["name"] for d in report["devices"]])
        self.assertIn("fw_cfg", [d["name"] for d in report["devices"]])
        return report

    def save(self, vm, uri, stop=True, **parameters):
        if parameters:
            vm.set_parameters(**parameters)
        if stop:
            vm.qmp("stop")
        vm.qmp("migrate", uri=uri)
        info = vm.wait_migration("completed", "failed")
        self.assertEqual(info["status"], "completed", info)

    def save_file(self, vm, **kwargs):
        path = self.path("saved")
        self.save(vm, f"exec:cat > {path}.part && mv {path}.part {path}",
                  **kwargs)
        wait_until(lambda: os.path.exists(path), path)
        return path

    def move(self, capabilities, start_postcopy=False, **parameters):
        """The stopped source, and what it has sent."""
        there = self.start("-incoming", "defer")
        here = self.start()
        for vm in there, here:
            for name in capabilities:
                vm.set_capability(name)
            if parameters:
                vm.set_parameters(**parameters)
        there.receive("unix:" + self.path("there"))
        tee = Tee(self.path("here"), self.path("there"))
        self.addCleanup(tee.listener.close)
        if start_postcopy:  # the guest writes faster than that
            here.set_parameters(**{"max-bandwidth": 4 << 20,
                                   "downtime-limit": 1})
        here.qmp("migrate", uri="unix:" + self.path("here"))
        if start_postcopy:
            wait_until(lambda: here.migration().get("ram", {}).get(
                "transferred", 0) > 4 << 20, "some pages")
            here.qmp("migrate-start-postcopy")
        info = here.wait_migration("completed", "failed")
        self.assertEqual(info["status"], "completed", info)
        there.wait_migration("completed", "failed")
        return here, tee.files

    def test_undescribed(self):
        vm = self.start("-machine", "suppress-vmdesc=on")
        report = self.check(vm, self.save_file(vm))
        self.assertNotIn("vmdescription", report)

    def test_xbzrle(self):
        vm = self.start()
        vm.set_capability("xbzrle")
        self.check(vm, self.save_file(vm, stop=False))

    def test_compress(self):
        if self.version >= (9, 1):
            self.skipTest(f"this machine's QEMU is {self.version}, which has "
                          "no compress")
        vm = self.start()
        vm.set_capability("compress")
        self.check(vm, self.save_file(vm))

    def test_background_snapshot(self):
        self.since(9, 0)  # before, it lets a stopped guest run
        vm = self.start()
        try:
            vm.set_capability("background-snapshot")
        except Exception as err:  # the kernel's userfaultfd
            self.skipTest(f"this machine cannot do that: {err}")
        report = self.check(vm, self.save_file(vm))
        self.assertFalse(any(p["final"] for p in report["ram"]["passes"]))

    def test_mapped_ram(self):
        self.since(9, 0)
        for multifd in (False, True):
            vm = self.start()
            vm.set_capability("mapped-ram")
            vm.set_capability("multifd", multifd)
            path = self.path(f"mapped{multifd}")
            self.save(vm, "file:" + path)
            self.check(vm, path)

    def test_savevm(self):
        disk = self.path("disk")
        try:
            for path in disk, self.path("empty"):
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                                path, "64M"], check=True, timeout=TIMEOUT)
        except FileNotFoundError:
            self.skipTest("this machine has no qemu-img")
        vm = self.start("-drive", f"if=none,id=d,file={disk}")
        vm.qmp("stop")
        said = vm.qmp("human-monitor-command", **{
            "command-line": "savevm now"})
        self.assertEqual(said, "")
        self.check(vm, disk, args=("--snapshot", "now"))

    def check_postcopy(self, capabilities, connections):
        try:
            vm, files = self.move(capabilities, start_postcopy=True)
        except AssertionError:
            raise
        except Exception as err:  # the kernel's userfaultfd
            self.skipTest(f"this machine cannot do that: {err}")
        self.assertEqual(len(files), connections)
        self.assertTrue(self.check(vm, *files)["postcopy"])

    def test_postcopy(self):
        self.check_postcopy(["postcopy-ram"], 1)

    def test_postcopy_preempt(self):
        self.since(7, 1)
        self.check_postcopy(["postcopy-ram", "postcopy-preempt"], 2)

    def test_multifd(self):
        methods = ["none", "zlib"] + ["zstd"] * (self.version >= (6, 0))
        for method in methods:
            with self.subTest(method):
                vm, files = self.move(["multifd"], **{
                    "multifd-channels": CHANNELS,
                    "multifd-compression": method})
                self.assertEqual(len(files), CHANNELS + 1)
                self.check(vm, *files)
                for path in files + [self.path("here"), self.path("there")]:
                    if os.path.exists(path):
                        os.unlink(path)

    def test_old_machine_type(self):
        if not (2, 4) <= self.version < (9, 0):
            self.skipTest(f"this machine's QEMU is {self.version}, which has "
                          "no such machine")
        vm = self.start(kind=OldVm)
        report = self.check(vm, self.save_file(vm))
        self.assertEqual(report["machine"], "")


class Bullseye(Ways, interop_kit.InteropTest):
    """QEMU 5.2."""

    @staticmethod
    def need():
        return interop_kit.need(qemu_of("bullseye"), "QEMU of bullseye")


class Installed(Ways, interop_kit.InteropTest):
    """QEMU 7.2."""

    @staticmethod
    def need():
        return interop_kit.need_qemu()


class Newest(Ways, interop_kit.InteropTest):
    """QEMU 10.0."""

    @staticmethod
    def need():
        return interop_kit.need_newest_qemu()


class Trixie(Ways, interop_kit.InteropTest):
    """QEMU 11.1."""

    @staticmethod
    def need():
        return interop_kit.need(qemu_of("trixie"), "QEMU of trixie")


if __name__ == "__main__":
    tap.main()
