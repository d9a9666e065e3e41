# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams that were captured while a postcopy went on: the devices in a package,
pages behind it, no vmdescription.
"""
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (COMPRESSED, END, EOS, FULL, PAGE, PART, PLAIN, START, ZERO,  # noqa
                         INSPECT, TIMEOUT, InspectTest, block_list, command, footer, head,
                         name, pages, record, section, tail, u32, u64)
from test_inspect_sections import sample  # noqa: E402
import tap  # noqa: E402

ADVISE, LISTEN, RUN, DISCARD, PACKAGED = 3, 4, 5, 6, 7
A, B = (bytes(i * k % 251 for i in range(PAGE)) for k in (3, 5))


def discard(*ranges, block="a", version=0, nul=b"\0"):
    return command(DISCARD, bytes([version]) + name(block) + nul + b"".join(
        u64(first * PAGE) + u64(count * PAGE) for first, count in ranges))


def package(*parts):
    inside = b"".join(parts)
    return command(PACKAGED, u32(len(inside))) + inside


def device(content=b"12345", number=7, what="board"):
    return section(FULL, content, number, what, 0, 1)


START_RAM = head() + command(ADVISE, u64(PAGE) * 2) + \
    section(START, block_list(("a", 8 * PAGE)))
FIRST = pages(PART, record(PLAIN, 0, A, "a"),
              *(record(PLAIN, i, A) for i in range(1, 8)))
PACKAGE = package(command(LISTEN), device(), command(2, u32(3)),
                  device(footer(8) + b"x", 8, "other"), command(RUN))


class Postcopy(InspectTest):
    def test_pages_again(self):
        data, report = self.extract(
            START_RAM + FIRST + discard((1, 2), (6, 1)) + PACKAGE +
            pages(PART, record(PLAIN, 2, B, "a"), record(ZERO, 1)) +
            pages(PART, record(PLAIN, 6, B)) + pages(END) + b"\0", "a")
        self.assertEqual(data, A + bytes(PAGE) + B + A * 3 + B + A)
        self.assertEqual((report["ram"]["discarded"], report["postcopy"],
                          report["ram"]["blocks"][0]["missing"]),
                         (3, True, 0))
        self.assertEqual([(d["name"], d["size"])
                          for d in report["devices"]],
                         [("board", 29), ("other", 30)])
        self.assertEqual(report["devices-size"], len(PACKAGE) - 9)

    def test_without_discards(self):
        report = self.inspect(START_RAM + FIRST + package(
            command(LISTEN), device(), command(RUN)) + pages(END) + b"\0")
        self.assertEqual(len(report["devices"]), 1)

    def test_behind_the_end(self):
        report = self.inspect(START_RAM + FIRST + PACKAGE + pages(END) +
                              bytes(50001))
        self.assertEqual(report["trailing"], 50000)

    def test_vmdescription_all_the_same(self):
        self.inspect(START_RAM + FIRST + PACKAGE + pages(END) +
                     tail((), {"devices": []}))

    def test_pages_that_did_not_come_again(self):
        """They went over postcopy-preempt's connection."""
        out = self.path("out")
        report = self.inspect(
            START_RAM + FIRST + discard((1, 2)) + PACKAGE +
            pages(PART, record(PLAIN, 2, B, "a")) + pages(END) + b"\0",
            "--extract", "a", out, status=3)
        self.assertIn("1 pages that postcopy has discarded did not come again",
                      report["error"]["message"])
        with open(out, "rb") as f:
            self.assertEqual(f.read(), A * 2 + B + A * 5)

    PREEMPTED = START_RAM + FIRST + discard((1, 3)) + PACKAGE + \
        pages(PART, record(PLAIN, 2, B, "a")) + pages(END) + b"\0"

    def preempt(self, channel, *args, first=False, status=0):
        """The report, of both files."""
        main = self.write(self.PREEMPTED)
        side = self.write(channel, "preempt")
        paths = [side, main] if first else [main, side]
        done = self.run_it("--json", *args, *paths)
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout)

    def test_preempt(self):
        """The channel that the others went over, in any order of files."""
        out = self.path("out")
        for last in b"", u64(EOS):
            for first in False, True:
                report = self.preempt(
                    record(PLAIN, 3, B, "a") +
                    record(ZERO, 1, block="a") + last,
                    "--extract", "a", out, first=first)
                self.assertEqual(report["ram"]["blocks"][0]["missing"], 0)
                with open(out, "rb") as f:
                    self.assertEqual(f.read(),
                                     A + bytes(PAGE) + B * 2 + A * 4)
                os.unlink(out)

    def test_preempt_same_block(self):
        report = self.preempt(record(PLAIN, 3, B, "a") + record(PLAIN, 1, A))
        self.assertTrue(report["complete"])

    def test_preempt_damaged(self):
        good = record(PLAIN, 3, B, "a") + record(PLAIN, 1, A)
        for bad, text in (
                (good[:-5], "ended"), (good[:-4000], "ended"),
                (good[:4115], "ended"),
                (good + u64(EOS) + u64(EOS), "something behind the end"),
                (record(PLAIN, 8, B, "a"), "which does not have it"),
                (record(PLAIN, 1, B, "b"), "which does not have it"),
                (good + record(COMPRESSED, 1, b"x"),
                 "that postcopy-preempt does not have"),
                (record(PLAIN, 3, B, "a"), "did not come again")):
            error = self.preempt(bad, status=1)["error"]
            self.assertIn(text, error["message"])

    def test_preempt_of_another(self):
        main = self.write(START_RAM + FIRST + pages(END) + tail())
        side = self.write(record(PLAIN, 3, B, "a"), "preempt")
        for args, text in (((main, side), "the main channel has no postcopy"),
                           ((main, side, side), "a second channel of"),
                           ((side,), "give the file of the main channel")):
            done = self.run_it(*args)
            self.assertEqual(done.returncode, 1)
            self.assertIn(text, done.stderr)

    def test_cut(self):
        """Anywhere: what came is kept."""
        stream = START_RAM + FIRST + discard((1, 2)) + PACKAGE + \
            pages(PART, record(PLAIN, 2, B, "a"))
        start = len(START_RAM + FIRST)
        for size in (*range(start, start + 150, 7), len(stream)):
            out = self.path("out")
            report = self.inspect(stream[:size], "--extract", "a", out,
                                  status=3)
            self.assertIn(report["error"]["kind"], ("eof", "stream"))
            os.unlink(out)

    def test_malformed(self):
        good = discard((1, 2))
        for bad, text in (
                (discard((1, 2), version=1), "malformed"),
                (discard((1, 2), nul=b"x"), "malformed"),
                (command(DISCARD, b"\0" + name("a") + b"\0" + u32(1)),
                 "malformed"),
                (command(DISCARD, b"\0"), "malformed"),
                (discard((1, 2), block="b"), "that it does not have"),
                (discard((7, 2)), "that it does not have"),
                (discard((9, 0)), "that it does not have"),
                (discard((1 << 51, 1)), "that it does not have"),
                (package(package(command(RUN))), "in a wrong place"),
                (command(PACKAGED, u32(3)) + command(RUN), "over the end"),
                (command(DISCARD), "malformed"),
                (command(PACKAGED, b"123"), "a PACKAGED of 3 bytes")):
            self.refused(START_RAM + FIRST + bad + b"\3abc\0" * 9, text=text)
        self.refused(head() + good, text="before RAM has begun")
        self.refused(head() + PACKAGE, text="in a wrong place")

    def test_device_without_an_end_in_the_package(self):
        """A footer and a head behind the package are not looked at."""
        open_ended = device()[:-5]
        self.refused(START_RAM + FIRST + command(
            PACKAGED, u32(len(open_ended))) + open_ended + footer(7) +
            pages(END) + b"\0", kind="eof", text="section 'board'")

    def test_real(self):
        data, report = self.extract(sample("postcopy-11.1"), "pc.ram")
        self.assertEqual((report["ram"]["discarded"],
                          len(report["devices"]), report["postcopy"]),
                         (3, 20, True))
        self.assertEqual(report["ram"]["plain"], 66)

    def test_source_that_runs(self):
        """It is not let into postcopy: its guest would be lost."""
        for number, bad in ((LISTEN, command(LISTEN)), (DISCARD, discard()),
                            (PACKAGED, PACKAGE), (RUN, command(RUN))):
            path = self.path("socket")
            inspector = subprocess.Popen(
                [INSPECT, "unix:" + path], stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL, text=True)
            self.addCleanup(inspector.communicate)
            self.addCleanup(inspector.kill)
            self.assertIn("waiting", inspector.stderr.readline())
            with socket.socket(socket.AF_UNIX) as source:
                source.connect(path)
                source.sendall(START_RAM + FIRST + bad)
                _, err = inspector.communicate(timeout=TIMEOUT)
            self.assertEqual(inspector.returncode, 1)
            self.assertIn(f"command {number} (", err)
            self.assertIn("of a source that runs is not supported", err)


if __name__ == "__main__":
    tap.main()
