# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMUs that Ferry is compared with."""
import os
import sys

import vms

sys.path.insert(0, os.path.join(vms.ROOT, "tests", "interop"))
import debian  # noqa: E402
import newest_qemu  # noqa: E402
import qemu_vm  # noqa: E402

INSTALLED = "qemu-system-x86_64"


def find(build):
    """The paths of QEMU 7.2 and of the newest QEMU; None for what is not."""
    old = INSTALLED if qemu_vm.version(INSTALLED) == (7, 2) else None
    try:
        new = newest_qemu.newest_qemu(os.path.join(build, "interop"))
    except debian.Unavailable as err:
        print(f"no newer QEMU: {err}")
        new = None
    return old, new


def find_newest(build):
    """The path of the newest QEMU that Debian has for any release, or None."""
    try:
        return newest_qemu.qemu_of(os.path.join(build, "interop"), "trixie")
    except debian.Unavailable as err:
        print(f"no newest QEMU: {err}")
        return None
