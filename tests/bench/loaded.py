# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations of a guest that works: it rewrites its working set all the time.

What it misses is seen on its serial port, which beats every 10 ms.  What it
really writes is seen there, too: a guest that gets too little CPU writes less
than it is asked to.
"""
import dataclasses
import time

import migrate
import scale
import vms
from link import Link

MBIT = 1000
RATES = [1000, 15000, 30000]
MARKS = 100                       # a second
SETTLE = 300                      # beats before the migration starts
LIMIT = 20                        # seconds; who does not converge never ends
ROUNDS = 2                        # the faster one counts


@dataclasses.dataclass
class Work:
    """What a guest does."""
    rate: int = 15000             # pages a second that are written,
    ws_mib: int = 512             # in so much memory,
    mib: int = 1024               # of so much

    @property
    def mark(self):
        """Pages that the guest writes from mark to mark."""
        return max(self.rate // MARKS, 1)

    @property
    def append(self):
        """The guest's command line."""
        return f"ws={self.ws_mib} rate={self.rate} beat=10 " \
            f"mark={self.mark} fill=text"


def times(serial, sign):
    """When it came."""
    return [at for at, byte in serial.output() if byte == sign]


def gap_ms(src, dst):
    """From the last beat at the source to the first at the destination."""
    dst.serial.wait_for(b".")
    return (times(dst.serial, b".")[0] - times(src.serial, b".")[-1]) * 1000


def wait_for_beats(vm, beats):
    """Until it has beaten so often from now on."""
    enough = vm.serial.text().count(b".") + beats
    vm.serial.wait_for(lambda text: text.count(b".") >= enough)


def start(vm, beats):
    """Let its guest run until it has beaten so often."""
    vm.qmp("cont")
    wait_for_beats(vm, beats)


def written(serial, mark, begin):
    """Pages a second, from then on to the last beat."""
    marks = sum(at >= begin for at in times(serial, b"+"))
    return marks * mark / (times(serial, b".")[-1] - begin)


def run_one(contestant, link, work=Work(), limit=LIMIT):
    guest = contestant.program.guest("stress", work.append)
    ram = vms.odd_ram(work.mib)
    with vms.pair(contestant, link, ram, guest) as (src, dst):
        start(src, SETTLE)
        vms.have_memory()
        wait_for_beats(src, 1)  # nobody read what came meanwhile
        outcome = vms.migrate(src, dst, vms.uri_at(link), limit, fast=False)
        begin = time.monotonic() - outcome.seconds
        outcome.written = written(src.serial, work.mark, begin)
        if outcome.status == "completed":
            outcome.gap_ms = gap_ms(src, dst)
        return outcome


def run_round(contestants):
    print(f"\n{Work.mib} MiB, {Work().append}, {MBIT} Mbit/s")
    return migrate.run_each(contestants, MBIT, run_one)


def by_contestant(contestants):
    rounds = [list(run_round(contestants)) for _ in range(ROUNDS)]
    return map(migrate.faster, *rounds)


def by_rate(build):
    for method in [None, *migrate.methods(build)]:
        who = migrate.contestant(build, method)
        for rate in RATES:
            with Link(MBIT) as link:
                outcome = run_one(who, link, Work(rate))
            yield scale.row_of("pages/s", rate, who, outcome)
