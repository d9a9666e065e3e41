#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Linux guest: Debian's cloud kernel, and an initramfs of busybox.

    tests/interop/linux_guest.py FOLDER

downloads what is missing in FOLDER and prints the options that run the guest
under QEMU.  It counts on its serial port, "tick 0", "tick 1" and so on,
several times a second.  On the kernel's command line

    write=MIB     it writes so much memory, over and over again, and says
                  "round 0", "round 1" and so on before each time
    pause=USEC    and waits that long after each MiB

What it writes is one half program text, a quarter each random and plain text,
so that it shrinks to about a half, as memory does.
"""
import glob
import os
import shlex
import shutil
import stat
import sys

import debian

INIT = r"""#!/bin/busybox sh
export PATH=/bin
write_piece() {
    dd if=/bin/busybox bs=64k count=8 skip=$((round % 16)) status=none
    dd if=/dev/urandom bs=64k count=4 status=none
    yes "round $round, piece $1" | head -c 262144
}
write_memory() {
    mount -t tmpfs none /data
    round=0
    while :; do
        echo "round $round"
        piece=0
        while [ $piece -lt $write ]; do
            write_piece $piece 1<>/data/$piece
            piece=$((piece + 1))
            [ -z "$pause" ] || usleep $pause
        done
        round=$((round + 1))
    done
}

/bin/busybox --install /bin
mount -t devtmpfs none /dev
[ -z "$write" ] || write_memory &
n=0
while :; do
    echo "tick $n"
    n=$((n + 1))
    usleep 100000
done
"""


def cpio_entry(number, name, mode, data=b"", device=(0, 0)):
    """One file of an archive in the format "newc"."""
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, *device,
              len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + \
        name.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (head, data))


def initramfs(busybox):
    folder, program, node = (stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755,
                             stat.S_IFCHR | 0o600)
    files = [("bin", folder), ("data", folder), ("dev", folder),
             ("dev/console", node, b"", (5, 1)),
             ("bin/busybox", program, busybox),
             ("init", program, INIT.encode()), ("TRAILER!!!", 0)]
    return b"".join(cpio_entry(n, *f) for n, f in enumerate(files))


def download(apt, folder):
    root = os.path.join(folder, "root")
    kernels = [p for p in apt.depends_on("linux-image-cloud-amd64")
               if p.startswith("linux-image-")]
    if not kernels:
        raise debian.Unavailable("no package of the cloud kernel")
    apt.unpack(root, kernels[0], "busybox-static")
    kernel, = glob.glob(f"{root}/boot/vmlinuz-*")
    os.rename(kernel, os.path.join(folder, "vmlinuz"))
    os.rename(os.path.join(root, "bin", "busybox"),
              os.path.join(folder, "busybox"))
    shutil.rmtree(root)


class LinuxGuest:
    def __init__(self, cache):
        """Download it, unless cache has it; debian.Unavailable if it cannot
        be had."""
        folder = debian.build_once(cache, "linux", download)
        self.kernel = os.path.join(folder, "vmlinuz")
        self.initramfs = os.path.join(folder, "initramfs")
        with open(os.path.join(folder, "busybox"), "rb") as f:
            content = initramfs(f.read())
        scratch = f"{self.initramfs}.{os.getpid()}"
        with open(scratch, "wb") as f:
            f.write(content)
        os.replace(scratch, self.initramfs)

    def options(self, **append):
        """QEMU's, with append on the kernel's command line."""
        words = ["console=ttyS0", "quiet", "panic=-1",
                 *(f"{k}={v}" for k, v in append.items())]
        return ["-kernel", self.kernel, "-initrd", self.initramfs,
                "-append", " ".join(words)]


def main():
    try:
        print(shlex.join(LinuxGuest(sys.argv[1]).options()))
    except debian.Unavailable as err:
        sys.exit(f"linux_guest.py: {err}")


if __name__ == "__main__":
    main()
