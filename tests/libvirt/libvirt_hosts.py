# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts with a libvirt each, on one machine.

A host is a set of namespaces (network, mounts, processes, name) in which
Debian's libvirtd and QEMU run as they are, in a root of their own.  The root
is unpacked from Debian's packages once, and kept in the build folder; what a
host writes goes to an overlay in memory, and is gone with the host.
"""
import os
import shlex
import shutil
import sys
import tempfile
import unittest
import uuid
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop", "bench")]
import box  # noqa: E402
import debian  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402

PACKAGES = ("libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients",
            "qemu-system-x86", "dash",
            # for ferry-migrate, and for libvirt's way through ssh
            "python3", "openssh-client", "openssh-server", "coreutils",
            "debianutils", "grep", "sed", "util-linux",
            # with which libvirt compresses what it saves
            "bzip2", "gzip", "lzop", "xz-utils", "zstd")

QEMU_USER = 64055  # libvirt-qemu, as Debian numbers it
# What the packages' scripts would have made, which are not run; and settings,
# of which the user and the group are Debian's.
FILES = {
    "etc/passwd": f"""\
root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
libvirt-qemu:x:{QEMU_USER}:{QEMU_USER}::/var/lib/libvirt:/bin/false
""",
    "etc/group": f"""\
root:x:0:
tty:x:5:
kvm:x:104:
nogroup:x:65534:
libvirt-qemu:x:{QEMU_USER}:
""",
    "etc/hosts": """\
127.0.0.1 localhost
10.77.0.1 here
10.77.0.2 there
""",
    "etc/ssh/sshd_config": """\
HostKey /etc/ssh/key
StrictModes no
UsePAM no
""",
    "etc/libvirt/libvirtd.conf": """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
""",
    "etc/libvirt/qemu.conf": """\
user = "libvirt-qemu"
group = "kvm"
security_driver = "none"
cgroup_controllers = []
stdio_handler = "file"
namespaces = []
""",
}
FOLDERS = ("dev", "guest", "proc", "root", "run", "sys", "tmp", "var/lib",
           "var/log", "var/run")

# Behind the mounts of tests/lib/box.py.
START = """
echo 'host_uuid = "{uuid}"' >> /etc/libvirt/libvirtd.conf
echo {settings} >> /etc/libvirt/qemu.conf
libvirtd --listen &
"""


def download(apt, folder):
    root = os.path.join(folder, "root")
    apt.unpack_whole(root, *PACKAGES)
    for path in FOLDERS:
        os.makedirs(os.path.join(root, path), exist_ok=True)
    for path, text in FILES.items():
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(text)
    which = os.path.join(root, "usr/bin/which")  # a script makes it
    if not os.path.lexists(which):
        os.symlink("which.debianutils", which)


def cache_name(release):
    """Another one if what is in it becomes another."""
    wanted = repr((PACKAGES, FILES, FOLDERS)).encode()
    return f"{release}-{zlib.crc32(wanted):08x}"


def prepare(build, release):
    """The folder that hosts of that release of Debian have as their root, in
    the folder build from the first time on; a skip says what this machine
    lacks."""
    box.need()
    try:
        folder = debian.build_once(os.path.join(build, "libvirt"),
                                   cache_name(release), download, release)
    except debian.Unavailable as err:
        raise unittest.SkipTest(f"this machine gets no libvirt: {err}") \
            from None
    return os.path.join(folder, "root")


class Host(box.Box):
    """Its network is what prefix enters.  The folder guest is its /guest, and
    path() says where what it has in /run/ferry is.  settings are more lines of
    its qemu.conf, binds and command more for its box."""

    def __init__(self, name, host_root, prefix, address, guest, settings="",
                 binds=None, command=""):
        self.address = address
        self.share = tempfile.mkdtemp(prefix=f"ferry-{name}-share-")
        os.chown(self.share, QEMU_USER, QEMU_USER)
        super().__init__(name, host_root, prefix,
                         {guest: "/guest", self.share: "/run/ferry",
                          **(binds or {})},
                         command + START.format(
                             uuid=uuid.uuid4(), settings=shlex.quote(settings)))

    def path(self, name):
        return os.path.join(self.share, name)

    def wait_ready(self):
        super().wait_ready()

        def look():
            virsh = self.start_virsh("hostname")
            return virsh.communicate(timeout=TIMEOUT)[0].strip() == self.name
        wait_until(look, f"libvirt at {self.name}", poll=0.2)

    def start_virsh(self, *args):
        """Run virsh at this host; the process."""
        return self.start("virsh", "--quiet", *args)

    def virsh(self, *args):
        """What virsh says."""
        return self.run("virsh", "--quiet", *args)

    def close(self):
        super().close()
        shutil.rmtree(self.share)
