#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Print what the benchmarks found as tables: those of docs/performance.md.

    tests/bench/report.py [BUILD]
"""
import json
import os
import statistics
import sys

import frontier as points

# (level, pages) of the rows that are shown: of the libraries of the zlib
# format, and of each method that takes pages together.
LIBRARIES = {"zlib": [(1, 1), (6, 1)], "libdeflate": [(1, 1), (6, 1)],
             "ISA-L": [(0, 1), (1, 1), (3, 1)], "compress-method zlib": []}
BATCHES = [(0, 16), (1, 1), (1, 4), (1, 16), (1, 64), (5, 16)]


def table(head, rows):
    print("| " + " | ".join(map(str, head)) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def title(text):
    print(f"\n## {text}\n")


def codec(rows):
    title("Codecs, one core")
    found = {(r["name"], r["level"], r["pages"]): r for r in rows[1:]}
    names = list(dict.fromkeys(name for name, _, _ in found))
    table(["codec", "level", "pages together", "compress MB/s", "ratio",
           "decompress MB/s"],
          [(name, level, pages, f"{r['encode_mb_s']:.0f}",
            f"{r['ratio']:.3f}", f"{r['decode_mb_s']:.0f}")
           for name in names
           for level, pages in LIBRARIES.get(name, BATCHES)
           if (r := found.get((name, level, pages)))])
    print(f"memcpy: {rows[0]['encode_mb_s']:.0f} MB/s")


def pool(rows):
    title("Pools")
    table(["method", "threads", "compress MB/s", "per s of CPU",
           "decompress MB/s", "per s of CPU"],
          [(r["method"], r["threads"] or "codec alone",
            *(f"{r[key]:.0f}" for key in (
                "compress_mb_s", "compress_mb_cpu_s",
                "decompress_mb_s", "decompress_mb_cpu_s")))
           for r in rows[1:]])


def hashes(rows):
    title("Pages that have not changed")
    core, *rows = rows
    table(["method", "without hashes", "the first pass", "all unchanged",
           "CPU of the first pass / without"],
          [(r["method"], *(f"{r[key]:.0f}" for key in (
              "without_mb_cpu_s", "first_mb_cpu_s", "unchanged_mb_cpu_s")),
            f"{r['cpu_first_to_without']:.3f} ({r['least']:.3f} to "
            f"{r['most']:.3f})") for r in rows])
    print(f"One core: memcpy {core['memcpy_mb_s']} MB/s, the hash "
          f"{core['hash_mb_s']}, XXH3 {core['xxh3_mb_s']}")


def calls(rows):
    title("System calls per 1,000 pages")
    shown = ["futex", "sendmsg", "write", "recvfrom", "poll"]

    def cells(row):
        per = 1000 / row["pages"]
        counts = row["calls"]
        return (row["name"], row["side"], f"{sum(counts.values()) * per:.1f}",
                *(f"{counts.get(name, 0) * per:.1f}" for name in shown))
    table(["", "", "all", *shown], map(cells, rows))


def took(row):
    seconds = f"{row['seconds']:.2f}"
    return seconds if row["status"] == "completed" else f"> {seconds}"


def outcome(row):
    return [row["name"], took(row), f"{row['bound']:.2f}",
            f"{row['bytes'] / 1e6:.0f}",
            f"{row['source_cpu']:.1f} + {row['destination_cpu']:.1f}"]


def links(rows, what="A stopped guest"):
    for mbit in dict.fromkeys(r["mbit"] for r in rows):
        title(f"{what}, {mbit} Mbit/s" if mbit else f"{what}, not shaped")
        table(["", "s", "bound, s", "MB", "CPU, s"],
              [outcome(r) for r in rows if r["mbit"] == mbit])


def migrate(rows):
    links(rows)


def duels(rows):
    title("In turns")
    table(["", "ratio", "least to most", "aim", "reached", "s", "MB",
           "CPU, s", "relays, s"],
          [(r["text"], f"{r['ratio']:.2f}",
            f"{r['least']:.2f} to {r['most']:.2f}", r["aim"],
            "yes" if r["ratio"] <= r["aim"] else "**no**",
            *(f"{r[key]:.{digits}f} / {r['other_' + key]:.{digits}f}"
              for key, digits in (("seconds", 2), ("mb", 0), ("cpu", 1))),
            f"{r['relay_cpu']:.1f}" if r.get("relay_cpu") else "")
           for r in rows])


def loaded(rows):
    title("A guest that works")
    table(["", "s", "bound, s", "MB", "CPU, s", "passes", "silent, ms",
           "pages/s written"],
          [[*outcome(r), r["passes"],
            f"{r['gap_ms']:.0f}" if r["gap_ms"] else "",
            f"{r['written']:.0f}"]
           for r in rows if "scale" not in r])
    grown(rows, "pages/s", "pages a second rewritten, 1 Gbit/s")


def grown(rows, kind, text):
    """What grows with a value: a column for each."""
    title(f"By {text}")
    mine = [r for r in rows if r.get("scale") == kind]
    values = list(dict.fromkeys(r["value"] for r in mine))
    table(["", *values],
          [[name, *(f"{took(r)} s, CPU "
                    f"{r['source_cpu'] + r['destination_cpu']:.1f} s"
                    for r in mine if r["name"] == name)]
           for name in dict.fromkeys(r["name"] for r in mine)])


def point(row):
    return points.why_not(row) or f"{row['seconds']:.1f} s"


def frontier(rows):
    rates = sorted({r["rate"] for r in rows})
    for mbit in dict.fromkeys(r["mbit"] for r in rows):
        title(f"Pages rewritten a second that can be moved, {mbit} Mbit/s")
        mine = points.by_name(r for r in rows if r["mbit"] == mbit)
        table(["", *rates, "frontier"],
              [[name, *(next((point(r) for r in found if r["rate"] == rate),
                             "") for rate in rates), points.frontier(found)]
               for name, found in mine.items()])


def scale(rows):
    grown(rows, "GiB", "GiB of guest, 1 GiB touched")
    grown(rows, "threads", "threads at each end")


def relay(rows):
    links(rows, "Stock QEMU, through ferry-relay")


def downtime(rows):
    title("Downtime as it is felt, over long links")
    table(["", "Mbit/s", "RTT, ms", "felt, ms", "at most", "aim, ms",
           "within the aim", "s", "Mbit/s used"],
          [(r["name"], r["mbit"], r["rtt"],
            f"{statistics.median(r['felt_ms']):.0f}" if r["ended"] else "",
            f"{max(r['felt_ms']):.0f}" if r["ended"] else "",
            f"{r['aim_ms']:.0f}",
            f"{sum(ms <= r['aim_ms'] for ms in r['felt_ms'])} of "
            f"{r['rounds']}", f"{r['seconds']:.1f}", f"{r['mbit_used']:.1f}")
           for r in rows])


def programs(rows):
    """What became of the pages is said of the largest history."""
    title("Pages that real programs change")
    if not rows:
        return
    *limits, _ = rows[0]["words"]
    sizes = [h["history_mib"] for h in rows[0]["histories"]]
    table(["", "s apart", "pages", f"words: at most {', '.join(limits)}, more",
           "no history, MB",
           *(f"{size} MiB, MB" for size in sizes),
           *(f"{size} MiB, ratio" for size in sizes),
           "copies, changes, new"],
          [(r["name"], r["apart"], r["pages"],
            ", ".join(map(str, r["words"].values())),
            f"{r['bytes'] / 1e6:.2f}",
            *(f"{h['bytes'] / 1e6:.2f}" for h in r["histories"]),
            *(f"{h['ratio']:.2f}" for h in r["histories"]),
            f"{h['same']}, {h['delta']}, {h['new']}")
           for r in rows for h in r["histories"][-1:]])


SECTIONS = {"codec": codec, "pool": pool, "hash": hashes, "calls": calls,
            "migrate": migrate, "duels": duels, "loaded": loaded,
            "frontier": frontier,
            "scale": scale, "relay": relay, "downtime": downtime,
            "programs": programs}


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    for name, show in SECTIONS.items():
        path = os.path.join(build, "bench", f"{name}.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                show(json.load(f))


if __name__ == "__main__":
    main()
