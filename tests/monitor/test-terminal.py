#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The HMP monitor on a terminal: editing, history, completion, live line.

    test-terminal.py BUILD
"""
import os
import pty
import re
import select
import subprocess
import sys
import time
import unittest

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))
import ferry_vm  # noqa: E402
import tap  # noqa: E402

PROMPT = r"\(ferry\) "
UP, DOWN, LEFT, RIGHT = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[C"
BACKSPACE, TAB, HOME, KILL = "\x7f", "\t", "\x01", "\x15"
INTERRUPT = "\x03"


def has_libedit():
    """Was line editing built in?"""
    program = os.path.join(BUILD, "vmm", "ferry-vm")
    listed = subprocess.run(["ldd", program], capture_output=True, text=True,
                            check=True).stdout
    return "libedit" in listed


class Terminal:
    """ferry-vm in a terminal, as a person starts it."""

    def __init__(self):
        self.shown = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            program = os.path.join(BUILD, "vmm", "ferry-vm")
            guest = os.path.join(BUILD, "tests", "guest", "ab.elf")
            os.execv(program, [program, "-m", "16", "-accel", "soft", "-S",
                               "-kernel", guest, "-monitor", "stdio"])
        self.wait(PROMPT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.pid:
            os.kill(self.pid, 15)
            self.end()
        os.close(self.fd)

    def end(self):
        """Wait for its end; its exit status."""
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def type(self, keys):
        self.shown = ""
        os.write(self.fd, keys.encode())

    def wait(self, pattern):
        """Read until it has been shown; all that was so far."""
        end = time.monotonic() + ferry_vm.TIMEOUT
        while not re.search(pattern, self.shown):
            left = end - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError(f"{pattern!r} not in {self.shown!r}")
            self.shown += os.read(self.fd, 4096).decode()
            ferry_vm.skip_without_exec(self.shown)
        return self.shown

    def run(self, keys):
        """Type a line; what was shown until the next prompt."""
        self.type(keys + "\r")
        return self.wait(r"(?s)\n.*" + PROMPT)


class Editing(unittest.TestCase):
    def setUp(self):
        if not has_libedit():
            self.skipTest("ferry-vm was built without libedit")

    def test_move_and_insert(self):
        with Terminal() as terminal:
            self.assertIn("prelaunch", terminal.run(
                "nfo statu" + HOME + "i" + "\x05" + "s"))

    def test_backspace(self):
        with Terminal() as terminal:
            self.assertIn("prelaunch",
                          terminal.run("info statut" + BACKSPACE + "s"))

    def test_left_and_right(self):
        with Terminal() as terminal:
            self.assertIn("prelaunch", terminal.run(
                "info stats" + LEFT + "u" + RIGHT))

    def test_kill_line(self):
        with Terminal() as terminal:
            self.assertIn("prelaunch",
                          terminal.run("rubbish" + KILL + "info status"))

    def test_history(self):
        with Terminal() as terminal:
            terminal.run("info status")
            terminal.run("foo")
            self.assertIn("prelaunch", terminal.run(UP + UP))
            # and what is in the history can be edited
            self.assertIn("unknown command: 'foox'",
                          terminal.run(UP + UP + "x"))

    def test_history_and_back(self):
        with Terminal() as terminal:
            terminal.run("foo")
            terminal.run("bar")
            self.assertIn("unknown command: 'bar'",
                          terminal.run(UP + UP + DOWN))


class Completion(unittest.TestCase):
    def setUp(self):
        if not has_libedit():
            self.skipTest("ferry-vm was built without libedit")

    def completes(self, typed, completed):
        with Terminal() as terminal:
            terminal.type(typed + TAB)
            terminal.wait(re.escape(completed[len(typed):]))

    def lists(self, typed, *names):
        with Terminal() as terminal:
            terminal.type(typed + TAB + TAB)
            for name in names:
                terminal.wait(re.escape(name))

    def test_command(self):
        self.completes("migrate_ca", "migrate_cancel")

    def test_commands_are_listed(self):
        self.lists("migrate_set_", "migrate_set_capability",
                   "migrate_set_parameter")

    def test_capability(self):
        self.completes("migrate_set_capability comp",
                       "migrate_set_capability compress")

    def test_capability_state(self):
        with Terminal() as terminal:
            shown = terminal.run("migrate_set_capability return-path of" + TAB)
            self.assertNotIn("Expected", shown)
            self.assertIn("return-path: off", terminal.run("info migrate"))

    def test_parameter(self):
        self.completes("migrate_set_parameter decomp",
                       "migrate_set_parameter decompress-threads")

    def test_parameters_are_listed(self):
        self.lists("migrate_set_parameter compress", "compress-level",
                   "compress-method", "compress-threads", "compress-wait-thread")

    def test_item_of_info(self):
        self.completes("info st", "info status")

    def test_completed_line_runs(self):
        with Terminal() as terminal:
            self.assertIn("prelaunch", terminal.run("info sta" + TAB))


class LiveLine(unittest.TestCase):
    """migrate without -d, with and without line editing."""

    def test_until_it_completes(self):
        with Terminal() as terminal:
            terminal.run("migrate_set_capability compress on")
            shown = terminal.run('migrate "exec:cat >/dev/null"')
            self.assertRegex(shown, r"\r100%, [\d.]+ mbps, ratio [\d.]+, "
                                    r"remaining 0 \w+, dirty \d+ pages/s, "
                                    r"pass \d+")
            self.assertIn("Migration status: completed", shown)
            self.assertNotIn("continuing detached", shown)

    def test_it_is_one_line(self):
        """Slow enough to be shown several times, over itself."""
        with Terminal() as terminal:
            terminal.run("migrate_set_parameter max-bandwidth 30K")
            shown = terminal.run('migrate "exec:cat >/dev/null"')
            progress = re.findall(r"\r(\d+)%[^\r\n]*", shown)
            self.assertGreater(len(progress), 2, shown)
            self.assertEqual(progress, sorted(progress, key=int))
            live = shown[shown.index("%"):shown.rindex("%")]
            self.assertNotIn("\n", live)

    def test_interrupt(self):
        """Ctrl-C ends the watching, not the machine; at the prompt it does."""
        with Terminal() as terminal:
            terminal.run("migrate_set_parameter max-bandwidth 1K")
            terminal.type('migrate "exec:cat >/dev/null"\r')
            terminal.wait(r"\r\d+%")
            terminal.type(INTERRUPT)
            terminal.wait(r"continuing detached\s+" + PROMPT)
            self.assertIn("status: active", terminal.run("info migrate"))
            terminal.type(INTERRUPT)
            self.assertEqual(terminal.end(), 0)

    def test_it_goes_on(self):
        """migrate_continue here goes on with the line, to the end."""
        with Terminal() as terminal:
            terminal.run("migrate_set_capability pause-before-switchover on")
            shown = terminal.run('migrate "exec:cat >/dev/null"')
            self.assertIn("Migration status: pre-switchover", shown)
            shown = terminal.run("migrate_continue pre-switchover")
            self.assertRegex(shown, r"\r100%, .*\r\n"
                                    r"Migration status: completed")

    def test_failure_is_told(self):
        with Terminal() as terminal:
            self.assertRegex(terminal.run('migrate "exec:exit 1"'),
                             r"Error: command 'exit 1'")
            self.assertIn("prelaunch", terminal.run("info status"))


if __name__ == "__main__":
    BUILD = sys.argv[1]
    del sys.argv[1]
    tap.main()
