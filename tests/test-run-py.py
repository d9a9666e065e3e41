#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/run.py: which skips are failures, and what is said last."""
import contextlib
import io
import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "lib")]
import run  # noqa: E402
import tap  # noqa: E402

# As meson 1.0 writes it: of a case, its reason; of a program, all that it said.
LOG = """<testsuites><testsuite name="suite">
<testcase name="good"/>
<testcase name="bad"><failure message="why"/></testcase>
<testcase name="lacks"><skipped/><system-out>this machine has no KVM
</system-out></testcase>
<testcase name="package"><skipped/><system-out>no socat here</system-out>
</testcase>
<testcase name="silent"><skipped/></testcase>
<testcase name="program"><skipped/><system-out>1..0 # SKIP no compiler
</system-out></testcase>
<testcase name="program-lacks"><skipped/><system-out>
1..0 # SKIP this machine gets no QEMU: no mirror
</system-out></testcase>
</testsuite></testsuites>"""
MACHINE = {"suite: lacks": "this machine has no KVM",
           "suite: program-lacks": "this machine gets no QEMU: no mirror"}


class Skips(unittest.TestCase):
    def outcomes(self, uid, env):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "meson-logs"))
            log = os.path.join(folder, "meson-logs", "testlog.junit.xml")
            with open(log, "w", encoding="utf-8") as f:
                f.write(LOG)
            with mock.patch("os.geteuid", lambda: uid), \
                    mock.patch.dict(os.environ, env):
                if not env:
                    os.environ.pop("CI", None)
                found = list(run.outcomes(folder))
        self.assertEqual(found[:2], [("suite: good", "passed", ""),
                                     ("suite: bad", "failed", "why")])
        return found[2:]

    def check_strict(self, found):
        for name, what, text in found:
            if name in MACHINE:
                self.assertEqual((what, text), ("skipped", MACHINE[name]))
            else:
                self.assertEqual(what, "failed", name)
                self.assertIn("not for what this machine lacks", text)

    def test_root(self):
        self.check_strict(self.outcomes(0, {}))

    def test_ci(self):
        self.check_strict(self.outcomes(1000, {"CI": "true"}))

    def test_somebody(self):
        """A user who could not have anything installed."""
        self.assertEqual({what for _, what, _ in self.outcomes(1000, {})},
                         {"skipped"})


class Report(unittest.TestCase):
    def report(self, found, times=()):
        """(exit status, lines)"""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = run.report(found, times)
        return status, said.getvalue().splitlines()

    def test_last_line(self):
        good, bad = ("a", "passed", ""), ("b", "failed", "why")
        skip = ("c", "skipped", "this machine")
        for found, status, line in (
                ([good], 0, "1 passed, 0 failed"),
                ([good, skip], 0, "1 passed, 0 failed, 1 skipped"),
                ([good, bad, skip], 1, "1 passed, 1 failed, 1 skipped"),
                ([skip], 1, "0 passed, 0 failed, 1 skipped"),
                ([], 1, "0 passed, 0 failed")):
            with self.subTest(line=line):
                got, lines = self.report(found)
                self.assertEqual((got, lines[-1]), (status, line))

    def test_slowest(self):
        _, lines = self.report([("a", "passed", "")],
                               [(n, f"test {n}") for n in range(100)])
        self.assertEqual([line.split()[-1] for line in lines[1:-1]],
                         [str(n) for n in range(99, 79, -1)])


if __name__ == "__main__":
    tap.main()
