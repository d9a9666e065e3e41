#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ferry-migrate with real relays, and pretended virsh and ssh (fakes/).

After each test nothing may be left: no process that was started below it, and
no file in the folder for temporary ones.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", name) for name in ("lib", "relay")]
import tap  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402
from relay_kit import BUILD, RELAY  # noqa: E402

MIGRATE = os.path.join(BUILD, "tools", "migrate", "ferry-migrate")
URI = "qemu+ssh://there/system"
MOVED, FAILED, UNKNOWN, REFUSED, ABORTED = 0, 1, 2, 3, 130


class MigrateTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ferry-")
        self.addCleanup(folder.cleanup)
        self.fake = folder.name
        self.tmp = self.path("tmp")
        os.mkdir(self.tmp)
        near = self.path("near")
        os.mkdir(near)
        os.symlink(RELAY, os.path.join(near, "ferry-relay"))
        self.env = {**os.environ, "FAKE": self.fake, "RELAY": RELAY,
                    "TMPDIR": self.tmp, "LC_ALL": "C",
                    "PATH": f"{HERE}/fakes:{near}:{os.environ['PATH']}"}
        self.write("here", "running")
        self.write("name", "guest")
        self.addCleanup(self.check_nothing_left)

    def path(self, name):
        return os.path.join(self.fake, name)

    def write(self, name, text=""):
        with open(self.path(name), "w", encoding="ascii") as f:
            f.write(text)

    def calls(self):
        if not os.path.exists(self.path("log")):
            return []
        with open(self.path("log"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def processes(self, program=""):
        """Those of this test, by the environment that they were given."""
        found = []
        mark = b"FAKE=" + self.fake.encode() + b"\0"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if mark not in f.read():
                        continue
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode().split("\0")
            except OSError:
                continue
            if program in words[0]:
                found.append((int(pid), words))
        return found

    def check_nothing_left(self):
        left = self.processes()
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, [])
        self.assertEqual(os.listdir(self.tmp), [])

    def start(self, *args):
        process = subprocess.Popen(
            [MIGRATE, *args], env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def finish(self, process, status):
        """What it says: standard output, and lines of errors."""
        output, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, status, errors)
        self.assertNotIn("Traceback", errors)
        return output, errors.splitlines()

    def run_it(self, status, *args):
        return self.finish(self.start(*args), status)

    def start_held(self, *args):
        """A migration that is half done, and stays so."""
        self.write("hold")
        process = self.start(*args)
        wait_until(lambda: all(os.path.exists(self.path(name))
                               for name in ("held", "tunnel")) or
                   process.poll() is not None, "half a migration")
        self.assertIsNone(process.poll())
        return process

    def relay(self, role):
        """The process of that relay."""
        pid, = [pid for pid, words in self.processes("ferry-relay")
                if role in words]
        return pid

    def go_on(self):
        os.unlink(self.path("hold"))


class Whole(MigrateTest):
    def test_moved(self):
        lines = self.run_it(MOVED, "guest", URI, "--persistent",
                            "--undefinesource", "--bandwidth", "100")[1]
        self.assertTrue(os.path.exists(self.path("there")))
        self.assertRegex(lines[-1], r"\Aferry-migrate: 'guest' moved to there "
                         r"in \d+\.\d s, \d+\.\d MiB as \d+\.\d MiB "
                         r"\(ratio [1-9]\d*\.\d\d\)\Z")
        self.assertRegex(lines[-2], r"\AMigration: \[ *100.00 %\]")
        call, = [c for c in self.calls() if "migrate" in c]
        for word in ("--live", "--verbose", "--persistent", "--bandwidth=100",
                     "--undefinesource", "--domain=guest", f"--desturi={URI}",
                     "--listen-address=127.0.0.1"):
            self.assertIn(word, call)

    def test_progress(self):
        """Beside virsh's percent the relay's rate and ratio."""
        process = self.start_held("guest", URI)
        for line in process.stderr:
            if re.fullmatch(r"Migration: \[ *[\d.]+ %\], link [\d.]+ \S+/s, "
                            r"ratio [\d.]+\n", line):
                break
        else:
            self.fail("no such line")
        self.go_on()
        self.finish(process, MOVED)

    def test_relays_are_for_this_run(self):
        """Roles are named, they end after one, and listen at loopback."""
        process = self.start_held("guest", URI)
        for role in "send", "receive":
            with open(f"/proc/{self.relay(role)}/cmdline", "rb") as f:
                words = f.read().decode().split("\0")
            self.assertIn("--once", words)
            self.assertRegex(words[words.index("--listen") + 1],
                             r"\Atcp:127\.0\.0\.[13]:\d+\Z")
        self.go_on()
        self.finish(process, MOVED)

    def test_dry_run(self):
        output = self.run_it(MOVED, "--dry-run", "guest", URI)[0]
        self.assertIn("would run: virsh", output)
        self.assertIn("a relay listened", output)
        self.assertTrue(os.path.exists(self.path("here")))
        self.assertEqual([c for c in self.calls() if "migrate" in c], [])

    def test_hostile_names(self):
        """They are one word everywhere."""
        name = "--a b'\"$(touch pwned);`touch pwned`\n\\"
        self.write("name", name)
        self.run_it(MOVED, "--",
                    name, "qemu+ssh://u.x@there:23/system?keyfile=/a%20b;c")
        self.assertFalse(os.path.exists("pwned"))
        ssh = [c for c in self.calls() if c[0] == "ssh"]
        self.assertTrue(ssh)
        for call in ssh:
            self.assertEqual(call[call.index("-p") + 1], "23")
            self.assertEqual(call[call.index("-l") + 1], "u.x")
            self.assertEqual(call[call.index("-i") + 1], "/a b;c")


class Broken(MigrateTest):
    def test_ssh_breaks(self):
        """The relay runs another ssh, and the migration goes on."""
        process = self.start_held("guest", URI)
        with open(self.path("tunnel"), encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGKILL)
        self.go_on()
        lines = self.finish(process, MOVED)[1]
        self.assertIn("; the link broke and came back 1 time", lines[-1])

    def test_near_relay_killed(self):
        process = self.start_held("guest", URI)
        os.kill(self.relay("send"), signal.SIGKILL)
        lines = self.finish(process, FAILED)[1]
        self.assertIn("failed: 'guest' stays here, running: error: ", lines[-1])

    def test_far_relay_killed(self):
        process = self.start_held("--resume-timeout=1", "guest", URI)
        os.kill(self.relay("receive"), signal.SIGKILL)
        lines = self.finish(process, FAILED)[1]
        self.assertIn("failed: 'guest' stays here, running: error: ", lines[-1])
        self.assertIn("(relay: ", lines[-1])

    def test_time_limit(self):
        process = self.start_held("--time-limit=2", "guest", URI)
        self.finish(process, FAILED)

    def test_virsh_refuses(self):
        self.write("refuse")
        lines = self.run_it(FAILED, "guest", URI)[1]
        self.assertIn("unsupported configuration", lines[-1])

    def test_nobody_knows(self):
        process = self.start_held("guest", URI)
        self.write("here", "paused")
        os.kill(self.relay("send"), signal.SIGKILL)
        lines = self.finish(process, UNKNOWN)[1]
        self.assertIn("unknown: 'guest' is paused here and not found at there",
                      lines[-1])


class Aborted(MigrateTest):
    def test_signals(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with self.subTest(number):
                process = self.start_held("guest", URI)
                process.send_signal(number)
                lines = self.finish(process, ABORTED)[1]
                self.assertEqual(lines[-1], "ferry-migrate: aborted: 'guest' "
                                 "stays here, running")
                self.assertIn(["virsh", "-q", "-c", "qemu:///system",
                               "domjobabort", "--domain=guest"], self.calls())
                for name in "abort", "held", "log", "tunnel":
                    os.unlink(self.path(name))

    def test_no_job(self):
        """What cannot be aborted goes on; a second signal ends virsh."""
        self.write("no-job")
        process = self.start_held("guest", URI)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: any("domjobabort" in c for c in self.calls()),
                   "an attempt")
        process.send_signal(signal.SIGINT)
        lines = self.finish(process, ABORTED)[1]
        self.assertIn("ending virsh", "".join(lines))


class Refused(MigrateTest):
    def refuse(self, words, *args):
        output, lines = self.run_it(REFUSED, *args)
        self.assertEqual(output, "")
        self.assertIn(words, lines[-1])
        self.assertTrue(os.path.exists(self.path("here")))

    def test_options(self):
        for option, words in (
                ("--tunnelled", "no place for relays"),
                ("--compressed", "the relays compress"),
                ("--comp-methods=zstd", "the relays compress"),
                ("--migrateuri=tcp://x", "ferry-migrate sets it"),
                ("--rdma-pin-all", "RDMA"), ("--zerocopy", "a copy"),
                ("--offline", "nothing to compress"),
                ("--tls-destination=x", "--tls DIR"),
                ("--copy-storage-all", "--disks-uri"),
                ("--all", "expected only the URI"),
                ("--at-once=3", "belongs to --all"),
                ("--surprise", "unknown"), ("--live=1", "takes no value"),
                ("-v", "two dashes"), ("--link-port=70000", "at most 65535"),
                ("--time-limit=0", "a second at least"),
                ("--bandwidth", "needs a value")):
            with self.subTest(option):
                self.refuse(words, "guest", URI, option)
        self.assertEqual(self.calls(), [])

    def test_uris(self):
        for uri in ("there", "qemu:///system", "xen+ssh://there/system",
                    "qemu+ssh://-oProxyCommand=x/system",
                    "qemu+ssh://-l@there/system", "qemu+ssh://a b/system",
                    "qemu+ssh://$(x)/system", "qemu+ssh://there:x/system",
                    "qemu+ssh://there/", "qemu+ssh://[x/system"):
            with self.subTest(uri):
                self.refuse("ferry-migrate: ", "guest", uri)
        for path in "/", "/a:b", "/a?x=y":
            self.refuse("expected ssh://THERE/QMP", "q", f"ssh://there{path}")
        for option, words in (("--persistent", "has no meaning for QMP"),
                              ("--bandwidth=1k", "MiB a second"),
                              ("--keepalive-off", "for libvirt's guests")):
            self.refuse(words, "q", "ssh://there/q", option)
        self.refuse("expected GUEST", "guest")
        for option, words in (("--dname=x", "is for one guest"),
                              ("--at-once=33", "at most 32"),
                              ("--at-once=0", "a guest at least")):
            self.refuse(words, "--all", URI, option)
        self.assertEqual(self.calls(), [])

    def test_checks(self):
        self.refuse("failed to get domain", "another", URI)
        self.refuse("QMP at q: ", "q", "ssh://there/q")
        self.refuse("Could not resolve", "guest",
                    "qemu+ssh://nowhere/system")
        self.write("no-libvirt")
        self.refuse("failed to connect", "guest", URI)
        os.unlink(self.path("no-libvirt"))
        self.write("here", "shut off")
        self.refuse("'shut off'", "guest", URI)
        self.write("here", "running")
        self.write("no-relay")
        self.refuse("no sockets left", "guest", URI)
        os.unlink(self.path("no-relay"))
        self.refuse("compress-level", "--compress-level=99", "guest", URI)


class Words(MigrateTest):
    def test_help(self):
        """Page and help name the same options."""
        output = self.run_it(MOVED, "--help")[0]
        named = set(re.findall(r"^--[a-z][a-z0-9-]*[a-z0-9]", output.partition(
            "Refused:")[0], re.M))
        self.assertIn("--persistent", named)
        with open(os.path.join(ROOT, "docs/man/ferry-migrate.1"),
                  encoding="utf-8") as f:
            text = f.read().replace("Fl -", "--")
        for option in named:
            with self.subTest(option):
                self.assertRegex(text, re.escape(option) + r"(?![\w-])")

    def test_version(self):
        self.assertRegex(self.run_it(MOVED, "--version")[0],
                         r"\Aferry-migrate \d+\.\d+\.\d+\n\Z")


if __name__ == "__main__":
    tap.main()
