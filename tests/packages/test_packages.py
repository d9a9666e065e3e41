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
        run("scripts/make-deb", cls.debs)
        cls.box = box.Box("fresh", os.path.join(folder, "root"), (), {
            os.path.join(folder, "lists"): "/var/lib/apt/lists",
            os.path.join(folder, "archives"): "/var/cache/apt/archives",
            cls.debs: "/deb", ROOT: "/ferry"})
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
        """All of them, with what they depend on and no more."""
        paths = [path for name in PACKAGES
                 for path in glob.glob(f"{cls.debs}/{name}_*.deb")]
        assert len(paths) == len(PACKAGES), os.listdir(cls.debs)
        cls.box.run("env", "DEBIAN_FRONTEND=noninteractive",
                    "apt-get", "-q", "-y", "--no-install-recommends",
                    "install",
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
