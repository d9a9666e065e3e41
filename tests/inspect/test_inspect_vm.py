# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams of ferry-vm: saved ones, and one whose guest is only looked at."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "program")]
from inspect_kit import INSPECT, TIMEOUT, InspectTest  # noqa: E402
from program_kit import ProgramTest, ram_of  # noqa: E402
import tap  # noqa: E402


class FerryVm(ProgramTest, InspectTest):
    def save(self, compress):
        src = self.source()
        src.set_capability("compress", compress)
        stream = self.path("saved")
        self.move(src, f"file:{stream}")
        with ram_of(src) as ram:
            expected = ram[:]
        got, report = self.extract(stream, "pc.ram", "--verify")
        self.assertTrue(got == expected)
        self.assertEqual(report["machine"], "ferry")
        self.assertEqual(report["ram"]["repeated"], 0)
        self.assertEqual(bool(report["ram"]["compressed"]), compress)
        return report

    def test_plain(self):
        self.save(False)

    def test_compress(self):
        self.assertGreater(self.save(True)["ram"]["ratio"], 2)

    def test_guest_stays_where_it_is(self):
        src = self.source()
        uri = self.unix_uri()
        inspector = subprocess.Popen([INSPECT, "--verify", uri], text=True,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE)
        self.addCleanup(inspector.kill)
        inspector.stderr.readline()
        src.set_capability("compress")
        src.qmp("migrate", uri=uri)
        out, err = inspector.communicate(timeout=TIMEOUT)
        self.assertEqual((inspector.returncode, err), (0, ""))
        self.assertIn("source          Ferry\n", out)
        info = src.wait_migration("failed", "completed")
        self.assertEqual(info["status"], "failed")
        self.assertIn("looks at a guest and does not run it",
                      info["error-desc"])
        self.run_on(src)
        self.check_letters(src.serial.text())


if __name__ == "__main__":
    tap.main()
