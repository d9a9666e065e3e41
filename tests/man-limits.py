#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does each program take what its manual page says that it takes, and no more?

    man-limits.py PAGE PROGRAM [PAGE PROGRAM ...]

Of each option whose text says "from A to B" or "at most N bytes", the ends are
tried and what lies just outside, which must be refused with the limits' names.
Programs look at options in order and end at -version.
"""
import os
import re
import subprocess
import sys
import unittest

sys.path.append(os.path.join(os.path.dirname(__file__), "lib"))
import tap  # noqa: E402

LIMITS = {"ferry-vm": {"m", "smp", "append"},
          "ferry-relay": {"compress-level", "compress-threads",
                          "decompress-threads"},
          "ferry-inspect": {"decompress-threads"}}


def options(page):
    """The name and the text of each option."""
    with open(page, encoding="utf-8") as f:
        items = re.split(r"^\.It Fl ", f.read(), flags=re.M)[1:]
    for item in items:
        head, _, text = item.partition("\n")
        text = re.split(r"^\.(?:It|El)\b", text, flags=re.M)[0]
        yield head.split()[0].lstrip("-"), " ".join(text.split())


def outside(low, high):
    """A value below and one above; a size is halved and doubled."""
    low, high = (re.fullmatch(r"(\d+)(\w?)", value) for value in (low, high))
    if low[2]:
        return int(low[1]) // 2, low[2], int(high[1]) * 2, high[2]
    return int(low[1]) - 1, "", int(high[1]) + 1, ""


class Pages(unittest.TestCase):
    def run_program(self, program, option, value):
        return subprocess.run([program, f"-{option}", value, "-version"],
                              capture_output=True, text=True, timeout=60)

    def check(self, program, option, good, bad, words):
        for value in good:
            done = self.run_program(program, option, value)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        for value in bad:
            done = self.run_program(program, option, value)
            self.assertNotEqual(done.returncode, 0)
            for word in words:
                self.assertRegex(done.stderr, rf"\b{word}\b")

    def check_page(self, page, program):
        found = set()
        for option, text in options(page):
            span = re.search(r"\b[Ff]rom (\d+\w?)\b[^.]*? to (\d+\w?)\b", text)
            most = re.search(r"\bat most (\d+) bytes", text)
            with self.subTest(option):
                if span:
                    low, low_unit, high, high_unit = outside(*span.groups())
                    bad = [f"{high}{high_unit}"]
                    if low >= 0:
                        bad.append(f"{low}{low_unit}")
                    self.check(program, option, span.groups(), bad,
                               span.groups())
                if most:
                    self.check(program, option, ["x" * int(most[1])],
                               ["x" * (int(most[1]) + 1)], [most[1]])
            if span or most:
                found.add(option)
        self.assertEqual(found, LIMITS[os.path.basename(program)])

    def test_limits(self):
        for page, program in PAIRS:
            with self.subTest(page):
                self.check_page(page, program)

    def test_help(self):
        """What -help says of a limit is what the page says."""
        for page, program in PAIRS:
            texts = dict(options(page))
            done = subprocess.run([program, "-help"], capture_output=True,
                                  text=True, timeout=60)
            for option, help_text in re.findall(r"^--?(\S+).*\n +(.*)",
                                                done.stdout, re.M):
                for low, high in re.findall(r"\b(\d+) to (\d+)\b", help_text):
                    with self.subTest(program=program, option=option):
                        self.assertRegex(texts[option],
                                         rf"from {low}\b.* to {high}\b")


if __name__ == "__main__":
    words = [os.path.abspath(arg) for arg in sys.argv[1:]]
    PAIRS = list(zip(words[::2], words[1::2]))
    del sys.argv[1:]
    tap.main()
