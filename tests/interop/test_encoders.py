# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's decompressor understands the pages of every encoder of Ferry.

A small guest that does not run is saved by QEMU 7.2 and sent into a fresh one
with every compress-level of every library, and with every number of threads up
to 16 on both sides.
"""
import os
import random
import shutil
import tempfile

import interop_kit
import saved_guest
import tap
from qemu_vm import QemuVm

PAGE = 4096
WHERE = 2 << 20
LEVELS = range(10)
THREADS = range(1, 17)
MEM = "16M"


def known_bytes():
    """Pages of all kinds: a program, text, noise, sparse ones, zero."""
    rand = random.Random(16)
    with open(interop_kit.SEND_GUEST, "rb") as f:
        program = f.read(256 << 10)
    pages = [program[at:at + PAGE].ljust(PAGE, b"\0")
             for at in range(0, len(program), PAGE)]
    for n in range(300):
        text = b"".join(b"line %d of %d\n" % (i, n) for i in range(400))
        sparse = bytearray(PAGE)
        sparse[rand.randrange(PAGE)] = n % 255 + 1
        pages += [text[:PAGE], rand.randbytes(PAGE), bytes(sparse),
                  bytes(PAGE)]
    return b"".join(pages)


class Encoders(interop_kit.SendTest):
    @classmethod
    def setUpClass(cls):
        cls.qemu = interop_kit.need_qemu()
        cls.saved = tempfile.mkdtemp(prefix="ferry-interop-")
        cls.addClassCleanup(shutil.rmtree, cls.saved)
        content = os.path.join(cls.saved, "content")
        with open(content, "wb") as f:
            f.write(known_bytes())
        cls.laid_out = os.path.join(cls.saved, "guest")
        cls.ram = os.path.join(cls.saved, "ram")
        with QemuVm(cls.qemu, "-S", "-device", f"loader,file={content},"
                    f"addr={WHERE},force-raw=on", mem=MEM) as vm:
            vm.save(os.path.join(cls.saved, "stream"))
            shutil.move(vm.save_ram(), cls.ram)
        saved_guest.lay_out(os.path.join(cls.saved, "stream"), cls.laid_out)

    def check(self, level, threads, decompress_threads, **environment):
        """Send the guest once; returns the encoder's name."""
        with QemuVm(self.qemu, "-S", "-incoming", "defer", mem=MEM,
                    compress=True) as vm:
            uri = self.receive(vm, decompress_threads=decompress_threads)
            report = self.send(uri, "compress=on", f"compress-level={level}",
                               f"compress-threads={threads}", **environment)
            self.assert_completed(vm)
            self.assert_same_ram(self.ram, vm.save_ram())
            # A page that is only stored grows, and goes as it is.
            self.assertEqual(report["compressed"] > 0, level > 0)
        return report["encoder"]

    def check_levels(self, library, name):
        """Every level, by that library where it has the level."""
        used = set()
        for level in LEVELS:
            with self.subTest(level=level):
                used.add(self.check(level, 4, 2, FERRY_ZLIB=library))
        self.assertLessEqual(used, {name, "zlib"})
        if name not in used:
            self.skipTest(f"built without {name}")

    def test_zlib(self):
        self.check_levels("zlib", "zlib")

    def test_isal(self):
        self.check_levels("isal", "ISA-L")

    def test_libdeflate(self):
        self.check_levels("libdeflate", "libdeflate")

    def test_default(self):
        """Each level by the library that is best at it."""
        for level in LEVELS:
            with self.subTest(level=level):
                self.assertTrue(self.check(level, 4, 2))

    def test_threads(self):
        for threads in THREADS:
            with self.subTest(threads=threads):
                self.check(1, threads, 17 - threads)


if __name__ == "__main__":
    tap.main()
