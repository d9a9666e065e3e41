# SPDX-License-Identifier: GPL-2.0-or-later
"""The test guests' multiboot images do under QEMU what they do in ferry-vm."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_kit import (BUILD, PART, ROOT, TIMEOUT,  # noqa: E402
                         first_bytes, letters_of, letters_said)
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import tap  # noqa: E402
from ferry_vm import Qmp, Serial  # noqa: E402

QEMU = shutil.which("qemu-system-x86_64")
RAM_MIB = 32


@unittest.skipUnless(QEMU, "no qemu-system-x86_64")
class GuestsUnderQemu(unittest.TestCase):
    def start(self, guest, append):
        """Run a guest's multiboot image; its QMP session and serial port."""
        folder = tempfile.TemporaryDirectory(prefix="ferry-")
        self.addCleanup(folder.cleanup)
        self.ram = os.path.join(folder.name, "ram")
        paths = {name: os.path.join(folder.name, name)
                 for name in ("qmp", "serial")}
        image = os.path.join(BUILD, "tests", "guest", guest + ".multiboot")
        process = subprocess.Popen(
            [QEMU, "-machine", "pc", "-accel", "tcg", "-display", "none",
             "-nodefaults", "-m", str(RAM_MIB), "-S", "-kernel", image,
             "-append", append,
             "-qmp", f"unix:{paths['qmp']},server=on,wait=off",
             "-serial", f"unix:{paths['serial']},server=on,wait=off"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.terminate)
        serial = Serial(paths["serial"], process)
        self.addCleanup(serial.close)
        qmp = Qmp(paths["qmp"], process)
        self.addCleanup(qmp.close)
        qmp.command("cont")
        return qmp, serial

    def save_ram(self, qmp):
        qmp.command("stop")
        qmp.command("pmemsave", val=0, size=RAM_MIB << 20, filename=self.ram)
        with open(self.ram, "rb") as f:
            return f.read()

    def test_ab_keeps_its_memory_coherent(self):
        qmp, serial = self.start("ab", "ws=4")
        serial.wait_for(lambda text: len(letters_of(text)) >= 60)
        ram = self.save_ram(qmp)
        parts = PART.findall(serial.text())
        self.assertEqual(len(parts), 1)
        firsts = first_bytes(ram, (int(parts[0][0], 16), int(parts[0][1])))
        self.assertTrue(letters_said(firsts))
        letters = letters_of(serial.text())
        self.assertTrue(letters.startswith(b"abcdefghijklmnopqrstuvwxyzab"))

    def test_stress_beats_and_writes(self):
        qmp, serial = self.start("stress", "ws=4 rate=5000 words=4 beat=10")
        serial.wait_for(lambda text: text.count(b".") >= 30)
        self.assertIn(b"stress: start=", serial.text())
        ram = self.save_ram(qmp)
        top = ram[(RAM_MIB - 4) << 20:]
        written = sum(any(top[at:at + 4096]) for at in
                      range(0, len(top), 4096))
        self.assertGreater(written, 100)

    def test_stress_marks_what_it_writes(self):
        _, serial = self.start("stress", "ws=4 rate=5000 beat=10 mark=50")
        text = serial.wait_for(lambda text: text.count(b".") >= 30 and
                               b"+" in text)
        # A beat of guest time is worth 50 pages.
        self.assertLessEqual(text.count(b"+"), text.count(b".") + 1)


if __name__ == "__main__":
    tap.main()
