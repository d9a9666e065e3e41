#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest QEMU that Debian has for this release, beside the installed one.

    tests/interop/newest_qemu.py FOLDER

downloads it from the backports, with the libraries that it needs and the
system lacks, and prints the path of a script that runs it.
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


def download(apt, folder):
    apt.unpack_with_dependencies(
        os.path.join(folder, "root"), "-t", apt.backports(),
        "qemu-system-x86", "qemu-system-common", "qemu-system-data",
        "seabios", "ipxe-qemu")
    launcher = os.path.join(folder, "qemu-system-x86_64")
    with open(launcher, "w", encoding="utf-8") as f:
        f.write(LAUNCH)
    os.chmod(launcher, 0o755)
    debian.run(launcher, "--version")


def newest_qemu(cache):
    """The path of a script that runs it; debian.Unavailable if it cannot be
    had."""
    return os.path.join(debian.build_once(cache, "qemu", download),
                        "qemu-system-x86_64")


def main():
    try:
        print(newest_qemu(sys.argv[1]))
    except debian.Unavailable as err:
        sys.exit(f"newest_qemu.py: {err}")


if __name__ == "__main__":
    main()
