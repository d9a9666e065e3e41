# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests against other people's binaries share.

Where they cannot be had, a test says why and is skipped.
"""
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name) for name in ("lib", "wire")]
import debian  # noqa: E402
import newest_qemu  # noqa: E402
import qemu_vm  # noqa: E402
import read_stream  # noqa: E402
from ferry_vm import TIMEOUT, differing_pages  # noqa: E402
from linux_guest import LinuxGuest  # noqa: E402
from qemu_vm import QemuVm  # noqa: E402

BUILD = os.environ.get("FERRY_BUILD", os.path.join(ROOT, "build"))
CACHE = os.path.join(BUILD, "interop")
FERRY_INSPECT = os.path.join(BUILD, "tools", "inspect", "ferry-inspect")
SEND_GUEST = os.path.join(BUILD, "tests", "interop", "send-guest")
INSTALLED = "qemu-system-x86_64"
COMPRESSES = (7, 2)  # the version of QEMU whose compress we are held to


@functools.cache
def installed_qemu():
    """QEMU 7.2, which has compress; None where another or none is here."""
    return INSTALLED if qemu_vm.version(INSTALLED) == COMPRESSES else None


def attempt(get, *args):
    """What get(*args) returns, and "", or None and why not."""
    try:
        return get(*args), ""
    except debian.Unavailable as err:
        return None, str(err)


@functools.cache
def linux_guest():
    return attempt(LinuxGuest, CACHE)


@functools.cache
def unpacked_qemu():
    return attempt(newest_qemu.newest_qemu, CACHE)


def need(found, what):
    value, why = found
    if not value:
        raise unittest.SkipTest(f"this machine gets no {what}: {why}")
    return value


def need_guest():
    return need(linux_guest(), "Linux guest")


def need_qemu():
    version = qemu_vm.version(INSTALLED)
    if not version:
        raise unittest.SkipTest(f"no {INSTALLED}")
    return need((installed_qemu(), f"it has {version}"), "QEMU 7.2")


def need_newest_qemu():
    return need(unpacked_qemu(), "QEMU of the backports")


class InteropTest(unittest.TestCase):
    """A test with a folder of its own, and what it needs from outside."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="ferry-interop-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_qemu(self, *args, **kwargs):
        vm = QemuVm(*args, **kwargs)
        self.addCleanup(vm.close)
        return vm

    def assert_completed(self, vm):
        info = vm.wait_migration("completed", "failed")
        self.assertEqual(info["status"], "completed")

    def assert_same_ram(self, one, other):
        """Two files with RAM are equal, byte for byte."""
        self.assertEqual(differing_pages(one, other)[:10], [])

    def assert_consecutive(self, text):
        """A guest has counted on its console without a gap."""
        ticks = qemu_vm.ticks(text)
        self.assertTrue(ticks)
        self.assertEqual(ticks, list(range(ticks[0], ticks[-1] + 1)))


class SendTest(InteropTest):
    """A test that sends a guest from self.laid_out with send-guest."""

    laid_out = None  # a folder, as saved_guest.lay_out() makes them

    def receive(self, vm, **parameters):
        """Let a QEMU with -incoming defer wait for a guest; where."""
        uri = f"unix:{vm.path('incoming')}"
        vm.receive(uri, **parameters)
        return uri

    def send(self, uri, *options, **environment):
        """Run send-guest; its report."""
        done = subprocess.run(
            [SEND_GUEST, self.laid_out, uri, *options], capture_output=True,
            text=True, timeout=TIMEOUT, env={**os.environ, **environment})
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)
