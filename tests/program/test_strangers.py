#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Strangers at the port of a waiting machine do not end its wait."""
import os
import socket

import program_kit
import tap
from ferry_vm import TIMEOUT, free_port, wait_until

MANY = 100


class Strangers(program_kit.ProgramTest):
    mem = "16M"
    append = "ws=2"

    def connect(self, uri):
        kind, where = uri.split(":", 1)
        if kind == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(where)
        else:
            host, port = where.rsplit(":", 1)
            sock = socket.create_connection((host, int(port)))
        sock.settimeout(TIMEOUT)
        self.addCleanup(sock.close)
        return sock

    def check_hung_up(self, sock):
        try:
            self.assertEqual(sock.recv(1), b"")
        except ConnectionResetError:
            pass

    def says(self, dst, words):
        wait_until(lambda: words in dst.stderr(), words)

    def bother(self, dst, uri):
        """Touch it in every way; returns the silent peers, which stay."""
        self.connect(uri).close()
        self.says(dst, "it left without a word")
        garbage = self.connect(uri)
        garbage.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.check_hung_up(garbage)
        self.says(dst, "not a migration stream: magic 0x47455420")
        version = self.connect(uri)
        version.sendall(b"QEVM\0\0\0\2")
        self.check_hung_up(version)
        self.says(dst, "stream version 2, expected 3")
        silent = [self.connect(uri) for _ in range(MANY)]
        for sock in silent[-10::2]:  # which are still heard
            sock.sendall(b"QEV")
        self.assertEqual(dst.status(), "inmigrate")
        self.assertNotIn("status", dst.migration())
        return silent

    def check(self, uri, dst):
        silent = self.bother(dst, uri)
        src = self.source()
        self.move(src, uri)
        self.check_moved(src, dst)
        for sock in silent:
            self.check_hung_up(sock)
        self.assertIn(" was turned away: ", dst.stderr())
        with self.assertRaises(OSError):
            self.connect(uri)
        return dst

    def test_tcp(self):
        uri = f"tcp:127.0.0.1:{free_port()}"
        dst = self.check(uri, self.destination(uri, "-S"))
        self.assertRegex(dst.stderr(), r"127\.0\.0\.1:\d+ was turned away: "
                         rf"{uri}: it left without a word")

    def test_unix(self):
        uri = self.unix_uri()
        dst = self.check(uri, self.destination(uri, "-S"))
        self.assertIn(f"process {os.getpid()} of user {os.getuid()} was "
                      "turned away", dst.stderr())

    def test_hmp(self):
        uri = f"tcp:localhost:{free_port()}"
        dst = self.destination("defer", "-S")
        self.assertEqual(dst.hmp(f"migrate_incoming {uri}"), "")
        self.check(uri, dst)

    def test_qmp(self):
        dst = self.destination("defer", "-S")
        dst.qmp("migrate-incoming", uri=self.unix_uri())
        self.check(self.unix_uri(), dst)

    def test_quit(self):
        """With strangers at the door."""
        uri = f"tcp:127.0.0.1:{free_port()}"
        dst = self.destination(uri)
        silent = self.bother(dst, uri)
        self.assertEqual(dst.quit(), 0)
        for sock in silent:
            self.check_hung_up(sock)

    def test_threads_and_descriptors(self):
        """All that strangers cost is gone with them."""
        uri = f"tcp:127.0.0.1:{free_port()}"
        dst = self.destination(uri)

        def count(what):
            return len(os.listdir(f"/proc/{dst.process.pid}/{what}"))

        before = count("task"), count("fd")
        for sock in self.bother(dst, uri):
            sock.close()
        wait_until(lambda: (count("task"), count("fd")) == before,
                   f"{before} threads and descriptors")


if __name__ == "__main__":
    tap.main()
