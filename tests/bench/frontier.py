#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The convergence frontier: how fast a guest may write and still be moved.

A point is one migration, without throttle, of a guest that writes 8 words to
each of so many pages a second, anywhere in its working set.  The point counts
if the migration ends in time and the guest wrote at 95% of that rate until it
was stopped: one that gets too little CPU is easy to move.  A contestant's
frontier is the highest rate that counts.  After two points in a row that do
not count, higher rates are not tried.

    tests/bench/frontier.py BUILD [--rates PAGES ...] [--mbit MBIT ...]
        [--rtt MS] [--ws MIB] [--limit S] [--only NAME ...] [--out FOLDER]

Where a name has "history" in it, the history is as large as the working set,
and so is XBZRLE's cache.  Both count as powers of two only, rounded up here.
"""
import argparse
import dataclasses
import fnmatch
import os

import loaded
import migrate
import peers
import plot
import results
import vms
from delay_link import DelayLink
from link import Link

RATES = (1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000)
LEAST_RATE = 0.95   # of what was asked
PATIENCE = 2        # points in a row that do not count
REST_MIB = 16       # RAM besides the working set: it is not what is measured

# The kernel's dirty log costs a fault for each page that is written again, so
# that the guest does not get to its rate.  QEMU's software CPU does not ask the
# kernel either.
ACCEL = "soft,dirty-log=hook"


@dataclasses.dataclass
class Grid:
    """What is measured; the default is what make bench does."""
    rates: tuple = RATES    # pages a second
    links: tuple = (200,)   # Mbit/s
    rtt_ms: int = 0         # 0: no delay
    ws_mib: int = loaded.Work.ws_mib
    limit: int = 60         # seconds for a migration
    only: tuple = ("*",)    # contestants' names, as a shell matches files


def with_history(contestant, size):
    both = {"compress-history": size}
    return vms.Contestant(f"{contestant.name} history", contestant.program,
                          contestant.capabilities,
                          {**contestant.source, **both},
                          {**contestant.destination, **both})


def xbzrle(name, program, size):
    return vms.Contestant(f"{name} xbzrle", program, ["xbzrle"],
                          {"xbzrle-cache-size": size})


def has_history(contestant):
    return contestant.source.get("compress-method", "zlib") != "zlib"


def contestants(build, new, size):
    """new is the newest QEMU's binary, or None; size is that of a cache and
    of a history."""
    ferry = list(migrate.ferry(build, ACCEL))
    yield from ferry
    yield xbzrle("Ferry", ferry[0].program, size)
    yield from [with_history(who, size) for who in ferry if has_history(who)]
    if new:
        qemu = vms.Qemu(build, new)
        yield vms.Contestant("QEMU 10 plain", qemu)
        yield xbzrle("QEMU 10", qemu, size)
        yield migrate.multifd_peer("QEMU 10", qemu, "zstd")


def entrants(build, new, grid):
    size = 1 << ((grid.ws_mib << 20) - 1).bit_length()
    return [who for who in contestants(build, new, size)
            if any(fnmatch.fnmatch(who.name, name) for name in grid.only)]


def why_not(row):
    """Why a point does not count; an empty text if it does."""
    if row["status"] != "completed":
        return row["error"] or "did not end"
    if row["written"] < LEAST_RATE * row["rate"]:
        return f"guest at {row['written'] / row['rate']:.0%}"
    return ""


def show(row):
    print(f"{row['name']:<22} {row['rate']:7} pages/s  {row['seconds']:6.2f} s"
          f"  {row['bytes'] / 1e6:8.1f} MB  CPU {row['source_cpu']:5.1f} + "
          f"{row['destination_cpu']:4.1f} s  {row['passes']:3} passes  "
          f"{why_not(row)}", flush=True)


def measure(build, who, mbit, rate, grid):
    """A point's row, printed."""
    work = loaded.Work(rate, grid.ws_mib, grid.ws_mib + REST_MIB)
    with DelayLink(build, mbit, grid.rtt_ms) if grid.rtt_ms \
            else Link(mbit) as link:
        outcome = loaded.run_one(who, link, work, grid.limit)
    row = {"name": who.name, "mbit": mbit, "rtt": grid.rtt_ms,
           "ws_mib": grid.ws_mib, "limit": grid.limit, "rate": rate,
           **outcome.as_json()}
    show(row)
    return row


def climb(rates, point):
    """The rows that point(rate) makes, from the lowest rate up, until it is
    clear that no more will count."""
    missed = 0
    for rate in sorted(rates):
        row = point(rate)
        yield row
        missed = missed + 1 if why_not(row) else 0
        if missed == PATIENCE:
            return


def run(build, new, grid=Grid()):
    """The rows of all points."""
    for mbit in grid.links:
        print(f"\n{grid.ws_mib} MiB rewritten, {mbit} Mbit/s, "
              f"RTT {grid.rtt_ms} ms")
        for who in entrants(build, new, grid):
            yield from climb(grid.rates, lambda rate: measure(
                build, who, mbit, rate, grid))


def by_name(rows):
    """The rows of each contestant."""
    rows = list(rows)
    return {name: [row for row in rows if row["name"] == name]
            for name in dict.fromkeys(row["name"] for row in rows)}


def frontier(rows):
    """The highest rate that counts; 0: none does."""
    return max((row["rate"] for row in rows if not why_not(row)), default=0)


def draw(folder, rows):
    """Two plots for each link: the points, and the frontiers."""
    for mbit in dict.fromkeys(row["mbit"] for row in rows):
        mine = by_name(row for row in rows if row["mbit"] == mbit)
        title = f"{rows[0]['ws_mib']} MiB rewritten, {mbit} Mbit/s, " \
            f"RTT {rows[0]['rtt']} ms"
        path = os.path.join(folder, f"frontier-{mbit}")
        plot.lines(f"{path}-time.svg", title,
                   {name: [(r["rate"], None if why_not(r) else r["seconds"])
                           for r in found] for name, found in mine.items()},
                   rows[0]["limit"])
        plot.frontiers(f"{path}.svg", title,
                       [(name, frontier(found))
                        for name, found in mine.items()])


def arguments():
    parser = argparse.ArgumentParser()
    grid = Grid()
    parser.add_argument("build")
    parser.add_argument("--rates", nargs="+", type=int, default=grid.rates)
    parser.add_argument("--mbit", nargs="+", type=int, default=grid.links)
    parser.add_argument("--rtt", type=int, default=grid.rtt_ms)
    parser.add_argument("--ws", type=int, default=grid.ws_mib)
    parser.add_argument("--limit", type=int, default=grid.limit)
    parser.add_argument("--only", nargs="+", default=grid.only)
    parser.add_argument("--out")
    return parser.parse_args()


def main():
    args = arguments()
    grid = Grid(args.rates, args.mbit, args.rtt, args.ws, args.limit,
                args.only)
    folder = args.out or results.folder(args.build)
    rows = list(run(args.build, peers.find(args.build)[1], grid))
    draw(folder, rows)
    results.keep(folder, "frontier", rows)


if __name__ == "__main__":
    main()
