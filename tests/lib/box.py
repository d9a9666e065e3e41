# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian of its own, in namespaces of this machine (mounts, processes, name,
and, if a prefix enters one, network).

Its root is a folder that is only read: what the box writes goes to an overlay
in memory, and is gone with it.  That needs root.
"""
import os
import shutil
import subprocess
import tempfile
import unittest

from ferry_vm import TIMEOUT, wait_until

# Run in the new namespaces, with $1 the name, $2 the root, $3 a folder to mount
# things at, $4 the command of process 1, and then pairs: a folder or file here,
# and where it is to be seen there.
START = r"""
set -eu
name=$1
command=$4
mount -t tmpfs none "$3"
mkdir "$3/upper" "$3/work" "$3/root"
mount -t overlay none "$3/root" \
    -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work"
cd "$3/root"
shift 4
mount -t proc none proc
mount -t sysfs none sys
mount -t tmpfs none run
mount -t tmpfs none dev
[ -L var/run ] || mount --bind run var/run
mkdir dev/pts dev/shm
mount -t devpts none dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev
if [ -e /dev/userfaultfd ]; then  # QEMU's user needs it for postcopy
    cp -a /dev/userfaultfd dev
    chmod 666 dev/userfaultfd
fi
while [ $# -gt 0 ]; do
    mkdir -p ".$2"
    mount --bind "$1" ".$2"
    shift 2
done
mkfifo run/box-holds
hostname "$name"
exec chroot . /bin/sh -c "$command"
"""
READY = "/run/box-is-ready"
ENVIRON = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C", "HOME": "/root",
}


def need():
    """A skip says what this machine lacks for a box."""
    if os.geteuid():
        raise unittest.SkipTest("this machine's user is not root, who alone "
                                "makes namespaces")
    tried = subprocess.run(["unshare", "-mniup", "--fork", "true"],
                           capture_output=True, text=True, check=False)
    if tried.returncode:
        raise unittest.SkipTest("this machine makes no namespaces: "
                                f"{tried.stderr.strip()}")


class Box:
    """prefix is what runs a command in the box's network, which otherwise is
    this machine's; binds is what there is of this machine: {here: there}.  The
    command is run by process 1, which then waits: it reaps what has no other
    parent."""

    def __init__(self, name, root, prefix=(), binds=None, command=""):
        self.name = name
        self.prefix = list(prefix)
        self.folder = tempfile.mkdtemp(prefix=f"ferry-{name}-")
        os.chmod(self.folder, 0o755)
        mounts = os.path.join(self.folder, "mounts")
        os.mkdir(mounts)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        # Killing unshare kills process 1 of the box, and with it the rest:
        # also when the test is killed.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.prefix,
             "unshare", "--mount", "--uts", "--ipc", "--pid",
             "--fork", "--kill-child", "sh", "-c", START, "sh", name,
             root, mounts,
             f"{command}\n: >{READY}\nread x <>/run/box-holds & wait",
             *(path for pair in (binds or {}).items() for path in pair)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_ready(self):
        def look():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.said()}")
            return os.path.exists(self.seen(READY))
        wait_until(look, f"start of {self.name}", poll=0.1)

    def first_process(self):
        """The number of its process 1 here."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return f.read().strip() or str(pid)

    def seen(self, path):
        """Where a path of the box is seen here."""
        return f"/proc/{self.first_process()}/root{path}"

    def enter(self):
        """What runs a command in the box."""
        return ["nsenter", "--target", self.first_process(), "--all", "--root",
                "--wd"]

    def start(self, *args, **how):
        """Run a command there; the process."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
               "stderr": subprocess.PIPE, "text": True, "env": ENVIRON, **how}
        return subprocess.Popen([*self.enter(), *args], **how)

    def run(self, *args, timeout=TIMEOUT):
        """What a command says there."""
        process = self.start(*args)
        try:
            said, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        if process.returncode:
            raise RuntimeError(f"{' '.join(args)} at {self.name}: {said}"
                               f"{errors}")
        return said

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)
