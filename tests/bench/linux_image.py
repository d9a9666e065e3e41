#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a RAM image by running Linux, stopped when it has filled its memory.

    tests/bench/linux_image.py OUT SIZE_MIB CACHE

The file is the guest's RAM itself: what the guest never touched is a hole.  The
guest has Debian's kernel, and an initramfs that is mostly files of this
machine, which Linux unpacks into memory.  So memory has about what it has in a
guest that has been at work: programs, text, and things that are compressed
already.  But nearly a quarter of the pages that are not zero are full of 0xcc,
with which Linux overwrites the memory of the archive as it frees it.
"""
import gzip
import os
import stat
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop")]
import debian  # noqa: E402
import linux_guest  # noqa: E402
import qemu_vm  # noqa: E402
import ram_image  # noqa: E402

# Of the memory; with the archive and the kernel it makes the 22% that were not
# zero in a guest that had booted and read some files.
FILES = 0.13
BOOT_LIMIT = 600  # seconds: an emulated CPU unpacks the archive
QEMU = "qemu-system-x86_64"


def archive(size):
    """Files of this machine, size bytes of them, as cpio.gz."""
    folder, file = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644
    parts = [linux_guest.cpio_entry(0, "files", folder)]
    for data in ram_image.contents(ram_image.candidates()):
        number = len(parts)
        parts.append(linux_guest.cpio_entry(number, f"files/{number}", file,
                                            data[:size]))
        size -= len(data)
        if size <= 0:
            break
    parts.append(linux_guest.cpio_entry(0, "TRAILER!!!", 0))
    return gzip.compress(b"".join(parts), 1)


def build(path, mib, qemu, cache):
    """Write an image of mib MiB; debian.Unavailable where it cannot be."""
    if not qemu_vm.version(qemu):
        raise debian.Unavailable(f"there is no {qemu}")
    guest = linux_guest.LinuxGuest(cache)
    initramfs = path + ".initramfs"
    with open(guest.initramfs, "rb") as first, open(initramfs, "wb") as f:
        f.write(first.read() + archive(int((mib << 20) * FILES)))
    guest.initramfs = initramfs
    memory = ["-object", f"memory-backend-file,id=ram,size={mib}M,"
              f"mem-path={path},share=on", "-machine", "memory-backend=ram"]
    try:
        with qemu_vm.QemuVm(qemu, *guest.options(), *memory,
                            mem=f"{mib}M") as vm:
            vm.serial.wait_for(lambda text: len(qemu_vm.ticks(text)) > 10,
                               BOOT_LIMIT)
            vm.qmp("stop")
    finally:
        os.unlink(initramfs)


def main():
    path, mib, cache = sys.argv[1:]
    try:
        build(path, int(mib), QEMU, cache)
    except debian.Unavailable as err:
        sys.exit(f"linux_image.py: {err}")


if __name__ == "__main__":
    main()
