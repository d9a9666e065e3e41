#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-migrate between two hosts with a libvirt and an sshd each.

It is run in the sending host, by that host's python3, and reaches the other as
people do: by ssh, with a key and a list of known hosts.  After each test no
relay and no file of a relay is left at either host.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import libvirt_guest
import libvirt_hosts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "relay", "tls")]
import certificates  # noqa: E402
import tap  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402
from relay_kit import BUILD, RELAY  # noqa: E402

MOVED, FAILED, UNKNOWN, REFUSED, ABORTED = 0, 1, 2, 3, 130
GIO_TLS = glob.glob("/usr/lib/*/gio/modules/libgiognutls.so")
URI = "qemu+ssh://there/system"
DISK = """
    <disk type='file'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
"""
SMALL = """
<domain type='qemu'>
  <name>small</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
# The host's libc is not the one that the relay was linked to.
WRAPPER = """\
#!/bin/sh
export GIO_MODULE_DIR=/usr/local/bin/lib
exec /usr/local/bin/lib/ld-linux-x86-64.so.2 --library-path /usr/local/bin/lib \\
    /usr/local/bin/lib/ferry-relay "$@"
"""
START = """
mkdir -p /run/sshd /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/key
/usr/sbin/sshd
"""


def programs():
    """A folder for /usr/local/bin: ferry-migrate, and ferry-relay with all that
    it is linked to."""
    folder = tempfile.mkdtemp(prefix="ferry-programs-")
    os.chmod(folder, 0o755)
    lib = os.path.join(folder, "lib")
    os.mkdir(lib)
    shutil.copy(os.path.join(BUILD, "tools", "migrate", "ferry-migrate"),
                folder)
    shutil.copy(RELAY, lib)
    for path in GIO_TLS:
        shutil.copy(path, lib)
    said = subprocess.run(["ldd", RELAY, *GIO_TLS], capture_output=True, text=True,
                          check=True).stdout
    for path in set(re.findall(r"(/\S+) \(0x", said)):
        shutil.copy(path, lib)
    wrapper = os.path.join(folder, "ferry-relay")
    with open(wrapper, "w", encoding="ascii") as f:
        f.write(WRAPPER)
    os.chmod(wrapper, 0o755)
    return folder


class SshHost(libvirt_hosts.Host):
    def __init__(self, *args, command=""):
        self.programs = programs()
        super().__init__(*args, binds={self.programs: "/usr/local/bin"},
                         command=START + command)

    def close(self):
        super().close()
        shutil.rmtree(self.programs)

    def processes(self, program):
        """The numbers, here, of what it runs below /usr/local/bin."""
        found = []
        box = os.readlink(f"/proc/{self.first_process()}/ns/pid")
        path = f"/usr/local/bin/{program}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if path in words and words[0] != b"timeout" and \
                        os.readlink(f"/proc/{pid}/ns/pid") == box:
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def relays(self):
        return self.processes("lib/ferry-relay")


class Alone(libvirt_guest.Guest):
    COMMAND = ""

    @classmethod
    def make_host(cls, *args):
        return SshHost(*args, command=cls.COMMAND)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.here.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                     "/root/.ssh/id_ed25519")
        shutil.copy(cls.here.seen("/root/.ssh/id_ed25519.pub"),
                    cls.there.seen("/root/.ssh/authorized_keys"))
        with open(cls.there.seen("/etc/ssh/key.pub"), encoding="ascii") as f:
            key = f.read()
        with open(cls.here.seen("/root/.ssh/known_hosts"), "w",
                  encoding="ascii") as f:
            f.write("there " + key)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.check_nothing_left)

    def check_nothing_left(self):
        for host in self.hosts:
            self.assertEqual(host.relays(), [], host.name)
            self.assertEqual(os.listdir(host.seen("/tmp")), [], host.name)

    def begin(self, *args):
        process = self.here.start("ferry-migrate", "guest", URI, *args,
                                  stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def begin_slowly(self, *args):
        """And wait until the relays carry it."""
        process = self.begin("--bandwidth", "8", *args)
        process.before = ""
        for line in process.stdout:
            process.before += line
            if re.search(r"link [\d.]*[1-9][\d.]* \S+/s, ratio", line):
                return process
        raise AssertionError(process.before)

    def finish(self, process, status, *words):
        said = process.communicate(timeout=TIMEOUT)[0]
        self.assertEqual(process.returncode, status, said)
        for word in words:
            self.assertRegex(said.splitlines()[-1], word)
        return said

    def is_moved(self, process):
        said = self.finish(process, MOVED,
                           r"'guest' moved to there in .* \(ratio [1-9]")
        self.assertRegex(said, r"Migration: \[ *100\S* %\]")
        self.has_moved(self.here, self.there)
        return said

    def cut(self, seconds):
        """Nothing passes between the hosts for so long; that is what is tested,
        so there is no event to wait for."""
        self.net.cut()
        time.sleep(seconds)
        self.net.mend()

    def stays(self):
        self.assertEqual(self.there.virsh("list", "--all", "--name").split(),
                         [])
        self.wait_ticks(self.here)

    def move_home(self):
        """Without relays."""
        self.there.virsh("migrate", "--live", "guest",
                         f"qemu+tcp://{self.here.address}/system",
                         "--migrateuri", f"tcp://{self.here.address}")
        self.has_moved(self.there, self.here)


class Options(Alone):
    def test_moved(self):
        """Tried first; and what is defined here is defined there."""
        said = self.finish(self.begin("--dry-run"), MOVED)
        self.assertIn("'guest', running", said)
        self.is_moved(self.begin("--persistent", "--undefinesource"))
        self.assertEqual(
            [host.virsh("list", "--all", "--persistent", "--name").split()
             for host in self.hosts], [[], ["guest"]])

    def test_relay_killed(self):
        for host in self.hosts:
            with self.subTest(host.name):
                process = self.begin_slowly("--resume-timeout=1")
                for pid in host.relays():
                    os.kill(pid, signal.SIGKILL)
                self.finish(process, FAILED,
                            "failed: 'guest' stays here, running: ")
                self.stays()

    def test_short_cut(self):
        """libvirt waits for up to 30 seconds, and TCP makes them less."""
        process = self.begin_slowly()
        self.cut(8)
        said = self.is_moved(process)
        self.assertIn("; the link broke and came back", said)
        self.move_home()


class Patient(Alone, unittest.TestCase):
    """Where libvirt has no keepalive."""
    RELEASE = "trixie"
    COMMAND = """
echo 'keepalive_interval = -1' >> /etc/libvirt/libvirtd.conf
echo 'keepalive_interval = -1' >> /etc/libvirt/qemu.conf
"""

    def test_long_cut(self):
        process = self.begin_slowly("--keepalive-off", "--p2p")
        self.cut(60)
        said = self.is_moved(process)
        self.assertIn("; the link broke and came back", said)


class Bookworm(Options, unittest.TestCase):
    """libvirt 9.0, QEMU 7.2."""
    RELEASE = "bookworm"


class Trixie(Options, unittest.TestCase):
    """libvirt 11.3, QEMU 10.0."""
    RELEASE = "trixie"

    def test_parallel(self):
        self.is_moved(self.begin("--p2p", "--parallel",
                                 "--parallel-connections", "2"))
        self.move_home()

    def test_aborted(self):
        process = self.begin_slowly()
        pid, = self.here.processes("ferry-migrate")
        os.kill(pid, signal.SIGINT)
        self.finish(process, ABORTED,
                    "aborted: 'guest' stays here, running$")
        self.stays()

    def test_all(self):
        """Two at once, through one pair of relays."""
        with open(self.here.path("small.xml"), "w", encoding="utf-8") as f:
            f.write(SMALL)
        self.here.virsh("create", "/run/ferry/small.xml")
        process = self.here.start("ferry-migrate", "--all", URI,
                                  stderr=subprocess.STDOUT)
        said = self.finish(process, MOVED, ": 2 of 2 guests moved$")
        for name in "guest", "small":
            self.assertRegex(said, f"'{name}' moved to there in .*ratio")
        self.assertEqual(sorted(self.there.virsh("list", "--name").split()),
                         ["guest", "small"])
        self.there.virsh("destroy", "small")
        self.has_moved(self.here, self.there)
        self.move_home()

    def start_qemu(self, host, *args):
        """A QEMU without libvirt, with its monitor at /run/qmp."""
        process = host.start(
            "qemu-system-x86_64", "-machine", "pc-i440fx-7.2", "-nodefaults",
            "-display", "none", "-m", "262152K", "-kernel", "/guest/vmlinuz",
            "-initrd", "/guest/initramfs", "-append",
            "console=ttyS0 quiet panic=-1 write=32 pause=100000",
            "-serial", "file:/run/ferry/serial",
            "-qmp", "unix:/run/qmp,server=on,wait=off", *args)
        self.addCleanup(process.communicate)
        self.addCleanup(self.kill_child, process)
        wait_until(lambda: os.path.exists(host.seen("/run/qmp")), "monitor")
        return process

    @staticmethod
    def kill_child(process):
        """Of nsenter, unless it has ended."""
        if process.poll() is None:
            with open(f"/proc/{process.pid}/task/{process.pid}/children",
                      encoding="ascii") as f:
                os.kill(int(f.read()), signal.SIGKILL)

    def test_qemu(self):
        """No libvirt; aborted, and then moved."""
        self.here.virsh("destroy", "guest")
        os.unlink(self.here.path("serial"))
        type(self).past = b""
        self.start_qemu(self.here)
        self.wait_ticks(self.here)
        args = ("ferry-migrate", "/run/qmp", "ssh://there/run/qmp")
        for numbers, status, words in (
                ((signal.SIGINT,), ABORTED, "/run/qmp stays here, running$"),
                ((), MOVED, "/run/qmp moved to there in .*ratio .* running ")):
            there = self.start_qemu(self.there, "-incoming", "defer")
            said = self.here.run(*args, "--dry-run")
            self.assertIn("would run: migrate-incoming tcp:", said)
            process = self.here.start(*args, "--bandwidth", "8",
                                      stderr=subprocess.STDOUT)
            self.assertIn("Migration: [", process.stdout.readline())
            for number in numbers:
                pid, = self.here.processes("ferry-migrate")
                os.kill(pid, number)
            self.finish(process, status, words)
            self.assertEqual(glob.glob(self.here.seen("/tmp/*")), [])
            if numbers:
                self.wait_ticks(self.here)
                there.communicate(timeout=TIMEOUT)
                os.unlink(self.there.seen("/run/qmp"))
        type(self).past += self.said(self.here)
        self.wait_ticks(self.there)
        count = self.count(self.there)
        self.assertEqual(count, list(range(len(count))))

    def test_postcopy(self):
        """Its second connection is another ssh."""
        if not os.path.exists("/dev/userfaultfd"):
            self.skipTest("this machine has no /dev/userfaultfd")
        self.is_moved(self.begin("--postcopy", "--postcopy-after-precopy",
                                 "--bandwidth", "10"))
        self.move_home()

    def test_tls(self):
        """The data does not go through ssh."""
        if not GIO_TLS:
            self.skipTest("GIO finds no TLS (glib-networking)")
        with tempfile.TemporaryDirectory() as folder:
            authority = certificates.Authority(folder, "ca")
            authority.folder(f"{folder}/pki", ["dns_name = there"])
            for host in self.hosts:
                shutil.copytree(f"{folder}/pki", host.seen("/etc/ferry"),
                                dirs_exist_ok=True)
        process = self.begin_slowly("--tls", "/etc/ferry")
        connections = self.here.run("cat", "/proc/net/tcp")
        self.is_moved(process)
        self.move_home()
        self.assertEqual(connections.count(":0016 01"), 1)  # libvirt's

    def test_storage(self):
        """Disks go by themselves, to --disks-uri."""
        for host in self.hosts:
            with open(host.seen("/var/lib/disk"), "wb") as f:
                f.truncate(4 << 20)
                if host is self.here:
                    f.write(b"ferry" * 200000)
            os.chown(f.name, libvirt_hosts.QEMU_USER, libvirt_hosts.QEMU_USER)
        self.create_guest(libvirt_guest.XML.replace("<devices>",
                                                    "<devices>" + DISK))
        self.is_moved(self.begin("--copy-storage-all", "--disks-uri",
                                 "tcp://there:4445"))
        self.there.virsh("destroy", "guest")
        disks = []
        for host in self.hosts:
            with open(host.seen("/var/lib/disk"), "rb") as f:
                disks.append(f.read())
        self.assertTrue(disks[0] == disks[1])


if __name__ == "__main__":
    tap.main()
