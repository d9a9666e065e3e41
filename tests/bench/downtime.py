#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Downtime as it is felt, over links with a delay.

A guest that writes all the time is moved over thin and long links.  Felt is
what passes from its last beat at the source to its first at the destination.
Needs root: who else cannot make such a link.  A part of it, which takes the
place of the same part of the results that there are:

    tests/bench/downtime.py BUILD ROUNDS MBIT RTT
"""
import contextlib
import os
import statistics
import sys
import tempfile

import loaded
import peers
import plot
import relay
import results
import vms
from delay_link import DelayLink

RAM = vms.odd_ram(80)
LIMIT_MS = 300
RTTS = [1, 50, 200]      # ms
RATES = {20: "ws=8 rate=150", 200: "ws=64 rate=1500"}  # Mbit/s: the guest
BEAT_MS = 5
SETTLE = 100             # beats before the migration starts
ROUNDS = 10
GIVE_UP = 60             # seconds


def contestants(build, old):
    """old is QEMU 7.2's binary, or None."""
    ferry = vms.FerryVm(build)
    yield vms.Contestant("Ferry plain", ferry)
    for method in "zstd", "auto":
        yield vms.Contestant(f"Ferry {method}", ferry, ["compress"],
                             {"compress-method": method})
    if old:
        qemu = vms.Qemu(build, old)
        yield vms.Contestant("QEMU 7.2 alone", qemu, relay.RETURN_PATH)
        yield relay.Relayed("QEMU 7.2", qemu, "zstd")


@contextlib.contextmanager
def way(build, who, link, guest):
    """Both machines, and the URI by which one is reached from the other."""
    with contextlib.ExitStack() as stack:
        if not isinstance(who, relay.Relayed):
            yield (*stack.enter_context(vms.pair(who, link, RAM, guest)),
                   vms.uri_at(link))
            return
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="ferry-bench-"))
        both = stack.enter_context(vms.pair(who, link, RAM, guest,
                                            f"unix:{folder}/vm"))
        stack.enter_context(relay.relays(build, link, folder, who.method))
        yield (*both, f"unix:{folder}/out")


def run_one(build, who, mbit, rtt_ms):
    append = f"{RATES[mbit]} beat={BEAT_MS} fill=text"
    guest = who.program.guest("stress", append)
    with DelayLink(build, mbit, rtt_ms) as link, \
            way(build, who, link, guest) as (src, dst, uri):
        src.set_parameters(downtime_limit=LIMIT_MS)
        loaded.start(src, SETTLE)
        outcome = vms.migrate(src, dst, uri, GIVE_UP, fast=False)
        if outcome.status == "completed":
            outcome.gap_ms = loaded.gap_ms(src, dst)
        return outcome


def row_of(who, mbit, rtt_ms, outcomes):
    felt = sorted(o.gap_ms for o in outcomes if o.gap_ms is not None)
    return {"name": who.name, "mbit": mbit, "rtt": rtt_ms,
            "rounds": len(outcomes), "ended": len(felt), "felt_ms": felt,
            "aim_ms": LIMIT_MS + 1.5 * rtt_ms,
            "seconds": statistics.median(o.seconds for o in outcomes),
            "mbit_used": statistics.median(
                o.bytes * 8e-6 / o.seconds for o in outcomes)}


def show(row):
    felt = row["felt_ms"]
    within = sum(ms <= row["aim_ms"] for ms in felt)
    print(f"{row['name']:<20} {row['mbit']:4} Mbit/s, RTT {row['rtt']:3} ms: "
          f"felt {statistics.median(felt or [0]):5.0f} ms, "
          f"{max(felt, default=0):5.0f} at most; {within} of {row['rounds']} "
          f"within {row['aim_ms']:.0f}; {row['seconds']:.2f} s, "
          f"{row['mbit_used']:.1f} Mbit/s", flush=True)


def run(build, old, rounds=ROUNDS, rates=tuple(RATES), rtts=tuple(RTTS)):
    """The rows of the table, printed as they come."""
    if os.geteuid() != 0:
        raise SystemExit("downtime: only root can make a long link")
    for mbit in rates:
        for rtt_ms in rtts:
            for who in contestants(build, old):
                row = row_of(who, mbit, rtt_ms,
                             [run_one(build, who, mbit, rtt_ms)
                              for _ in range(rounds)])
                show(row)
                yield row


def link_of(row):
    return row["mbit"], row["rtt"]


def draw(folder, rows):
    """What was felt, in columns by link."""
    links = sorted({link_of(row) for row in rows})
    aims = {link_of(row): row["aim_ms"] for row in rows}
    series = {}
    for row in rows:
        if row["ended"]:
            series.setdefault(row["name"], []).append(
                (links.index(link_of(row)), statistics.median(row["felt_ms"]),
                 max(row["felt_ms"])))
    return plot.columns(
        os.path.join(folder, "downtime.svg"),
        f"Downtime as it is felt, downtime-limit {LIMIT_MS} ms: "
        "median, and most", "ms",
        [(f"{mbit} Mbit/s\\nRTT {rtt} ms", aims[mbit, rtt])
         for mbit, rtt in links], series)


def main():
    build, rounds, mbit, rtt = sys.argv[1], *map(int, sys.argv[2:])
    folder = results.folder(build)
    rows = list(run(build, peers.INSTALLED, rounds, [mbit], [rtt]))
    rows += [row for row in results.kept(folder, "downtime")
             if link_of(row) != (mbit, rtt)]
    rows.sort(key=link_of)
    draw(folder, rows)
    results.keep(folder, "downtime", rows)


if __name__ == "__main__":
    main()
