#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Find circles of files in what was built: files that need each other.

    check-circles.py NM BUILD

A file needs another one of the same library or program when its object has an
undefined symbol that the other's object defines; nm tells both.  Headers say
less, because a header may declare what several files define.  Libraries cannot
need each other in a circle: the linker would not find the symbols.
"""
import json
import os
import subprocess
import sys


def objects(build):
    """{library or program: {object: source}}, those of tests left out."""
    with open(os.path.join(build, "compile_commands.json"),
              encoding="utf-8") as f:
        commands = json.load(f)
    targets = {}
    for command in commands:
        output = command["output"]
        if not output.startswith("tests/"):
            source = os.path.normpath(os.path.join(build, command["file"]))
            targets.setdefault(os.path.dirname(output), {})[output] = source
    return targets


def symbols(nm, build, names):
    """{object: (symbols that it defines, symbols that it needs)}."""
    found = {name: (set(), set()) for name in names}
    lines = subprocess.run([nm, "-A", "-g", "-P", *names], cwd=build,
                           check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        name, symbol, kind = line.split()[:3]
        found[name.rstrip(":")][kind in "Uvw"].add(symbol)
    return found


def needs(found):
    """{object: the other objects that define what it needs}."""
    owner = {symbol: name for name, (defined, _) in found.items()
             for symbol in defined}
    return {name: {owner[s] for s in needed if s in owner} - {name}
            for name, (_, needed) in found.items()}


def reach(arrows, start):
    """All that start needs, directly or through others."""
    seen, todo = set(), [start]
    while todo:
        for other in arrows[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def circles(arrows):
    """The sets of files of which each needs each other one."""
    reached = {name: reach(arrows, name) for name in arrows}
    return {frozenset(other for other in reached[name]
                      if name in reached[other])
            for name in arrows if name in reached[name]}


def self_test():
    """The check must be able to fail."""
    found = {"a": ({"f"}, {"g", "printf"}), "b": ({"g"}, {"h"}),
             "c": ({"h"}, {"g"}), "d": (set(), {"f"})}
    arrows = needs(found)
    assert arrows == {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles(arrows) == {frozenset("bc")}


def main():
    nm, build = sys.argv[1:]
    self_test()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    targets = objects(build)
    found = set()
    for sources in targets.values():
        for circle in circles(needs(symbols(nm, build, sources))):
            found.add(frozenset(os.path.relpath(sources[name], root)
                                for name in circle))
    for circle in found:
        print(f"a circle: {' '.join(sorted(circle))}")
    print(f"{len(targets)} libraries and programs, {len(found)} circles")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
