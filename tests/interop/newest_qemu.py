#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs that Debian has beside the installed one.

    tests/interop/newest_qemu.py FOLDER [RELEASE]

downloads the newest one for this release from its backports, with the libraries
that it needs and the system lacks, and prints the path of a script that runs
it.  With RELEASE ("bullseye", "trixie") it is the newest one of that release,
with all its libraries and their loader.
"""
import os
import sys

import debian

LAUNCH = """#!/bin/sh
# Runs the QEMU that is unpacked beside this script.
root=$(dirname "$(readlink -f "$0")")/root
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu
export LD_LIBRARY_PATH QEMU_MODULE_DIR
exec "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" \\
    -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@"
"""

# The loader tells the program its own path as the program's, so QEMU finds
# nothing by itself.
LAUNCH_FOREIGN = """#!/bin/sh
# Runs the QEMU that is unpacked beside this script, which is of another release.
root=$(dirname "$(readlink -f "$0")")/root
QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu
export QEMU_MODULE_DIR
for loader in "$root"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \\
              "$root"/lib/x86_64-linux-gnu/ld-2.*.so; do
    [ -f "$loader" ] && break
done
exec "$loader" --library-path \\
    "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" \\
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" \\
    -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@"
"""
PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data",
            "seabios", "ipxe-qemu")


def finish(folder, launch):
    launcher = os.path.join(folder, "qemu-system-x86_64")
    with open(launcher, "w", encoding="utf-8") as f:
        f.write(launch)
    os.chmod(launcher, 0o755)
    debian.run(launcher, "--version")


def download(apt, folder):
    apt.unpack_with_dependencies(os.path.join(folder, "root"), "-t",
                                 apt.backports(), *PACKAGES)
    finish(folder, LAUNCH)


def merge_usr(root):
    """Make /lib and the like the links that base-files has in later releases."""
    for name in "lib", "lib64":
        if not os.path.exists(os.path.join(root, name)):
            os.symlink(os.path.join("usr", name), os.path.join(root, name))


def download_foreign(apt, folder):
    root = os.path.join(folder, "root")
    apt.unpack_whole(root, *apt.prefer_backports(), *PACKAGES)
    merge_usr(root)
    finish(folder, LAUNCH_FOREIGN)


def newest_qemu(cache):
    """The path of a script that runs it; debian.Unavailable if it cannot be
    had."""
    return os.path.join(debian.build_once(cache, "qemu", download),
                        "qemu-system-x86_64")


def qemu_of(cache, release):
    """The same, of another release."""
    return os.path.join(
        debian.build_once(cache, f"qemu-{release}", download_foreign, release),
        "qemu-system-x86_64")


def main():
    try:
        folder, *release = sys.argv[1:]
        print(qemu_of(folder, *release) if release else newest_qemu(folder))
    except debian.Unavailable as err:
        sys.exit(f"newest_qemu.py: {err}")


if __name__ == "__main__":
    main()
