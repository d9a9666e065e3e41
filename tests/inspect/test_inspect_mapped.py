# SPDX-License-Identifier: GPL-2.0-or-later
"""mapped-ram: pages that are in their places in the file."""
import gzip
import os
import random
import resource
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, INSPECT, MEM_SIZE, PAGE, PART, START,  # noqa
                         TIMEOUT, InspectTest, head, name, pages, section,
                         tail, u32, u64)
from test_inspect_containers import libvirt  # noqa: E402
from test_inspect_sections import sample  # noqa: E402
import tap  # noqa: E402

ALIGN = 1 << 20


def page(number):
    return bytes((number * 7 + i) % 255 + 1 for i in range(16)) * (PAGE // 16)


class Block:
    def __init__(self, what, count, present, align=ALIGN, gap=0):
        self.name, self.count, self.present = what, count, set(present)
        self.align, self.gap = align, gap

    def ram(self):
        return b"".join(page(i) if i in self.present else bytes(PAGE)
                        for i in range(self.count))

    def bitmap(self):
        words = (self.count + 63) // 64
        bits = sum(1 << i for i in self.present)
        return bits.to_bytes(words * 8, "little")

    def write(self, f, base, extra=b""):
        """The entry, its head, the bitmap and the pages; f is at the place,
        and base is what the offsets lack."""
        f.write(name(self.name) + u64(self.count * PAGE) + extra)
        bitmap = f.tell() + 28
        at = bitmap + len(self.bitmap()) + self.gap + base
        at += -at % self.align - base
        f.write(u32(1) + u64(PAGE) + u64(bitmap + base) + u64(at + base) +
                self.bitmap())
        for i in sorted(self.present):
            f.seek(at + i * PAGE)
            f.write(page(i))
        f.seek(at + self.count * PAGE)


class MappedTest(InspectTest):
    def make(self, *blocks, begin=0, base=0, rest=None, before=b""):
        """The path of a file.  The stream begins at an offset of it; base is
        what its offsets count besides."""
        path = self.path("mapped")
        with open(path, "wb") as f:
            f.write(before.ljust(begin, b"x"))
            f.write(head(capabilities=["mapped-ram"]))
            total = sum(b.count for b in blocks) * PAGE
            f.write(section(START, b"")[:-5] + u64(total | MEM_SIZE))
            for block in blocks:
                block.write(f, base)
            f.write(u64(0x10) + b"\x7e" + u32(1))
            f.write((pages(PART) + pages(END) + tail()) if rest is None
                    else rest)
            f.truncate()
        return path

    def check(self, path, *blocks, **kwargs):
        outs, args = [], []
        for block in blocks:
            outs.append(self.path("out." + block.name))
            args += ["--extract", block.name, outs[-1]]
        report = self.inspect(path, *args, **kwargs)
        for block, out in zip(blocks, outs):
            with open(out, "rb") as f:
                self.assertEqual(f.read(), block.ram())
            os.unlink(out)
        for block, said in zip(blocks, report["ram"]["blocks"]):
            self.assertEqual((said["plain"], said["zero"], said["missing"]),
                             (len(block.present),
                              block.count - len(block.present), 0))
        return report


SMALL = [Block("a", 100, {0, 1, 63, 64, 65, 99}), Block("b", 1, ()),
         Block("c", 64, range(64)), Block("d", 65, {64})]


class Whole(MappedTest):
    def test_blocks(self):
        report = self.check(self.make(*SMALL), *SMALL)
        self.assertEqual(report["devices"][0]["name"], "board")
        self.assertEqual(report["ram"]["plain"], 71)

    def test_any_bits(self):
        rng = random.Random(1)
        for count in (1, 63, 64, 65, 127, 128, 129, 1000):
            for density in (0.02, 0.5, 0.98):
                block = Block("a", count, [i for i in range(count)
                                           if rng.random() < density] or [0])
                self.check(self.make(block), block)

    def test_bitmap_of_many_pieces(self):
        """More than is read of it at once; its file takes little."""
        count = 3 * 64 * 8192 + 5
        block = Block("a", count, {0, 64 * 8192 - 1, 64 * 8192, count - 1})
        out = self.path("out")
        report = self.inspect(self.make(block), "--extract", "a", out)
        self.assertEqual(report["ram"]["plain"], 4)
        self.assertEqual(os.stat(out).st_blocks * 512, 4 * PAGE)
        with open(out, "rb") as f:
            for i in block.present:
                f.seek(i * PAGE)
                self.assertEqual(f.read(PAGE), page(i))

    def test_pages_in_holes(self):
        """What the bitmap has need not be in the file."""
        block = Block("a", 1000, range(1000))
        path = self.make(block)
        with open(path, "rb") as f:
            data = f.read()
        start = data.index(page(0))
        with open(path, "wb") as f:
            f.write(data[:start + 100 * PAGE])
            f.seek(start + 300 * PAGE)
            f.write(data[start + 300 * PAGE:start + 301 * PAGE])
            f.seek(start + 1000 * PAGE)
            f.write(data[start + 1000 * PAGE:])
        out = self.path("out")
        self.inspect(path, "--extract", "a", out)
        with open(out, "rb") as f:
            self.assertEqual(f.read(), block.ram()[:100 * PAGE] +
                             bytes(200 * PAGE) + page(300) +
                             bytes(699 * PAGE))
        self.assertLess(os.stat(out).st_blocks * 512, 200 * PAGE)

    def test_offsets_are_the_files(self):
        """The stream stands behind something else, which its offsets count;
        or they do not, because somebody has cut that off, or put it there."""
        for begin, base in ((4096, 0), (0, 5000), (3 << 20, 7)):
            path = self.make(*SMALL, begin=begin, base=base)
            self.check(f"file:{path},offset={begin}", *SMALL)

    def test_no_alignment(self):
        blocks = [Block("a", 5, {1, 4}, align=1), Block("b", 5, {0}, 1, 999)]
        self.check(self.make(*blocks), *blocks)

    def test_in_libvirts_image(self):
        before = libvirt(6, b"", xml=b"x" * 1000)
        path = self.make(*SMALL, begin=len(before), before=before)
        report = self.check(path, *SMALL)
        self.assertEqual(report["containers"][0]["note"],
                         "sparse, the guest was running")

    def test_from_a_pipe(self):
        path = self.make(*SMALL)
        with open(path, "rb") as f:
            data = f.read()
        for packed in (data, gzip.compress(data, 1)):
            out = self.path("piped")
            done = subprocess.run([INSPECT, "--extract", "a", out, "-"],
                                  input=packed, capture_output=True,
                                  timeout=TIMEOUT)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            with open(out, "rb") as f:
                self.assertEqual(f.read(), SMALL[0].ram())
            os.unlink(out)

    def test_real(self):
        data = sample("mapped-ram-11.1")
        _, report = self.extract(data, "pc.ram")
        self.assertEqual([b["plain"] for b in report["ram"]["blocks"]],
                         [19, 17, 0])
        self.assertEqual(len(report["devices"]), 21)

    def test_not_in_the_file(self):
        """A block of x-ignore-shared."""
        shared = name("m") + u64(5 * PAGE) + u64(0) + u32(1) + u64(PAGE) + \
            u64(0) + u64(0)
        block = Block("a", 3, {1})
        path = self.path("shared")
        with open(path, "wb") as f:
            f.write(head(capabilities=["x-ignore-shared", "mapped-ram"]))
            f.write(section(START, b"")[:-5] + u64(8 * PAGE | MEM_SIZE) +
                    shared)
            block.write(f, 0, u64(0xFFFC0000))
            f.write(u64(0x10) + b"\x7e" + u32(1) + pages(PART) + pages(END) +
                    tail())
        m, a = self.inspect(path)["ram"]["blocks"]
        self.assertEqual((m["missing"], m["address"]), (5, 0))
        self.assertEqual((a["missing"], a["address"]), (0, 0xFFFC0000))


class Damaged(MappedTest):
    def test_cut(self):
        """Anywhere among the pages: those that came are kept."""
        blocks = SMALL[2:]
        path = self.make(*blocks)
        with open(path, "rb") as f:
            start = f.read().index(page(0))
        for came in (1, 2, 50):
            for more in (0, 1, PAGE - 1):
                os.truncate(self.make(*blocks), start + came * PAGE + more)
                out = self.path("out")
                report = self.inspect(path, "--extract", "c", out, status=3)
                with open(out, "rb") as f:
                    self.assertEqual(f.read(), b"".join(
                        page(i) for i in range(came)).ljust(64 * PAGE, b"\0"))
                os.unlink(out)
                self.assertEqual(report["error"]["kind"], "eof")
                self.assertEqual(report["ram"]["blocks"][0]["missing"],
                                 64 - came)

    def test_not_finished(self):
        """The bitmaps come last, so there is no page yet."""
        blocks = [Block("a", 100, ()), Block("b", 5, ())]
        for rest in (b"", None):
            out = self.path("out")
            report = self.inspect(self.make(*blocks, rest=rest), "--extract",
                                  "a", out, status=1)
            self.assertIn("it was not finished", report["error"]["message"])
            self.assertEqual([b["missing"] for b in report["ram"]["blocks"]],
                             [100, 5])
            self.assertFalse(os.path.exists(out))

    def test_cut_before_the_pages(self):
        for size in (66, 100, 130, 160):
            os.truncate(self.make(*SMALL), size)
            self.refused(self.path("mapped"), "--extract", "a",
                         self.path("out"), kind="eof")

    def test_cut_behind_the_pages(self):
        path = self.make(SMALL[0], rest=b"")
        os.truncate(path, os.stat(path).st_size - 3)
        self.check(path, SMALL[0], status=3)

    def test_heads(self):
        """Version, size of a page, places."""
        path = self.make(*SMALL)
        with open(path, "rb") as f:
            good = f.read()
        at = good.index(name("a")) + 2 + 8
        huge = u64((1 << 63) - PAGE)
        for offset, value in ((0, u32(2)), (4, u64(8192)), (12, u64(at)),
                              (20, u64(at)), (20, u64(at + 28)),
                              (20, huge), (20, u64((1 << 64) - 1)),
                              (12, u64((1 << 64) - 1))):
            bad = bytearray(good)
            bad[at + offset:at + offset + len(value)] = value
            self.refused(bytes(bad), text="RAM block 'a' with a bad head")
        # The second one must fit the first.
        at = good.index(name("b"), at) + 2 + 8
        bad = bytearray(good)
        bad[at + 19] ^= 1
        self.refused(bytes(bad), text="RAM block 'b' with a bad head")

    def test_terabytes(self):
        """That are only claimed, in a file without content."""
        block = Block("a", 1 << 30, {5})
        path = self.make(block)

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

        done = self.run_it(path, preexec_fn=limit)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    tap.main()
