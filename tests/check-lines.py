#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of C that are longer than CONTRIBUTING.md allows.  Prints TAP."""
import os
import sys

MOST = 80
FOLDERS = ("include", "io", "migration", "monitor", "tests", "tools", "util",
           "vmm")


def sources(root):
    for folder in FOLDERS:
        for where, _, names in os.walk(os.path.join(root, folder)):
            yield from (os.path.join(where, name) for name in sorted(names)
                        if name.endswith((".c", ".h")))


def long_lines(path):
    with open(path, encoding="utf-8") as f:
        return [number for number, line in enumerate(f, 1)
                if len(line.rstrip("\n")) > MOST]


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = {path: lines for path in sources(root)
             if (lines := long_lines(path))}
    for path, lines in found.items():
        print(f"# {os.path.relpath(path, root)}: lines {lines}")
    print("1..1")
    print(f"{'not ok' if found else 'ok'} 1 lines of at most {MOST} columns")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
