# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest at one of two hosts with a libvirt each (libvirt_hosts.py).

It counts on its serial port: wherever it goes, no number may be missing, and
none come twice.
"""
import os
import sys
import unittest

import libvirt_hosts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop", "bench", "relay")]
import debian  # noqa: E402
import link  # noqa: E402
import linux_guest  # noqa: E402
from ferry_vm import wait_until  # noqa: E402
from qemu_vm import ticks  # noqa: E402
from relay_kit import BUILD  # noqa: E402

# QEMU under TCG loses writes where the length of RAM is a multiple of 64 pages
# (docs/testing.md); libvirt rounds it to such a one, so it is told to QEMU
# behind libvirt's back.
XML = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>guest</name>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <kernel>/guest/vmlinuz</kernel>
    <initrd>/guest/initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 write=32 pause=100000</cmdline>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='/run/ferry/serial'/></serial>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-m'/>
    <qemu:arg value='262152K'/>
    <qemu:arg value='-object'/>
    <qemu:arg value='memory-backend-ram,id=odd,size=262152K'/>
    <qemu:arg value='-machine'/>
    <qemu:arg value='memory-backend=odd'/>
  </qemu:commandline>
</domain>
"""


def linux():
    try:
        return linux_guest.LinuxGuest(os.path.join(BUILD, "interop"))
    except debian.Unavailable as err:
        raise unittest.SkipTest(f"this machine gets no Linux: {err}") from None


class Guest:
    """For a TestCase.  The guest is `here` before each test.  A test that fails
    may leave it anywhere: the next one has a new guest."""

    RELEASE = None
    make_host = libvirt_hosts.Host

    @classmethod
    def setUpClass(cls):
        root, guest = libvirt_hosts.prepare(BUILD, cls.RELEASE), linux()
        net = cls.net = cls.enterClassContext(link.Link())
        cls.hosts = []
        for name, prefix, address in (
                ("here", net.source, link.ADDRESSES[0]),
                ("there", net.destination, link.ADDRESSES[1])):
            host = cls.make_host(name, root, prefix, address,
                                 os.path.dirname(guest.kernel))
            cls.addClassCleanup(host.close)
            cls.hosts.append(host)
        cls.here, cls.there = cls.hosts
        for host in cls.hosts:
            host.wait_ready()
        cls.create_guest()

    @staticmethod
    def said(host):
        """What the guest says where it is."""
        with open(host.path("serial"), "rb") as f:
            return f.read()

    @classmethod
    def wait_ticks(cls, host):
        """The guest runs there."""
        before = len(ticks(cls.said(host)))
        wait_until(lambda: len(ticks(cls.said(host))) > before + 3,
                   f"guest that counts at {host.name}")

    def setUp(self):
        if not self.is_home():
            self.create_guest()

    @classmethod
    def count(cls, host):
        """What the guest has counted, now that it is there."""
        return ticks(cls.past + cls.said(host))

    @classmethod
    def is_home(cls):
        """The guest runs `here` and nowhere else, and has lost no number."""
        running = [host.virsh("list", "--name").split() for host in cls.hosts]
        defined = [host.virsh("list", "--all", "--persistent", "--name").split()
                   for host in cls.hosts]
        if running != [["guest"], []] or defined != [[], []]:
            return False
        count = cls.count(cls.here)
        return count == list(range(len(count)))

    @classmethod
    def create_guest(cls, xml=XML):
        """A new one, in place of all that there are."""
        for host in cls.hosts:
            for verb, which in (("destroy", ()),
                                ("undefine", ("--all", "--persistent"))):
                for name in host.virsh("list", "--name", *which).split():
                    host.virsh(verb, name)
            if os.path.exists(host.path("serial")):
                os.unlink(host.path("serial"))
        cls.past = b""  # what the guest said where it was before
        with open(cls.here.path("guest.xml"), "w", encoding="utf-8") as f:
            f.write(xml)
        cls.here.virsh("create", "/run/ferry/guest.xml")
        cls.wait_ticks(cls.here)

    def has_moved(self, source, destination):
        """It runs there, and has lost nothing."""
        self.assertEqual(source.virsh("list", "--name").split(), [])
        self.assertEqual(destination.virsh("list", "--name").split(),
                         ["guest"])
        type(self).past += self.said(source)
        self.wait_ticks(destination)
        count = self.count(destination)
        self.assertEqual(count, list(range(len(count))))
