#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hold every folder to what it may include.

The table is the one of docs/architecture.md.  A file may include headers of
its own folder, and those that are listed for it; system headers (in angle
brackets) are not looked at.
"""
import os
import re
import sys
import tempfile

# The public headers, bottom up: each may include those before it.  So a folder
# that may see the first few of them cannot come to the others by a detour.
PROMISES = ["ferry/uri.h", "ferry/channel.h", "ferry/error.h",
            "ferry/vmstate.h", "ferry/host.h", "ferry/options.h",
            "ferry/migration.h", "ferry/monitor.h", "ferry/inspect.h"]


def up_to(last):
    return set(PROMISES[:PROMISES.index(last) + 1])


CHANNELS = up_to("ferry/channel.h")
VALUES = up_to("ferry/options.h")  # all but the Migration handle
HANDLE = up_to("ferry/migration.h")
MONITOR = up_to("ferry/monitor.h")

# A folder: the folders, and the headers, that its files may include.
MAY_INCLUDE = {
    "util": set(),
    "io": {"util"} | CHANNELS,
    "migration/wire": {"util"} | VALUES,
    "migration/pack": {"migration/wire", "util"} | VALUES,
    "migration/ram": {"migration/pack", "migration/wire", "util"} | VALUES,
    "migration": {"migration/ram", "migration/pack", "migration/wire",
                  "util"} | HANDLE,
    "monitor": MONITOR,
    "vmm/devices": VALUES,
    # Reading a command line and quoting errno have nothing to do with
    # migration, so a host need not be promised them.
    "vmm/kvm": {"vmm", "vmm/devices", "util/fail.h"} | VALUES,
    "vmm/soft": {"vmm", "vmm/devices", "util/fail.h"} | VALUES,
    "vmm": {"vmm/devices", "vmm/kvm", "vmm/soft", "util/args.h",
            "util/fail.h"} | MONITOR,
    # What a container holds is one more kind of channel.
    "tools/inspect/containers": {"migration/wire", "util",
                                 "io/channel-kind.h"} | VALUES,
    "tools/inspect/streams": {"tools/inspect/containers", "migration/ram",
                              "migration/pack", "migration/wire", "util"} |
                             VALUES,
    "tools/inspect/devices": {"tools/inspect/streams", "migration/wire",
                              "util"} | VALUES,
    "tools/inspect/converters": {"tools/inspect/streams",
                                 "tools/inspect/devices", "migration/wire",
                                 "util"} | VALUES,
    "tools/inspect": {"tools/inspect/containers", "tools/inspect/streams",
                      "tools/inspect/devices", "tools/inspect/converters",
                      "migration/wire", "util", "ferry/inspect.h"} | VALUES,
    # A relay's line is one more kind of channel.
    "tools/relay": {"migration/ram", "migration/pack", "migration/wire",
                    "util", "io/channel-kind.h"} | VALUES,
}
MAY_INCLUDE |= {header: set(PROMISES[:i])
                for i, header in enumerate(PROMISES)}


def floor_of(path):
    """Whose row of the table a path of the tree has, or None."""
    row = path.removeprefix("include/") if path.startswith("include/") \
        else os.path.dirname(path)
    return row if row in MAY_INCLUDE else None


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
        yield f"{path}: not in the table of tests/check-includes.py"
        return
    allowed = MAY_INCLUDE[floor] | {floor}
    with open(os.path.join(root, path), encoding="utf-8") as f:
        text = f.read()
    for target in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
        found = resolve(root, target)
        if found is None:
            yield f"{path}: {target} is not in the tree"
        elif not {floor_of(found), target} & allowed:
            yield f"{path} includes {found}"


def self_test():
    """The check must be able to fail."""
    with tempfile.TemporaryDirectory() as tree:
        for name, text in (("include/ferry/migration.h", ""),
                           ("include/ferry/host.h",
                            '#include "ferry/migration.h"\n'),
                           ("migration/internal.h",
                            '#include "ferry/migration.h"\n'),
                           ("migration/new/file.c", ""),
                           ("migration/wire/stream.c",
                            '#include "migration/internal.h"\n'),
                           ("tools/relay/relay-scan.c",
                            '#include "ferry/migration.h"\n')):
            os.makedirs(os.path.join(tree, os.path.dirname(name)),
                        exist_ok=True)
            with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
                f.write(text)
        assert list(faults_of(tree, "include/ferry/host.h"))
        assert list(faults_of(tree, "migration/new/file.c"))
        assert list(faults_of(tree, "migration/wire/stream.c"))
        assert list(faults_of(tree, "tools/relay/relay-scan.c"))
        assert not list(faults_of(tree, "migration/internal.h"))
    assert "migration/ram" not in MAY_INCLUDE["migration/pack"]
    assert "migration" not in MAY_INCLUDE["migration/ram"]
    assert "ferry/migration.h" not in MAY_INCLUDE["migration/ram"]
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
