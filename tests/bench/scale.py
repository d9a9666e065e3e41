# SPDX-License-Identifier: GPL-2.0-or-later
"""How Ferry's cost grows: with the guest's size, and with the threads.

The link is not shaped, so that what is measured is Ferry and not the link.
"""
import contextlib
import os

import migrate
import vms
from link import Link

TOUCHED_MIB = 1024
SIZES_GIB = [1, 16, 64]
THREADS = [1, 2, 8, 64]


def run(who, image, mib):
    guest = who.program.idle(mib, image)
    with Link() as link, \
            vms.pair(who, link, f"{mib}M", guest) as (src, dst):
        return vms.migrate(src, dst, vms.uri_at(link), migrate.LIMIT)


def rounds(kind, value, who, image, mib):
    rows = [row_of(kind, value, who, run(who, image, mib))
            for _ in range(migrate.FREE_ROUNDS)]
    return migrate.faster(*rows)


def row_of(kind, value, who, outcome):
    row = {"scale": kind, "value": value, "name": who.name,
           **outcome.as_json()}
    print(f"{kind:<8} {value:>6}  {who.name:<12} {row['seconds']:7.2f} s  "
          f"CPU {row['source_cpu']:6.2f} + {row['destination_cpu']:5.2f} s  "
          f"{row['bytes'] / 1e6:8.1f} MB  {row['passes']:3} passes", flush=True)
    return row


def data_of(fd, size):
    """The ranges of a file that are no holes: (offset, bytes)."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, end - at
        at = end


@contextlib.contextmanager
def touched_part(image, mib):
    """Another image, of that size: what the guest has touched, without what
    it has not."""
    copy = f"{image}-{mib}"
    left = mib << 20
    try:
        with open(image, "rb") as f, open(copy, "wb") as out:
            for at, size in data_of(f.fileno(), os.path.getsize(image)):
                f.seek(at)
                left -= out.write(f.read(min(size, left)))
            out.truncate(mib << 20)
        yield copy
    finally:
        os.unlink(copy)


def by_size(build, image):
    """One GiB is the same, and nobody ever touched the rest."""
    with touched_part(image, TOUCHED_MIB) as touched:
        for gib in SIZES_GIB:
            os.truncate(touched, gib << 30)
            for method in [None, *migrate.methods(build)]:
                who = migrate.contestant(build, method)
                yield rounds("GiB", gib, who, touched, gib << 10)


def by_threads(build, image, mib):
    for method in migrate.methods(build):
        for threads in THREADS:
            who = migrate.contestant(build, method, threads=threads)
            yield rounds("threads", threads, who, image, mib)
