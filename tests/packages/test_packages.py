#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make deb` and `make dist` make.

The packages are built, looked at by lintian, and installed by apt into a fresh
Debian of this machine's release (debootstrap, kept in the build folder), which
has nothing else of Ferry.  There the demo, ferry-migrate's tests and a program
that uses libferry are run.
"""
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", name)
                for name in ("lib", "interop")]
import box  # noqa: E402
import debian  # noqa: E402
import tap  # noqa: E402
from ferry_vm import wait_until  # noqa: E402
from qemu_vm import QemuVm  # noqa: E402

BUILD = os.path.abspath(os.environ.get("FERRY_BUILD",
                                       os.path.join(ROOT, "build")))
CACHE = os.path.join(BUILD, "packages")
PACKAGES = ("libferry0", "libferry-inspect0", "libferry-dev", "ferry-tools",
            "ferry-vm")
LONG = 900  # seconds
# Where a test looks for a program in a build folder, and where it is.
INSTALLED = {
    "vmm/ferry-vm": "/usr/bin/ferry-vm",
    "tests/guest/stress.elf": "/usr/lib/ferry/guests/stress.elf",
    "tools/relay/ferry-relay": "/usr/bin/ferry-relay",
    "tools/migrate/ferry-migrate": "/usr/bin/ferry-migrate",
}

# The folder that is shared with QEMU is bound where tmpfiles.d looks for it.
# Without /proc/sys systemd changes nothing of this machine, and without a group
# of its own it would take the machine's.
SYSTEMD = """
set -e
mount --make-rprivate /
mount -t proc none /proc
mount -t tmpfs none /run
mkdir /run/ferry
mount --bind /run-ferry /run/ferry
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
exec env -i container=ferry PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    /lib/systemd/systemd
"""
DROP_INS = {
    "ferry-relay-send@.service": """\
[Service]
ExecStart=
ExecStart=/usr/bin/ferry-relay --stdio --role send --connect tcp:127.0.0.1:4444
""",
}


def children(*pids):
    found = []
    for pid in pids:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            found += f.read().split()
    return found


def try_rmdir(path):
    """A cgroup is busy until its last process has been reaped."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def run(*args, **env):
    done = subprocess.run(args, cwd=ROOT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LONG,
                          env={**os.environ, **env}, check=False)
    if done.returncode:
        raise AssertionError(f"{shlex.join(args)}: {done.stdout[-3000:]}"
                             f"{done.stderr[-3000:]}")
    return done.stdout


def bootstrap(apt, folder):
    """Debian and what apt installs besides: kept for the next time."""
    sources = apt.sources()
    mirror = re.search(rf"(\S+) {apt.release} ", sources[0])[1]
    root = os.path.join(folder, "root")
    try:
        run("debootstrap", "--variant=minbase", apt.release, root, mirror)
    except AssertionError as err:
        raise debian.Unavailable(f"debootstrap: {str(err)[-200:]}") from None
    with open(f"{root}/etc/apt/sources.list", "w", encoding="utf-8") as f:
        f.writelines(line for line in sources if "backports" not in line)
    for name in "lists", "archives":
        os.mkdir(os.path.join(folder, name))


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise unittest.SkipTest(f"no {tool} here")


class Deb(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("dpkg-buildpackage", "debootstrap", "lintian", "gcc",
             "pkg-config")
        box.need()
        try:
            folder = debian.build_once(CACHE, debian.release(), bootstrap)
        except debian.Unavailable as err:
            raise unittest.SkipTest(f"this machine gets no Debian: {err}") \
                from None
        cls.out = tempfile.mkdtemp(prefix="ferry-deb-")
        cls.addClassCleanup(shutil.rmtree, cls.out)
        os.chmod(cls.out, 0o755)
        cls.debs = os.path.join(cls.out, "deb")
        cls.run_ferry = os.path.join(cls.out, "run")
        os.mkdir(cls.run_ferry)
        run("scripts/make-deb", cls.debs)
        cls.box = box.Box("fresh", os.path.join(folder, "root"), (), {
            os.path.join(folder, "lists"): "/var/lib/apt/lists",
            os.path.join(folder, "archives"): "/var/cache/apt/archives",
            cls.debs: "/deb", ROOT: "/ferry", cls.run_ferry: "/run-ferry"})
        cls.addClassCleanup(cls.box.close)
        cls.box.wait_ready()
        shutil.copy("/etc/resolv.conf", cls.box.seen("/etc/resolv.conf"))
        if not glob.glob(os.path.join(folder, "lists", "*Packages*")):
            cls.box.run("apt-get", "-q", "update", timeout=LONG)
        cls.install()
        for name, path in INSTALLED.items():
            link = cls.box.seen("/built/" + name)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(path, link)

    @classmethod
    def install(cls):
        """All of them, with what they depend on, and systemd."""
        paths = [path for name in PACKAGES
                 for path in glob.glob(f"{cls.debs}/{name}_*.deb")]
        assert len(paths) == len(PACKAGES), os.listdir(cls.debs)
        cls.box.run("env", "DEBIAN_FRONTEND=noninteractive",
                    "apt-get", "-q", "-y", "--no-install-recommends",
                    "install", "systemd",
                    *("/deb/" + os.path.basename(path) for path in paths),
                    timeout=LONG)

    def test_lintian(self):
        changes, = glob.glob(f"{self.debs}/*.changes")
        run("lintian", "--allow-root", "--fail-on", "error", changes)

    def test_programs(self):
        for name in "ferry-vm", "ferry-relay", "ferry-inspect", "ferry-migrate":
            with self.subTest(name):
                said = self.box.run(
                    name, "-version" if name == "ferry-vm" else "--version")
                self.assertRegex(said, rf"\A{name} \d+\.\d+\.\d+\n")

    def test_demo(self):
        said = self.box.run("env", "FERRY_MIB=256", "PYTHONDONTWRITEBYTECODE=1",
                            "python3", "/ferry/tests/demo.py", "/built",
                            timeout=LONG)
        self.assertIn("RAM of source and destination is equal", said)

    def test_ferry_migrate(self):
        """Its own tests, with the relays that are installed."""
        said = self.box.run(
            "env", "FERRY_BUILD=/built", "PYTHONDONTWRITEBYTECODE=1",
            "python3", "/ferry/tests/migrate/test_migrate.py", timeout=LONG)
        self.assertRegex(said, r"\nok \d+ \S*test_moved\n")
        self.assertNotRegex(said, r"(?m)^not ok|SKIP")

    def test_embedding(self):
        """With nothing of this machine but its compiler."""
        root = self.box.seen("")
        flags = shlex.split(run(
            "pkg-config", "--cflags", "--libs", "ferry",
            PKG_CONFIG_SYSROOT_DIR=root,
            PKG_CONFIG_LIBDIR=":".join(
                glob.glob(f"{root}/usr/lib/*/pkgconfig") +
                [f"{root}/usr/share/pkgconfig"])))
        run("gcc", f"--sysroot={root}", "-o", f"{self.debs}/embed",
            "tests/program/embed.c", *flags)
        self.assertRegex(self.box.run("/deb/embed", "/tmp/stream"),
                         r"\Amoved by libferry \d+\.\d+\.\d+\n\Z")


    def start_systemd(self):
        """As process 1 of namespaces within the box; what enters them."""
        for name, text in DROP_INS.items():
            path = self.box.seen(f"/etc/systemd/system/{name}.d/test.conf")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        cgroup = self.make_cgroup()
        process = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup,
             *self.box.enter(), "unshare", "--pid", "--mount", "--cgroup",
             "--net", "--fork", "--kill-child", "sh", "-c", SYSTEMD],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=box.ENVIRON)
        self.addCleanup(self.stop_systemd, process)
        box_ends = wait_until(lambda: children(process.pid), "unshare")
        first, = wait_until(lambda: children(*box_ends), "process 1")
        enter = ["nsenter", "--target", first, "--all", "--root", "--wd"]
        wait_until(lambda: subprocess.run(
            [*enter, "systemctl", "is-active", "multi-user.target"],
            capture_output=True, check=False).returncode == 0,
            "multi-user.target", poll=0.5)
        return enter

    def make_cgroup(self):
        """Of which systemd takes what is below it."""
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line.split() for line in f]
        top = [where for _, where, kind, options, *_ in mounts
               if kind == "cgroup2" and "rw" in options.split(",")]
        if not top:
            self.skipTest("this machine has no cgroup2 to write to")
        folder = os.path.join(top[0], f"ferry-{os.getpid()}")
        os.mkdir(folder)
        self.addCleanup(self.remove_cgroup, folder)
        return folder

    @staticmethod
    def remove_cgroup(folder):
        for path, _, _ in os.walk(folder, topdown=False):
            wait_until(lambda: try_rmdir(path), f"end of {path}")

    def stop_systemd(self, process):
        for pid in children(process.pid):
            for first in children(pid):
                os.kill(int(first), signal.SIGKILL)
        process.wait()

    def qemu(self, *args):
        """As a user of the group ferry, outside of the box: it has nothing but
        the sockets in common with it."""
        group = os.stat(self.run_ferry).st_gid
        vm = UnitVm(group, *args)
        self.addCleanup(vm.close)
        return vm

    def test_units(self):
        need("qemu-system-x86_64")
        enter = self.start_systemd()
        run(*enter, "systemctl", "start", "ferry-relay-receive.socket",
            "ferry-relay-send.socket")
        self.assertEqual(run(*enter, "stat", "-c", "%a %U %G", "/run/ferry"),
                         "2770 root ferry\n")
        there = self.qemu("-incoming", f"unix:{self.run_ferry}/vm.sock")
        here = self.qemu()
        for vm in here, there:
            vm.set_capability("return-path", True)
        here.qmp("migrate", uri=f"unix:{self.run_ferry}/out.sock")
        info = here.wait_migration("completed", "failed")
        log = run(*enter, "journalctl", "-o", "cat", "-u", "ferry-relay-*")
        self.assertEqual(info["status"], "completed", log)
        wait_until(lambda: there.qmp("query-status")["status"] == "running",
                   "guest that runs")
        wait_until(lambda: run(
            *enter, "journalctl", "-o", "cat", "-u", "ferry-relay-*").count(
                "the destination has the guest") == 2, "end of both relays")
        self.assertEqual(run(*enter, "systemctl", "--failed", "--no-legend",
                             "list-units", "ferry-*"), "")


class UnitVm(QemuVm):
    def __init__(self, group, *args):
        self.group = group
        super().__init__("qemu-system-x86_64", *args, mem="64M")

    def start(self, command_line, **popen):
        os.chown(self.folder, 4321, 4321)
        super().start(["setpriv", "--reuid", "4321", "--regid", "4321",
                       "--groups", str(self.group), "sh", "-c",
                       'umask 002; exec "$@"', "sh", *command_line], **popen)


class Dist(unittest.TestCase):
    def test_archive(self):
        """The last commit, the same bytes each time, and a checksum."""
        need("xz", "git")
        if not os.path.exists(os.path.join(ROOT, ".git")):
            self.skipTest("this machine's tree has no history")
        with tempfile.TemporaryDirectory() as folder:
            sums = []
            for _ in range(2):
                path = run("scripts/make-dist", folder).strip()
                with open(f"{folder}/SHA256SUMS", encoding="ascii") as f:
                    sums.append(f.read())
            self.assertEqual(sums[0], sums[1])
            self.assertRegex(sums[0], r"\A[0-9a-f]{64}  ferry-\S+\.tar\.xz\n\Z")
            run("sh", "-c", 'cd "$1" && sha256sum -c SHA256SUMS', "sh", folder)
            names = run("tar", "-tf", path).splitlines()
            top = names[0].rstrip("/")
            self.assertEqual(os.path.basename(path), top + ".tar.xz")
            self.assertEqual(
                sorted(name.removeprefix(top + "/") for name in names
                       if not name.endswith("/")),
                sorted(run("git", "-c", "core.quotepath=off", "ls-tree", "-r",
                           "--name-only", "HEAD").splitlines()))


if __name__ == "__main__":
    tap.main()
