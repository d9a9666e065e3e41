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
