#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What bash and zsh complete the programs by, as they do it: bash by its
function, zsh at a terminal."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import program_kit
import tap
from program_kit import BUILD, TIMEOUT

PROGRAMS = {"ferry-inspect": "tools/inspect", "ferry-migrate": "tools/migrate",
            "ferry-relay": "tools/relay", "ferry-vm": "vmm"}
COMPLETE = r"""
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"_${1//-/_}"
printf '%s\n' "${COMPREPLY[@]}"
"""
ROWS = (
    ("ferry-relay --ro", ["--role", "--route", "--routes"]),
    ("ferry-relay --role ", ["auto", "receive", "send"]),
    ("ferry-relay --role s", ["send"]),
    ("ferry-relay --listen t", ["tcp:"]),
    ("ferry-relay --once ", []),
    ("ferry-relay --history ", []),
    ("ferry-relay --compress-method zl", ["zlib"]),
    ("ferry-relay --tls-creds F", ["FOLDER"]),
    ("ferry-inspect --extract pc.ram fi", ["file 1"]),
    ("ferry-inspect --extract ", []),
    ("ferry-inspect fi", ["file 1"]),
    ("ferry-vm -acc", ["-accel"]),
    ("ferry-vm -accel ", ["kvm", "soft"]),
    ("ferry-vm -incoming d", ["defer"]),
    ("ferry-migrate --copy", ["--copy-storage-all", "--copy-storage-inc"]),
    ("ferry-migrate --tunn", []),
    ("ferry-migrate we", [r"web\ \$x"]),
    ("ferry-migrate qemu", ["qemu+ssh://"]),
)
VIRSH = "#!/bin/sh\necho 'web $x'\necho db\n"


class Completion(program_kit.ProgramTest):
    def setUp(self):
        super().setUp()
        bin_folder = os.path.join(self.folder, "bin")
        os.mkdir(bin_folder)
        for name, folder in PROGRAMS.items():
            os.symlink(os.path.join(BUILD, folder, name),
                       os.path.join(bin_folder, name))
        path = os.path.join(bin_folder, "virsh")
        with open(path, "w", encoding="ascii") as f:
            f.write(VIRSH)
        os.chmod(path, 0o755)
        self.work = os.path.join(self.folder, "work")
        os.makedirs(os.path.join(self.work, "FOLDER"))
        with open(os.path.join(self.work, "file 1"), "wb"):
            pass
        self.env = {**os.environ, "LC_ALL": "C", "TERM": "dumb",
                    "HOME": self.folder,
                    "PATH": f"{bin_folder}:{os.environ['PATH']}"}

    def bash(self, line):
        words = line.split(" ")
        done = subprocess.run(
            ["bash", "-c", COMPLETE, "bash",
             os.path.join(BUILD, "tools/completion/bash", words[0]), *words],
            capture_output=True, text=True, cwd=self.work, env=self.env,
            timeout=TIMEOUT, check=False)
        self.assertEqual(done.stderr, "")
        return sorted(done.stdout.split("\n")[:-1]) if done.stdout.strip() \
            else []

    def test_bash(self):
        for line, expected in ROWS:
            with self.subTest(line):
                self.assertEqual(self.bash(line), expected)

    def test_every_option(self):
        """All that help names, in both shells."""
        for name in PROGRAMS:
            with self.subTest(name):
                said = subprocess.run(
                    [name, "-h"], capture_output=True, text=True, check=True,
                    env=self.env).stdout.partition("\nRefused:")[0]
                options = re.findall(r"^--?[a-z][a-z0-9-]*", said, re.M)
                self.assertGreater(len(options), 9)
                self.assertEqual(self.bash(name + " -"), sorted(options))
                with open(os.path.join(BUILD, "tools/completion/zsh/_" + name),
                          encoding="utf-8") as f:
                    text = f.read()
                self.assertEqual(
                    re.findall(r"^(?:_arguments|   ) '\*?(--?[a-z0-9-]+)",
                               text, re.M), options)

    def zsh(self, line, wanted):
        """Type line and a tab: does wanted appear?"""
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(self.work)
            os.execvpe("zsh", ["zsh", "-f", "-i"], self.env)
        try:
            setup = (f"fpath=({BUILD}/tools/completion/zsh $fpath); "
                     "autoload -Uz compinit; compinit -u -D; PS1='ready'' > '\n")
            os.write(terminal, setup.encode())
            seen = self.read_until(terminal, "ready > ")
            os.write(terminal, line.encode() + b"\t")
            seen = self.read_until(terminal, wanted)
            return wanted in seen
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(terminal)

    @staticmethod
    def read_until(terminal, wanted):
        seen, end = "", time.monotonic() + 20
        while wanted not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.5)[0]:
                seen += os.read(terminal, 65536).decode(errors="replace")
        return seen

    def test_zsh(self):
        if not shutil.which("zsh"):
            self.skipTest("no zsh here")
        for line, wanted in (("ferry-relay --resume-timeout-s", "topped"),
                             ("ferry-relay --role rec", "receive"),
                             ("ferry-relay --compress-method zl", "zlib"),
                             ("ferry-inspect fi", "file\\ 1"),
                             ("ferry-vm -acc", "-accel"),
                             ("ferry-migrate we", "web\\ \\$x")):
            with self.subTest(line):
                self.assertTrue(self.zsh(line, wanted))


if __name__ == "__main__":
    tap.main()
