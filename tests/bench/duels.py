# SPDX-License-Identifier: GPL-2.0-or-later
"""Two ways to migrate the same guest, in turns: how much faster one is.

Wall times differ by a fifth from one run to the next, and with the hour.  So
what is compared takes turns, and the ratio of each pair counts: its median,
beside the least and the most.
"""
import os
import statistics
import threading
import time

import frontier
import loaded
import migrate
import plot
import relay
import vms
from link import Link

ROUNDS = 5
SLOW_ROUNDS = 3  # where many are compared, and take long
MIB = migrate.MIB
RANDOM_MIB = 1024
FALLS_S = 1      # after so long the link changes
CHANGES = [(1000, 100), (100, 1000)]  # Mbit/s before and after
GIB = 1 << 30
THIN = [("zstd", 3), ("zstd", 6)]
ALL = [("lz4", 1), ("zstd", 1), *THIN]


def change_later(link, mbit):
    """Change the link's rate while the migration runs."""
    timer = threading.Timer(FALLS_S, link.set_rate, [mbit])
    timer.start()
    return timer


def run(contestant, link, image, mib, then):
    guest = contestant.program.idle(mib, image)
    with vms.pair(contestant, link, f"{mib}M", guest) as (src, dst):
        timer = change_later(link, then) if then else None
        outcome = vms.migrate(src, dst, vms.uri_at(link), migrate.LIMIT)
        if timer:
            timer.join()
        return outcome


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def cpu(rows):
    return statistics.median(row["source_cpu"] + row["destination_cpu"]
                             for row in rows)


def as_result(text, aim, mine, other, ratios):
    return {"text": text, "aim": aim, "ratio": statistics.median(ratios),
            "least": min(ratios), "most": max(ratios),
            "rounds": len(ratios), "name": mine[0]["name"],
            "other": other[0]["name"] if other else "its bound",
            "seconds": median(mine, "seconds"),
            "other_seconds": median(other or mine,
                                    "seconds" if other else "bound"),
            "mb": median(mine, "bytes") / 1e6,
            "other_mb": median(other or mine, "bytes") / 1e6,
            "cpu": cpu(mine), "other_cpu": cpu(other or mine),
            "relay_cpu": median(mine, "relay_cpu")
            if mine[0]["relay_cpu"] else None}


def show(result):
    print(f"{result['text']}: {result['ratio']:.3f} "
          f"({result['least']:.3f} to {result['most']:.3f}), aim "
          f"{result['aim']}", flush=True)


class Bench:
    """How the duels are fought: with which image, how often."""

    def __init__(self, image, rounds=ROUNDS, mib=MIB):
        self.image = image
        self.rounds = rounds
        self.mib = mib

    def run(self, contestant, link, then):
        return run(contestant, link, self.image, self.mib, then)

    def turn(self, contestant, mbit, then, pinned):
        with Link(mbit, pinned) as link:
            outcome = self.run(contestant, link, then)
        row = migrate.as_row(contestant, outcome, mbit)
        migrate.show(row)
        return row

    def rows(self, contestants, mbit, then=None, pinned=False):
        """A list of rows for each, one of each round; who begins changes."""
        found = [[] for _ in contestants]
        for number in range(self.rounds):
            order = list(zip(contestants, found))
            for who, rows in order[::-1] if number % 2 else order:
                rows.append(self.turn(who, mbit, then, pinned))
        return found

    def duel(self, text, aim, mine, other, mbit, **how):
        print(f"\n{text}", flush=True)
        ours, theirs = self.rows([mine, other], mbit, **how)
        yield self.ended(as_result(text, aim, ours, theirs,
                                   [a["seconds"] / b["seconds"]
                                    for a, b in zip(ours, theirs)]))

    def bound(self, text, aim, mine, mbit):
        """Beside what its bytes take on the link, or its CPU time."""
        print(f"\n{text}", flush=True)
        ours, = self.rows([mine], mbit)
        yield self.ended(as_result(text, aim, ours, None,
                                   [row["seconds"] / row["bound"]
                                    for row in ours]))

    def best(self, text, aim, mine, fixed, mbit, **how):
        """Beside the one of several that is the fastest here."""
        print(f"\n{text}", flush=True)
        ours, *rows = self.rows([mine, *fixed], mbit, **how)
        theirs = min(rows, key=lambda row: median(row, "seconds"))
        yield self.ended(as_result(text, aim, ours, theirs,
                                   [a["seconds"] / b["seconds"]
                                    for a, b in zip(ours, theirs)]))

    @staticmethod
    def ended(result):
        show(result)
        return result


class RelayBench(Bench):
    """Between two QEMUs, one of the contestants by relays."""

    def __init__(self, image, build):
        super().__init__(image)
        self.build = build

    def run(self, contestant, link, then):
        return relay.run_one(self.build, contestant, link, self.image)


class WorkBench(Bench):
    """The guest works."""

    def run(self, contestant, link, then):
        return loaded.run_one(contestant, link)


def speed(mbit):
    return f"{mbit} Mbit/s" if mbit else "not shaped"


def against_qemu(bench, build, peer):
    auto = migrate.contestant(build, "auto")
    multifd = migrate.multifd_peer("QEMU 10", vms.Qemu(build, peer), "zstd")
    yield from bench.duel("auto / multifd zstd, 1000 Mbit/s", 0.80, auto,
                          multifd, 1000)
    yield from bench.duel("auto / multifd zstd, 1000 Mbit/s, a core each",
                          0.80, auto, multifd, 1000, pinned=True)
    yield from bench.duel("auto / multifd zstd, 200 Mbit/s", 0.82, auto,
                          multifd, 200)
    yield from bench.duel(
        "auto with 1 GiB of history / multifd zstd, 200 Mbit/s", 0.72,
        frontier.with_history(auto, GIB), multifd, 200)
    yield from WorkBench(None).duel(
        "auto / multifd zstd, guest that works, 1000 Mbit/s", 0.45,
        migrate.contestant(build, "auto", accel=frontier.ACCEL), multifd, 1000)


def against_newest(bench, build, newest):
    """As against_qemu(), in short, and by relays between two of them."""
    program = vms.Qemu(build, newest)
    multifd = migrate.multifd_peer("QEMU 11", program, "zstd")
    yield from bench.duel("auto / multifd zstd of QEMU 11, 1000 Mbit/s", 0.80,
                          migrate.contestant(build, "auto"), multifd, 1000)
    yield from by_relays(bench, build, "QEMU 11", program)


def by_relays(bench, build, name, program):
    both = RelayBench(bench.image, build)
    multifd = relay.with_return_path(
        migrate.multifd_peer(name, program, "zstd"))
    for mbit in 1000, 200:
        yield from both.duel(
            f"{name} by relays, auto / its multifd zstd, {mbit} Mbit/s", 1.0,
            relay.Relayed(name, program, "auto"), multifd, mbit)
    yield from both.duel(
        f"{name} multifd none by relays, auto / its multifd zstd, 1000 Mbit/s",
        1.1, relay.Relayed(name, program, "auto", multifd=2), multifd, 1000)


def by_threads(bench, build):
    for method in migrate.methods(build):
        many, two = (migrate.contestant(build, method, threads=threads)
                     for threads in (64, 2))
        yield from bench.duel(f"{method}, 64 threads / 2, not shaped", 1.02,
                              many, two, None)


def against_fixed(bench, build):
    auto = migrate.contestant(build, "auto")
    few = Bench(bench.image, SLOW_ROUNDS, bench.mib)
    for mbit in 50, 200, 1000, None:
        fixed = [migrate.contestant(build, *how)
                 for how in (THIN if mbit == 50 else ALL)]
        if mbit is None:
            fixed = [migrate.contestant(build, None), *fixed[:2]]
        yield from (bench if mbit == 1000 else few).best(
            f"auto / the best, {speed(mbit)}", 1.05, auto, fixed, mbit)
    for before, after in CHANGES:
        yield from few.best(
            f"auto / the best, {before} Mbit/s, then {after}", 1.05, auto,
            [migrate.contestant(build, *how) for how in ALL], before,
            then=after)


def random_memory(path):
    """An image that does not compress."""
    if not os.path.exists(path):
        with open(path + ".new", "wb") as f:
            for _ in range(RANDOM_MIB):
                f.write(os.urandom(1 << 20))
        os.rename(path + ".new", path)
    return path


def draw(path, results):
    return plot.ratios(path, "compress-method auto, in turns with others",
                       [tuple(r[key] for key in ("text", "ratio", "least",
                                                 "most", "aim"))
                        for r in results])


def run_all(build, peer, newest, image):
    bench = Bench(image)
    auto = migrate.contestant(build, "auto")
    plain = migrate.contestant(build, None)
    began = time.monotonic()
    if peer:
        yield from against_qemu(bench, build, peer)
        yield from by_relays(bench, build, "QEMU 10", vms.Qemu(build, peer))
    if newest:
        yield from against_newest(bench, build, newest)
    yield from by_threads(bench, build)
    yield from bench.bound("auto / its bound, 1000 Mbit/s", 1.10, auto, 1000)
    yield from bench.duel("auto / plain, not shaped", 1.05, auto, plain, None)
    yield from against_fixed(bench, build)
    noise = Bench(random_memory(f"{image}-random"), mib=RANDOM_MIB)
    for mbit in 1000, None:
        yield from noise.duel(
            f"auto / plain, memory of random bytes, {speed(mbit)}", 1.03,
            auto, plain, mbit)
    print(f"\n{time.monotonic() - began:.0f} s in all")
