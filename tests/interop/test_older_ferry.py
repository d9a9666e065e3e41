# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests move between this version and 0.1, and through relays of both.

The guest is `ab`, which writes all the time, so that any page that is lost
shows (program_kit).  0.1 is built from this repository's history.
"""
import functools
import os
import sys

import interop_kit
import older_ferry
import tap
from ferry_vm import QmpError

sys.path[:0] = [os.path.join(interop_kit.ROOT, "tests", name)
                for name in ("program", "relay")]
import program_kit  # noqa: E402
from relay_kit import Relay  # noqa: E402

METHODS = (None, "zlib", "zstd", "lz4", "auto")


@functools.cache
def built():
    return interop_kit.attempt(older_ferry.older_ferry, interop_kit.ROOT,
                               interop_kit.CACHE)


class OlderFerry(program_kit.ProgramTest):
    def setUp(self):
        super().setUp()
        self.old = interop_kit.need(built(), f"Ferry {older_ferry.VERSION}")
        self.new = program_kit.BUILD

    def ways(self):
        """Both directions."""
        yield self.old, self.new
        yield self.new, self.old

    def set_method(self, vm, method):
        vm.set_capability("compress", method is not None)
        if method == "auto" and vm.build == self.old:
            method = "zlib"  # what it has as its default
        if method:
            vm.set_parameters(compress_method=method)

    def hop(self, homes, build, method, *capabilities):
        """Move the guest from the last of its homes to a program of that
        build."""
        uri = self.unix_uri(f"vm-{len(homes)}")
        dst = self.destination(uri, build=build)
        self.set_method(homes[-1], method)
        for name in capabilities:
            homes[-1].set_capability(name)
        self.move(homes[-1], uri)
        dst.wait_migration("completed")
        homes.append(dst)

    def test_there_and_back(self):
        """One guest, by each method in both directions."""
        for start, other in self.ways():
            homes = [self.source(build=start)]
            for method in METHODS:
                for build in other, start:
                    self.hop(homes, build, method)
                    self.check_runs(*homes)

    def test_verify(self):
        """Digests of RAM are compared in both directions."""
        for start, other in self.ways():
            homes = [self.source(build=start)]
            self.hop(homes, other, "lz4", "verify")
            self.check_runs(*homes)

    def test_xbzrle(self):
        """0.1 does not read it: no page is sent, and the guest goes on."""
        src = self.source()
        uri = self.unix_uri()
        self.destination(uri, build=self.old).killed = True
        src.set_capability("xbzrle")
        src.qmp("migrate", uri=uri)
        info = src.wait_migration("completed", "failed")
        self.assertEqual(info["status"], "failed")
        self.assertIn("too old for the capability xbzrle", info["error-desc"])
        self.check_runs(src)
        with self.assertRaises(QmpError):
            self.source(build=self.old).set_capability("xbzrle")

    # Through relays

    def relay(self, build, listen, connect, role):
        relay = Relay(
            self.folder, "--listen", self.unix_uri(listen), "--connect",
            self.unix_uri(connect), "--role", role, "--once", "--json",
            program=os.path.join(build, "tools", "relay", "ferry-relay"))
        self.addCleanup(relay.close)
        relay.wait_listening()
        return relay

    def check_relayed(self, vms, relays, method):
        """From one of vms to the other, through a pair of relays; each is the
        folder of a build."""
        src = self.source(build=vms[0])
        dst = self.destination(self.unix_uri("vm"), build=vms[1])
        pair = [self.relay(relays[1], "link", "vm", "receive"),
                self.relay(relays[0], "relay", "link", "send")]
        self.set_method(src, method)
        self.move(src, self.unix_uri("relay"))
        dst.wait_migration("completed")
        self.check_runs(src, dst)
        # Where one is of 0.1, or does not know the pages, the other may not
        # learn whether the stream was whole: unknown, but not failed.
        for relay in pair:
            self.assertIn(relay.wait(), (0, 2), relay.stderr())

    def each_relayed(self, vms, relays):
        """Without compression, which is what relays are for, and with pages
        that these may not know."""
        for method in None, "zlib", "zstd":
            with self.subTest(method=method):
                try:
                    self.check_relayed(vms, relays, method)
                finally:
                    self.doCleanups()
                    self.setUp()

    def test_relays_of_both(self):
        for relays in self.ways():
            self.each_relayed((self.new, self.new), relays)

    def test_all_of_both(self):
        for relays in self.ways():
            for vms in self.ways():
                self.each_relayed(vms, relays)

    def test_older_relays(self):
        self.each_relayed((self.new, self.new), (self.old, self.old))


if __name__ == "__main__":
    tap.main()
