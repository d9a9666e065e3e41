# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress bar: on a terminal, for what takes long, and nowhere else."""
import fcntl
import os
import pty
import subprocess
import sys
import termios
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, INSPECT, PAGE, PART, PLAIN, START,  # noqa: E402
                         TIMEOUT, InspectTest, block_list, golden, head,
                         pages, record, section, tail)
import tap  # noqa: E402


def begin():
    return head() + section(START, block_list(("a", PAGE)))


class Terminal(InspectTest):
    def start(self, *args, **kwargs):
        """On a terminal; the process, and a function that waits for text."""
        main, other = pty.openpty()
        self.addCleanup(os.close, main)
        process = subprocess.Popen([INSPECT, *args], stderr=other,
                                   stdout=subprocess.DEVNULL, **kwargs)
        os.close(other)
        self.addCleanup(process.kill)
        self.seen = b""
        return process, main

    def read_all(self, main):
        try:
            while data := os.read(main, 4096):
                self.seen += data
        except OSError:  # nobody has the other end any more
            pass

    def feed_until_bar(self, process, feed, main):
        """Send sections of RAM for as long as there is no bar."""
        reader = threading.Thread(target=self.read_all, args=[main])
        reader.start()
        part = pages(PART, *[record(PLAIN, 0, bytes(PAGE), "a")] * 300)
        feed.write(begin())
        while b"MiB/s" not in self.seen and process.poll() is None:
            feed.write(part)
        feed.write(pages(END) + tail())
        feed.close()
        self.assertEqual(process.wait(TIMEOUT), 0)
        reader.join(TIMEOUT)

    def test_bar_of_unknown_length(self):
        process, main = self.start("-", stdin=subprocess.PIPE)
        self.feed_until_bar(process, process.stdin, main)
        self.assertRegex(self.seen, rb"\r\033\[K\d+ MiB, \d+ MiB/s")
        self.assertNotIn(b"%", self.seen)
        self.assertTrue(self.seen.endswith(b"\r\033[K"))

    def test_short_input_has_none(self):
        path = self.write(golden("compressed"))
        process, main = self.start("--verify", path)
        self.read_all(main)
        self.assertEqual(process.wait(TIMEOUT), 0)
        self.assertEqual(self.seen, b"")


if __name__ == "__main__":
    tap.main()
