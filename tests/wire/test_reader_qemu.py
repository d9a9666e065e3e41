#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The independent reader over streams that QEMU 7.2 has just made.

A paused guest with known bytes in its memory is saved with compress off and
on; the reader must accept both streams, find the same RAM in both, and the
known bytes in it.  Skipped (77) where there is no QEMU 7.2.
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import read_stream  # noqa: E402
import tap  # noqa: E402
from ferry_vm import wait_until  # noqa: E402

QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
MIB = 1 << 20
RAM = 16 * MIB
WHERE = 2 * MIB  # the known bytes


def skip_reason():
    try:
        text = subprocess.run([QEMU, "--version"], capture_output=True,
                              text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as e:
        return f"no QEMU: {e}"
    match = re.search(r"version (\d+\.\d+)", text)
    if not match or match.group(1) != "7.2":
        return f"this machine's QEMU is not 7.2: {text.splitlines()[0]}"
    return None


def known_bytes():
    """Pages that compress, pages that do not, and zero pages."""
    rand = random.Random(72)
    pages = [bytes(4096), rand.randbytes(4096), b"ferry " * 683]
    return b"".join(rand.choice(pages)[:4096].ljust(4096, b"\0")
                    for _ in range(64))


class Qmp:
    """A QEMU that does not run its guest, and its monitor."""

    def __init__(self, content):
        self.process = subprocess.Popen(
            [QEMU, "-S", "-machine", "pc-i440fx-7.2", "-accel", "tcg", "-m",
             "16", "-nodefaults", "-display", "none", "-qmp", "stdio",
             "-device", f"loader,file={content},addr={WHERE},force-raw=on"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.message()
        self.do("qmp_capabilities")

    def message(self):
        line = self.process.stdout.readline()
        if not line:
            raise EOFError("QEMU has ended")
        return json.loads(line)

    def do(self, command, **arguments):
        json.dump({"execute": command, "arguments": arguments},
                  self.process.stdin)
        self.process.stdin.flush()
        while True:
            message = self.message()
            if "error" in message:
                raise RuntimeError(message["error"]["desc"])
            if "return" in message:
                return message["return"]

    def save(self, path, **capabilities):
        self.do("migrate-set-capabilities", capabilities=[
            {"capability": name.replace("_", "-"), "state": state}
            for name, state in {"events": True, **capabilities}.items()])
        # QEMU does not wait for cat before it says so.
        self.do("migrate",
                uri=f"exec:cat > {path}.part && mv {path}.part {path}")
        while True:
            data = self.message().get("data", {})
            if data.get("status") == "completed":
                wait_until(lambda: os.path.exists(path), path)
                return
            if data.get("status") == "failed":
                raise RuntimeError("the migration failed")

    def close(self):
        self.do("quit")
        self.process.communicate()


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        content = os.path.join(cls.folder.name, "content")
        with open(content, "wb") as f:
            f.write(known_bytes())
        cls.streams = {}
        for compress in (False, True):
            path = os.path.join(cls.folder.name, f"stream-{compress}")
            qemu = Qmp(content)
            try:
                qemu.save(path, compress=compress)
            finally:
                qemu.close()
            with open(path, "rb") as f:
                cls.streams[compress] = f.read()
        cls.parsed = {c: read_stream.parse(d, ram=True)
                      for c, d in cls.streams.items()}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_frame(self):
        for s in self.parsed.values():
            self.assertEqual(s.machine, "pc-i440fx-7.2")
            self.assertEqual(s.blocks["pc.ram"], RAM)
            self.assertEqual(sum(s.blocks.values()), s.total)
            self.assertEqual([s.sections[0].type, s.sections[-1].type],
                             ["START", "END"])
            self.assertEqual(s.commands, [])
            self.assertFalse(s.handed_over)

    def test_ram(self):
        content = known_bytes()
        plain, packed = self.parsed[False].ram, self.parsed[True].ram
        self.assertEqual(plain["pc.ram"][WHERE:WHERE + len(content)], content)
        self.assertEqual(plain, packed)

    def test_kinds(self):
        plain, packed = ([r.kind for r in self.parsed[c].records()]
                         for c in (False, True))
        self.assertNotIn("compressed", plain)
        self.assertIn("compressed", packed)
        self.assertEqual(len(plain), len(packed))
        self.assertGreater(plain.count("plain"), packed.count("plain"))

    def test_devices(self):
        """QEMU's devices are decoded, where its vmdescription is enough."""
        for s in self.parsed.values():
            self.assertIsNone(s.opaque)
            cpu, = (d for d in s.devices if d["name"] == "cpu")
            # The reset vector of every x86.
            self.assertEqual(cpu["fields"]["env.eip"], 0xFFF0)

    def test_damage(self):
        data = self.streams[True]
        s = self.parsed[True]
        r = [r for r in s.records() if r.kind == "compressed"][5]
        bad = bytearray(data)
        bad[r.data_offset + r.data_size - 1] ^= 1
        with self.assertRaises(read_stream.StreamError) as caught:
            read_stream.parse(bytes(bad))
        self.assertEqual(caught.exception.offset, r.offset)
        for cut in (r.offset + 3, s.devices[3]["offset"], len(data) - 1):
            with self.assertRaises(read_stream.StreamError) as caught:
                read_stream.parse(data[:cut])
            self.assertEqual(caught.exception.offset, cut)


if __name__ == "__main__":
    why = skip_reason()
    if why:
        print(f"1..0 # SKIP {why}")
        sys.exit(77)
    tap.main()
