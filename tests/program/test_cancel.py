# SPDX-License-Identifier: GPL-2.0-or-later
"""migrate_cancel at any moment: soon the guest runs on where it was.

One guest is cancelled over and over, at random moments and where a migration
can be stuck, and in the end goes somewhere else unharmed.
"""
import functools
import os
import random
import socket
import struct
import time

import program_kit
import tap
from ferry_vm import QmpError, wait_until

# docs/stream.md, "The return path": a destination is there.
PONG = struct.pack(">HHI", 2, 4, 0x46525931)

# What is promised is one second.  A machine that is busy with other things can
# take longer without any fault of ours; a fault would be to wait for the peer
# or for a time-out of the network, which takes minutes or has no end.
SOON = 5

TOO_LATE = "Too late to cancel: the end is being sent or was, and the " \
    "destination may run the guest"

MOMENTS = 6
RATE = 4 << 20  # bytes/s: the working set takes about a second
SYN_SENT = "02"


def is_connecting(port):
    """Is somebody waiting for an answer from there?"""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == SYN_SENT
               for row in rows)


class Cancel(program_kit.ProgramTest):
    def setUp(self):
        super().setUp()
        self.src = self.source()
        self.src.set_capability("events")
        self.src.set_capability("pause-before-switchover")
        self.src.set_parameters(max_bandwidth=RATE)

    def start_round(self, uri="exec:cat > /dev/null", compress=False):
        """Begin a migration, which waits before its end."""
        self.src.set_capability("compress", compress)
        self.src.session.events.clear()
        self.src.qmp("migrate", uri=uri)

    def cancel(self, *other_ends):
        """Cancel, and check that it has been in time; the state after."""
        began = time.monotonic()
        self.src.qmp("migrate_cancel")
        ended = self.src.wait_migration("cancelled", *other_ends)["status"]
        self.assertLess(time.monotonic() - began, SOON)
        wait_until(lambda: self.states()[-1] == ended, "the event of the end")
        if ended == "cancelled":
            self.assertEqual(self.states()[-2:], ["cancelling", "cancelled"])
            self.assertEqual(self.src.status(), "running")
            self.run_on(self.src)
        return ended

    def states(self):
        """By their events."""
        self.src.qmp("query-status")  # brings them along
        return [e["data"]["status"] for e in self.src.session.events
                if e["event"] == "MIGRATION"]

    def check_unharmed(self):
        """The guest goes on somewhere else, with all that it has."""
        uri = self.unix_uri("second")
        dst = self.destination(uri, "-S")
        self.src.set_capability("pause-before-switchover", False)
        self.src.set_parameters(max_bandwidth=0)
        self.check_runs(self.src)
        self.move(self.src, uri)
        self.check_moved(self.src, dst)

    def test_random_moments(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        for n in range(MOMENTS):
            with self.subTest(round=n, seed=seed):
                until = chance.randrange(2 * RATE)
                self.start_round(compress=chance.choice([False, True]))
                wait_until(functools.partial(self.has_sent, until),
                           f"{until} bytes, or the end")
                self.cancel()
        self.check_unharmed()

    def has_sent(self, count):
        info = self.src.migration()
        return info["status"] == "pre-switchover" or \
            info.get("ram", {}).get("transferred", 0) >= count

    def test_at_once(self):
        self.start_round()
        self.cancel()
        self.check_unharmed()

    def test_connecting(self):
        """To an address from where nothing comes: its queue is full."""
        with socket.socket() as hole, socket.socket() as first:
            hole.bind(("127.0.0.1", 0))
            hole.listen(0)
            first.connect(hole.getsockname())
            port = hole.getsockname()[1]
            self.start_round(f"tcp:127.0.0.1:{port}")
            wait_until(lambda: is_connecting(port), "connecting")
            self.cancel()
        self.check_unharmed()

    def accepted(self, compress=False):
        """Begin a migration to a peer that just accepts the connection."""
        uri = self.unix_uri()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(uri[len("unix:"):])
            sock.listen()
            self.start_round(uri, compress)
            connection = sock.accept()[0]
        self.addCleanup(connection.close)
        return connection

    def test_no_answer(self):
        self.accepted().recv(4)
        self.assertEqual(self.src.migration()["status"], "setup")
        self.cancel()
        self.check_unharmed()

    def check_no_reader(self, compress):
        # At level 0 a channel cannot hold all of it.
        self.src.set_parameters(max_bandwidth=0, compress_level=0)
        self.accepted(compress).sendall(PONG)
        self.src.wait_migration("active")
        self.last_sent = 0
        wait_until(self.is_stuck, "a full channel", poll=0.1)
        self.cancel()
        self.check_unharmed()

    def is_stuck(self):
        """Was nothing sent between two looks?"""
        last = self.last_sent
        self.last_sent = self.src.migration()["ram"]["transferred"]
        return self.last_sent and self.last_sent == last

    def test_no_reader(self):
        """Stuck in a write."""
        self.check_no_reader(False)

    def test_no_reader_of_compressed(self):
        """And with threads that wait for the one that writes."""
        self.check_no_reader(True)

    def test_pre_switchover(self):
        """The guest has been stopped, and runs again."""
        self.src.set_parameters(max_bandwidth=0)
        self.start_round()
        self.src.wait_migration("pre-switchover")
        self.assertEqual(self.src.status(), "finish-migrate")
        self.cancel()
        self.check_unharmed()

    def test_switchover(self):
        """Just when it ends: one of the two, and never both."""
        self.src.set_parameters(max_bandwidth=0)
        self.start_round()
        self.src.wait_migration("pre-switchover")
        self.src.qmp("migrate-continue", state="pre-switchover")
        try:
            ended = self.cancel("completed")
        except QmpError as error:
            self.assertIn(TOO_LATE, str(error))
            ended = self.src.wait_migration("completed")["status"]
        if ended == "completed":
            self.assertEqual(self.src.status(), "postmigrate")
        else:
            self.check_unharmed()

    def check_too_late(self):
        self.assertEqual(self.src.hmp("migrate_cancel"),
                         f"Error: {TOO_LATE}\n")
        with self.assertRaisesRegex(QmpError, TOO_LATE):
            self.src.qmp("migrate_cancel")

    def test_too_late(self):
        """A command has got everything, and takes its time to end."""
        ends = self.folder + "/ends"
        os.mkfifo(ends)
        self.src.set_capability("pause-before-switchover", False)
        self.src.set_parameters(max_bandwidth=0)
        self.src.qmp("migrate",
                     uri=f"exec:cat > /dev/null; exec cat {ends}")
        with open(ends, "wb"):  # when all was read
            wait_until(lambda: self.src.migration()["status"] == "device",
                       "everything to be sent")
            self.check_too_late()
        self.src.wait_migration("completed")
        self.assertEqual(self.src.hmp("migrate_cancel"), "")


if __name__ == "__main__":
    tap.main()
