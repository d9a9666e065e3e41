# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves by multifd through relays, between QEMUs of one release each:
its pages are found in the connections, and what QEMU has compressed passes.

The guest is `ab`; RAM is compared.
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
CHANNELS = 3


@functools.cache
def qemu_of(release):
    return interop_kit.attempt(newest_qemu.qemu_of, interop_kit.CACHE, release)


class MultifdRelayed(interop_kit.InteropTest):
    def uri(self, name):
        return "unix:" + self.path(name)

    def relay(self, listen, connect, *args):
        relay = Relay(self.folder, "--listen", self.uri(listen), "--connect",
                      self.uri(connect), "--json", *args)
        self.addCleanup(relay.close)
        relay.wait_listening()
        return relay

    def vm(self, qemu, method, *args):
        """Of the newest machine type, which says how QEMU does multifd."""
        vm = self.run_qemu(qemu, "-machine", "pc", *args,
                           mem=f"{RAM >> 10}K")
        for name in "multifd", "return-path":
            vm.set_capability(name)
        vm.set_parameters(multifd_channels=CHANNELS,
                          multifd_compression=method)
        return vm

    def move(self, qemu, method):
        src = self.vm(qemu, method, "-kernel", AB, "-append", "ws=8")
        dst = self.vm(qemu, method, "-incoming", "defer", "-S")
        dst.receive(self.uri("vm"))
        receiver = self.relay("link", "vm", "--role", "receive")
        sender = self.relay("relay", "link", "--role", "send")
        src.serial.wait_for(lambda text: len(text) > 30)
        src.set_parameters(downtime_limit=5000)
        src.qmp("migrate", uri=self.uri("relay"))
        self.assert_completed(src)
        self.assert_completed(dst)
        self.assert_same_ram(src.save_ram(RAM), dst.save_ram(RAM))
        for relay in sender, receiver:
            relay.process.terminate()
            self.assertEqual(relay.wait(), 0, relay.stderr())
        return sorted(sender.reports(), key=lambda r: r["migration"])

    def check(self, qemu):
        main, *sides = self.move(qemu, "none")
        self.assertEqual(main["status"], "completed")
        for report in main, *sides:
            self.assertNotIn("passed-on", report)
        self.assertGreater(sum(r["pages"] for r in sides), 50)
        main, *sides = self.move(qemu, "zlib")
        self.assertEqual(main["status"], "completed")
        self.assertIn("with multifd-compression none",
                      "".join(r.get("passed-on", "") for r in sides))
        for report in sides:
            self.assertEqual(report["status"], "unknown")

    def test_7_2(self):
        self.check(interop_kit.need_qemu())

    def test_newest(self):
        self.check(interop_kit.need_newest_qemu())

    def test_bullseye(self):
        self.check(interop_kit.need(qemu_of("bullseye"), "QEMU 5.2"))

    def test_trixie(self):
        self.check(interop_kit.need(qemu_of("trixie"), "QEMU of trixie"))


if __name__ == "__main__":
    tap.main()
