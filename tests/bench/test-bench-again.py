#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench-pack --again: which pages are sent again, and what became of them.

    tests/bench/test-bench-again.py BENCH_PACK
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(FOLDER), "lib")]
import tap  # noqa: E402

PAGE = 4096
BENCH_PACK = sys.argv.pop(1)


def changed(page, words):
    """The page with so many other words, far from each other."""
    page = bytearray(page)
    for i in range(words):
        page[16 * i] ^= 1
    return bytes(page)


def again(first, later):
    """What is printed of two images, by the size of the history; and the
    rest."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("first", "later")]
        for path, pages in zip(paths, (first, later)):
            with open(path, "wb") as f:
                f.write(b"".join(pages))
        done = subprocess.run([BENCH_PACK, "--again", *paths], check=False,
                              capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout)
    return {row["history_mib"]: row for row in found["results"][1:]}, found


class Again(unittest.TestCase):
    def setUp(self):
        noise = random.Random(1)
        self.a, self.b, self.c = (noise.randbytes(PAGE) for _ in range(3))
        self.zero = bytes(PAGE)

    def test_only_pages_that_have_changed_are_sent_again(self):
        _, found = again([self.a, self.zero, self.b, self.b],
                         [self.a, self.zero, self.zero, self.c])
        self.assertEqual((found["first"], found["again"]), (3, 1))

    def test_they_are_counted_by_how_much_has_changed(self):
        words = [16, 17, 128, 129, 256]
        _, found = again([self.a] * 6,
                         [*(changed(self.a, n) for n in words), self.b])
        self.assertEqual(found["words"],
                         {"16": 1, "128": 2, "256": 2, "512": 1})

    def test_only_what_they_take_is_counted(self):
        rows, _ = again([self.a, self.b], [changed(self.a, 1), self.b])
        if not rows:
            self.skipTest("built without zstd")
        self.assertGreater(rows[0]["bytes"], PAGE)
        self.assertLess(rows[0]["bytes"], PAGE + 100)
        self.assertLess(rows[512]["bytes"], 150)

    def test_what_became_of_them_is_told(self):
        rows, _ = again([self.a, self.b, self.c],
                        [changed(self.a, 2), self.a, self.c])
        if not rows:
            self.skipTest("built without zstd")
        self.assertEqual((rows[512]["delta"], rows[512]["same"],
                          rows[512]["new"]), (1, 1, 0))
        self.assertEqual(rows[0]["new"], 2)

    def test_images_of_different_sizes_are_refused(self):
        with self.assertRaisesRegex(RuntimeError, "different sizes"):
            again([self.a], [self.a, self.b])


if __name__ == "__main__":
    tap.main()
