#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do Ferry's monitors answer as QEMU's do?

    test-transcripts.py BUILD DOC         compare, and report in TAP
    test-transcripts.py BUILD --record    write what QEMU answers, and what
                                          Ferry does where it may differ

The form of the transcripts is described in transcript.py.  DOC is
docs/monitor.md, which has the reasons why Ferry may differ.
"""
import json
import re
import sys
import unittest

import transcript

import tap  # transcript.py has added its folder

BUILD = sys.argv[1]

# Options that QEMU does not have.
OWN = {"compress-history", "compress-method", "stall-timeout", "verify"}


def parsed(kind, lines):
    return lines if kind == "hmp" else [json.loads(line) for line in lines]


def is_subsequence(few, many):
    rest = iter(many)
    return all(line in rest for line in few)


class Transcripts(unittest.TestCase):
    def compare(self, who, script):
        for step, shown in zip(script.steps,
                               transcript.play(who, script, BUILD)):
            with self.subTest(step=step.line):
                self.assertEqual(parsed(script.kind, step.answer_of(who)),
                                 parsed(script.kind, shown))


class Differences(unittest.TestCase):
    """Ferry differs only for a reason that the documentation gives."""

    def steps(self):
        return [(script, step) for script in transcript.all_transcripts()
                for step in script.steps if step.reason]

    def test_reasons(self):
        with open(DOC, encoding="utf-8") as f:
            section = f.read().partition("## Differences from QEMU")[2]
        documented = re.findall(r"^\| `([a-z-]+)` \|", section, re.M)
        self.assertEqual(sorted(set(documented)), sorted(documented))
        self.assertEqual(sorted(documented),
                         sorted({step.reason for _, step in self.steps()}))

    def test_they_differ(self):
        for script, step in self.steps():
            self.assertNotEqual(parsed(script.kind, step.qemu),
                                parsed(script.kind, step.ferry), step.line)

    def test_fewer(self):
        """What Ferry has of a list is as in QEMU, in the same order."""
        for script, step in self.steps():
            if step.reason == "fewer":
                shared = [line for line in step.ferry
                          if line.partition(":")[0] not in OWN]
                self.assertTrue(is_subsequence(shared, step.qemu),
                                step.line)


def add_test(who, script):
    name = script.path.rpartition("/")[2].replace(".", "_").replace("-", "_")

    def test(self):
        version = transcript.qemu_version()
        if who == "qemu" and not version:
            self.skipTest(f"{transcript.QEMU} is not installed")
        if who == "qemu" and not version.startswith(transcript.QEMU_VERSION):
            self.skipTest(f"this machine's QEMU is {version}, the transcripts "
                          f"are of {transcript.QEMU_VERSION}x")
        self.compare(who, script)

    setattr(Transcripts, f"test_{who}_{name}", test)


def record():
    for script in transcript.all_transcripts():
        answers = zip(script.steps, transcript.play("qemu", script, BUILD),
                      transcript.play("ferry", script, BUILD))
        for step, qemu, ferry in answers:
            step.qemu = qemu
            if step.reason:
                step.ferry = ferry
            elif parsed(script.kind, qemu) != parsed(script.kind, ferry):
                print(f"{script.path}: {step.line}\n  qemu  {qemu}\n"
                      f"  ferry {ferry}")
        with open(script.path, "w", encoding="utf-8") as f:
            f.write(script.text())


if __name__ == "__main__":
    if sys.argv[2] == "--record":
        record()
    else:
        DOC = sys.argv[2]
        for each in transcript.all_transcripts():
            add_test("qemu", each)
            add_test("ferry", each)
        del sys.argv[1:3]
        tap.main()
