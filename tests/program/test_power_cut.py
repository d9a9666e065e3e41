#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program has synced when it says that a file is there.

strace sees the calls of whole programs, and makes one fail: the program says
so, does not try again, and nothing is given up or left behind.
"""
import os
import re
import shutil
import subprocess
import unittest

import program_kit
import tap
from program_kit import AB, BUILD, FERRY_VM

INSPECT = os.path.join(BUILD, "tools", "inspect", "ferry-inspect")
CALLS = "fdatasync,fsync,linkat"
LOST = "may not be on the disk: Input/output error"


@unittest.skipUnless(shutil.which("strace"), "no strace")
class PowerCut(unittest.TestCase):
    setUp = program_kit.ProgramTest.setUp

    def path(self, name):
        return os.path.join(self.folder, name)

    def trace(self, command, fault=None, **kwargs):
        """Run it; the calls that it made, and what it said."""
        log = self.path("log")
        inject = ["-e", f"inject={fault}"] if fault else []
        done = subprocess.run(
            ["strace", "-f", "-qq", "-y", "-o", log, "-e", f"trace={CALLS}",
             *inject, *command],
            capture_output=True, text=True, timeout=program_kit.TIMEOUT,
            cwd=self.folder, **kwargs)
        with open(log, encoding="utf-8") as f:
            text = f.read()
        # Another thread may have its say before a call returns.
        calls = re.findall(r"^\d+ +(\w+)\((.*)", text, re.M)
        return calls, done

    def machine(self, lines, fault=None):
        command = [FERRY_VM, "-accel", "soft", "-m", "16M", "-kernel", AB,
                   "-S", "-monitor", "stdio"]
        return self.trace(command, fault, input="\n".join(
            [*lines, "info status", "info migrate", "quit", ""]))

    def save(self, fault=None):
        calls, done = self.machine(["migrate file:stream"], fault)
        return [name for name, _ in calls], done.stdout + done.stderr

    def test_saved(self):
        names, said = self.save()
        self.assertIn("postmigrate", said)
        self.assertEqual(names[0], "fsync")  # the folder
        self.assertEqual(set(names[1:]), {"fdatasync"})
        self.assertGreaterEqual(len(names), 3)  # a pass and the end

    def check_stays(self, fault, calls):
        names, said = self.save(fault)
        self.assertEqual(names, calls)
        self.assertIn(LOST, said)
        self.assertIn("Migration status: failed", said)
        self.assertNotIn("postmigrate", said)

    def test_name_is_lost(self):
        self.check_stays("fsync:error=EIO:when=1", ["fsync"])

    def test_a_pass_is_lost(self):
        self.check_stays("fdatasync:error=EIO:when=1", ["fsync", "fdatasync"])

    def test_the_end_is_lost(self):
        names, _ = self.save()
        self.check_stays(f"fdatasync:error=EIO:when={len(names) - 1}", names)

    def test_pmemsave(self):
        save = ["pmemsave 0 1048576 ram"]
        calls, _ = self.machine(save)
        self.assertEqual([name for name, _ in calls], ["fsync", "fsync"])
        self.assertIn("/ram>", calls[0][1])
        self.assertIn(f"{self.folder}>", calls[1][1])
        for nth in 1, 2:
            calls, done = self.machine(save, f"fsync:error=EIO:when={nth}")
            self.assertIn("Input/output error", done.stdout)
            self.assertEqual(len(calls), nth)

    def extract(self, fault=None):
        return self.trace([INSPECT, "--extract", "pc.ram", "ram", "stream"],
                          fault)

    def test_extract(self):
        self.save()
        for nth in 1, 2:
            calls, done = self.extract(f"fsync:error=EIO:when={nth}")
            self.assertEqual(done.returncode, 1)
            self.assertIn("Input/output error", done.stderr)
            self.assertEqual([name for name, _ in calls].count("fsync"), nth)
            self.assertFalse(os.path.exists(self.path("ram")))
        calls, done = self.extract()
        self.assertEqual(done.returncode, 0)
        self.assertEqual([name for name, _ in calls],
                         ["fsync", "linkat", "fsync"])
        self.assertIn(f"{self.folder}>", calls[2][1])


if __name__ == "__main__":
    tap.main()
