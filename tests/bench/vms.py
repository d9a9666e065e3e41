# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that can migrate, Ferry's and QEMU's, looked at from outside."""
import contextlib
import mmap
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import ferry_vm  # noqa: E402
import qemu_vm  # noqa: E402

PORT = 4444
TICK = os.sysconf("SC_CLK_TCK")
TOUCHED = 3000 << 20  # what have_memory() asks for, in bytes


class Vm(ferry_vm.Vm):
    """A machine on one of the hosts, by the words that start it."""

    def __init__(self, prefix, words, args, mem):
        super().__init__(mem)
        self.start([*prefix, *words, *self.common_options(args)])

    def cpu(self):
        """Seconds of CPU that all its threads have used."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def tell(self, capabilities, parameters):
        for name in capabilities:
            self.set_capability(name)
        self.set_parameters(**parameters)


class Contestant:
    """A way to migrate: a program, and what is set at both ends."""

    def __init__(self, name, program, capabilities=(), source=None,
                 destination=None):
        self.name = name
        self.program = program
        self.capabilities = list(capabilities)
        self.source = source or {}
        self.destination = destination or {}

    @property
    def compresses(self):
        method = self.source.get("multifd-compression", "none")
        return "compress" in self.capabilities or method != "none"


class FerryVm:
    """Ferry's own machine: the words that start it, and its arguments."""

    IMAGE_FORM = "elf"

    def __init__(self, build, accel="soft"):
        self.build = build
        self.words = [os.path.join(build, "vmm", "ferry-vm"),
                      "-accel", accel]

    def guest(self, name, append):
        """A guest that runs when it is told to."""
        path = os.path.join(self.build, "tests", "guest",
                            f"{name}.{self.IMAGE_FORM}")
        return ["-S", "-kernel", path, "-append", append]

    def idle(self, mib, image):
        """A stopped guest with that RAM."""
        return [*self.guest("ab", "ws=1"), "-ram-image", image]


class Qemu(FerryVm):
    """A QEMU, by the path of its binary."""

    IMAGE_FORM = "multiboot"

    def __init__(self, build, binary):
        super().__init__(build)
        self.words = [binary, "-nodefaults", "-display", "none",
                      "-accel", "tcg"]

    def idle(self, mib, image):
        return ["-S", "-object",
                f"memory-backend-file,id=pc.ram,size={mib}M,mem-path={image},"
                "share=off", "-machine", "memory-backend=pc.ram"]


class Outcome:
    """What a migration took."""

    def __init__(self, info, seconds, cpu):
        self.status = info.get("status")
        self.error = info.get("error-desc")
        ram = info.get("ram", {})
        self.seconds = seconds       # from the command to "completed"
        self.source_cpu, self.destination_cpu = cpu
        self.bytes = ram.get("transferred", 0)
        self.passes = ram.get("dirty-sync-count", 0)
        self.downtime_ms = info.get("downtime")
        self.gap_ms = None           # of the beats on the serial port
        self.written = None          # pages a second, by the guest
        self.relay_cpu = None        # of both relays, which is in the CPU above

    def as_json(self):
        return dict(vars(self))


def wait_for_end(vm, limit):
    """The last query-migrate, after limit seconds at most."""
    end = time.monotonic() + limit
    while True:
        info = vm.qmp("query-migrate")
        if info.get("status") in ("completed", "failed", "cancelled") \
                or time.monotonic() > end:
            return info
        time.sleep(0.01)


def odd_ram(mib):
    """-m of a guest that writes."""
    return f"{qemu_vm.odd_ram(mib) >> 10}K"


def uri_at(link):
    return f"tcp:{link.address}:{PORT}"


@contextlib.contextmanager
def pair(contestant, link, mem, guest, uri=None):
    """Both machines with mem as -m takes it, told how to migrate; the
    destination waits at uri, or at the link."""
    words = contestant.program.words
    rate = {"max-bandwidth": link.max_bandwidth or 1 << 40}
    with Vm(link.source, words, guest, mem) as src, \
            Vm(link.destination, words, ["-incoming", "defer"], mem) as dst:
        src.tell(contestant.capabilities, {**rate, **contestant.source})
        dst.tell(contestant.capabilities, contestant.destination)
        dst.qmp("migrate-incoming", uri=uri or uri_at(link))
        yield src, dst


def have_memory():
    """Let a virtual machine's host give us memory now, and not while it is
    measured: what is free here need not be there."""
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    mmap.mmap(-1, min(TOUCHED, free // 2), mmap.MAP_PRIVATE |
              mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def migrate(src, dst, uri, limit, fast=True):
    """Migrate from src to dst, which or a way to which is at uri; an
    Outcome.  Not fast: the link is so thin that memory makes no difference."""
    if fast:
        have_memory()
    before = src.cpu(), dst.cpu()
    begin = time.monotonic()
    src.qmp("migrate", uri=uri)
    info = wait_for_end(src, limit)
    seconds = time.monotonic() - begin
    return Outcome(info, seconds, (src.cpu() - before[0],
                                   dst.cpu() - before[1]))
