# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls for each 1,000 pages, at both ends, as strace counts them.

Locks that nobody holds make none; a wake-up is a futex call at either side.
"""
import re
import shutil
import signal
import subprocess
import tempfile

import migrate
import scale
import vms
from link import Link

MIB = 1024
ROW = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", re.M)


class Counter:
    """Counts a process's system calls while the with block runs."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("r+")
        self.strace = subprocess.Popen(
            ["strace", "-f", "-c", "-o", self.file.name, "-p", str(self.pid)],
            stderr=subprocess.PIPE, text=True)
        self.strace.stderr.readline()  # "attached"
        return self

    def __exit__(self, *exc):
        self.strace.send_signal(signal.SIGINT)
        self.strace.communicate()
        self.calls = {name: int(count)
                      for count, name in ROW.findall(self.file.read())
                      if name != "total"}
        self.file.close()


def pages(info):
    """How many a source has handled."""
    ram = info["ram"]
    return ram["normal"] + ram["duplicate"] + \
        info.get("compression", {}).get("pages", 0)


def count(who, image):
    guest = who.program.idle(MIB, image)
    with Link() as link, \
            vms.pair(who, link, f"{MIB}M", guest) as (src, dst):
        with Counter(src.process.pid) as source, \
                Counter(dst.process.pid) as destination:
            vms.migrate(src, dst, vms.uri_at(link), migrate.LIMIT)
        total = pages(src.migration())
    for side, counter in ("source", source), ("destination", destination):
        yield {"name": who.name, "side": side, "pages": total,
               "calls": counter.calls}


def show(row):
    per = 1000 / row["pages"]
    calls = sorted(row["calls"].items(), key=lambda item: -item[1])
    print(f"{row['name']:<12} {row['side']:<12} "
          f"{sum(row['calls'].values()) * per:6.1f}: " +
          ", ".join(f"{name} {n * per:.1f}" for name, n in calls[:5]),
          flush=True)


def by_method(build, image):
    if not shutil.which("strace"):
        print("strace is not installed")
        return
    print(f"{MIB} MiB, calls per 1,000 pages")
    with scale.touched_part(image, MIB) as part:
        for method in [None, *migrate.methods(build)]:
            for row in count(migrate.contestant(build, method), part):
                show(row)
                yield row
