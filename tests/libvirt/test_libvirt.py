#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/relay.md's recipes for libvirt, as they are written there.

Two hosts with a libvirt each (libvirt_hosts.py), a sending and a receiving
relay on both, and a Linux guest that counts on its serial port: wherever it
goes, no number may be missing, and none come twice.
"""
import os
import re
import sys
import unittest

import libvirt_guest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop", "bench", "relay")]
import tap  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402
from relay_kit import Relay  # noqa: E402

ONE_WAY = ("--migrateuri", "tcp://127.0.0.1:4440",
           "--listen-address", "127.0.0.1")
BOTH_WAYS = ("--migrateuri", "tcp://127.0.0.2:4440",
             "--listen-address", "127.0.0.1")


class Recipes(libvirt_guest.Guest):
    def setUp(self):
        super().setUp()
        self.relays = []

    def start_relays(self, source, destination, send, receive):
        """What serves one direction."""
        relays = []
        for host, role, listen, connect in (
                (source, "send", send, f"tcp:{destination.address}:4444"),
                (destination, "receive", "tcp:0.0.0.0:4444", receive)):
            relay = Relay(host.folder, "--role", role, "--listen", listen,
                          "--connect", connect, "--json", prefix=host.prefix,
                          resumes=True)
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
        self.has_moved(source, destination)

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
            report = self.report(relay, 0)
            self.assertEqual(report["status"], "completed")
            self.assertEqual(report["connections"], 2)
        # What it begins with depends on the page that is asked for first.
        self.assertIn("the peer says nothing, as QEMU's second connection for "
                      "postcopy-preempt does", relays[0].stderr())
        self.move_home()


if __name__ == "__main__":
    tap.main()
