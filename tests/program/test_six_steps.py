#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The six steps by which people learnt multi-thread compression, typed in.

    1  see whether both sides can:  info migrate_capabilities
    2  source:       migrate_set_capability compress on
    3  source:       migrate_set_parameter compress_threads 12
    4  source:       migrate_set_parameter compress_level 1
    5  destination:  migrate_set_parameter decompress_threads 3
    6  source:       migrate -d URI, and info migrate until it has completed

with the names as they were then, and what the monitor prints as scripts have
read it ever since.
"""
import re

import program_kit
import tap
from ferry_vm import free_port, wait_until
from program_kit import capability_list

PARAMETERS = """\
compress-history: 67108864 bytes
compress-level: {level}
compress-method: auto
compress-threads: {threads}
compress-wait-thread: on
decompress-threads: {decompress}
throttle-trigger-threshold: 50
cpu-throttle-initial: 20
cpu-throttle-increment: 10
cpu-throttle-tailslow: off
max-cpu-throttle: 99
tls-creds: ''
tls-hostname: ''
max-bandwidth: 134217728 bytes/second
downtime-limit: 300 ms
xbzrle-cache-size: 67108864 bytes
stall-timeout: 60 s
"""

COMPLETED = re.compile(r"""capabilities: [^\n]* compress: on [^\n]*
Migration status: completed
total time: \d+ ms
downtime: \d+ ms
setup: \d+ ms
transferred ram: (?P<transferred>\d+) kbytes
throughput: \d+\.\d\d mbps
remaining ram: 0 kbytes
total ram: (?P<total>\d+) kbytes
duplicate: (?P<duplicate>\d+) pages
skipped: 0 pages
normal: (?P<normal>\d+) pages
normal bytes: (?P<normal_bytes>\d+) kbytes
dirty sync count: (?P<syncs>\d+)
page size: 4 kbytes
multifd bytes: 0 kbytes
pages-per-second: \d+
precopy ram: (?P<precopy>\d+) kbytes
downtime ram: (?P<downtime>\d+) kbytes
compression pages: (?P<compressed>\d+) pages
compression busy: \d+
compression busy rate: [01]\.\d\d
compressed size: (?P<compressed_size>\d+) kbytes
compression rate: \d+\.\d\d
compression unchanged: \d+ pages
compression encoder: (none|lz4|zstd)
compression method: (plain|lz4|zstd)
compression level: \d
compression history: \d+ kbytes
(compression reason: .*
)?""")


class SixSteps(program_kit.ProgramTest):
    def check_parameters(self, vm, level=1, threads=8, decompress=2):
        self.assertEqual(
            vm.hmp("info migrate_parameters"),
            PARAMETERS.format(level=level, threads=threads,
                              decompress=decompress))

    def type_in(self, vm, line):
        """A command that succeeds prints nothing."""
        self.assertEqual(vm.hmp(line), "")

    def six_steps(self, src, dst, uri):
        for vm in src, dst:
            self.assertEqual(vm.hmp("info migrate_capabilities"),
                             capability_list("\n") + "\n")
            self.check_parameters(vm)
        self.type_in(src, "migrate_set_capability compress on")
        self.type_in(src, "migrate_set_parameter compress_threads 12")
        self.type_in(src, "migrate_set_parameter compress_level 1")
        self.type_in(dst, "migrate_set_parameter decompress_threads 3")
        self.assertEqual(src.hmp("info migrate_capabilities"),
                         capability_list("\n", compress="on") + "\n")
        self.check_parameters(src, threads=12)
        self.check_parameters(dst, decompress=3)
        self.assertEqual(src.hmp("info migrate"),
                         "capabilities: " +
                         capability_list(" ", compress="on") + "\n")
        self.type_in(src, f"migrate -d {uri}")

    def wait_completed(self, src):
        """What info migrate says in the end."""
        def look():
            text = src.hmp("info migrate")
            self.assertIn("Migration status: ", text)
            self.assertNotIn("failed", text)
            return "completed" in text and text
        return wait_until(look, "end of the migration")

    def check_info(self, text):
        found = COMPLETED.fullmatch(text)
        self.assertIsNotNone(found, text)
        n = {name: int(value) for name, value in found.groupdict().items()}
        ram_kbytes = int(self.mem[:-1]) * 1024
        self.assertEqual(n["total"], ram_kbytes)
        self.assertGreaterEqual(
            n["duplicate"] + n["normal"] + n["compressed"], ram_kbytes // 4)
        self.assertEqual(n["normal_bytes"], n["normal"] * 4)
        self.assertGreater(n["compressed"], 0)
        self.assertGreater(n["syncs"], 1)
        self.assertLess(n["compressed_size"], n["compressed"] * 4)
        self.assertLessEqual(n["compressed_size"], n["transferred"])
        self.assertAlmostEqual(n["precopy"] + n["downtime"],
                               n["transferred"], delta=2)

    def walk(self, accel, stdio):
        uri = f"tcp:127.0.0.1:{free_port()}"
        src = self.source(accel=accel, stdio=stdio)
        dst = self.destination(uri, "-S", accel=accel, stdio=stdio)
        self.assertEqual(src.hmp("info status"), "VM status: running\n")
        self.assertEqual(dst.hmp("info status"),
                         "VM status: paused (inmigrate)\n")
        self.six_steps(src, dst, uri)
        self.check_info(self.wait_completed(src))
        dst.wait_migration("completed")
        self.assertEqual(src.hmp("info status"),
                         "VM status: paused (postmigrate)\n")
        self.assertEqual(dst.hmp("info status"), "VM status: paused\n")
        self.check_moved(src, dst)
        self.assertEqual(dst.hmp("info status"), "VM status: running\n")
        self.type_in(dst, "stop")
        self.type_in(dst, "cont")
        for vm in src, dst:
            self.assertEqual(vm.stderr(), "")


class OnTheSoftwareCpu(SixSteps):
    def test_over_sockets(self):
        self.walk("soft", stdio=False)

    def test_over_pipes(self):
        self.walk("soft", stdio=True)


class OnKvm(SixSteps):
    mem = "16M"
    append = "ws=1"

    def test_over_sockets(self):
        self.walk("kvm", stdio=False)

    def test_over_pipes(self):
        self.walk("kvm", stdio=True)


if __name__ == "__main__":
    tap.main()
