#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes and links that fail at any moment of a migration.

Each round picks something to fail, a phase of the migration and a moment in
it.  In the end exactly one side runs the guest, and it has lost nothing; or
the side that had it was killed; or neither runs it because GO was lost on the
way, which the links have seen.  Never both.

    source -- link -- destination
    source -- link -- relay-a -- link -- relay-b -- link -- destination

    FERRY_ROUNDS=100 FERRY_SEED=7 tests/program/test_process_faults.py
"""
import itertools
import os
import random
import re
import signal
import subprocess
import tempfile
import time

import program_kit
import tap
from cut_link import CUTS, CutLink
from ferry_vm import TIMEOUT, QmpError, free_port, wait_until

ROUNDS = int(os.environ.get("FERRY_ROUNDS", "12"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
RELAY = os.path.join(program_kit.BUILD, "tools", "relay", "ferry-relay")
FAULTS = ("kill-src", "kill-dst", "stop-src", "stop-dst", *CUTS)
RELAY_FAULTS = ("kill-relay-a", "kill-relay-b", "stop-relay-a",
                "stop-relay-b")
# When, and how many seconds after its beginning at most.
PHASES = {"connect": 0.01, "active": 0.5, "paused": 0.05,
          "switch-over": 0.02, "full-speed": 0.3}
STOPPED_FOR = 0.3   # a stopped source; longer than anything it waits for
STALL = 1           # seconds, the shortest stall-timeout there is


class Relay:
    """A ferry-relay that passes one migration on to a link, and ends with
    it."""

    def __init__(self, uri):
        self.killed = False
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [RELAY, "--listen", "tcp:127.0.0.1:0", "--connect", uri,
             "--once", "--resume-timeout", "0"],
            stdin=subprocess.DEVNULL, stderr=self.errors)

    def port(self):
        """Where it listens, as soon as it does."""
        return int(wait_until(
            lambda: re.search(rb"listening at tcp:127.0.0.1:(\d+)\n",
                              os.pread(self.errors.fileno(), 4096, 0)),
            "relay")[1])

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def end(self):
        """Its end, at the latest now; what it has said."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with self.errors:
            return self.said()


class Round:
    """Two machines, and links and relays between them."""

    def __init__(self, test, relays=()):
        port = free_port()
        self.src = test.source()
        self.dst = test.destination(f"tcp:127.0.0.1:{port}")
        self.links = [test.link(port)]
        self.part = {"src": self.src, "dst": self.dst}
        for name in reversed(relays):
            relay = test.relay(self.links[0].uri)
            self.part[name] = relay
            self.links.insert(0, test.link(relay.port()))
        self.link = self.links[len(self.links) // 2]
        self.src.set_parameters(stall_timeout=STALL)

    def begin(self, phase):
        """Migrate up to the beginning of the phase."""
        if phase in ("paused", "switch-over"):
            self.src.set_capability("pause-before-switchover")
        if phase != "connect" and phase != "full-speed":
            self.src.set_parameters(max_bandwidth=4 << 20)
        self.src.qmp("migrate", uri=self.links[0].uri)
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

    def let_go(self):
        """When the source has ended all that is under way arrives, and each
        relay ends after the one before.  One that nobody has told anything
        goes on waiting for a migration."""
        for link, relay in zip(self.links, ("relay-a", "relay-b")):
            link.finish()
            if link.given:
                self.part[relay].process.wait(TIMEOUT)
            else:
                self.part[relay].process.kill()
        self.links[-1].finish()


class ProcessFaults(program_kit.ProgramTest):
    mem = "8M"
    append = "ws=1"

    def link(self, port):
        link = CutLink("127.0.0.1", port)
        self.addCleanup(link.end)
        return link

    def relay(self, uri):
        relay = Relay(uri)
        self.addCleanup(self.end_relay, relay)
        return relay

    def end_relay(self, relay):
        self.assertNotRegex(relay.end(), program_kit.SANITIZER)

    def strike(self, now, fault, phase):
        """Let it fail, and go on until everything that can has ended."""
        verb, _, name = fault.partition("-")
        if fault in CUTS:
            now.link.cut(fault)
        elif verb == "kill":
            self.kill(now.part[name])
        else:
            now.part[name].process.send_signal(signal.SIGSTOP)
        if fault == "stop-src":
            time.sleep(STOPPED_FOR)
            now.src.process.send_signal(signal.SIGCONT)
        if not now.src.killed:
            if phase == "paused":
                now.go_on()
            now.src.wait_migration("completed", "failed")
        if verb == "stop":
            now.part[name].process.send_signal(signal.SIGCONT)
        if fault in CUTS:
            now.link.end()

    def end_of_destination(self, dst):
        """True when it runs the guest, False when it has ended, or waits on:
        no source has come so far that it has said its header."""
        def look():
            if dst.process.poll() is not None:
                return "ended"
            try:
                status = dst.migration().get("status", "waits")
            except (ConnectionError, OSError):
                return None  # it is about to
            return {"completed": "runs", "waits": "waits"}.get(status)
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

    def check_relays(self, now, relays):
        """None says that the guest has moved that has not."""
        for name in relays:
            relay = now.part[name]
            self.assertNotEqual(relay.process.poll(), 0, relay.said())

    def play(self, relays, fault, phase, delay):
        now = Round(self, relays)
        now.begin(phase)
        time.sleep(delay)
        self.strike(now, fault, phase)
        if relays:
            now.let_go()
        where = self.judge(now)
        for link in now.links:
            link.end()
        if relays and where == "src":
            self.check_relays(now, relays)
        if where == "lost":
            self.assertTrue(now.links[0].took_go(), "lost before GO")
            self.assertFalse(now.links[-1].gave_go(), "lost after GO")
        return where

    def play_rounds(self, relays, faults):
        dice = random.Random(SEED)
        cases = list(itertools.product(faults, PHASES))
        dice.shuffle(cases)
        found = {}
        for number, (fault, phase) in zip(range(ROUNDS),
                                          itertools.cycle(cases)):
            delay = dice.uniform(0, PHASES[phase])
            with self.subTest(seed=SEED, number=number, fault=fault,
                              phase=phase, delay=delay):
                try:
                    where = self.play(relays, fault, phase, delay)
                finally:
                    self.doCleanups()
                found[where] = found.get(where, 0) + 1
                print(f"# {number}: {fault}, {phase} + {delay * 1000:.1f} ms: "
                      f"{where}", flush=True)
        print(f"# {found}", flush=True)

    def test_rounds(self):
        self.play_rounds((), FAULTS)

    def test_relayed_rounds(self):
        self.play_rounds(("relay-a", "relay-b"), RELAY_FAULTS + FAULTS)


if __name__ == "__main__":
    tap.main()
