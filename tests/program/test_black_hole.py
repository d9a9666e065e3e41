#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A network that swallows everything, without a word to anybody.

Two machines in network namespaces of their own, and a router between them that
stops to forward in the midst of a migration.  The source gives up by
stall-timeout; and where that is off, by the socket's own time limit, as the
destination does, which has nothing else: so this takes a minute.
"""
import ctypes
import os
import subprocess
import sys

import program_kit
import tap

CLONE_NEWNET = 0x40000000
# A source that begins, and goes on when it is told to: the header, and then
# "who are you".
SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    s.sendall(b"QEVM\\0\\0\\0\\3")
    print("begun", flush=True)
    sys.stdin.readline()
    name = b"ferry"
    s.sendall(b"\\7" + len(name).to_bytes(4, "big") + name +
              b"\\10\\0\\1\\0\\0" + b"\\10\\0\\2\\0\\4FRY1")
    sys.stdin.read()
"""
PORT = 4444


def run(*args):
    subprocess.run(args, check=True, capture_output=True)


def run_in(name, *args):
    """In a namespace.  Unlike "ip netns exec", which mounts a /sys, nsenter
    does it in a chroot, too."""
    run("nsenter", f"--net=/run/netns/{name}", *args)


class Network:
    """source - router - destination; its names are this process's own."""

    def __init__(self):
        self.names = {end: f"ferry-{os.getpid()}-{end}"
                      for end in ("src", "router", "dst")}
        for name in self.names.values():
            run("ip", "netns", "add", name)

    def join(self):
        for number, end in enumerate(("src", "dst"), 1):
            self._join(end, f"192.0.2.{64 * number}")
        self.forward(True)

    def _join(self, end, net):
        """A wire from end to the router."""
        base, _, low = net.rpartition(".")
        here, there = (f"{base}.{int(low) + i}" for i in (1, 2))
        name, router = self.names[end], self.names["router"]
        run("ip", "link", "add", "wire", "netns", name, "type", "veth",
            "peer", "name", end, "netns", router)
        for where, dev, address in ((name, "wire", here),
                                    (router, end, there)):
            run_in(where, "ip", "addr", "add", f"{address}/26", "dev", dev)
            run_in(where, "ip", "link", "set", dev, "up")
        run_in(name, "ip", "route", "add", "default", "via", there)

    def forward(self, on):
        run_in(self.names["router"], "sh", "-c",
               f"echo {int(on)} > /proc/sys/net/ipv4/ip_forward")

    def enter(self, end):
        """What a child calls before it becomes a machine."""
        fd = os.open(f"/run/netns/{self.names[end]}", os.O_RDONLY)
        libc = ctypes.CDLL(None)

        def call():
            if libc.setns(fd, CLONE_NEWNET):
                os._exit(1)
        return call

    def forget(self, end):
        """Let the router swallow what is for that end, and nothing else."""
        run_in(self.names["router"], "ip", "route", "replace", "blackhole",
               f"192.0.2.{64 * (1 + (end == 'dst')) + 1}/32")

    def remove(self):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False,
                           capture_output=True)


class BlackHole(program_kit.ProgramTest):
    mem = "8M"
    append = "ws=1"
    uri = f"tcp:192.0.2.129:{PORT}"

    def setUp(self):
        super().setUp()
        try:
            self.network = Network()
        except (OSError, subprocess.CalledProcessError) as err:
            self.skipTest(f"this machine makes no network namespaces: {err}")
        self.addCleanup(self.network.remove)
        self.network.join()

    def begun(self):
        dst = self.destination(self.uri,
                               preexec_fn=self.network.enter("dst"))
        src = self.source(preexec_fn=self.network.enter("src"))
        return src, dst

    def lose(self, src):
        self.begin_slow_move(src, self.uri)
        self.network.forward(False)

    def check_given_up(self, src, words):
        info = src.wait_migration("failed")
        self.assertIn(words, info["error-desc"])
        self.check_runs(src)

    def test_answer_is_lost(self):
        """The destination has answered, and nobody has acknowledged that:
        then no keep-alive is sent."""
        dst = self.destination(self.uri,
                               preexec_fn=self.network.enter("dst"))
        source = subprocess.Popen(
            [sys.executable, "-c", SOURCE, "192.0.2.129", str(PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=self.network.enter("src"))
        self.addCleanup(source.communicate)
        self.addCleanup(source.kill)
        self.assertEqual(source.stdout.readline(), "begun\n")
        self.network.forget("src")
        source.stdin.write("\n")
        source.stdin.flush()
        self.check_refused(dst, "timed out")

    def test_stall_timeout(self):
        src, dst = self.begun()
        src.set_parameters(stall_timeout=1)
        self.lose(src)
        src.set_parameters(max_bandwidth=0)
        self.check_given_up(src, "nothing for 1 seconds")
        self.kill(dst)

    def test_without_stall_timeout(self):
        """Without the limit the user ends the migration; the destination's
        keep-alive finds out."""
        src, dst = self.begun()
        src.set_parameters(stall_timeout=0)
        self.lose(src)
        self.check_refused(dst, "timed out")
        self.assertEqual(src.migration()["status"], "active")
        src.qmp("migrate_cancel")
        src.wait_migration("cancelled")
        self.check_runs(src)


if __name__ == "__main__":
    tap.main()
