# SPDX-License-Identifier: GPL-2.0-or-later
"""Drive QEMU processes as ferry_vm drives ferry-vm's.

    with QemuVm("qemu-system-x86_64", *guest.options()) as vm:
        vm.wait_tick(10)
        vm.save(path)
"""
import os
import re
import subprocess

import ferry_vm

TICK = re.compile(rb"^tick (\d+)\r?\n", re.M)


def odd_ram(mib):
    """Bytes of RAM for a guest that writes: no multiple of 64 pages, see "QEMU
    under TCG loses writes" in docs/testing.md."""
    return (mib << 20) + 8192


RAM = odd_ram(256)


def version(binary):
    """(7, 2) for QEMU 7.2.x; None where there is no such program."""
    try:
        text = subprocess.run([binary, "--version"], capture_output=True,
                              check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(int(n) for n in
                 re.search(r"version (\d+)\.(\d+)", text).groups())


def ticks(text):
    """The numbers that a Linux guest has counted on its console."""
    return [int(n) for n in TICK.findall(text)]


class QemuVm(ferry_vm.Vm):
    """QEMU under TCG, without any device but a serial port.  compress is
    QEMU's capability, which it has up to 9.0."""

    # Versioned: what "pc" stands for changes from release to release.
    MACHINE = "pc-i440fx-7.2"

    def __init__(self, binary, *args, mem=f"{RAM >> 10}K", compress=False):
        super().__init__(mem)
        self.start([binary, "-machine", self.MACHINE, "-accel", "tcg",
                    "-nodefaults", "-display", "none", "-no-reboot",
                    *self.common_options(args)])
        if compress:
            self.set_capability("compress")

    def wait_tick(self, count):
        """Wait until the guest has said more than count ticks here."""
        self.serial.wait_for(lambda text: len(ticks(text)) > count)

    def receive(self, uri, **parameters):
        """Listen at uri, with -incoming defer."""
        if parameters:
            self.set_parameters(**parameters)
        self.qmp("migrate-incoming", uri=uri)

    def save(self, path):
        """Migrate to a file.  The guest is stopped when this returns."""
        # QEMU does not wait for cat before it says that it has completed.
        self.qmp("migrate",
                 uri=f"exec:cat > {path}.part && mv {path}.part {path}")
        info = self.wait_migration("completed", "failed")
        if info["status"] == "failed":
            raise RuntimeError(f"QEMU could not save: {info}")
        ferry_vm.wait_until(lambda: os.path.exists(path), path)
        return info
