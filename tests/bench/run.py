#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the benchmarks of a build and print their tables: make bench."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import ram_image  # noqa: E402


def show(result):
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


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "image")
        ram_image.build(image, 512 << 20)
        out = subprocess.run(
            [os.path.join(build, "tests", "bench", "bench-pool"), image],
            check=True, stdout=subprocess.PIPE).stdout
    path = os.path.join(build, "bench-pool.json")
    with open(path, "wb") as f:
        f.write(out)
    show(json.loads(out))
    print(f"\nas JSON: {path}")


if __name__ == "__main__":
    main()
