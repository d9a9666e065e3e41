#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that cross each other, again and again, by chance.

In each lap two guests, which write all the time, move from process to process
at the same time, each with options of its own that chance picks; some of the
attempts are cancelled at some moment.  At the end of a lap each guest has lost
nothing.

    FERRY_SECONDS=300 FERRY_SEED=7 tests/program/test_stress_moves.py
"""
import itertools
import os
import random
import time

import program_kit
import tap
from ferry_vm import QmpError, methods

SECONDS = float(os.environ.get("FERRY_SECONDS", "10"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
HOPS = 4          # of each guest in a lap
CANCELLED = 0.6   # of the attempts
AT_LATEST = 0.03  # seconds after the beginning
RATES = (16 << 20, 64 << 20, 0)  # 0: no limit
METHODS = methods(program_kit.FERRY_VM)


def set_if_built_in(change, *args, **kwargs):
    try:
        change(*args, **kwargs)
    except QmpError as err:
        if "built" not in str(err):
            raise


class Traveller:
    """A guest and its homes, the last of which it runs in."""

    def __init__(self, test, dice, name):
        self.test = test
        self.dice = dice
        self.uris = (test.unix_uri(f"{name}-{n}") for n in itertools.count())
        test.append = f"ws={dice.randint(1, 4)}"
        self.homes = [test.source()]
        self.next = None      # where it is on its way to
        self.cancels = False  # this attempt

    def depart(self):
        uri = next(self.uris)
        src, dice = self.homes[-1], self.dice
        self.next = self.test.destination(uri)
        self.next.set_parameters(decompress_threads=dice.randint(1, 4))
        src.set_capability("compress", dice.random() < 0.8)
        set_if_built_in(src.set_capability, "verify", dice.random() < 0.3)
        src.set_parameters(compress_method=dice.choice(METHODS),
                           compress_threads=dice.randint(1, 8),
                           max_bandwidth=dice.choice(RATES))
        src.qmp("migrate", uri=uri)
        self.cancels = dice.random() < CANCELLED

    def change_mind(self):
        """In some of the attempts; it may be too late."""
        if self.cancels:
            time.sleep(self.dice.uniform(0, AT_LATEST))
            try:
                self.homes[-1].qmp("migrate_cancel")
            except QmpError as err:
                self.test.assertIn("Too late to cancel", str(err))

    def arrive(self):
        """How the attempt has ended."""
        wanted = ("completed", "cancelled") if self.cancels else ("completed",)
        end = self.homes[-1].wait_migration("completed", "cancelled", "failed")
        self.test.assertIn(end["status"], wanted, end)
        if end["status"] == "completed":
            self.next.wait_migration("completed")
            self.homes.append(self.next)
        else:
            self.give_up_home()
        return end["status"]

    def give_up_home(self):
        """It has failed, or does so soon; unless nobody had come to it yet,
        for it would wait for ever."""
        try:
            if self.next.migration().get("status", "setup") == "setup":
                self.test.assertIn(self.next.quit(), (0, 1))
                return
        except ConnectionError:
            pass
        self.test.assertEqual(self.next.wait(), 1)


class StressMoves(program_kit.ProgramTest):
    mem = "8M"

    def lap(self, dice):
        """How many attempts have ended how."""
        guests = [Traveller(self, dice, name) for name in "ab"]
        ends = []
        for _ in range(HOPS):
            for guest in guests:
                guest.depart()
            for guest in guests:
                guest.change_mind()
            ends += [guest.arrive() for guest in guests]
        for guest in guests:
            self.check_runs(*guest.homes)
        return ends

    def test_laps(self):
        dice = random.Random(SEED)
        begun = time.monotonic()
        ends = []
        for number in itertools.count():
            with self.subTest(seed=SEED, lap=number):
                try:
                    ends += self.lap(dice)
                finally:
                    self.doCleanups()
                    self.setUp()
            if time.monotonic() - begun >= SECONDS:
                break
        print(f"# {number + 1} laps, {ends.count('completed')} moves, "
              f"{ends.count('cancelled')} cancelled", flush=True)


if __name__ == "__main__":
    tap.main()
