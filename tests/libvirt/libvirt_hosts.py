# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts with a libvirt each, on one machine.

A host is a set of namespaces (network, mounts, processes, name) in which
Debian's libvirtd and QEMU run as they are, in a root of their own.  The root
is unpacked from Debian's packages once, and kept in the build folder; what a
host writes goes to an overlay in memory, and is gone with the host.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop", "bench")]
import debian  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402

PACKAGES = ("libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients",
            "qemu-system-x86", "dash",
            # with which libvirt compresses what it saves
            "bzip2", "gzip", "lzop", "xz-utils", "zstd")

QEMU_USER = 64055  # libvirt-qemu, as Debian numbers it
# What the packages' scripts would have made, which are not run; and settings,
# of which the user and the group are Debian's.
FILES = {
    "etc/passwd": f"""\
root:x:0:0:root:/root:/bin/sh
libvirt-qemu:x:{QEMU_USER}:{QEMU_USER}::/var/lib/libvirt:/bin/false
""",
    "etc/group": f"""\
root:x:0:
tty:x:5:
kvm:x:104:
libvirt-qemu:x:{QEMU_USER}:
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

# Run in the new namespaces, with $1 the host's name, $2 its UUID, $3 its root,
# $4 a folder to mount things at, $5 the guest's folder, and $6 what becomes
# the host's /run/ferry, and $7 more settings of qemu.conf.  A shell stays as
# process 1 and waits: it reaps QEMUs, which have no other parent.
START = r"""
set -eu
mount -t tmpfs none "$4"
mkdir "$4/upper" "$4/work" "$4/root"
mount -t overlay none "$4/root" \
    -o "lowerdir=$3,upperdir=$4/upper,workdir=$4/work"
cd "$4/root"
mount -t proc none proc
mount -t sysfs none sys
mount -t tmpfs none run
mount -t tmpfs none dev
mount --bind run var/run
mkdir dev/pts dev/shm run/ferry
mount -t devpts none dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev
if [ -e /dev/userfaultfd ]; then  # QEMU's user needs it for postcopy
    cp -a /dev/userfaultfd dev
    chmod 666 dev/userfaultfd
fi
mount --bind "$5" guest
mount --bind "$6" run/ferry
echo 'host_uuid = "'$2'"' >> etc/libvirt/libvirtd.conf
echo "$7" >> etc/libvirt/qemu.conf
hostname "$1"
exec chroot . /bin/sh -c 'libvirtd --listen & wait'
"""


def download(apt, folder):
    root = os.path.join(folder, "root")
    apt.unpack_whole(root, *PACKAGES)
    for path in FOLDERS:
        os.makedirs(os.path.join(root, path), exist_ok=True)
    for path, text in FILES.items():
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(text)


def prepare(build, release):
    """The folder that hosts of that release of Debian have as their root, in
    the folder build from the first time on; a skip says what this machine
    lacks."""
    if os.geteuid():
        raise unittest.SkipTest("this machine's user is not root, who alone "
                                "makes namespaces")
    tried = subprocess.run(["unshare", "-mniup", "--fork", "true"],
                           capture_output=True, text=True, check=False)
    if tried.returncode:
        raise unittest.SkipTest("this machine makes no namespaces: "
                                f"{tried.stderr.strip()}")
    try:
        folder = debian.build_once(os.path.join(build, "libvirt"), release,
                                   download, release)
    except debian.Unavailable as err:
        raise unittest.SkipTest(f"this machine gets no libvirt: {err}") \
            from None
    return os.path.join(folder, "root")


class Host:
    """prefix is what runs a command in the host's network; the folder guest
    is its /guest, and path() says where what it has in /run/ferry is.
    settings are more lines of its qemu.conf."""

    def __init__(self, name, host_root, prefix, address, guest, settings=""):
        self.name = name
        self.prefix = prefix
        self.address = address
        self.folder = tempfile.mkdtemp(prefix=f"ferry-{name}-")
        os.chmod(self.folder, 0o755)
        self.share = os.path.join(self.folder, "share")
        os.mkdir(self.share, 0o700)
        os.chown(self.share, QEMU_USER, QEMU_USER)
        mounts = os.path.join(self.folder, "mounts")
        os.mkdir(mounts)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        # Killing unshare kills process 1 of the host, and with it the rest:
        # also when the test is killed.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *prefix,
             "unshare", "--mount", "--uts", "--ipc", "--pid",
             "--fork", "--kill-child", "sh", "-c", START, "sh", name,
             str(uuid.uuid4()), host_root, mounts, guest, self.share,
             settings],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def path(self, name):
        return os.path.join(self.share, name)

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_ready(self):
        def look():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.said()}")
            # Not only any libvirt: before chroot it is this machine's.
            virsh = self.start_virsh("hostname")
            return virsh.communicate(timeout=TIMEOUT)[0].strip() == self.name
        wait_until(look, f"libvirt at {self.name}", poll=0.2)

    def first_process(self):
        """The number of its process 1 here."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return f.read().strip() or str(pid)

    def start_virsh(self, *args):
        """Run virsh at this host; the process."""
        return subprocess.Popen(
            ["nsenter", "--target", self.first_process(), "--all", "--root",
             "--wd", "virsh", "--quiet", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})

    def virsh(self, *args):
        """What virsh says."""
        process = self.start_virsh(*args)
        said, errors = process.communicate(timeout=TIMEOUT)
        if process.returncode:
            raise RuntimeError(f"virsh {args[0]} at {self.name}: {errors}")
        return said

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)
