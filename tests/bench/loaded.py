# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations of a guest that works: it rewrites its working set all the time.

What it misses is seen on its serial port, which beats every 10 ms.
"""
import migrate
import scale
import vms
from link import Link

MIB = 1024
MBIT = 1000
RATE = 15000                      # pages a second
RATES = [1000, 15000, 30000]
SETTLE = 300                      # beats before the migration starts
LIMIT = 20                        # seconds; who does not converge never ends
ROUNDS = 2                        # the faster one counts


def load(rate):
    """The guest's command line."""
    return f"ws=512 rate={rate} beat=10 fill=text"


def beat_times(serial):
    return [time for time, byte in serial.output() if byte == b"."]


def gap_ms(src, dst):
    """From the last beat at the source to the first at the destination."""
    dst.serial.wait_for(b".")
    return (beat_times(dst.serial)[0] - beat_times(src.serial)[-1]) * 1000


def run_one(contestant, link, rate=RATE):
    guest = contestant.program.guest("stress", load(rate))
    with vms.pair(contestant, link, vms.odd_ram(MIB), guest) as (src, dst):
        src.qmp("cont")
        src.serial.wait_for(lambda text: text.count(b".") >= SETTLE)
        outcome = vms.migrate(src, dst, vms.uri_at(link), LIMIT)
        if outcome.status == "completed":
            outcome.gap_ms = gap_ms(src, dst)
        return outcome


def run_round(contestants):
    print(f"\n{MIB} MiB, {load(RATE)}, {MBIT} Mbit/s")
    return migrate.run_each(contestants, MBIT, run_one)


def by_contestant(contestants):
    rounds = [list(run_round(contestants)) for _ in range(ROUNDS)]
    return map(migrate.faster, *rounds)


def by_rate(build):
    for method in [None, *migrate.methods(build)]:
        who = scale.contestant(build, method)
        for rate in RATES:
            with Link(MBIT) as link:
                outcome = run_one(who, link, rate)
            yield scale.row_of("pages/s", rate, who, outcome)
