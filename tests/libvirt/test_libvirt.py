#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/relay.md's recipes for libvirt, as they are written there.

Two hosts with a libvirt each (libvirt_hosts.py), a sending and a receiving
relay on both, and a Linux guest that counts on its serial port: wherever it
goes, no number may be missing, and none come twice.
"""
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import unittest

import libvirt_hosts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop", "bench", "relay")]
import debian  # noqa: E402
import link  # noqa: E402
import linux_guest  # noqa: E402
import tap  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402
from qemu_vm import ticks  # noqa: E402
from relay_kit import BUILD, RELAY, Relay  # noqa: E402

# QEMU under TCG loses writes where the length of RAM is a multiple of 64 pages
# (docs/testing.md); libvirt rounds it to such a one, so it is told to QEMU
# behind libvirt's back.
GUEST = """
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
ONE_WAY = ("--migrateuri", "tcp://127.0.0.1:4440",
           "--listen-address", "127.0.0.1")
BOTH_WAYS = ("--migrateuri", "tcp://127.0.0.2:4440",
             "--listen-address", "127.0.0.1")


def linux():
    try:
        return linux_guest.LinuxGuest(os.path.join(BUILD, "interop"))
    except debian.Unavailable as err:
        raise unittest.SkipTest(f"this machine gets no Linux: {err}") from None


class Recipes:
    """The guest is `here` before each test.  A test that fails may leave it
    anywhere: the next one has a new guest."""

    RELEASE = None

    @classmethod
    def setUpClass(cls):
        root, guest = libvirt_hosts.prepare(BUILD, cls.RELEASE), linux()
        net = cls.enterClassContext(link.Link())
        cls.hosts = []
        for name, prefix, address in (
                ("here", net.source, link.ADDRESSES[0]),
                ("there", net.destination, link.ADDRESSES[1])):
            host = libvirt_hosts.Host(name, root, prefix, address,
                                      os.path.dirname(guest.kernel))
            cls.addClassCleanup(host.close)
            cls.hosts.append(host)
        cls.here, cls.there = cls.hosts
        for host in cls.hosts:
            host.wait_ready()
        with open(cls.here.path("guest.xml"), "w", encoding="utf-8") as f:
            f.write(GUEST)
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
        self.relays = []
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
    def create_guest(cls):
        for host in cls.hosts:
            for verb, which in (("destroy", ()),
                                ("undefine", ("--all", "--persistent"))):
                for name in host.virsh("list", "--name", *which).split():
                    host.virsh(verb, name)
            if os.path.exists(host.path("serial")):
                os.unlink(host.path("serial"))
        cls.past = b""  # what the guest said where it was before
        cls.here.virsh("create", "/run/ferry/guest.xml")
        cls.wait_ticks(cls.here)

    def start_relays(self, source, destination, send, receive):
        """What serves one direction."""
        relays = []
        for host, role, listen, connect in (
                (source, "send", send, f"tcp:{destination.address}:4444"),
                (destination, "receive", "tcp:0.0.0.0:4444", receive)):
            relay = Relay(host.folder, "--role", role, "--listen", listen,
                          "--connect", connect, "--json", prefix=host.prefix)
            self.addCleanup(relay.close)
            relay.wait_listening()
            relays.append(relay)
            self.relays.append(relay)
        return relays

    def relays_both_ways(self):
        """The two that lead there, and the two that lead back."""
        return [self.start_relays(*ends, "tcp:127.0.0.2:4440",
                                  "tcp:127.0.0.1:4440")
                for ends in (self.hosts, self.hosts[::-1])]

    @staticmethod
    def start_migration(source, destination, *args):
        return source.start_virsh("migrate", "--live", "guest",
                                  f"qemu+tcp://{destination.address}/system",
                                  *args)

    def move(self, source, destination, *args):
        """Move the guest, and look at what it says."""
        process = self.start_migration(source, destination, *args)
        errors = process.communicate(timeout=TIMEOUT)[1]
        self.assertEqual(process.returncode, 0,
                         errors + "".join(r.stderr() for r in self.relays))
        self.assertEqual(source.virsh("list", "--name").split(), [])
        self.assertEqual(destination.virsh("list", "--name").split(),
                         ["guest"])
        type(self).past += self.said(source)
        self.wait_ticks(destination)
        count = self.count(destination)
        self.assertEqual(count, list(range(len(count))))

    def migrate(self, source, destination, relays, *args):
        """Move the guest, and look at what the relays say as well."""
        before = [len(relay.reports()) for relay in relays]
        self.move(source, destination, *args)
        for relay, number in zip(relays, before):
            report = self.report(relay, number)
            self.assertEqual(report["status"], "completed", report)
            self.assertGreater(report["pages"], 1000, report)
            self.assertGreater(report["ratio"], 1.2, report)
            if report["role"] == "send":  # libvirt turns it on by itself
                self.assertTrue(report["return-path"])

    @staticmethod
    def report(relay, number):
        """What a relay says at the end of that migration of its."""
        wait_until(lambda: len(relay.reports()) > number, "report of a relay")
        return relay.reports()[number]

    def move_home(self):
        """Without relays."""
        self.move(self.there, self.here, "--migrateuri",
                  f"tcp://{self.here.address}")

    def test_there_and_back(self):
        there, back = self.relays_both_ways()
        self.migrate(self.here, self.there, there, "--p2p", *BOTH_WAYS)
        self.migrate(self.there, self.here, back, *BOTH_WAYS)

    def migrate_alone(self, *args):
        """ferry-migrate at `here`: its end.  It is this machine's, in the
        host's network; virsh is the host's, and ssh enters the other's
        network."""
        folder = tempfile.TemporaryDirectory(prefix="ferry-")
        self.addCleanup(folder.cleanup)
        pid = self.here.first_process()
        for name, command in (
                ("virsh", ["nsenter", "--target", pid, "--all", "--root",
                           "--wd", "virsh"]),
                ("ssh", [*self.there.prefix,
                         os.path.join(ROOT, "tests/migrate/fakes/ssh")]),
                ("ferry-relay", [RELAY])):
            path = os.path.join(folder.name, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            os.chmod(path, 0o755)
        return subprocess.Popen(
            [*self.here.prefix, os.path.join(BUILD, "tools", "migrate",
                                             "ferry-migrate"),
             "guest", f"qemu+tcp://{self.there.address}/system", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "FAKE": folder.name, "RELAY": RELAY,
                 "FAR": "127.0.0.1", "LC_ALL": "C",
                 "PATH": f"{folder.name}:{os.environ['PATH']}"})

    def test_ferry_migrate(self):
        """Tried, aborted, moved."""
        said = self.finish(self.migrate_alone("--dry-run"), 0)
        self.assertIn("'guest', running", said)
        process = self.migrate_alone("--bandwidth", "1")
        wait_until(lambda: re.search(
            r"^Memory processed: +\S+ MiB", self.here.virsh(
                "domjobinfo", "guest"), re.M), "memory on its way", poll=0.2)
        process.send_signal(signal.SIGINT)
        said = self.finish(process, 130)
        self.assertIn("aborted: 'guest' stays here, running\n", said)
        self.assertEqual(self.there.virsh("list", "--name").split(), [])
        self.wait_ticks(self.here)
        self.move_alone()

    def move_alone(self, *args):
        said = self.finish(self.migrate_alone(*args), 0)
        self.assertRegex(said, r"Migration: \[ *100\S* %\]")
        self.assertRegex(said, r"'guest' moved to \S+ in .* \(ratio [1-9]")
        type(self).past += self.said(self.here)
        self.wait_ticks(self.there)
        count = self.count(self.there)
        self.assertEqual(count, list(range(len(count))))
        self.move_home()

    def test_ferry_migrate_parallel(self):
        self.move_alone("--p2p", "--parallel", "--parallel-connections", "2")

    def finish(self, process, status):
        said = process.communicate(timeout=TIMEOUT)[0]
        self.assertEqual(process.returncode, status, said)
        return said

    def test_persistent(self):
        moves = zip((self.hosts, self.hosts[::-1]), self.relays_both_ways())
        for (source, destination), relays in moves:
            self.migrate(source, destination, relays, "--p2p", "--persistent",
                         "--undefinesource", *BOTH_WAYS)
            self.assertEqual(source.virsh("list", "--all", "--name").split(),
                             [])
            self.assertEqual(
                destination.virsh("list", "--persistent", "--name").split(),
                ["guest"])
        self.here.virsh("undefine", "guest")

    def test_one_way(self):
        """An attempt is aborted; the next one succeeds."""
        sender, receiver = self.start_relays(
            *self.hosts, "tcp:127.0.0.1:4440", "tcp:127.0.0.1:4440")
        process = self.start_migration(*self.hosts, "--p2p", "--bandwidth",
                                       "1", *ONE_WAY)
        wait_until(lambda: re.search(
            r"^Memory processed: +\S+ MiB", self.here.virsh(
                "domjobinfo", "guest"), re.M), "memory on its way", poll=0.2)
        self.here.virsh("domjobabort", "guest")
        process.communicate(timeout=TIMEOUT)
        self.assertNotEqual(process.returncode, 0)
        self.assertEqual(self.there.virsh("list", "--name").split(), [])
        self.wait_ticks(self.here)
        for relay in sender, receiver:
            self.assertEqual(self.report(relay, 0)["status"], "failed")
        self.migrate(*self.hosts, (sender, receiver), "--p2p", *ONE_WAY)
        self.move_home()

    def test_unix_sockets(self):
        """One path for each direction, in a folder of QEMU's user."""
        for source, destination in self.hosts, self.hosts[::-1]:
            name = f"{destination.name}.sock"
            relays = self.start_relays(source, destination,
                                       "unix:" + source.path(name),
                                       "unix:" + destination.path(name))
            self.migrate(source, destination, relays, "--p2p",
                         "--migrateuri", f"unix:///run/ferry/{name}")


class Bookworm(Recipes, unittest.TestCase):
    """libvirt 9.0, QEMU 7.2."""
    RELEASE = "bookworm"


class Trixie(Recipes, unittest.TestCase):
    """libvirt 11.3, QEMU 10.0."""
    RELEASE = "trixie"

    def test_postcopy(self):
        """libvirt turns on postcopy-preempt by itself: QEMU has a second
        connection, on which it says nothing for long."""
        if not os.path.exists("/dev/userfaultfd"):
            self.skipTest("this machine has no /dev/userfaultfd")
        relays = self.start_relays(*self.hosts, "tcp:127.0.0.1:4440",
                                   "tcp:127.0.0.1:4440")
        # So slow that there is something left after the first pass.
        self.move(*self.hosts, "--p2p", "--postcopy",
                  "--postcopy-after-precopy", "--bandwidth", "10", *ONE_WAY)
        for relay in relays:
            self.report(relay, 1)  # there are two
            self.assertIn("completed", [report["status"]
                                        for report in relay.reports()])
        # What it begins with depends on the page that is asked for first.
        self.assertIn("the peer says nothing, as QEMU's second connection for "
                      "postcopy-preempt does", relays[0].stderr())
        self.move_home()

    def test_ferry_migrate_postcopy(self):
        """Its second connection is another ssh."""
        if not os.path.exists("/dev/userfaultfd"):
            self.skipTest("this machine has no /dev/userfaultfd")
        self.move_alone("--postcopy", "--postcopy-after-precopy",
                        "--bandwidth", "10")


if __name__ == "__main__":
    tap.main()
