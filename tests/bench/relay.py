# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock QEMU with ferry-relay and without, over links of two rates.

The same image, stopped guest and two cores for everybody, as in migrate.py.
Of the relays the bytes on the link count, and their CPU is added to that of
the QEMU next to them.  Everybody has a return path: the end is when the
destination has got all.  Needs root: a relay cannot be told a rate.
"""
import contextlib
import json
import os
import subprocess
import tempfile

import migrate
import vms

LINKS = [200, 1000]
RETURN_PATH = ["return-path"]


class Relayed(vms.Contestant):
    """A QEMU that migrates through two relays, by one connection or by so many
    of multifd's besides."""

    compresses = True

    def __init__(self, name, program, method, multifd=0):
        capabilities, both = RETURN_PATH, {}
        if multifd:
            name += " multifd"
            capabilities = [*RETURN_PATH, "multifd"]
            both = {"multifd-channels": multifd}
        super().__init__(f"{name} relay {method}", program, capabilities, both,
                         both)
        self.method = method


def with_return_path(contestant):
    contestant.capabilities += RETURN_PATH
    return contestant


def contestants(build, old, new):
    """old and new are QEMU's binaries, or None."""
    if old:
        program = vms.Qemu(build, old)
        yield with_return_path(vms.Contestant("QEMU 7.2 plain", program))
        yield with_return_path(migrate.compress_peer("QEMU 7.2", program))
        for method in migrate.methods(build):
            yield Relayed("QEMU 7.2", program, method)
    if new:
        program = vms.Qemu(build, new)
        yield with_return_path(vms.Contestant("QEMU 10 plain", program))
        yield with_return_path(migrate.multifd_peer("QEMU 10", program,
                                                    "zstd"))
        for method in migrate.methods(build):
            yield Relayed("QEMU 10", program, method)


class Relay:
    """A ferry-relay on one of the hosts, for one migration."""

    def __init__(self, prefix, build, *args):
        self.process = subprocess.Popen(
            [*prefix, os.path.join(build, "tools", "relay", "ferry-relay"),
             "--once", "--json", *args], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        said = ""
        for line in self.process.stderr:
            said += line
            if "listening" in line:
                return
        self.close()
        raise RuntimeError(said)

    def end(self):
        """Its report, and the seconds of CPU that it has used."""
        report = json.loads(self.process.stdout.readline())
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return report, used.ru_utime + used.ru_stime

    def close(self):
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def relays(build, link, folder, method):
    """From FOLDER/out to FOLDER/vm."""
    there = f"tcp:{link.address}:{vms.PORT}"
    with contextlib.ExitStack() as stack:
        receiver = Relay(link.destination, build, "--listen", there,
                         "--connect", f"unix:{folder}/vm")
        stack.callback(receiver.close)
        sender = Relay(link.source, build, "--listen", f"unix:{folder}/out",
                       "--connect", there, "--compress-method", method)
        stack.callback(sender.close)
        yield sender, receiver


def run_relayed(build, contestant, link, image):
    guest = contestant.program.idle(migrate.MIB, image)
    with tempfile.TemporaryDirectory(prefix="ferry-bench-") as folder, \
            vms.pair(contestant, link, f"{migrate.MIB}M", guest,
                     f"unix:{folder}/vm") as (src, dst), \
            relays(build, link, folder, contestant.method) as both:
        outcome = vms.migrate(src, dst, f"unix:{folder}/out", migrate.LIMIT)
        if outcome.status == "completed":
            (report, cpu), (_, cpu_there) = [relay.end() for relay in both]
            outcome.bytes = report["bytes-out"]
            outcome.source_cpu += cpu
            outcome.destination_cpu += cpu_there
            outcome.relay_cpu = cpu + cpu_there
        return outcome


def run_one(build, contestant, link, image):
    if isinstance(contestant, Relayed):
        return run_relayed(build, contestant, link, image)
    return migrate.run_idle(contestant, link, image)


def run(build, old, new, image):
    """The rows of the table, printed as they come."""
    if os.geteuid() != 0:
        raise SystemExit("relay: only root can shape a link")
    for mbit in LINKS:
        print(f"\n{migrate.MIB} MiB, stopped guest, {mbit} Mbit/s")
        everybody = contestants(build, old, new)
        yield from migrate.run_each(
            migrate.entrants(everybody, mbit), mbit,
            lambda who, link: run_one(build, who, link, image))
