#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Has the hardening that the build asked for got into the files?

    HARDENED_BY="FLAGS" tests/hardening.py READELF FILE...
"""
import os
import re
import subprocess
import sys
import unittest

sys.path.append(os.path.join(os.path.dirname(__file__), "lib"))
import tap  # noqa: E402

READELF = sys.argv[1]
FILES = sys.argv[2:]
FLAGS = os.environ["HARDENED_BY"].split()


class Hardening(unittest.TestCase):
    def check(self, pattern, *options, flag=None, files=FILES):
        """Something in what readelf says of each file is like pattern."""
        if flag and flag not in FLAGS:
            self.skipTest(f"this machine's compiler does without {flag}")
        for file in files:
            shown = subprocess.run(
                [READELF, "--wide", *options, file], check=True, text=True,
                stdout=subprocess.PIPE).stdout
            with self.subTest(file=file):
                self.assertRegex(shown, re.compile(pattern, re.M))

    def test_position_independent(self):
        self.check(r"^ +Type: +DYN ", "--file-header")

    def test_relocations_read_only(self):
        self.check(r"^ +GNU_RELRO ", "--program-headers",
                   flag="-Wl,-z,relro")

    def test_bound_when_started(self):
        self.check(r"\(FLAGS_1\).* NOW", "--dynamic", flag="-Wl,-z,now")

    def test_stack_not_executable(self):
        self.check(r"^ +GNU_STACK .* RW  ", "--program-headers")

    def test_stack_protector(self):
        self.check(r" __stack_chk_fail\b", "--dyn-syms",
                   flag="-fstack-protector-strong")

    def test_fortified(self):
        """The programs: libraries may call nothing that has such a form."""
        self.check(r" __(?!stack)\w+_chk\b", "--dyn-syms",
                   flag="-D_FORTIFY_SOURCE=2",
                   files=[file for file in FILES if ".so" not in file])


if __name__ == "__main__":
    del sys.argv[1:]
    tap.main()
