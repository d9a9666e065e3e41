# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of whole programs share.

A ProgramTest starts ferry-vm processes that run the guest `ab`, moves the
guest from one to the other, and checks what tests/guest/ab.c promises: every
letter arrives exactly once and in order, on whichever serial port, and RAM of
the stopped guest is that of a guest which has said just these letters.
"""
import contextlib
import functools
import mmap
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from ferry_vm import (TIMEOUT, Machine, differing_pages,  # noqa: E402
                      wait_until)

BUILD = os.environ.get("FERRY_BUILD", os.path.join(ROOT, "build"))
FERRY_VM = os.path.join(BUILD, "vmm", "ferry-vm")
AB = os.path.join(BUILD, "tests", "guest", "ab.elf")
STRESS = os.path.join(BUILD, "tests", "guest", "stress.elf")

PAGE = 4096
SLOW = 65536  # bytes/s: no migration here ends by itself at that rate
PART = re.compile(rb"ab: start=0x([0-9a-f]+) pages=(\d+)\n")
CAPABILITIES = {  # and what they are at first
    "xbzrle": "off", "auto-converge": "off", "compress": "off", "events": "off",
    "return-path": "on", "pause-before-switchover": "off",
    "validate-uuid": "off", "verify": "off",
}
# What a program says that was built with one, and found something.
SANITIZER = "Sanitizer|runtime error:"
ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


def capability_list(separator, **changed):
    """What info shows of them: "NAME: on" or "NAME: off", joined."""
    return separator.join(f"{name}: {state}" for name, state
                          in {**CAPABILITIES, **changed}.items())


def run_vm(*args, **kwargs):
    """Run ferry-vm to its end: exit status, output and errors as text."""
    return subprocess.run([FERRY_VM, *args], capture_output=True, text=True,
                          timeout=TIMEOUT, **kwargs)


@functools.cache
def refusal(accel):
    """Why this accelerator does not work here; "" if it does."""
    accel = ["-accel", accel] if accel else []
    done = run_vm(*accel, "-m", "2M", "-kernel", AB, "-S",
                  "-monitor", "stdio", input="quit\n")
    return done.stderr.strip() if done.returncode else ""


def need_accel(test, accel):
    if refusal(accel):
        lacks = "this machine has " if accel == "kvm" else ""
        test.skipTest(f"{lacks}no -accel {accel}: {refusal(accel)}")


def said_by(*homes):
    """What a guest said in its homes, one after the other."""
    return b"".join(vm.serial.text() for vm in homes)


def letters_of(text):
    """What was said after the lines about the parts."""
    return text[text.rfind(b"\n") + 1:]


def first_bytes(ram, part):
    start, pages = part
    return ram[start:start + pages * PAGE:PAGE]


def letters_said(firsts):
    """By the first bytes of a part's pages: how many letters its CPU can have
    said, modulo 256.  Nothing where they are not those of an ab guest."""
    last = firsts[-1]
    ahead = firsts.rstrip(bytes([last]))
    if ahead.strip(bytes([(last + 1) % 256])):
        return set()
    return {last} if ahead else {last, (last - 1) % 256}


@contextlib.contextmanager
def ram_of(vm):
    """RAM as it is now, or as it becomes while it is being saved."""
    with open(vm.save_ram(), "rb") as f, \
            mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as ram:
        yield ram


class ProgramTest(unittest.TestCase):
    mem = "32M"
    append = "ws=4"
    cpus = 1

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ferry-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    # Processes

    def start(self, *args, **kwargs):
        """Start a machine that ends with the test, and must end well."""
        need_accel(self, kwargs.get("accel", "soft"))
        kwargs.setdefault("mem", self.mem)
        vm = Machine(kwargs.pop("build", BUILD), *args, **kwargs)
        vm.killed = False
        self.addCleanup(self.end, vm)
        return vm

    def end(self, vm):
        vm.close()
        self.assertNotRegex(vm.last_words, SANITIZER)
        if not vm.killed:
            self.assertIn(vm.process.returncode, (0, 1), vm.command_line)

    def kill(self, vm):
        """What a crash of that process would be."""
        vm.killed = True
        vm.process.kill()
        vm.process.wait()

    def source(self, *args, **kwargs):
        """A machine whose ab guest runs, and has begun its letters."""
        vm = self.start("-kernel", AB, "-append", self.append, "-S", *args,
                        **kwargs)
        vm.qmp("cont")  # not before the serial port is connected
        self.run_on(vm)
        return vm

    def destination(self, uri, *args, **kwargs):
        return self.start("-incoming", uri, *args, **kwargs)

    def unix_uri(self, name="migration"):
        """A URI that no other test has."""
        return f"unix:{self.folder}/{name}"

    # Migrations

    def slow_down(self, vm):
        vm.set_parameters(max_bandwidth=SLOW)

    def begin_slow_move(self, src, uri):
        """Start a migration, and wait until it is in the midst of RAM."""
        self.slow_down(src)
        src.qmp("migrate", uri=uri)
        src.wait_migration("active")
        wait_until(lambda: src.migration()["ram"]["transferred"] > 0,
                   "progress")

    def move(self, src, uri):
        """Migrate; query-migrate's answer, which must be completed."""
        src.qmp("migrate", uri=uri)
        info = src.wait_migration("completed", "failed", "cancelled")
        self.assertEqual(info["status"], "completed", info)
        return info

    # The guest

    def run_on(self, vm, letters=30):
        """Wait until the guest has said that many more letters there."""
        before = len(vm.serial.text())
        vm.serial.wait_for(lambda text: len(letters_of(text)) >= letters and
                           len(text) >= before + letters)

    def check_letters(self, text):
        letters = letters_of(text)
        expected = (ALPHABET * (len(letters) // 26 + 1))[:len(letters)]
        self.assertEqual(letters, expected)

    def parts(self, *homes):
        """Each CPU's part: its start and its number of pages."""
        parts = [(int(start, 16), int(pages)) for start, pages
                 in PART.findall(said_by(*homes))]
        self.assertEqual(len(parts), self.cpus)
        return parts

    def check_stopped(self, *homes):
        """The guest, stopped in the last of its homes, is as it must be."""
        with ram_of(homes[-1]) as ram:
            counts = [letters_said(first_bytes(ram, part))
                      for part in self.parts(*homes)]
        self.assertTrue(all(counts), counts)
        # The last letters may still be on their way to us.
        wait_until(
            lambda: len(letters_of(said_by(*homes))) % 256 in counts[0],
            f"as many letters as RAM says: {counts[0]}", TIMEOUT / 4)
        self.check_letters(said_by(*homes))

    def check_runs(self, *homes):
        """The guest runs in the last of its homes, and all is well."""
        vm = homes[-1]
        self.assertEqual(vm.status(), "running")
        self.run_on(vm)
        self.check_all_cpus_run(*homes)
        vm.qmp("stop")
        self.check_stopped(*homes)
        vm.qmp("cont")

    def check_all_cpus_run(self, *homes):
        """The first page of each part changes; only one CPU has a voice."""
        def look():
            with ram_of(homes[-1]) as ram:
                return [ram[start] for start, _ in self.parts(*homes)]

        before = look()
        wait_until(lambda: all(then != now for then, now
                               in zip(before, look())),
                   "progress of every CPU")

    def check_moved(self, src, dst):
        """dst, started with -S, has got what src had; it runs on there."""
        dst.wait_migration("completed")
        self.assertEqual(src.status(), "postmigrate")
        self.assertEqual(dst.status(), "paused")
        self.assertEqual(dst.serial.text(), b"")
        self.check_stopped(src)
        self.assertEqual(differing_pages(src.save_ram(), dst.save_ram()), [])
        dst.qmp("cont")
        self.check_runs(src, dst)

    def check_refused(self, dst, *words):
        """dst has ended, said all these words, and not run the guest."""
        self.assertEqual(dst.wait(), 1)
        dst.serial.thread.join()
        self.assertEqual(dst.serial.text(), b"")
        for word in ("load of migration failed", *words):
            self.assertIn(word, dst.stderr())
