# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd understands the units, has little to say against them, and lets the
relay do what it does."""
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from relay_kit import (RELAY, ROOT, RelayTest, receive_all,  # noqa: E402
                       sample_stream, sanitized)
import tap  # noqa: E402
from ferry_vm import TIMEOUT  # noqa: E402

UNITS = os.path.join(ROOT, "tools", "relay", "systemd")
EXPOSURE = "15"  # of 100, at most


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
class Units(RelayTest):
    def unit(self, name):
        """As it is installed, but with the program that was built."""
        with open(os.path.join(UNITS, name), encoding="utf-8") as f:
            text = f.read().replace("@bindir@", os.path.dirname(RELAY))
        path = self.path(name.removesuffix(".in"))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def analyze(self, *args):
        done = subprocess.run(["systemd-analyze", *args], text=True,
                              capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_verify(self):
        paths = [self.unit(name) for name in sorted(os.listdir(UNITS))
                 if not name.endswith(".conf")]
        self.assertEqual(self.analyze("verify", "--man=no", *paths), (0, ""))

    def test_security(self):
        for role in "send", "receive":
            path = self.unit(f"ferry-relay-{role}@.service.in")
            status, said = self.analyze("security", "--offline=true",
                                        f"--threshold={EXPOSURE}", path)
            self.assertEqual(status, 0, said)


def filter_set(name):
    """The calls of a set of systemd's, or of one of its members."""
    if not name.startswith("@"):
        return {name}
    shown = subprocess.run(["systemd-analyze", "syscall-filter", name],
                           check=True, text=True, stdout=subprocess.PIPE)
    members = [line.strip() for line in shown.stdout.splitlines()[1:]]
    return set().union(*(filter_set(member) for member in members
                         if member and not member.startswith("#")))


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
@unittest.skipUnless(shutil.which("strace"), "no strace")
@tap.only_if(not sanitized())  # sanitizers have calls of their own
class Calls(RelayTest):
    """A process that makes a call that its unit forbids is killed."""

    def allowed(self, role):
        path = os.path.join(UNITS, f"ferry-relay-{role}@.service.in")
        allowed = set()
        with open(path, encoding="utf-8") as f:
            for line in f:
                key, _, words = line.strip().partition("=")
                if key == "SystemCallFilter" and words.startswith("~"):
                    allowed -= set().union(*map(filter_set,
                                                words[1:].split()))
                elif key == "SystemCallFilter":
                    allowed |= set().union(*map(filter_set, words.split()))
        return allowed

    def traced(self, role, sock, target):
        """As systemd would start it; and the file of what it calls."""
        log = self.path(f"{role}.strace")
        process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", log, RELAY, "--stdio", "--role",
             role, "--connect", "unix:" + self.path(target)],
            stdin=sock, stdout=sock, stderr=subprocess.DEVNULL)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process, log

    def calls(self, log):
        with open(log, encoding="utf-8", errors="replace") as f:
            return set(re.findall(r"^\d+ +(\w+)\(", f.read(), re.M))

    def test_calls(self):
        data = sample_stream(random.Random(1), pages=30, return_path=False)
        link, vm = self.listen("link"), self.listen("vm")
        source, near = socket.socketpair()
        with source, near:
            source.sendall(data[:1])
            sender = self.traced("send", near, "link")
            receiver = self.traced("receive", self.accept(link), "vm")
            source.sendall(data[1:])
            source.shutdown(socket.SHUT_WR)
            near.close()
            destination = self.accept(vm)
            self.assertEqual(receive_all(destination), data)
            destination.close()
            self.assertEqual(source.recv(1), b"")
        for role, (process, log) in ("send", sender), ("receive", receiver):
            self.assertEqual(process.wait(TIMEOUT), 0)
            self.assertEqual(self.calls(log) - self.allowed(role), set())


if __name__ == "__main__":
    tap.main()
