#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run benchmarks, and keep what they find as JSON and SVG: make bench.

make bench-relay runs the one with relays only.

    tests/bench/run.py BUILD [codec] [pool] [hash] [calls] [migrate] [duels]
                             [loaded] [frontier] [scale] [relay] [downtime]
                             [programs]

What is compared was measured in one run.  Results go to BUILD/bench; the RAM
image that all use is made there once.
"""
import json
import os
import subprocess
import sys

import calls
import downtime
import duels
import frontier
import loaded
import migrate
import peers
import plot
import programs
import relay
import results
import scale
import vms

sys.path.insert(0, os.path.join(vms.ROOT, "tests", "interop"))
import debian  # noqa: E402
import linux_image  # noqa: E402
import ram_image  # noqa: E402


def show_codec(rows):
    memcpy, *rows = rows
    print(f"One core; memcpy {memcpy['encode_mb_s']:.0f} MB/s\n\n"
          "                      level  pages   encode MB/s  decode MB/s  "
          "out/in")
    for r in rows:
        print(f"{r['name']:<21} {r['level']:5}  {r['pages']:5}   "
              f"{r['encode_mb_s']:11.1f}  {r['decode_mb_s']:11.1f}  "
              f"{r['ratio']:6.3f}")


def show_pool(rows):
    cores, *rows = rows
    print(f"{cores['cores']} cores; \"alone\" is the codec; level 1; in "
          "parentheses per second of CPU\n\n"
          "method  threads   compress MB/s    decompress MB/s")
    for r in rows:
        print(f"{r['method']:<6}  {r['threads'] or 'alone':>7}   "
              f"{r['compress_mb_s']:6.0f} ({r['compress_mb_cpu_s']:.0f})    "
              f"{r['decompress_mb_s']:8.0f} ({r['decompress_mb_cpu_s']:.0f})")


def show_hash(rows):
    core, *rows = rows
    print(f"One core: memcpy {core['memcpy_mb_s']} MB/s, the hash "
          f"{core['hash_mb_s']}, XXH3 {core['xxh3_mb_s']}\n\n"
          "MB per second of CPU   without   first pass   unchanged   "
          "CPU first / without")
    for r in rows:
        print(f"{r['method']:<21}  {r['without_mb_cpu_s']:7.0f}   "
              f"{r['first_mb_cpu_s']:10.0f}   {r['unchanged_mb_cpu_s']:9.0f}   "
              f"{r['cpu_first_to_without']:.3f} "
              f"({r['least']:.3f} to {r['most']:.3f})")


def run_program(build, name, image):
    out = subprocess.run(
        [os.path.join(build, "tests", "bench", name), image],
        check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)["results"]


def bench_codec(build, folder, image):
    rows = run_program(build, "bench-codec", image)
    show_codec(rows)
    return rows


def bench_pool(build, folder, image):
    rows = run_program(build, "bench-pool", image)
    show_pool(rows)
    return rows


def bench_hash(build, folder, image):
    rows = run_program(build, "bench-hash", image)
    show_hash(rows)
    return rows


def plot_links(folder, rows, bench, guest="4 GiB, stopped guest"):
    for mbit in dict.fromkeys(row["mbit"] for row in rows):
        speed = f"{mbit} Mbit/s" if mbit else "not shaped"
        plot.bars(os.path.join(folder, f"{bench}-{mbit or 'free'}.svg"),
                  f"{guest}, {speed}",
                  [(r["name"], r["seconds"], r["bound"]) for r in rows
                   if r["mbit"] == mbit])


def find_contestants(build, accel="soft"):
    return [*migrate.ferry(build, accel),
            *migrate.qemus(build, *peers.find(build))]


def bench_migrate(build, folder, image):
    rows = list(migrate.run_links(find_contestants(build), image,
                                  migrate.LINKS))
    plot_links(folder, rows, "migrate")
    return rows


def bench_duels(build, folder, image):
    rows = list(duels.run_all(build, peers.find(build)[1],
                              peers.find_newest(build), image))
    duels.draw(os.path.join(folder, "duels.svg"), rows)
    return rows


def bench_loaded(build, folder, image):
    rows = list(loaded.by_contestant(
        find_contestants(build, frontier.ACCEL)))
    plot_links(folder, rows, "loaded", loaded.Work().append)
    return [*rows, *loaded.by_rate(build)]


def bench_frontier(build, folder, image):
    rows = list(frontier.run(build, peers.find(build)[1]))
    frontier.draw(folder, rows)
    return rows


def bench_scale(build, folder, image):
    return [*scale.by_size(build, image),
            *scale.by_threads(build, image, migrate.MIB)]


def make_image(build, path):
    """The RAM of a Linux guest, or else what looks like it."""
    scratch = path + ".new"
    try:
        linux_image.build(scratch, migrate.MIB, peers.INSTALLED,
                          os.path.join(build, "interop"))
        print(f"{path}: the RAM of a Linux guest")
    except debian.Unavailable as err:
        print(f"no Linux guest ({err}): its RAM is made of files")
        ram_image.build(scratch, migrate.MIB << 20)
    os.rename(scratch, path)


def bench_calls(build, folder, image):
    return list(calls.by_method(build, image))


def bench_relay(build, folder, image):
    rows = list(relay.run(build, *peers.find(build), image))
    plot_links(folder, rows, "relay")
    return rows


def bench_downtime(build, folder, image):
    rows = list(downtime.run(build, peers.find(build)[0]))
    downtime.draw(folder, rows)
    return rows


def bench_programs(build, folder, image):
    return list(programs.run(build, peers.INSTALLED))


BENCHES = {"codec": bench_codec, "pool": bench_pool, "hash": bench_hash,
           "calls": bench_calls, "migrate": bench_migrate,
           "duels": bench_duels, "loaded": bench_loaded,
           "frontier": bench_frontier,
           "scale": bench_scale, "relay": bench_relay,
           "downtime": bench_downtime, "programs": bench_programs}


def main():
    build, *names = sys.argv[1:] or ["build"]
    folder = results.folder(build)
    image = os.path.join(folder, "ram-image")
    if not os.path.exists(image):
        make_image(build, image)
    for name in names or BENCHES:
        print(f"\n=== {name}")
        results.keep(folder, name, BENCHES[name](build, folder, image))


if __name__ == "__main__":
    main()
