# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd understands the units, and has little to say against them."""
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from relay_kit import RELAY, ROOT, RelayTest  # noqa: E402
import tap  # noqa: E402

UNITS = os.path.join(ROOT, "tools", "relay", "systemd")
EXPOSURE = "15"  # of 100, at most


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
class Units(RelayTest):
    def unit(self, name):
        """As it is installed, but with the program that was built."""
        with open(os.path.join(UNITS, name), encoding="utf-8") as f:
            text = f.read().replace("@bindir@", os.path.dirname(RELAY))
        path = self.path(name.removesuffix(".in"))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def analyze(self, *args):
        done = subprocess.run(["systemd-analyze", *args], text=True,
                              capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_verify(self):
        paths = [self.unit(name) for name in sorted(os.listdir(UNITS))]
        self.assertEqual(self.analyze("verify", "--man=no", *paths), (0, ""))

    def test_security(self):
        for role in "send", "receive":
            path = self.unit(f"ferry-relay-{role}@.service.in")
            status, said = self.analyze("security", "--offline=true",
                                        f"--threshold={EXPOSURE}", path)
            self.assertEqual(status, 0, said)

    def test_may_filter_itself(self):
        """@system-service of systemd 252 has no seccomp(2), and who calls
        what a unit forbids is killed."""
        for role in "send", "receive":
            with open(self.unit(f"ferry-relay-{role}@.service.in"),
                      encoding="utf-8") as f:
                self.assertRegex(f.read(), "SystemCallFilter=@.* seccomp\\n")


if __name__ == "__main__":
    tap.main()
