#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Over a thin, long link what was promised is about what will be felt: nothing
is queued that does not count, and round trips do.

What is asserted are bytes and numbers that do not depend on how busy the
machine is; make bench measures the downtime.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys

import program_kit
import delay_link
from ferry_vm import wait_until
import tap

for folder in "tls", "relay":
    sys.path.insert(0, os.path.join(program_kit.ROOT, "tests", folder))
import certificates  # noqa: E402
from relay_kit import Relay  # noqa: E402

PORT = 4444
MBIT = 20
RTT_MS = 200
FLOOR_MS = 1.5 * RTT_MS   # the hand-over alone
MOST = 2 * 65536          # before the rate is known, and a piece of a write
USUAL = 49152             # half of 10 ms, 25,000 bytes, when a write begins
NOTSENT = re.compile(r"\bnotsent:(\d+)")
LOOKS = 20


class LongLink(program_kit.ProgramTest):
    mem = "16M"
    guest = "ws=8 rate=100 beat=10 fill=random"

    def setUp(self):
        super().setUp()
        self.link = delay_link.open_link(self, program_kit.BUILD, MBIT, RTT_MS)
        self.uri = f"tcp:{self.link.address}:{PORT}"

    def relay(self, side, listen, connect, role, resumes):
        relay = Relay(self.folder, "--listen", listen, "--connect", connect,
                      "--role", role, "--once",
                      resumes=resumes, preexec_fn=self.link.enter(side))
        self.addCleanup(relay.close)
        relay.wait_listening()

    def begun(self, to=None, at=None, **parameters):
        """A migration that is in the midst of RAM; over the link, unless it
        goes to one URI and the destination waits at another."""
        dst = self.start("-incoming", "defer", preexec_fn=self.link.enter(1))
        src = self.start("-kernel", program_kit.STRESS, "-append", self.guest,
                         "-S", preexec_fn=self.link.enter(0))
        src.qmp("cont")
        src.serial.wait_for(lambda text: text.count(b".") >= 10)
        src.set_parameters(max_bandwidth=0, **parameters)
        dst.set_parameters(tls_creds=parameters.get("tls_creds", ""))
        dst.qmp("migrate-incoming", uri=at or self.uri)
        src.qmp("migrate", uri=to or self.uri)
        wait_until(lambda: src.migration().get("ram", {}).get("transferred"),
                   "progress")
        return src, dst

    def unsent(self):
        """What waits in the source's socket."""
        said = subprocess.run(
            [*self.link.source, "ss", "-tinO", "dport", f"= :{PORT}"],
            check=True, capture_output=True, text=True).stdout
        self.assertIn(f":{PORT}", said)
        return sum(map(int, NOTSENT.findall(said)))

    def check_unsent(self, src):
        looks = []
        while len(looks) < LOOKS and src.migration()["status"] == "active":
            looks.append(self.unsent())
        print("# bytes not sent:", *looks)
        self.assertTrue(any(looks), "the link is never busy")
        self.assertLessEqual(max(looks), MOST)
        self.assertLessEqual(statistics.median(looks), USUAL)

    def test_queue(self):
        src, dst = self.begun()
        self.check_unsent(src)
        src.wait_migration("completed")
        dst.wait_migration("completed")

    def test_queue_tls(self):
        if not shutil.which("certtool"):
            self.skipTest("no certtool, to make certificates with")
        creds = os.path.join(self.folder, "creds")
        certificates.Authority(self.folder, "ca").folder(creds)
        src, dst = self.begun(tls_creds=creds, tls_hostname="localhost")
        self.check_unsent(src)
        src.wait_migration("completed")
        dst.wait_migration("completed")

    def test_queue_relay(self):
        """What a relay has written, too, may be what a guest waits for."""
        self.check_relays(resumes=False)

    def test_queue_line(self):
        """Also where it keeps what it has written."""
        self.check_relays(resumes=True)

    def check_relays(self, resumes):
        here, there = self.unix_uri("relay"), self.unix_uri("vm")
        self.relay(1, self.uri, there, "receive", resumes)
        self.relay(0, here, self.uri, "send", resumes)
        src, dst = self.begun(here, there)
        self.check_unsent(src)
        src.wait_migration("completed")
        dst.wait_migration("completed")

    def test_floor(self):
        """A limit that the round trips are more than: it is said, and the
        migration ends all the same."""
        src, dst = self.begun(downtime_limit=100)
        floors = []

        def look():
            info = src.migration()
            if "downtime-floor" in info:
                floors.append(info)
                floors.append(src.hmp("info migrate"))
            return info["status"] == "completed" or floors
        wait_until(look, "word of the floor")
        self.assertTrue(floors, "it is not said")
        info, text = floors[:2]
        self.assertGreaterEqual(info["downtime-floor"], FLOOR_MS)
        self.assertGreaterEqual(info["expected-downtime"],
                                info["downtime-floor"])
        self.assertIn("downtime-limit cannot be met", text)
        src.set_parameters(downtime_limit=2000000)
        self.assertNotIn("downtime-floor", src.migration())
        src.wait_migration("completed")
        dst.wait_migration("completed")


if __name__ == "__main__":
    tap.main()
