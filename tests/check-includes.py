#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hold every folder, and every floor of migration/, to what it may include.

The table is the one of docs/architecture.md.  A file may include headers of
its own floor and of the floors listed for it; system headers (in angle
brackets) are not looked at.
"""
import os
import re
import sys
import tempfile

# Floors of migration/, by file name without its ending.
WIRE = {"stream", "section", "wire", "wire-names"}
PAYLOAD = {"codec", "device", "stats", "vmstate", "vmstate-io"}
PAYLOAD_PREFIXES = ("ram-", "codec-")
ENGINE = {
    "accept", "converge", "dest", "internal", "migration", "options",
    "query", "ratelimit", "return-path", "source", "stall", "state",
}

INCLUDE = {"include/io", "include/migration"}
MAY_INCLUDE = {
    "include/io": set(),
    "include/migration": {"include/io"},
    "include/monitor": {"include/migration"},
    "util": set(),
    "io": {"util", "include/io"},
    "wire": {"util"} | INCLUDE,
    "payload": {"wire", "util"} | INCLUDE,
    "engine": {"payload", "wire", "util"} | INCLUDE,
    "monitor": {"include/monitor"} | INCLUDE,
    "vmm": {"include/monitor"} | INCLUDE,
    "tools": {"engine", "payload", "wire", "util"} | INCLUDE,
}

# Public headers that payload must not see: it is handed values, never the
# handle.  Nor do the tools, which handle streams and no migrations.
FORBIDDEN = {
    "wire": {"migration/migration.h"},
    "payload": {"migration/migration.h", "migration/internal.h"},
    "tools": {"migration/migration.h", "migration/internal.h"},
}


def floor_of(path):
    """The floor that a path of the tree is on, or None."""
    parts = path.split("/")
    if parts[0] == "include":
        return "/".join(parts[:2])
    if parts[0] != "migration":
        return parts[0] if parts[0] in MAY_INCLUDE else None
    stem = os.path.splitext(parts[1])[0]
    if stem in WIRE:
        return "wire"
    if stem in PAYLOAD or stem.startswith(PAYLOAD_PREFIXES):
        return "payload"
    return "engine" if stem in ENGINE else None


def sources(root):
    for top in ("include", "util", "io", "migration", "monitor", "vmm",
                "tools"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def resolve(root, target):
    """Where an #include "target" leads: a path of the tree, or None."""
    for path in (target, "include/" + target):
        if os.path.exists(os.path.join(root, path)):
            return path
    return None


def faults_of(root, path):
    floor = floor_of(path)
    if floor is None:
        yield f"{path}: on no floor; name it in tests/check-includes.py"
        return
    allowed = MAY_INCLUDE[floor] | {floor}
    with open(os.path.join(root, path), encoding="utf-8") as f:
        text = f.read()
    for target in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
        found = resolve(root, target)
        if found is None:
            yield f"{path}: {target} is not in the tree"
        elif floor_of(found) not in allowed:
            yield f"{path} ({floor}) includes {found} ({floor_of(found)})"
        elif target in FORBIDDEN.get(floor, ()):
            yield f"{path} ({floor}) includes {target}"


def self_test():
    """The check must be able to fail."""
    with tempfile.TemporaryDirectory() as tree:
        os.makedirs(os.path.join(tree, "migration"))
        for name, text in (("migration/source.h", ""),
                           ("migration/new.c", ""),
                           ("migration/stream.c",
                            '#include "migration/source.h"\n')):
            with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
                f.write(text)
        assert list(faults_of(tree, "migration/stream.c"))
        assert list(faults_of(tree, "migration/new.c"))
        assert not list(faults_of(tree, "migration/source.h"))
    assert floor_of("migration/stream.c") == "wire"
    assert floor_of("migration/ram-save.c") == "payload"
    assert floor_of("migration/source.c") == "engine"
    assert "payload" not in MAY_INCLUDE["wire"]
    assert "engine" not in MAY_INCLUDE["payload"]
    assert "util" not in MAY_INCLUDE["vmm"]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    self_test()
    paths = list(sources(root))
    names = [os.path.basename(p) for p in paths]
    faults = [f for p in paths for f in faults_of(root, p)]
    faults += [f"two files are called {n}"
               for n in sorted({n for n in names if names.count(n) > 1})]
    for fault in faults:
        print(fault)
    print(f"{len(paths)} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
