# SPDX-License-Identifier: GPL-2.0-or-later
"""Ferry's source sends a Linux guest to QEMU, where it runs on.

The guest is one that QEMU 7.2 saved twice while it ran.  send-guest, which
embeds libferry, migrates it into a fresh QEMU, and plays it meanwhile: its
memory changes between the one state and the other.  At the other end it is
what QEMU's own source said it was, and the guest counts on where it had
stopped.
"""
import shutil
import tempfile

import interop_kit
import saved_guest
import tap
from qemu_vm import QemuVm


class Source(interop_kit.SendTest):
    @classmethod
    def setUpClass(cls):
        cls.saved = tempfile.mkdtemp(prefix="ferry-interop-")
        cls.addClassCleanup(shutil.rmtree, cls.saved)
        cls.laid_out = f"{cls.saved}/guest"
        cls.ram = f"{cls.saved}/ram"  # by QEMU's own word
        before, after = f"{cls.saved}/before", f"{cls.saved}/after"
        with QemuVm(interop_kit.need_qemu(),
                    *interop_kit.need_guest().options(write=8)) as vm:
            vm.serial.wait_for(b"round 1")
            vm.save(before)
            vm.qmp("cont")
            vm.serial.wait_for(b"round 3")
            vm.save(after)
            cls.said = vm.serial.text()
            shutil.move(vm.save_ram(), cls.ram)
        saved_guest.lay_out(after, cls.laid_out, before)

    def receive_and_send(self, vm, *options):
        """Send the guest to vm; send-guest's report."""
        report = self.send(self.receive(vm), *options)
        self.assert_completed(vm)
        return report

    def check_runs_on(self, vm):
        """The guest counts on where it had stopped, within a line even."""
        vm.wait_tick(10)
        self.assert_consecutive(self.said + vm.serial.text())

    def check_memory(self, vm):
        """The guest has not run yet; then it does."""
        self.assert_same_ram(self.ram, vm.save_ram())
        vm.qmp("cont")
        self.check_runs_on(vm)

    def check_busy(self, report):
        """Pages were compressed, and changed while they were."""
        self.assertGreater(report["compressed"], 1000)
        self.assertGreaterEqual(report["passes"], 4)

    def test_compress(self):
        vm = self.run_qemu(interop_kit.need_qemu(), "-S", "-incoming",
                           "defer", compress=True)
        report = self.receive_and_send(vm, "compress=on",
                                       "compress-threads=4",
                                       "downtime-limit=1")
        self.check_busy(report)
        self.check_memory(vm)

    def test_compress_live(self):
        """The guest runs on by itself, as it ran when it was saved."""
        vm = self.run_qemu(interop_kit.need_qemu(), "-incoming", "defer",
                           compress=True)
        report = self.receive_and_send(vm, "compress=on",
                                       "compress-threads=4",
                                       "downtime-limit=1")
        self.check_busy(report)
        self.check_runs_on(vm)

    def check_changes(self, qemu, *options, **how):
        """QEMU takes changes of pages without the capability."""
        vm = self.run_qemu(qemu, "-S", "-incoming", "defer", **how)
        report = self.receive_and_send(vm, "xbzrle=on", "downtime-limit=1",
                                       *options)
        self.assertGreater(report["xbzrle"], 100)
        self.check_memory(vm)

    def test_xbzrle(self):
        self.check_changes(interop_kit.need_qemu())

    def test_xbzrle_compress(self):
        self.check_changes(interop_kit.need_qemu(), "compress=on",
                           compress=True)

    def test_xbzrle_small_cache(self):
        self.check_changes(interop_kit.need_qemu(),
                           "xbzrle-cache-size=8M")

    def test_xbzrle_to_the_newest(self):
        self.check_changes(interop_kit.need_newest_qemu())

    def test_plain_to_the_newest(self):
        vm = self.run_qemu(interop_kit.need_newest_qemu(), "-S", "-incoming",
                           "defer")
        report = self.receive_and_send(vm)
        self.assertEqual(report["compressed"], 0)
        self.check_memory(vm)


if __name__ == "__main__":
    tap.main()
