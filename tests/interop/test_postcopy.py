# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves by postcopy with postcopy-preempt, as libvirt 11 has it:
straight from QEMU to QEMU, and through relays.

QEMU's second connection says nothing before the switch to postcopy, and then
carries the pages that the destination asks for; without it the guest stands
still at both ends for good.

The guest is `ab`: a page that is lost, or an old one, puts it out of step with
its alphabet.  RAM is compared, too: the guest stands still at both ends at
first, and what reads its memory at the destination asks for the pages.
"""
import contextlib
import os
import sys

import interop_kit
import tap
from ferry_vm import QmpError, wait_until
from qemu_vm import odd_ram

for folder in "relay", "program":
    sys.path.insert(0, os.path.join(interop_kit.ROOT, "tests", folder))
from program_kit import ALPHABET, letters_of  # noqa: E402
from relay_kit import Relay  # noqa: E402

AB = os.path.join(interop_kit.BUILD, "tests", "guest", "ab.multiboot")
RAM = odd_ram(48)
CAPABILITIES = "postcopy-ram", "postcopy-preempt", "return-path"


def accepted(vm, path):
    """How many connections to the socket at a path a QEMU holds."""
    folder = f"/proc/{vm.process.pid}/fd"
    held = set()
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            held.add(os.stat(os.path.join(folder, fd)).st_ino)
    with open("/proc/net/unix", encoding="ascii") as f:
        sockets = [line.split() for line in f.readlines()[1:]]
    return sum(fields[7:] == [path] and int(fields[3], 16) == 0 and
               int(fields[6]) in held for fields in sockets)


class Preempt(interop_kit.InteropTest):
    def uri(self, name):
        return "unix:" + self.path(name)

    def capable(self, vm):
        try:
            for name in CAPABILITIES:
                vm.set_capability(name)
        except QmpError as err:
            self.skipTest("this machine has no postcopy, which needs "
                          f"userfaultfd: {err}")

    def source(self, qemu):
        vm = self.run_qemu(qemu, "-kernel", AB, "-append", "ws=8",
                           mem=f"{RAM >> 10}K")
        self.capable(vm)
        self.wait_letters(vm)
        return vm

    def wait_letters(self, vm, count=30):
        before = len(vm.serial.text())
        vm.serial.wait_for(lambda text: len(letters_of(text)) >= count and
                           len(text) >= before + count)

    def incoming(self, qemu, name="vm"):
        vm = self.run_qemu(qemu, "-incoming", "defer", "-S",
                           mem=f"{RAM >> 10}K")
        self.capable(vm)
        vm.receive(self.uri(name))
        return vm

    def relay(self, listen, connect, *args):
        relay = Relay(self.folder, "--listen", self.uri(listen), "--connect",
                      self.uri(connect), "--json", *args, resumes=True)
        self.addCleanup(relay.close)
        relay.wait_listening()
        return relay

    def begin(self, src, uri):
        """In the midst of precopy."""
        src.set_parameters(max_bandwidth=1 << 20,
                           max_postcopy_bandwidth=1 << 20)
        src.qmp("migrate", uri=uri)
        wait_until(lambda: src.migration().get("ram", {}).get(
            "transferred", 0) > 1 << 18, "progress")

    def switch(self, src, dst):
        src.qmp("migrate-start-postcopy")
        src.wait_migration("postcopy-active")
        dst.wait_migration("postcopy-active")

    def finish(self, src, dst, name):
        """While most of RAM is still at the source, read all of it at the
        destination, and then let the guest go on.  The destination's main
        thread does not look at its sockets while it reads, so it must have
        both connections before."""
        wait_until(lambda: accepted(dst, self.path(name)) == 2 or
                   dst.migration()["status"] == "completed",
                   "the second connection")
        self.assert_same_ram(src.save_ram(RAM), dst.save_ram(RAM))
        src.set_parameters(max_postcopy_bandwidth=0)
        dst.qmp("cont")
        self.wait_letters(dst)
        self.assert_completed(src)
        self.assert_completed(dst)
        letters = letters_of(src.serial.text() + dst.serial.text())
        self.assertEqual(letters,
                         (ALPHABET * (len(letters) // 26 + 1))[:len(letters)])

    def check_straight(self, qemu):
        src, dst = self.source(qemu), self.incoming(qemu)
        self.begin(src, self.uri("vm"))
        self.switch(src, dst)
        self.finish(src, dst, "vm")

    def check_relayed(self, qemu, sends=(), receives=()):
        src, dst = self.source(qemu), self.incoming(qemu)
        receiver = self.relay("link", "vm", *receives)
        sender = self.relay("relay", "link", *sends)
        self.begin(src, self.uri("relay"))
        self.switch(src, dst)
        self.finish(src, dst, "vm")
        for relay in sender, receiver:
            relay.process.terminate()
            relay.wait()
        report, = sender.reports()
        self.assertEqual(report["status"], "completed")
        self.assertTrue(report["return-path"])
        self.assertEqual(report["connections"], 2)
        for relay in sender, receiver:
            self.assertNotIn("failed", relay.stderr())
            self.assertEqual(relay.process.returncode, 0)

    def check_recovered(self, qemu):
        """The link breaks in the midst of postcopy, and both go on over
        another one: the source's first connection begins in another way."""
        src, dst = self.source(qemu), self.incoming(qemu)
        relays = self.relay("link", "vm"), self.relay("relay", "link")
        self.begin(src, self.uri("relay"))
        self.switch(src, dst)
        for relay in relays:
            relay.process.kill()
        for vm in src, dst:
            vm.wait_migration("postcopy-paused")
        dst.qmp("migrate-recover", uri=self.uri("again"))
        self.relay("link-again", "again")
        self.relay("relay-again", "link-again")
        src.qmp("migrate", uri=self.uri("relay-again"), resume=True)
        src.wait_migration("postcopy-active", "completed")
        self.finish(src, dst, "again")

    def test_recovered(self):
        self.check_recovered(interop_kit.need_qemu())

    def test_recovered_newest(self):
        self.check_recovered(interop_kit.need_newest_qemu())

    def test_straight(self):
        self.check_straight(interop_kit.need_qemu())

    def test_straight_newest(self):
        self.check_straight(interop_kit.need_newest_qemu())

    def test_auto(self):
        self.check_relayed(interop_kit.need_qemu())

    def test_auto_newest(self):
        self.check_relayed(interop_kit.need_newest_qemu())

    def test_roles(self):
        self.check_relayed(interop_kit.need_qemu(), ["--role", "send"],
                           ["--role", "receive"])

    def test_roles_newest(self):
        self.check_relayed(interop_kit.need_newest_qemu(),
                           ["--role", "send"], ["--role", "receive"])

    def test_once_newest(self):
        """A migration is all of its connections."""
        self.check_relayed(interop_kit.need_newest_qemu(), ["--once"],
                           ["--once"])


if __name__ == "__main__":
    tap.main()
