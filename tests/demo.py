#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make demo: the experiment by which multi-thread compression was introduced.

Two guests are moved from one ferry-vm process to another over TCP, limited to
1 Gbit/s, each once as they are, once with compress on in the published way, by
zlib at level 1, and once as it is by default, by compress-method auto:

  idle     its RAM is an image built from this machine's own files
  stress   the same, and it writes random numbers all over a part of it

and two tables are printed, as measured.  After each run the RAM of both
processes is compared page by page, and the guest has to go on running.

The stress guest writes as fast as this machine can keep up with when it
compresses, as measured by the idle guest's run, and not faster than what the
link can take.  A run that has not ended after a while is cancelled, and the
table says so.
"""
import os
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import ram_image  # noqa: E402
from ferry_vm import Machine, differing_pages, free_port  # noqa: E402

RAM_MIB = int(os.environ.get("FERRY_MIB", 1024))
LINK = 125_000_000  # bytes/s: 1 Gbit/s
BEAT_MS = 20
RATE = 16000  # pages/s that the stress guest writes, at the most
DEADLINE = 40  # seconds for one run
WAYS = "original way", "compress", "auto"
GUESTS = {
    "idle": f"beat={BEAT_MS}",
    "stress": f"beat={BEAT_MS} ws=192 words=8 fill=text rate=",
}


def say(text):
    print(text, flush=True)


def show_progress(label, info):
    """One line that is written over, on a terminal."""
    if not sys.stdout.isatty() or "ram" not in info:
        return
    ram = info["ram"]
    print(f"\r  {label}: {info['status']:10} pass "
          f"{ram['dirty-sync-count']:2}  {ram['transferred'] >> 20:5} MiB "
          f"sent, {ram['remaining'] >> 20:5} MiB left, "
          f"{ram['mbps']:7.1f} mbps  ", end="", flush=True)


def source(build, image, append):
    kernel = os.path.join(build, "tests", "guest", "stress.elf")
    return Machine(build, "-kernel", kernel, "-append", append,
                   "-ram-image", image, mem=f"{RAM_MIB}M", accel=None)


def destination(build, uri):
    return Machine(build, "-incoming", uri, "-S", mem=f"{RAM_MIB}M",
                   accel=None)


def append_for(guest, results):
    """The guest's command line, fit for this machine."""
    if guest == "idle":
        return GUESTS[guest]
    idle = results["idle"]["compress"]
    pages = idle["ram"]["normal"] + idle["compression"]["pages"]
    speed = pages * 1000 // max(idle["total-time"], 1)
    return GUESTS[guest] + str(min(RATE, speed * 2 // 5))


def tell(vm, way):
    vm.set_parameters(max_bandwidth=LINK)
    vm.set_capability("compress", way != "original way")
    if way == "compress":
        vm.set_parameters(compress_method="zlib")


def check_moved(src, dst, label):
    """Compare RAM, let the guest run on; the failures found."""
    size = RAM_MIB << 20
    bad = differing_pages(src.save_ram(size), dst.save_ram(size))
    if bad:
        return [f"{label}: {len(bad)} pages differ, the first is {bad[0]}"]
    dst.qmp("cont")
    try:
        dst.serial.wait_for(lambda text: text.count(b".") >= 10, timeout=20)
    except TimeoutError:
        return [f"{label}: the guest does not run on"]
    return []


def wait_for_end(src, label):
    """Wait, and give up when it takes too long."""
    end = time.monotonic() + DEADLINE

    def look(info):
        show_progress(label, info)
        if time.monotonic() > end:
            src.qmp("migrate_cancel")

    return src.wait_migration("completed", "failed", "cancelled",
                              progress=look)


def migrate(build, image, append, guest, way, failures):
    """Move one guest once; returns query-migrate's answer of the source."""
    label = f"{guest}, {way}"
    uri = f"tcp:127.0.0.1:{free_port()}"
    with source(build, image, append) as src, \
            destination(build, uri) as dst:
        for vm in src, dst:
            tell(vm, way)
        src.serial.wait_for(lambda text: text.count(b".") >= 10)
        src.qmp("migrate", uri=uri)
        info = wait_for_end(src, label)
        if sys.stdout.isatty():
            print("\r" + " " * 78 + "\r", end="")
        if info["status"] == "failed":
            failures.append(f"{label}: {info.get('error-desc')}")
        elif info["status"] == "completed":
            dst.wait_migration("completed")
            failures += check_moved(src, dst, label)
    say(f"  {label}: {info['status']} in {info['total-time']} ms")
    return info


ROWS = [
    ("total time(msec)", lambda i: i["total-time"]),
    ("downtime(msec)", lambda i: i.get("downtime", "not moved")),
    ("transferred ram(kB)", lambda i: i["ram"]["transferred"] // 1024),
    ("throughput(mbps)", lambda i: round(i["ram"]["mbps"], 1)),
    ("total ram(kB)", lambda i: i["ram"]["total"] // 1024),
]


def ratio(plain, compressed):
    numbers = all(isinstance(x, (int, float)) for x in (plain, compressed))
    return f"{compressed / plain:.2f}" if numbers and plain else "-"


def show_table(title, moves):
    rule = "-" * 76
    say(f"\n{title}\n{rule}")
    say(f"{'':20}" + "".join(f"|{head:>12} " for head in WAYS) +
        "|  auto / original")
    say(rule)
    for name, value in ROWS:
        values = [value(moves[way]) for way in WAYS]
        say(f"{name:20}" + "".join(f"|{cell:12} " for cell in values) +
            f"|{ratio(values[0], values[-1]):>8}")
    say(rule)


TITLES = {
    "idle": f"Idle guest, {RAM_MIB} MiB of RAM, 1 Gbit/s",
    "stress": f"Guest that writes random numbers, {RAM_MIB} MiB of RAM, "
              "1 Gbit/s",
}


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    begin = time.monotonic()
    failures, results = [], {}
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "image")
        say(f"Building a RAM image of {RAM_MIB} MiB from this machine's "
            "files ...")
        data = ram_image.build(image, RAM_MIB << 20)
        say(f"  {data >> 20} MiB of it are data, the rest zero pages")
        for guest in GUESTS:
            say(f"Moving the guest '{guest}' ...")
            append = append_for(guest, results)
            results[guest] = {
                way: migrate(build, image, append, guest, way, failures)
                for way in WAYS}
    for guest, moves in results.items():
        show_table(TITLES[guest], moves)
    if failures:
        say("\nFAILED:\n  " + "\n  ".join(failures))
        return 1
    moved = sum(info["status"] == "completed"
                for moves in results.values() for info in moves.values())
    say(f"""
Checked after each of the {moved} moves: RAM of source and destination is equal,
page by page, and the guest runs on at the destination.
compress-threads 8, decompress-threads 2, on {os.cpu_count()} cores; compress is zlib at level 1,
as published.
{time.monotonic() - begin:.0f} seconds in all.""")
    if moved < len(WAYS) * len(results):
        say(f"A run that says 'not moved' was given up after {DEADLINE} "
            "seconds: this machine was\ntoo slow, or too busy.")
    idle = results["idle"]
    if idle["compress"]["total-time"] > idle["original way"]["total-time"]:
        say("Here the CPUs compress less by zlib than the link carries, so "
            "that takes longer; it\npays on links slower than that.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
