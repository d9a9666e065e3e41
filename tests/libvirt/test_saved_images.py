#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-inspect over what `virsh save` writes, in each format that the libvirt
has: what is extracted is what the guest's memory was.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import libvirt_hosts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop")]
import tap  # noqa: E402
from ferry_vm import TIMEOUT  # noqa: E402

BUILD = os.environ.get("FERRY_BUILD", os.path.join(ROOT, "build"))
INSPECT = os.path.join(BUILD, "tools", "inspect", "ferry-inspect")
MIB = 16
GUEST = f"""
<domain type='qemu'>
  <name>small</name>
  <memory unit='MiB'>{MIB}</memory>
  <os><type arch='x86_64' machine='isapc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
HOLE = slice(0xA0000, 0x100000)  # shows devices and firmware


class Saved:
    RELEASE = None
    FORMATS = ("raw", "gzip", "bzip2", "xz", "lzop")

    def setUp(self):
        self.root = libvirt_hosts.prepare(BUILD, self.RELEASE)
        self.folder = tempfile.mkdtemp(prefix="ferry-saved-")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o777)  # QEMU's user writes there
        with open(os.path.join(self.folder, "guest.xml"), "w",
                  encoding="utf-8") as f:
            f.write(GUEST)

    def save(self, form):
        """The image, and the guest's memory."""
        host = libvirt_hosts.Host("here", self.root, [], "127.0.0.1",
                                  self.folder,
                                  f'save_image_format = "{form}"')
        try:
            host.wait_ready()
            host.virsh("create", "/guest/guest.xml")
            host.virsh("suspend", "small")
            host.virsh("qemu-monitor-command", "small", "--hmp",
                       f'pmemsave 0 {MIB << 20} "/guest/{form}.ram"')
            host.virsh("save", "small", f"/guest/{form}.save")
        finally:
            host.close()
        return [os.path.join(self.folder, f"{form}.{end}")
                for end in ("save", "ram")]

    def has(self, program):
        """An older root may lack it."""
        return any(os.path.exists(os.path.join(self.root, folder, program))
                   for folder in ("bin", "usr/bin"))

    def ram_of(self, path):
        with open(path, "rb") as f:
            ram = bytearray(f.read())
        ram[HOLE] = b""
        return ram

    def test_formats(self):
        for form in self.FORMATS:
            if form not in ("raw", "sparse") and not self.has(form):
                self.skipTest(f"this machine's host has no {form}: remove "
                              f"{self.root}")
            image, ram = self.save(form)
            out = os.path.join(self.folder, form + ".out")
            done = subprocess.run(
                [INSPECT, "--json", "--verify", "--extract", "pc.ram", out,
                 image], capture_output=True, text=True, timeout=TIMEOUT,
                check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), form)
            self.assertEqual(
                [c["kind"] for c in json.loads(done.stdout)["containers"]],
                ["libvirt"] + [form] * (form not in ("raw", "sparse")))
            self.assertTrue(self.ram_of(out) == self.ram_of(ram), form)


class Bookworm(Saved, unittest.TestCase):
    """libvirt 9.0"""

    RELEASE = "bookworm"


class Trixie(Saved, unittest.TestCase):
    """libvirt 11.3"""

    RELEASE = "trixie"
    FORMATS = (*Saved.FORMATS, "zstd", "sparse")


if __name__ == "__main__":
    tap.main()
