#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Build a RAM image from this machine's own files.

    tests/lib/ram_image.py OUT SIZE_MIB

A guest's memory is mostly zero pages, and page cache: programs, libraries,
text, some of it compressed already.  Of a Linux guest of 4 GiB that had booted
and read some files, 21.8% of the pages were not zero.  The image has that
proportion: files of /usr, each followed by a hole, in an order that depends
on nothing but their names.
"""
import os
import random
import sys

PAGE = 4096
NONZERO = 0.218
MAX_FILE = 4 << 20
FOLDERS = ["/usr/bin", "/usr/include", "/usr/lib/x86_64-linux-gnu",
           "/usr/lib/python3", "/usr/share/doc"]


def candidates():
    """Files worth reading, in an order that is the same every time."""
    found = []
    left = list(FOLDERS)
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found.append(entry.path)
        except OSError:
            continue
    found.sort()
    random.Random(1).shuffle(found)
    return found


def contents(paths):
    """Yield pieces of files, page-padded, without end."""
    while True:
        for path in paths:
            try:
                with open(path, "rb") as f:
                    data = f.read(MAX_FILE)
            except OSError:
                continue
            if len(data) >= PAGE:
                yield data + bytes(-len(data) % PAGE)


def build(path, size):
    """Write an image of size bytes; returns its bytes of data."""
    budget = int(size * NONZERO) // PAGE * PAGE
    hole = 1 / NONZERO - 1
    at = written = 0
    with open(path, "wb") as out:
        for data in contents(candidates()):
            data = data[:min(budget - written, size - at)]
            out.seek(at)
            out.write(data)
            written += len(data)
            at += len(data) + int(len(data) * hole) // PAGE * PAGE
            if written >= budget or at >= size:
                break
        out.truncate(size)
    return written


def main():
    path, mib = sys.argv[1], int(sys.argv[2])
    written = build(path, mib << 20)
    print(f"{path}: {mib} MiB, {written >> 20} MiB of it data")


if __name__ == "__main__":
    main()
