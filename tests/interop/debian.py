# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages, downloaded and unpacked into a folder, not installed.

Apt is given sources, lists and a cache of its own: the release that this
system is, or another one, its updates, and its backports, from the mirrors
that the system has.  What is installed here, and what apt knows here, stays as
it is, and nobody need be root.
"""
import contextlib
import fcntl
import glob
import os
import re
import shutil
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
INRELEASE = re.compile(r"^'(\S+)/dists/([^/' ]+)/InRelease'", re.M)
TIMEOUT = 300  # seconds for a download


class Unavailable(Exception):
    """Why something cannot be had on this machine."""


def run(*args, cwd=None):
    """A program's standard output; Unavailable says how it failed."""
    try:
        done = subprocess.run(args, cwd=cwd, capture_output=True, text=True,
                              timeout=TIMEOUT, stdin=subprocess.DEVNULL,
                              env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Unavailable(str(err)) from None
    if done.returncode:
        lines = (done.stderr or done.stdout).splitlines() or ["failed"]
        errors = [line for line in lines if line.startswith("E:")]
        raise Unavailable(f"{args[0]}: {(errors or lines)[0]}")
    return done.stdout


def release():
    """"bookworm", for example."""
    try:
        with open("/etc/os-release", encoding="utf-8") as f:
            text = f.read()
    except OSError as err:
        raise Unavailable(str(err)) from None
    found = re.search(r"^VERSION_CODENAME=(\w+)$", text, re.M)
    if not re.search(r"^ID=debian$", text, re.M) or not found:
        raise Unavailable("this is no release of Debian")
    return found[1]


class Apt:
    """Apt with a folder of its own, for this system's release or another."""

    def __init__(self, folder, wanted=None):
        self.folder = os.path.abspath(folder)
        self.release = wanted or release()
        for name in "lists/partial", "archives/partial":
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        sources = os.path.join(self.folder, "sources.list")
        with open(sources, "w", encoding="utf-8") as f:
            f.writelines(self.sources())
        options = {
            "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": os.path.join(self.folder, "lists"),
            "Dir::Cache": self.folder, "Acquire::Languages": "none",
            "Acquire::http::Timeout": "20", "Acquire::https::Timeout": "20",
            "APT::Sandbox::User": "root", "Debug::NoLocking": "true",
        }
        self.options = [arg for key, value in options.items()
                        for arg in ("-o", f"{key}={value}")]
        try:
            self.apt_get("update", "--error-on=any")
        except Unavailable as err:
            if self.backports() not in str(err):
                raise
            # An old release has none any more.
            with open(sources, "w", encoding="utf-8") as f:
                f.writelines(line for line in self.sources()
                             if self.backports() not in line)
            self.apt_get("update", "--error-on=any")

    def sources(self):
        """Lines for the system's mirrors, and for the backports of one."""
        here = release()
        ours = [here + end for end in ("", "-updates", "-security")]
        mirrors = {suite.replace(here, self.release): url
                   for url, suite in INRELEASE.findall(
                       run("apt-get", "update", "--print-uris"))
                   if suite in ours}
        if self.release not in mirrors:
            raise Unavailable(f"apt has no mirror of {here}")
        mirrors[self.backports()] = mirrors[self.release]
        trust = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
        return [f"deb {trust}{url} {suite} main\n"
                for suite, url in mirrors.items()]

    def backports(self):
        return self.release + "-backports"

    def prefer_backports(self):
        """Options for a call that wants its newest packages."""
        with open(os.path.join(self.folder, "sources.list"),
                  encoding="utf-8") as f:
            has = self.backports() in f.read()
        return ("-t", self.backports()) if has else ()

    def apt_get(self, *args, cwd=None):
        return run("apt-get", *self.options, "-q", "-y", *args, cwd=cwd)

    def depends_on(self, package):
        """The packages that one depends on directly."""
        text = run("apt-cache", *self.options, "depends", package)
        return re.findall(r"^ *Depends: ([^\s<>]+)$", text, re.M)

    def unpack(self, root, *packages):
        """Download packages, and unpack them below root."""
        self._unpack(root, "download", *packages)

    def unpack_with_dependencies(self, root, *args):
        """The same with all that `apt-get install args` would install."""
        self._unpack(root, "install", "--no-install-recommends",
                     "--reinstall", "--download-only", *args)

    def unpack_whole(self, root, *packages):
        """The same with all that they depend on, also if it is installed."""
        self._unpack(root, "install", "--no-install-recommends",
                     "--download-only", "-o", "Dir::State::status=/dev/null",
                     *packages)

    def _unpack(self, root, *args):
        archives = os.path.join(self.folder, "archives")
        for path in glob.glob(f"{archives}/*.deb"):
            os.unlink(path)
        self.apt_get(*args, cwd=archives)
        os.makedirs(root)
        for path in glob.glob(f"{archives}/*.deb"):
            run("dpkg-deb", "-x", path, root)
            os.unlink(path)


@contextlib.contextmanager
def locked(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def build_once(cache, name, build, wanted=None):
    """The folder that build(apt, folder) fills the first time; it is kept in
    the folder cache.  wanted is a release, if not this system's."""
    folder = os.path.join(os.path.abspath(cache), name)
    with locked(os.path.join(os.path.abspath(cache), "lock")):
        if not os.path.isdir(folder):
            scratch = folder + ".new"
            shutil.rmtree(scratch, ignore_errors=True)
            os.makedirs(scratch)
            build(Apt(os.path.join(cache, "apt"), wanted), scratch)
            os.rename(scratch, folder)
    return folder
