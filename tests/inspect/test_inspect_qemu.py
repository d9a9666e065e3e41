# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams of a QEMU whose guest writes its memory all the while.

What is extracted is, byte for byte, what QEMU's own pmemsave says of the
stopped source, with compress off and on; and a source that is only looked at
runs on.

RAM is of an odd size on purpose: see docs/testing.md.
"""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import GUESTS, INSPECT, TIMEOUT, InspectTest  # noqa: E402
import qemu_vm  # noqa: E402
import read_stream  # noqa: E402
import tap  # noqa: E402
from ferry_vm import wait_until  # noqa: E402

QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
VERSION = qemu_vm.version(QEMU)
UUID = "00112233-4455-6677-8899-aabbccddeeff"
SIZE = qemu_vm.odd_ram(32)
PASSES = 4
# The rest of the first MiB shows devices and firmware.
RAM = ((0, 640 << 10), (1 << 20, SIZE))


@unittest.skipUnless(VERSION, "no qemu-system-x86_64")
class QemuTest(InspectTest):
    def start(self, *capabilities):
        """A machine whose guest writes and beats."""
        vm = qemu_vm.QemuVm(
            QEMU, "-uuid", UUID,
            "-kernel", os.path.join(GUESTS, "stress.multiboot"),
            "-append", "ws=4 rate=2000 words=4 beat=10", mem=f"size={SIZE}B")
        self.addCleanup(vm.close)
        for name in capabilities:
            vm.set_capability(name)
        self.beat(vm)
        return vm

    def beat(self, vm):
        """Wait until the guest has shown that it runs."""
        seen = vm.serial.text().count(b".")
        vm.serial.wait_for(lambda text: text.count(b".") >= seen + 20)

    def save(self, *capabilities):
        """Some passes over a running guest, then stop it and finish."""
        def passes():
            return vm.migration().get("ram", {}).get("dirty-sync-count", 0)

        vm = self.start(*capabilities)
        stream = self.path("saved")
        vm.set_parameters(downtime_limit=1, max_bandwidth=8 << 20)
        vm.qmp("migrate", uri=f"exec:cat > {stream}")
        wait_until(lambda: passes() >= PASSES or vm.migration().get("status")
                   in ("completed", "failed"), "passes")
        vm.qmp("stop")
        vm.set_parameters(max_bandwidth=1 << 40)
        info = vm.wait_migration("completed", "failed")
        self.assertEqual(info["status"], "completed")
        return vm, stream

    def save_and_check(self, *capabilities):
        """The stream, and the report; its RAM is that of the guest."""
        vm, stream = self.save(*capabilities)
        with open(vm.save_ram(SIZE), "rb") as f:
            expected = f.read()
        got, report = self.extract(stream, "pc.ram", "--verify")
        for begin, end in RAM:
            self.assertTrue(got[begin:end] == expected[begin:end],
                            f"differs in 0x{begin:x}..0x{end:x}")
        self.check_report(report)
        return stream, report

    def check_report(self, report):
        ram = report["ram"]
        self.assertGreaterEqual(len(ram["passes"]), 2)
        self.assertTrue(ram["passes"][-1]["final"])
        first = ram["passes"][0]
        self.assertGreaterEqual(
            first["zero"] + first["plain"] + first["compressed"],
            ram["total"] // 4096)
        self.assertIn("cpu", [d["name"] for d in report["devices"]])


class Saved(QemuTest):
    def test_plain(self):
        stream, report = self.save_and_check()
        s = read_stream.parse(read_stream.load(stream))
        self.assertEqual(report["ram"]["compressed"], 0)
        for kind in ("zero", "plain"):
            self.assertEqual(report["ram"][kind], sum(
                r.kind == kind for r in s.records()))
        self.assertEqual([(d["name"], d["offset"], d["size"])
                          for d in report["devices"]],
                         [(d["name"], d["offset"], d["size"])
                          for d in s.devices])

    @unittest.skipUnless((2, 4) <= (VERSION or ()) < (9, 1),
                         "this machine's QEMU has no compress")
    def test_compress(self):
        _, report = self.save_and_check("compress")
        self.assertGreater(report["ram"]["compressed"], 100)
        self.assertGreater(report["ram"]["ratio"], 2)

    def test_what_the_configuration_has(self):
        _, report = self.save_and_check("validate-uuid", "x-ignore-shared")
        self.assertEqual(report["capabilities"], ["x-ignore-shared"])
        self.assertEqual(report["uuid"], UUID)


class Live(QemuTest):
    def inspect_live(self, *capabilities):
        """The machine, and what is printed of a stream from a socket."""
        vm = self.start(*capabilities)
        uri = f"unix:{self.path('look')}"
        inspector = subprocess.Popen([INSPECT, "--verify", uri], text=True,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE)
        self.addCleanup(inspector.kill)
        self.assertEqual(inspector.stderr.readline(),
                         f"ferry-inspect: waiting at {uri}\n")
        vm.qmp("migrate", uri=uri)
        out, err = inspector.communicate(timeout=TIMEOUT)
        self.assertEqual((inspector.returncode, err), (0, ""))
        self.assertIn("vmdescription", out)
        return vm, out

    def check_stays(self, vm):
        info = vm.wait_migration("completed", "failed")
        self.assertEqual(info["status"], "failed")
        wait_until(lambda: vm.status() == "running", "running guest")
        self.beat(vm)

    def test_guest_stays_where_it_is(self):
        vm, out = self.inspect_live("return-path")
        self.assertIn("OPEN_RETURN_PATH", out)
        self.check_stays(vm)

    def test_postcopy_that_does_not_begin(self):
        vm, out = self.inspect_live("postcopy-ram")
        self.assertIn("POSTCOPY_ADVISE", out)
        self.check_stays(vm)

    def test_without_return_path(self):
        """The source believes that its guest has moved; it can go on."""
        vm, _ = self.inspect_live()
        self.assertEqual(vm.wait_migration("completed", "failed")["status"],
                         "completed")
        vm.qmp("cont")
        self.beat(vm)


if __name__ == "__main__":
    tap.main()
