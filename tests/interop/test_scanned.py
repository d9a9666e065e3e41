# SPDX-License-Identifier: GPL-2.0-or-later
"""What a relay's scanner makes of streams of QEMU 5.2 to 11.1: multifd, and
devices whose sections stand before RAM or between its parts.

The guest is `ab`, which moves between two QEMUs of one release; RAM is
compared.
"""
import functools
import os
import sys

import interop_kit
import newest_qemu
import tap
from qemu_vm import odd_ram

sys.path.insert(0, os.path.join(interop_kit.ROOT, "tests", "relay"))
from relay_kit import Relay  # noqa: E402

AB = os.path.join(interop_kit.BUILD, "tests", "guest", "ab.multiboot")
RAM = odd_ram(64)
COMPARED = 64 << 20  # virtio-mem needs RAM of whole MiB
CHANNELS = 3
VIRTIO_MEM = ("-object", "memory-backend-ram,id=more,size=256M", "-device",
              "virtio-mem-pci,memdev=more,requested-size=128M")
DISK = ("-blockdev", "null-co,node-name=disk,size=1000000000,read-zeroes=on",
        "-device", "ide-hd,drive=disk")


@functools.cache
def qemu_of(release):
    return interop_kit.attempt(newest_qemu.qemu_of, interop_kit.CACHE, release)


class ScannedTest(interop_kit.InteropTest):
    # of both QEMUs
    mem = f"{RAM >> 10}K"
    args = ()
    capabilities = ()

    def uri(self, name):
        return "unix:" + self.path(name)

    def relay(self, listen, connect, *args):
        relay = Relay(self.folder, "--listen", self.uri(listen), "--connect",
                      self.uri(connect), "--json", *args, resumes=True)
        self.addCleanup(relay.close)
        relay.wait_listening()
        return relay

    def vm(self, qemu, parameters, *args):
        """Of the newest machine type, which may change the stream."""
        vm = self.run_qemu(qemu, "-machine", "pc", *self.args, *args,
                           mem=self.mem)
        for name in ("return-path", *self.capabilities):
            vm.set_capability(name)
        vm.set_parameters(**parameters)
        return vm

    def begin(self, src):
        """The source runs."""

    def move(self, qemu, **parameters):
        """The sender's report."""
        src = self.vm(qemu, parameters, "-kernel", AB, "-append", "ws=8")
        dst = self.vm(qemu, parameters, "-incoming", "defer", "-S")
        dst.receive(self.uri("vm"))
        receiver = self.relay("link", "vm", "--role", "receive")
        sender = self.relay("relay", "link", "--role", "send",
                            "--compress-method", "zlib")
        src.serial.wait_for(lambda text: len(text) > 30)
        self.begin(src)
        src.set_parameters(downtime_limit=5000)
        src.qmp("migrate", uri=self.uri("relay"))
        self.assert_completed(src)
        self.assert_completed(dst)
        self.assert_same_ram(src.save_ram(COMPARED), dst.save_ram(COMPARED))
        for relay in sender, receiver:
            relay.process.terminate()
            self.assertEqual(relay.wait(), 0, relay.stderr())
        report, = sender.reports()
        self.assertEqual(report["status"], "completed")
        return report


class Multifd(ScannedTest):
    """Pages are found in its connections, and what QEMU has compressed
    passes."""

    capabilities = "multifd",

    def check(self, qemu):
        report = self.move(qemu, multifd_channels=CHANNELS)
        self.assertNotIn("passed-on", report)
        self.assertGreater(report["pages"], 50)
        self.assertEqual(report["connections"], CHANNELS + 1)
        report = self.move(qemu, multifd_channels=CHANNELS,
                           multifd_compression="zlib")
        self.assertIn("with multifd-compression none", report["passed-on"])

    def test_7_2(self):
        self.check(interop_kit.need_qemu())

    def test_newest(self):
        self.check(interop_kit.need_newest_qemu())

    def test_bullseye(self):
        self.check(interop_kit.need(qemu_of("bullseye"), "QEMU 5.2"))

    def test_trixie(self):
        self.check(interop_kit.need(qemu_of("trixie"), "QEMU of trixie"))


class SectionsTest(ScannedTest):
    """RAM is found again, and packed as well as if it had not been lost."""

    section = None  # that the relay does not understand

    def check(self):
        qemu = interop_kit.need(qemu_of("trixie"), "QEMU of trixie")
        report = self.move(qemu)
        self.assertIn(self.section, report["passed-on"])
        self.assertGreater(report["ratio"], 4)


class VirtioMem(SectionsTest):
    mem = "64M,maxmem=2G"
    args = VIRTIO_MEM
    section = "virtio-mem-device-early"

    def test_it(self):
        self.check()


class DirtyBitmaps(SectionsTest):
    args = DISK
    capabilities = "dirty-bitmaps",
    section = "section 'dirty-bitmap'"

    def begin(self, src):
        bitmap = {"node": "disk", "name": "changes"}
        src.qmp("transaction", actions=[
            {"type": "block-dirty-bitmap-add", "data": bitmap}])

    def test_it(self):
        self.check()


if __name__ == "__main__":
    tap.main()
