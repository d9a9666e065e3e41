#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP clients that were written for QEMU drive a migration: go-qemu, govmm.

    test-foreign-client.py BUILD drive-migration.go drive-govmm.go
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))
import ferry_vm  # noqa: E402
import tap  # noqa: E402

GOPATH = "/usr/share/gocode"  # where Debian's Go packages are
GO_QEMU = "github.com/digitalocean/go-qemu/qmp"
GOVMM = "github.com/kata-containers/govmm/qemu"
COMPILERS = ["go", "go-12"]   # golang-go, gccgo-12


def build_client(package, source, folder):
    compiler = next(filter(shutil.which, COMPILERS), None)
    if not compiler or not os.path.isdir(os.path.join(GOPATH, "src",
                                                      package)):
        raise unittest.SkipTest(f"no Go compiler (gccgo-12), or no {package}"
                                " (golang-github-*-dev)")
    program = os.path.join(folder, "drive-migration")
    subprocess.run(
        [compiler, "build", "-o", program, source], check=True,
        env={**os.environ, "GO111MODULE": "off", "GOPATH": GOPATH,
             "GOCACHE": os.path.join(folder, "cache")})
    return program


class ForeignClient(unittest.TestCase):
    def test_go_qemu(self):
        self.drive_by(GO_QEMU, SOURCES[0])

    def test_govmm(self):
        self.drive_by(GOVMM, SOURCES[1])

    def drive_by(self, package, source):
        with tempfile.TemporaryDirectory(prefix="ferry-") as folder:
            client = build_client(package, source, folder)
            self.migrate(client, f"unix:{folder}/migration")

    def migrate(self, client, uri):
        """A whole migration, with compress."""
        guest = os.path.join(BUILD, "tests", "guest", "ab.elf")
        with ferry_vm.Machine(BUILD, "-kernel", guest, "-append",
                              "ws=8") as source, \
                ferry_vm.Machine(BUILD, "-incoming", "defer") as destination:
            source.serial.wait_for(b"ab: start")
            ended = subprocess.run(
                [client, source.path("qmp"), destination.path("qmp"), uri],
                stdout=subprocess.PIPE, check=True,
                timeout=ferry_vm.TIMEOUT)
            info = json.loads(ended.stdout)["return"]
            self.assertEqual(info["status"], "completed", info)
            self.assertGreater(source.migration()["compression"]["pages"], 0)
            self.assertEqual(info["ram"]["remaining"], 0)
            destination.wait_migration("completed")
            self.assertEqual(source.status(), "postmigrate")
            self.assertEqual(destination.status(), "running")
            destination.serial.wait_for(lambda text: text)


if __name__ == "__main__":
    BUILD, *SOURCES = sys.argv[1:4]
    del sys.argv[1:4]
    tap.main()
