# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole migrations, Ferry's and its peers', over links of several rates.

Everybody gets the same image as RAM, a stopped guest, and the same two cores
for source and destination together.  Beside each result stands what no
program could beat with what it sent and computed:

    bound = max(bytes / link, (source + destination CPU) / cores)
"""
import os

import vms
from link import Link

MIB = 4096
LINKS = [200, 1000, None]        # Mbit/s; None: as fast as it goes
THIN = 200                       # Mbit/s: only who compresses takes part
FREE_ROUNDS = 2                  # where it is not shaped
LIMIT = 120                      # seconds for one migration
THREADS = 2


def contestant(build, method, level=None, threads=THREADS, accel="soft"):
    """Ferry with that method, and its level or the default; None: plain."""
    program = vms.FerryVm(build, accel)
    if method is None:
        return vms.Contestant("Ferry plain", program)
    both = {"compress-method": method}
    name = f"Ferry {method}"
    if level is not None:
        both["compress-level"] = level
        name += f" {level}"
    return vms.Contestant(name, program, ["compress"],
                          {**both, "compress-threads": threads},
                          {**both, "decompress-threads": threads})


def ferry(build, accel="soft"):
    """What Ferry has: method by method."""
    for method in None, *methods(build):
        yield contestant(build, method, accel=accel)


def methods(build):
    """The values of compress-method that were built in."""
    return vms.ferry_vm.methods(os.path.join(build, "vmm", "ferry-vm"))


def compress_peer(name, program):
    return vms.Contestant(f"{name} compress", program, ["compress"],
                          {"compress-threads": 8, "compress-level": 1},
                          {"decompress-threads": 2})


def multifd_peer(name, program, compression):
    both = {"multifd-channels": 2, "multifd-compression": compression}
    return vms.Contestant(f"{name} multifd {compression}", program,
                          ["multifd"], both, both)


def qemus(build, old, new):
    """The peers; old and new are binaries, or None."""
    if old:
        program = vms.Qemu(build, old)
        yield vms.Contestant("QEMU 7.2 plain", program)
        yield compress_peer("QEMU 7.2", program)
    if new:
        program = vms.Qemu(build, new)
        yield vms.Contestant("QEMU 10 plain", program)
        for compression in "none", "zlib", "zstd":
            yield multifd_peer("QEMU 10", program, compression)


def bound(outcome, mbit):
    cpu = outcome.source_cpu + outcome.destination_cpu
    link = outcome.bytes * 8 / (mbit * 1e6) if mbit else 0
    return max(link, cpu / os.cpu_count())


def run_idle(contestant, link, image):
    guest = contestant.program.idle(MIB, image)
    with vms.pair(contestant, link, f"{MIB}M", guest) as (src, dst):
        return vms.migrate(src, dst, vms.uri_at(link), LIMIT)


def as_row(contestant, outcome, mbit):
    return {"name": contestant.name, "mbit": mbit,
            "bound": bound(outcome, mbit), **outcome.as_json()}


def show(row):
    print(f"{row['name']:<22} {row['seconds']:7.2f} s  bound "
          f"{row['bound']:6.2f} s  {row['bytes'] / 1e6:8.1f} MB  "
          f"CPU {row['source_cpu']:5.1f} + {row['destination_cpu']:4.1f} s"
          f"  {row['passes']:3} passes", end="")
    if row["gap_ms"] is not None:
        print(f"  silent {row['gap_ms']:.0f} ms", end="")
    if row["written"] is not None:
        print(f"  {row['written']:.0f} pages/s written", end="")
    print("" if row["status"] == "completed"
          else f"  ({row['status']}: {row['error']})", flush=True)


def run_each(contestants, mbit, run):
    """A row of each, printed as it comes; run(contestant, link) gives its
    outcome."""
    for contestant in contestants:
        with Link(mbit) as link:
            outcome = run(contestant, link)
        row = as_row(contestant, outcome, mbit)
        show(row)
        yield row


def run_link(contestants, image, mbit):
    """A round over a link."""
    print(f"\n{MIB} MiB, stopped guest, "
          f"{f'{mbit} Mbit/s' if mbit else 'not shaped'}")
    return run_each(contestants, mbit,
                    lambda who, link: run_idle(who, link, image))


def faster(*rows):
    """Of the rounds of a contestant; one that failed counts least."""
    return min(rows, key=lambda row: (row["status"] != "completed",
                                      row["seconds"]))


def entrants(contestants, mbit):
    """Without compression a thin link takes the same time for everybody."""
    return [c for c in contestants if c.compresses or mbit != THIN]


def run_links(contestants, image, links):
    """Where no link smooths it, the faster of two rounds counts."""
    for mbit in links:
        rounds = [list(run_link(entrants(contestants, mbit), image, mbit))
                  for _ in range(1 if mbit else FREE_ROUNDS)]
        yield from map(faster, *rounds)
