#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A destination that is not Ferry, and may run the guest once it has read all:
whose the guest is then, and what a person can do."""
import os
import socket
import struct
import threading

import program_kit
import tap
from ferry_vm import QmpError, wait_until

# docs/stream.md, "The return path"
PONG = struct.pack(">HHI", 2, 4, 0x46525931)
SHUT_0, SHUT_1 = (struct.pack(">HHI", 1, 4, value) for value in (0, 1))
DESCRIPTION = b'{"page_size"'
TAIL = 1 << 16  # bytes at the end of the stream that have all of it


class Other:
    """It answers as QEMU does, reads, and says at the end what it is told."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.data = bytearray()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        self.peer = self.listener.accept()[0]
        self.peer.sendall(PONG)
        while data := self.peer.recv(1 << 20):
            self.data += data

    def has_all(self):
        tail = self.data[-TAIL:]
        at = tail.rfind(DESCRIPTION)
        if at < 0:
            return False
        length, = struct.unpack(">I", tail[at - 4:at])
        return len(tail) == at + length

    def end(self, *said):
        self.peer.sendall(b"".join(said))
        self.peer.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self):
        self.thread.join()
        self.peer.close()
        self.listener.close()


class Commit(program_kit.ProgramTest):
    mem = "8M"
    append = "ws=1"

    def setUp(self):
        super().setUp()
        self.other = Other(os.path.join(self.folder, "other"))
        self.src = self.source()
        self.src.qmp("migrate", uri=self.unix_uri("other"))
        wait_until(self.other.has_all, "the whole stream")

    def check_too_late(self):
        with self.assertRaises(QmpError) as caught:
            self.src.qmp("migrate_cancel")
        self.assertIn("Too late to cancel: the end is being sent or was",
                      str(caught.exception))
        self.assertIn("Too late to cancel", self.src.hmp("migrate_cancel"))
        self.assertEqual(self.src.migration()["status"], "device")

    def test_too_late_to_cancel(self):
        self.check_too_late()
        self.other.end(SHUT_0)
        self.src.wait_migration("completed")
        self.assertEqual(self.src.status(), "postmigrate")

    def test_it_failed(self):
        self.check_too_late()
        self.other.end(SHUT_1)
        self.src.wait_migration("failed")
        self.check_runs(self.src)

    def test_no_answer(self):
        self.other.end()
        info = self.src.wait_migration("failed")
        self.assertIn("nobody knows whether the destination runs the guest",
                      info["error-desc"])
        self.assertEqual(self.src.status(), "postmigrate")
        wait_until(lambda: "nobody knows" in self.src.stderr(), "the reason")
        # A person has made sure that it does not run there.
        self.src.qmp("cont")
        self.check_runs(self.src)


if __name__ == "__main__":
    tap.main()
