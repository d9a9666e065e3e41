#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run benchmarks, and keep what they find as JSON and SVG: make bench.

    tests/bench/run.py BUILD [codec] [migrate] [scale]

What is compared was measured in one run.  Results go to BUILD/bench; the RAM
image that all use is made there once.
"""
import json
import os
import subprocess
import sys

import migrate
import plot
import scale
import vms

sys.path.insert(0, os.path.join(vms.ROOT, "tests", "interop"))
import debian  # noqa: E402
import newest_qemu  # noqa: E402
import qemu_vm  # noqa: E402
import ram_image  # noqa: E402

INSTALLED_QEMU = "qemu-system-x86_64"


def find_peers(build):
    """The paths of QEMU 7.2 and of the newest QEMU; None for what is not."""
    old = INSTALLED_QEMU if qemu_vm.version(INSTALLED_QEMU) == (7, 2) else None
    try:
        new = newest_qemu.newest_qemu(os.path.join(build, "interop"))
    except debian.Unavailable as err:
        print(f"no newer QEMU: {err}")
        new = None
    return old, new


def show_codec(result):
    rows = result["results"]
    codec = [r for r in rows if r["bench"] == "codec"]
    pool = [r for r in rows if r["bench"] == "pool"]
    base = next(r for r in codec if r["level"] == 1)

    print(f"{result['pages']} pages that are not zero, "
          f"{result['cores']} cores\n")
    print("codec, one core      compress MB/s   decompress MB/s   out/in")
    for r in codec:
        print(f"{r['codec']:>8} level {r['level']}   {r['encode_mb_s']:15.1f}"
              f"   {r['decode_mb_s']:15.1f}   {r['ratio']:6.3f}")
    print("\npools, level 1   compress MB/s  x codec   "
          "decompress MB/s  x codec")
    for r in pool:
        print(f"{r['threads']:>6} threads   {r['compress_mb_s']:13.1f}  "
              f"{r['compress_mb_s'] / base['encode_mb_s']:7.2f}   "
              f"{r['decompress_mb_s']:15.1f}  "
              f"{r['decompress_mb_s'] / base['decode_mb_s']:7.2f}")


def bench_codec(build, folder, image):
    out = subprocess.run(
        [os.path.join(build, "tests", "bench", "bench-pool"), image],
        check=True, stdout=subprocess.PIPE).stdout
    show_codec(json.loads(out))
    return json.loads(out)


def plot_links(folder, rows):
    for mbit in {row["mbit"] for row in rows}:
        for load in {row["load"] for row in rows if row["mbit"] == mbit}:
            speed = f"{mbit} Mbit/s" if mbit else "not shaped"
            name = f"migrate-{mbit or 'free'}{'-loaded' if load else ''}.svg"
            plot.bars(os.path.join(folder, name),
                      f"{load or '4 GiB, stopped guest'}, {speed}",
                      [(r["name"], r["seconds"], r["bound"]) for r in rows
                       if (r["mbit"], r["load"]) == (mbit, load)])


def bench_migrate(build, folder, image):
    contestants = [*migrate.ferry(build),
                   *migrate.qemus(build, *find_peers(build))]
    rows = [*migrate.run_links(contestants, image, migrate.LINKS),
            *migrate.run_under_load(contestants)]
    plot_links(folder, rows)
    return rows


def bench_scale(build, folder, image):
    return [*scale.by_size(build, image),
            *scale.by_threads(build, image, migrate.MIB),
            *scale.by_rate(build)]


BENCHES = {"codec": bench_codec, "migrate": bench_migrate,
           "scale": bench_scale}


def main():
    build, *names = sys.argv[1:] or ["build"]
    folder = os.path.join(build, "bench")
    image = os.path.join(folder, "ram-image")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(image):
        ram_image.build(image, migrate.MIB << 20)
    for name in names or BENCHES:
        print(f"\n=== {name}")
        result = BENCHES[name](build, folder, image)
        path = os.path.join(folder, f"{name}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
        print(f"\nas JSON: {path}")


if __name__ == "__main__":
    main()
