# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no stream of QEMU's: memory as other VMMs send it, and NBD, whose
server speaks first.  The VMMs are pretended, in the shape that their streams
have; the NBD servers and clients are real ones."""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from breaking_link import BreakingChain, BreakingLink  # noqa: E402
from relay_kit import RELAY, Chain, RelayTest, receive  # noqa: E402
import tap  # noqa: E402
from ferry_vm import TIMEOUT, methods, wait_until  # noqa: E402

PAGE = 4096
RAM = 8 << 20


def guest_ram(seed):
    """Text, zeros, and an eighth of noise."""
    rand = random.Random(seed)
    words = [rand.randbytes(rand.randrange(3, 9)) for _ in range(500)]
    text = b"".join(rand.choices(words, k=RAM // 10))
    pages = []
    for i in range(RAM // PAGE):
        kind = i % 8
        at = rand.randrange(len(text) - PAGE)
        pages.append(rand.randbytes(PAGE) if kind == 0 else
                     bytes(PAGE) if kind < 3 else text[at:at + PAGE])
    return b"".join(pages)


# Each is a list of turns: who speaks, and what.

def raw(ram):
    return [("source", ram)]


def cloud_hypervisor(ram):
    """Requests of 16 bytes with what belongs to them, and an answer to each;
    memory by tables of ranges, and what was written once more."""
    def ask(command, body=b"", length=None):
        return [("source", struct.pack("<H6xQ", command, len(body)
                                       if length is None else length) + body),
                ("destination", struct.pack("<H6xQ", 1, 0))]

    def memory(ranges):
        table = b"".join(struct.pack("<QQ", at, size) for at, size in ranges)
        return ask(4, table + b"".join(ram[at:at + size]
                                       for at, size in ranges), len(table))

    rand = random.Random(1)
    again = [(rand.randrange(RAM // PAGE) * PAGE, PAGE) for _ in range(100)]
    config = json.dumps({"cpus": {"boot_vcpus": 2}, "memory": RAM}).encode()
    return (ask(1) + ask(2, config) + memory([(0, RAM // 2),
                                              (RAM // 2, RAM // 2)]) +
            memory(again) + ask(3, rand.randbytes(30000)) + ask(5))


def firecracker(ram):
    """A snapshot: the state of devices, with a checksum, and raw memory."""
    rand = random.Random(2)
    return [("source", struct.pack("<QQ", 0x0710_1984_8664_0000, 1) +
             rand.randbytes(20000)), ("source", ram)]


def bhyve(ram):
    """What both ends have, and then pages by numbers, in chunks that the
    destination answers."""
    turns = [("source", b"bhyve".ljust(256, b"\0") +
              struct.pack("<QQ", RAM, PAGE)), ("destination", b"\1\0\0\0")]
    for at in range(0, RAM, 512 * PAGE):
        numbers = range(at // PAGE, min(at + 512 * PAGE, RAM) // PAGE)
        turns += [("source", struct.pack(f"<I{len(numbers)}Q", len(numbers),
                                         *numbers) + ram[at:at + 512 * PAGE]),
                  ("destination", struct.pack("<I", len(numbers)))]
    return turns


def xen(ram):
    """libxc's stream, version 2: a head, and records of 8 bytes and a body."""
    out = [b"\xff" * 8 + b"XENF" + struct.pack(">IHHI", 2, 0, 0, 0),
           struct.pack("<IHHII", 2, 12, 0, 4, 17)]

    def record(kind, body):
        out.append(struct.pack("<II", kind, len(body)) + body +
                   bytes(-len(body) % 8))

    for at in range(0, RAM, 1024 * PAGE):
        count = min(1024, (RAM - at) // PAGE)
        numbers = struct.pack(f"<II{count}Q", count, 0,
                              *range(at // PAGE, at // PAGE + count))
        record(1, numbers + ram[at:at + count * PAGE])
    record(10, random.Random(3).randbytes(5000))
    record(0, b"")
    return [("source", b"".join(out))]


VMMS = cloud_hypervisor, firecracker, bhyve, xen


class Vmms(RelayTest):
    def play(self, chain, turns):
        for who, data in turns:
            if not chain.destination:
                chain.say(data[:1])
                self.assertEqual(chain.hear(1), data[:1])
                data = data[1:]
            to, at = ((chain.source, chain.destination) if who == "source"
                      else (chain.destination, chain.source))
            writer = threading.Thread(target=to.sendall, args=(data,))
            writer.start()
            self.assertEqual(receive(at, len(data)), data)
            writer.join(TIMEOUT)

    def ratio(self, turns):
        self.setUp()
        chain = Chain(self, sender=["--compress-method", "zstd"])
        self.play(chain, turns)
        chain.finish("unknown")
        report, = chain.sender.reports()
        return report["ratio"]

    @unittest.skipUnless("zstd" in methods(RELAY), "built without zstd")
    def test_packed(self):
        """Their memory gets as small as the same memory alone."""
        ram = guest_ram(50)
        alone = self.ratio(raw(ram))
        self.assertGreater(alone, 1.5)
        for vmm in VMMS:
            with self.subTest(vmm=vmm.__name__):
                self.assertGreater(self.ratio(vmm(ram)), 0.9 * alone)

    def test_link_breaks(self):
        ram = guest_ram(51)
        for vmm in VMMS:
            with self.subTest(vmm=vmm.__name__):
                self.setUp()
                chain = BreakingChain(self)
                chain.link.breaks("reset", 1 << 20)
                self.play(chain, vmm(ram))
                chain.finish("unknown")
                report, = chain.sender.reports()
                self.assertEqual(report["resumes"], 1)


class Nbd(RelayTest):
    """Disks, as --disks-uri and drive-mirror move them."""

    def serve(self, *command):
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until(lambda: os.path.exists(self.path("nbd")), "a server")

    def relays(self, *sender):
        self.receiver = self.start(
            "--role", "receive", "--listen", "unix:" + self.path("link"),
            "--connect", "unix:" + self.path("nbd"), resumes=True)
        self.receiver.wait_listening()
        self.link = BreakingLink(self.folder, self.path("link"))
        self.addCleanup(self.link.close)
        self.sender = self.start(
            "--role", "send", "--listen", "unix:" + self.path("out"),
            "--connect", self.link.uri, "--json", *sender, resumes=True)
        self.sender.wait_listening()
        return "nbd+unix:///?socket=" + self.path("out")

    def image(self, name, seed):
        data = guest_ram(seed)
        with open(self.path(name), "wb") as f:
            f.write(data)
        return data

    def run_client(self, *command):
        subprocess.run(command, check=True, timeout=TIMEOUT,
                       stdin=subprocess.DEVNULL)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    @unittest.skipUnless(shutil.which("qemu-nbd") and shutil.which("qemu-img"),
                         "no qemu-nbd")
    def test_qemu_nbd(self):
        """Written and read, with a link that breaks in both."""
        data = self.image("from", 60)
        with open(self.path("disk"), "wb") as f:
            f.truncate(RAM)
        self.serve("qemu-nbd", "-k", self.path("nbd"), "-f", "raw", "-t",
                   "--shared", "0", self.path("disk"))
        uri = self.relays()
        self.link.breaks("reset", 1 << 20)
        self.run_client("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw",
                        self.path("from"), uri)
        self.assertEqual(self.read("disk"), data)
        self.link.breaks("reset", 1000)
        self.run_client("qemu-img", "convert", "-f", "raw", "-O", "raw", uri,
                        self.path("back"))
        self.assertEqual(self.read("back"), data)
        self.assertEqual(
            self.sender.stderr().count("the link goes on after"), 2)

    @unittest.skipUnless(shutil.which("nbdkit") and shutil.which("nbdcopy"),
                         "no nbdkit")
    def test_nbdkit(self):
        """Several connections at once."""
        data = self.image("from", 61)
        self.serve("nbdkit", "-f", "-U", self.path("nbd"), "memory",
                   str(RAM))
        uri = self.relays()
        self.link.breaks("close", 1 << 20)
        self.run_client("nbdcopy", "--connections=4", self.path("from"), uri)
        self.run_client("nbdcopy", "--connections=4", uri, self.path("back"))
        self.assertEqual(self.read("back"), data)
        self.assertIn("the link goes on after", self.sender.stderr())


if __name__ == "__main__":
    tap.main()
