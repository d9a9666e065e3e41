#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves between accelerators and kinds of dirty logs."""
import os

import program_kit
import tap
from ferry_vm import wait_until


def uses_kvm(vm):
    """Has the process a KVM machine?  (kvm_probe()'s is gone by now.)"""
    folder = f"/proc/{vm.process.pid}/fd"
    return any(os.readlink(os.path.join(folder, fd)) == "anon_inode:kvm-vm"
               for fd in os.listdir(folder))


class Moves(program_kit.ProgramTest):
    mem = "16M"
    append = "ws=1"

    def check_move(self, from_accel, to_accel, *args):
        uri = self.unix_uri()
        src = self.source(*args, accel=from_accel)
        dst = self.destination(uri, "-S", *args, accel=to_accel)
        for vm in src, dst:
            vm.set_capability("compress")
        self.move(src, uri)
        self.check_moved(src, dst)


class BetweenAccelerators(Moves):
    def test_kvm_to_soft(self):
        self.check_move("kvm", "soft")

    def test_soft_to_kvm(self):
        self.check_move("soft", "kvm")

    def test_there_and_back(self):
        """CPU state survives two conversions each way."""
        homes = [self.source(accel="soft")]
        for n, accel in enumerate(["kvm", "soft", "kvm", "soft"]):
            uri = self.unix_uri(f"move{n}")
            dst = self.destination(uri, accel=accel)
            self.move(homes[-1], uri)
            dst.wait_migration("completed")
            homes.append(dst)
            self.check_runs(*homes)


class DirtyLogs(Moves):
    """The software CPU's two, with enough writes that some happen while pages
    are being sent."""
    mem = "64M"
    append = "ws=24"

    def test_pagemap(self):
        self.check_move("soft,dirty-log=pagemap", "soft")

    def test_hook(self):
        self.check_move("soft,dirty-log=hook", "soft")


class ThreeCpus(Moves):
    cpus = 3
    append = "ws=3"

    def test_soft(self):
        self.check_move("soft", "soft", "-smp", "3")

    def test_hook(self):
        self.check_move("soft,dirty-log=hook", "soft", "-smp", "3")

    def test_kvm(self):
        self.check_move("kvm", "kvm", "-smp", "3")

    def test_kvm_to_soft(self):
        self.check_move("kvm", "soft", "-smp", "3")


class Choice(program_kit.ProgramTest):
    mem = "16M"
    append = "ws=1"

    def test_what_is_asked_for(self):
        for accel in "soft", "kvm":
            with self.subTest(accel):
                self.assertEqual(uses_kvm(self.source(accel=accel)),
                                 accel == "kvm")

    def test_default_is_the_faster_one(self):
        """Of two guests that start together, the default is like the one
        that has said much more when the other gets to its 200th letter."""
        soft, kvm = self.source(accel="soft"), self.source(accel="kvm")
        begin = [len(vm.serial.text()) for vm in (soft, kvm)]

        def said():
            lengths = [len(vm.serial.text()) for vm in (soft, kvm)]
            more = [now - then for now, then in zip(lengths, begin)]
            return min(more) >= 200 and more

        by_soft, by_kvm = wait_until(said, "200 letters of each")
        if max(by_soft, by_kvm) < 5 * min(by_soft, by_kvm):
            self.skipTest("this machine's KVM is about as fast as the software CPU: "
                          "either is right")
        self.assertEqual(uses_kvm(self.source(accel=None)), by_kvm > by_soft)

    def test_without_kvm(self):
        """By a user who may not open /dev/kvm."""
        program_kit.need_accel(self, "soft")
        if os.getuid() != 0:
            self.skipTest("this machine's user is not root, who alone can "
                          "become one without /dev/kvm")
        if os.path.exists("/dev/kvm") and os.stat("/dev/kvm").st_mode & 2:
            self.skipTest("this machine lets everybody open /dev/kvm")
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        args = ["-m", "16M", "-kernel", program_kit.AB, "-monitor", "stdio"]
        try:
            by_default = program_kit.run_vm(
                *args, input="info status\nquit\n", **nobody)
        except PermissionError:
            self.skipTest("this machine lets not everybody read the build")
        self.assertEqual(by_default.stderr, "")
        self.assertEqual(by_default.returncode, 0)
        self.assertIn("VM status: running", by_default.stdout)
        refused = program_kit.run_vm(*args, "-accel", "kvm", **nobody)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"\Aferry-vm: .*/dev/kvm.*\n\Z")


if __name__ == "__main__":
    tap.main()
