#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What two relays make of one RAM image in streams of several kinds.

    tests/bench/foreign.py IMAGE [MIB [METHOD]]

QEMU's stream shows where its pages are; the others do not.  For each, the ratio
and the CPU time of both relays, over unix sockets; the bytes are compared.
"""
import os
import random
import resource
import struct
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "relay")]
from relay_kit import (END, EOF, EOS, FOOTER, PAGE, Relay,  # noqa: E402
                       RelayTest, plain, preamble, receive, receive_all)


def qemu(ram):
    yield preamble(blocks={b"pc.ram": len(ram)}) + END
    for i in range(0, len(ram), PAGE):
        yield plain(i, ram[i:i + PAGE], None if i else b"pc.ram")
    yield EOS + FOOTER + EOF


def behind_a_byte(ram):
    yield b"?"
    yield from qemu(ram)


def raw(ram):
    yield ram


def behind_a_head(ram):
    yield random.Random(1).randbytes(100)
    yield ram


def records(ram):
    rand = random.Random(1)
    i = 0
    while i < len(ram):
        count = rand.randint(1, 64)
        yield struct.pack("<4I", 1, 16 + 8 * count, count, 0)
        yield b"".join(struct.pack("<Q", i // PAGE + k) for k in range(count))
        yield ram[i:i + count * PAGE]
        i += count * PAGE


def noise(ram):
    rand = random.Random(1)
    for _ in range(len(ram) >> 20):
        yield rand.randbytes(1 << 20)


KINDS = qemu, behind_a_byte, raw, behind_a_head, records, noise


class Bench(RelayTest):
    def measure(self, kind, ram, method):
        data = b"".join(kind(ram))
        listener = self.listen("to")
        args = "--once", "--json"
        receiver = Relay(self.folder, *args, "--role", "receive", "--listen",
                         "unix:" + self.path("link"), "--connect",
                         "unix:" + self.path("to"))
        receiver.wait_listening()
        sender = Relay(self.folder, *args, "--role", "send", "--listen",
                       "unix:" + self.path("from"), "--connect",
                       "unix:" + self.path("link"), "--compress-method",
                       method)
        sender.wait_listening()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        source = self.connect("from", sender)
        writer = threading.Thread(target=source.sendall, args=(data,))
        writer.start()
        with self.accept(listener) as destination:
            self.assertEqual(receive(destination, len(data)), data)
            writer.join()
            source.close()
            self.assertEqual(receive_all(destination), b"")
        for relay in sender, receiver:
            relay.wait()
        report, = sender.reports()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for relay in sender, receiver:
            relay.close()
        return report["ratio"], (after.ru_utime + after.ru_stime -
                                 before.ru_utime - before.ru_stime)


def main():
    image, mib, method = sys.argv[1], 400, "zstd"
    if len(sys.argv) > 2:
        mib = int(sys.argv[2])
    if len(sys.argv) > 3:
        method = sys.argv[3]
    with open(image, "rb") as f:
        ram = f.read(mib << 20)
    for kind in KINDS:
        bench = Bench()
        with tempfile.TemporaryDirectory(prefix="ferry-") as bench.folder:
            ratio, cpu = bench.measure(kind, ram, method)
            bench.doCleanups()
        print(f"{kind.__name__:14} ratio {ratio:.3f}, {cpu:.2f} s of CPU",
              flush=True)


if __name__ == "__main__":
    main()
