#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `meson install` leaves: a program, and a library for others."""
import glob
import os
import re
import shlex
import shutil
import subprocess

import program_kit
import tap
from ferry_vm import methods
from program_kit import BUILD

HERE = os.path.dirname(os.path.abspath(__file__))
CC = os.environ.get("CC", "cc")
EXPORTED = re.compile(r"\A(mig|io_uri|io_channel|io_listener|io_sync)_\w+\Z")


class Install(program_kit.ProgramTest):
    def setUp(self):
        super().setUp()
        for tool in "meson", "pkg-config", "nm", shlex.split(CC)[0]:
            if not shutil.which(tool):
                self.skipTest(f"no {tool} here")
        self.output("meson", "install", "-C", BUILD, "--no-rebuild",
                    "--destdir", self.folder)

    def output(self, *args, **env):
        done = subprocess.run(args, capture_output=True, text=True,
                              env={**os.environ, **env},
                              timeout=program_kit.TIMEOUT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def find(self, name):
        """The one installed file of that name."""
        found = glob.glob(f"{self.folder}/**/{name}", recursive=True)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def flags(self, package="ferry"):
        """What pkg-config says a compiler must be told."""
        path = self.find(f"{package}.pc")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("prefix=/", f"prefix={self.folder}/", 1))
        return shlex.split(self.output(
            "pkg-config", "--cflags", "--libs", package,
            PKG_CONFIG_PATH=os.path.dirname(path)))

    def private_flags(self):
        """What it says the static library needs besides."""
        needed = self.output(
            "pkg-config", "--print-requires-private", "ferry",
            PKG_CONFIG_PATH=os.path.dirname(self.find("ferry.pc")))
        return shlex.split(self.output(
            "pkg-config", "--libs",
            *(line.split()[0] for line in needed.splitlines())))

    def test_program(self):
        program = self.find("bin/ferry-vm")
        self.assertRegex(self.output(program, "-version"),
                         r"\Aferry-vm \d+\.\d+\.\d+\n"
                         r"compress-method zlib: zlib from level 0.*\n"
                         r"(compress-method \w+: .*\n)+\Z")
        self.assertEqual(methods(program, built_in=False),
                         methods(self.find("bin/ferry-relay"), built_in=False))

    def test_migrate(self):
        self.assertRegex(self.output(self.find("bin/ferry-migrate"),
                                     "--version"),
                         r"\Aferry-migrate \d+\.\d+\.\d+\n\Z")
        self.find("ferry-migrate.1")
        for name in "ferry-migrate", "ferry-relay", "ferry-inspect", "ferry-vm":
            self.find(f"bash-completion/completions/{name}")
            self.find(f"zsh/site-functions/_{name}")

    def test_embedding(self):
        program = os.path.join(self.folder, "embed")
        self.output(*shlex.split(CC), "-std=gnu11", "-Wall", "-Werror",
                    os.path.join(HERE, "embed.c"), "-o", program,
                    *self.flags())
        library = self.find("libferry.so")
        libraries = self.output("ldd", program,
                                LD_LIBRARY_PATH=os.path.dirname(library))
        self.assertIn(os.path.dirname(library), libraries)
        self.assertRegex(
            self.output(program, os.path.join(self.folder, "stream"),
                        LD_LIBRARY_PATH=os.path.dirname(library)),
            r"\Amoved by libferry \d+\.\d+\.\d+\n\Z")

    def test_embedding_of_inspect(self):
        program = os.path.join(self.folder, "look")
        self.output(*shlex.split(CC), "-std=gnu11", "-Wall", "-Werror",
                    os.path.join(os.path.dirname(HERE), "embed", "look.c"),
                    "-o", program, *self.flags("ferry-inspect"))
        library = self.find("libferry-inspect.so")
        golden = os.path.join(os.path.dirname(HERE), "wire", "golden",
                              "plain.bin")
        self.assertIn("machine ", self.output(
            program, golden, LD_LIBRARY_PATH=os.path.dirname(library)))
        for symbol in self.symbols("-D", library, "mig_inspect_open"):
            self.assertRegex(symbol, r"\Amig_(inspect_\w+|error_quark)\Z")

    def test_each_header_stands_alone(self):
        include = os.path.dirname(self.find("migration.h"))
        headers = glob.glob(f"{include}/*.h")
        self.assertGreaterEqual(len(headers), 7)
        flags = self.flags()
        for header in headers:
            self.output(*shlex.split(CC), "-std=gnu11", "-Wall", "-Werror",
                        "-fsyntax-only", header, *flags)

    def symbols(self, how, path, one="mig_new"):
        """What a library defines for others."""
        lines = self.output("nm", how, "--defined-only", path).splitlines()
        symbols = [line.split()[2] for line in lines
                   if len(line.split()) == 3]
        self.assertIn(one, symbols)
        return symbols

    def test_static(self):
        program = os.path.join(self.folder, "embed-static")
        static = self.find("libferry.a")
        flags = [f for f in self.flags() if f != "-lferry"]
        self.output(*shlex.split(CC), "-std=gnu11",
                    os.path.join(HERE, "embed.c"), "-o", program, static,
                    *flags, *self.private_flags(), "-lpthread")
        self.assertRegex(
            self.output(program, os.path.join(self.folder, "stream")),
            r"\Amoved by libferry \d+\.\d+\.\d+\n\Z")

    def test_exports(self):
        """Nothing but what the installed headers declare."""
        declared = ""
        for path in glob.glob(f"{self.folder}/**/*.h", recursive=True):
            with open(path, encoding="utf-8") as f:
                declared += f.read()
        for symbol in (self.symbols("-D", self.find("libferry.so")) +
                       self.symbols("-g", self.find("libferry.a"))):
            with self.subTest(symbol):
                self.assertRegex(symbol, EXPORTED)
                self.assertRegex(declared, rf"\b{symbol}\(")


if __name__ == "__main__":
    tap.main()
