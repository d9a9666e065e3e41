# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest moves from QEMU to QEMU through ferry-relay, as it runs.

It writes to its memory meanwhile and counts on its console: it counts on
where it had stopped, and its memory is what pmemsave says of the stopped
source.  Where the migration is cancelled, or a relay is killed, it stays and
counts on where it was.
"""
import os
import sys

import interop_kit
import tap
from ferry_vm import TIMEOUT, connect_unix, wait_until
from qemu_vm import ticks

sys.path.insert(0, os.path.join(interop_kit.ROOT, "tests", "relay"))
from relay_kit import Relay  # noqa: E402

MIB = 1 << 20


class Relayed(interop_kit.InteropTest):
    def uri(self, name):
        return "unix:" + self.path(name)

    def relay(self, listen, connect, *args):
        relay = Relay(self.folder, "--listen", self.uri(listen), "--connect",
                      self.uri(connect), "--once", "--json", *args)
        self.addCleanup(relay.close)
        connect_unix(self.path(listen), relay.process).close()
        return relay

    def chain(self):
        """relay to link to vm."""
        receiver = self.relay("link", "vm")
        return self.relay("relay", "link"), receiver

    def guest(self, qemu, **kwargs):
        """A source, with a guest that is busy."""
        vm = self.run_qemu(qemu, *interop_kit.need_guest().options(write=8), **kwargs)
        vm.set_capability("return-path")
        vm.serial.wait_for(b"round 1")
        return vm

    def incoming(self, qemu, *args, **kwargs):
        vm = self.run_qemu(qemu, "-incoming", "defer", *args, **kwargs)
        vm.receive(self.uri("vm"))
        return vm

    def wait_for_passes(self, vm):
        """Wait until RAM was sent once and the guest has written since; there
        may be no more to do then."""
        def look():
            info = vm.migration()
            return info["status"] in ("completed", "failed") or \
                info.get("ram", {}).get("dirty-sync-count", 0) > 2
        wait_until(look, "second pass")

    def move(self, src, dst):
        """At a rate at which the guest can write meanwhile; then quickly."""
        src.set_parameters(max_bandwidth=32 * MIB)
        src.qmp("migrate", uri=self.uri("relay"))
        self.wait_for_passes(src)
        src.set_parameters(max_bandwidth=1 << 40, downtime_limit=5000)
        self.assert_completed(src)
        self.assert_completed(dst)

    def check_runs_on(self, src, dst):
        dst.wait_tick(10)
        self.assert_consecutive(src.serial.text() + dst.serial.text())

    def check_moved(self, src, dst):
        """The destination was started with -S."""
        self.assert_same_ram(src.save_ram(), dst.save_ram())
        dst.qmp("cont")
        self.check_runs_on(src, dst)

    def check_report(self, relay):
        self.assertEqual(relay.wait(), 0, relay.stderr())
        report, = relay.reports()
        self.assertNotIn("passed-on", report)
        return report

    def check_chain(self, qemu):
        src = self.guest(qemu)
        dst = self.incoming(qemu, "-S")
        sender, receiver = self.chain()
        self.move(src, dst)
        self.check_moved(src, dst)
        report = self.check_report(sender)
        self.assertGreater(report["ratio"], 1.5)
        self.assertTrue(report["return-path"])
        self.check_report(receiver)

    def test_chain(self):
        self.check_chain(interop_kit.need_qemu())

    def test_chain_newest(self):
        """Which has no compress."""
        self.check_chain(interop_kit.need_newest_qemu())

    def test_to_qemu(self):
        src = self.guest(interop_kit.need_qemu())
        dst = self.incoming(interop_kit.need_qemu(), "-S", compress=True)
        relay = self.relay("relay", "vm", "--to-qemu")
        self.move(src, dst)
        self.check_moved(src, dst)
        self.assertGreater(self.check_report(relay)["ratio"], 1.5)

    def test_from_qemu_to_the_newest(self):
        """From a QEMU with compress to one that has it no more."""
        src = self.guest(interop_kit.need_qemu(), compress=True)
        dst = self.incoming(interop_kit.need_newest_qemu(), "-S")
        relay = self.relay("relay", "vm", "--from-qemu")
        self.move(src, dst)
        self.check_moved(src, dst)
        report = self.check_report(relay)
        self.assertGreater(report["bytes-out"], 2 * report["bytes-in"])

    # What goes wrong

    def begin(self, qemu, src):
        """In the midst of a migration, which takes minutes."""
        dst = self.incoming(qemu)
        relays = self.chain()
        src.set_parameters(max_bandwidth=MIB)
        src.qmp("migrate", uri=self.uri("relay"))
        wait_until(lambda: src.migration().get("ram", {}).get(
            "transferred", 0) > MIB, "progress")
        return dst, relays

    def check_stays(self, src, dst, status):
        src.wait_migration(status)
        wait_until(lambda: src.status() == "running", "the guest")
        src.wait_tick(len(ticks(src.serial.text())) + 3)
        self.assert_consecutive(src.serial.text())
        self.assertEqual(dst.process.wait(TIMEOUT), 1)
        self.assertIn("load of migration failed", dst.stderr())

    def check_failures(self, qemu):
        """One guest lives through them all and moves in the end."""
        src = self.guest(qemu)
        dst, relays = self.begin(qemu, src)
        src.qmp("migrate_cancel")
        self.check_stays(src, dst, "cancelled")
        self.assertEqual([relay.wait() for relay in relays], [1, 1])
        for victim in 0, 1:
            dst, relays = self.begin(qemu, src)
            relays[victim].process.kill()
            self.check_stays(src, dst, "failed")
            self.assertEqual(relays[1 - victim].wait(), 1)
        dst = self.incoming(qemu)
        self.chain()
        self.move(src, dst)
        self.check_runs_on(src, dst)

    def test_failures(self):
        self.check_failures(interop_kit.need_qemu())

    def test_failures_newest(self):
        self.check_failures(interop_kit.need_newest_qemu())


if __name__ == "__main__":
    tap.main()
