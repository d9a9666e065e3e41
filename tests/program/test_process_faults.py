#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes and links that fail at any moment of a migration.

Each round picks something to fail, a phase of the migration and a moment in
it.  In the end exactly one side runs the guest, and it has lost nothing; or
the side that had it was killed; or neither runs it because GO was lost on the
way, which the link has seen.  Never both.

    FERRY_ROUNDS=100 FERRY_SEED=7 tests/program/test_process_faults.py
"""
import itertools
import os
import random
import signal
import time

import program_kit
import tap
from cut_link import CUTS, CutLink
from ferry_vm import QmpError, free_port, wait_until

ROUNDS = int(os.environ.get("FERRY_ROUNDS", "12"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
FAULTS = ("kill-src", "kill-dst", "stop-src", "stop-dst", *CUTS)
# When, and how many seconds after its beginning at most.
PHASES = {"connect": 0.01, "active": 0.5, "paused": 0.05,
          "switch-over": 0.02, "full-speed": 0.3}
STOPPED_FOR = 0.3   # a stopped source; longer than anything it waits for
STALL = 1           # seconds, the shortest stall-timeout there is


class Round:
    """Two machines and the link between them."""

    def __init__(self, test):
        port = free_port()
        self.src = test.source()
        self.dst = test.destination(f"tcp:127.0.0.1:{port}")
        self.link = CutLink("127.0.0.1", port)
        test.addCleanup(self.link.end)
        self.src.set_parameters(stall_timeout=STALL)

    def begin(self, phase):
        """Migrate up to the beginning of the phase."""
        if phase in ("paused", "switch-over"):
            self.src.set_capability("pause-before-switchover")
        if phase != "connect" and phase != "full-speed":
            self.src.set_parameters(max_bandwidth=4 << 20)
        self.src.qmp("migrate", uri=self.link.uri)
        if phase == "active":
            self.src.wait_migration("active")
        elif phase in ("paused", "switch-over"):
            self.src.wait_migration("pre-switchover")
        if phase == "switch-over":
            self.go_on()

    def go_on(self):
        try:
            self.src.qmp("migrate-continue", state="pre-switchover")
        except QmpError:
            pass  # it has failed already


class ProcessFaults(program_kit.ProgramTest):
    mem = "8M"
    append = "ws=1"

    def strike(self, now, fault, phase):
        """Let it fail, and go on until everything that can has ended."""
        if fault.startswith("kill"):
            self.kill(now.src if fault == "kill-src" else now.dst)
        elif fault.startswith("stop"):
            vm = now.src if fault == "stop-src" else now.dst
            vm.process.send_signal(signal.SIGSTOP)
        else:
            now.link.cut(fault)
        if fault == "stop-src":
            time.sleep(STOPPED_FOR)
            now.src.process.send_signal(signal.SIGCONT)
        if not now.src.killed:
            if phase == "paused":
                now.go_on()
            now.src.wait_migration("completed", "failed")
        if fault == "stop-dst":
            now.dst.process.send_signal(signal.SIGCONT)
        if fault in CUTS:
            now.link.end()

    def end_of_destination(self, dst):
        """True when it runs the guest, False when it has ended."""
        def look():
            if dst.process.poll() is not None:
                return "ended"
            try:
                done = dst.migration().get("status") == "completed"
            except (ConnectionError, OSError):
                return None  # it is about to
            return done and "runs"
        return wait_until(look, "end of the destination") == "runs"

    def judge(self, now):
        """Where the guest is: "src", "dst", "dead", "lost"."""
        if now.dst.killed:
            at_dst = False
        else:
            at_dst = self.end_of_destination(now.dst)
        if now.src.killed:
            return "dst" if at_dst else "dead"
        status = now.src.status()
        self.assertIn(status, ("running", "postmigrate"))
        if status == "running":
            self.assertFalse(at_dst, "it runs twice")
            self.check_runs(now.src)
            return "src"
        if at_dst:
            self.check_runs(now.src, now.dst)
            return "dst"
        self.check_stopped(now.src)
        return "dead" if now.dst.killed else "lost"

    def play(self, fault, phase, delay):
        now = Round(self)
        now.begin(phase)
        time.sleep(delay)
        self.strike(now, fault, phase)
        where = self.judge(now)
        now.link.end()
        if where == "lost":
            self.assertTrue(now.link.lost_go(), "it is lost, and not with GO")
        return where

    def test_rounds(self):
        dice = random.Random(SEED)
        cases = list(itertools.product(FAULTS, PHASES))
        dice.shuffle(cases)
        found = {}
        for number, (fault, phase) in zip(range(ROUNDS),
                                          itertools.cycle(cases)):
            delay = dice.uniform(0, PHASES[phase])
            with self.subTest(seed=SEED, number=number, fault=fault,
                              phase=phase, delay=delay):
                try:
                    where = self.play(fault, phase, delay)
                finally:
                    self.doCleanups()
                found[where] = found.get(where, 0) + 1
                print(f"# {number}: {fault}, {phase} + {delay * 1000:.1f} ms: "
                      f"{where}", flush=True)
        print(f"# {found}", flush=True)


if __name__ == "__main__":
    tap.main()
