#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A tool that embeds libferry-inspect, over saved guests."""
import gzip
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "inspect"))
from inspect_kit import BUILD, TIMEOUT, InspectTest, golden  # noqa: E402
import tap  # noqa: E402

LOOK = os.path.join(BUILD, "tests", "embed", "look")
SAMPLES = os.path.join(ROOT, "tests", "inspect", "samples")


class Embed(InspectTest):
    def look(self, *args, status=0):
        done = subprocess.run([LOOK, *args], capture_output=True, text=True,
                              timeout=TIMEOUT, check=False,
                              env={**os.environ, "TMPDIR": self.folder})
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr if status else done.stdout.splitlines()

    def sample(self, name, unpack=True):
        path = os.path.join(SAMPLES, name + ".gz")
        if not unpack:
            return path
        with gzip.open(path) as f:
            return self.write(f.read(), name)

    def test_guest(self):
        path = self.sample("background-snapshot-11.1")
        found = self.look(path)
        report = self.inspect(path)
        self.assertEqual(found[0], f"machine {report['machine']}")
        for line, block in zip(found[1:], report["ram"]["blocks"]):
            self.assertTrue(line.startswith(
                f"{block['name']}: {block['length']} bytes, "), line)
            self.assertLessEqual(int(line.split()[3]), block["plain"])
        self.assertIn(f"{len(report['devices'])} devices", found)

    def test_code(self):
        """The bytes are those of physical memory."""
        path = self.sample("machine-2.3")
        address, data = self.look(path)[-1].split(": ")
        raw = self.path("raw")
        self.assertEqual(self.run_it("--raw", raw, path).returncode, 0)
        with open(raw, "rb") as f:
            f.seek(int(address, 16))
            self.assertEqual(bytes.fromhex(data), f.read(16))

    def test_compressed_file(self):
        self.assertEqual(
            self.look(self.sample("background-snapshot-11.1", unpack=False)),
            self.look(self.sample("background-snapshot-11.1")))

    def test_no_layout(self):
        """Not every machine's is known; all else is there."""
        found = self.look(self.write(golden("plain")))
        self.assertIn("has its memory is not known", found[-1])

    def test_damaged(self):
        self.assertIn("the vmdescription", self.look(
            self.write(golden("plain")[:-3]), status=1))
        self.assertIn("No such file", self.look(self.path("x"), status=1))

    def test_snapshot_of_no_image(self):
        self.look(self.write(golden("plain")), "now", status=1)


if __name__ == "__main__":
    tap.main()
