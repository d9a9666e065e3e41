#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz, one after the other, and keep what was found.

    tests/fuzz/run.py SECONDS [NAME...]

builds with clang's libFuzzer in build-fuzz/ and runs each fuzzer (or those
named) for so many seconds, from the inputs of tests/fuzz/corpus/NAME, the golden
streams where it reads such a stream as it is, and the inputs that earlier runs
have made in build-fuzz/corpus/NAME.  An input that crashes,
hangs or leaks is left in build-fuzz/found/, and the exit status is 1.
"""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus")
GOLDEN = os.path.join(ROOT, "tests", "wire", "golden")
READS_GOLDEN = ("inspect", "relay-convert", "relay-scan")
BUILD = os.environ.get("FUZZ_BUILD", os.path.join(ROOT, "build-fuzz"))
MAX_BYTES = {"container": 20000, "convert": 20000, "device-fields": 20000, "load": 20000, "mapped-ram": 20000, "multifd": 20000, "ram": 20000, "qcow2": 40000, "qmp": 4096, "elf": 8192,
             "inspect": 20000, "relay-convert": 20000, "relay-receive": 20000,
             "relay-scan": 20000, "return-path": 4096,
             "unpack": 20000}
HANGS = 25  # seconds for one input


def build(names):
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        subprocess.run(["meson", "setup", BUILD, "-Dfuzz=true",
                        "-Db_lundef=false", "--buildtype=debugoptimized"],
                       cwd=ROOT, check=True,
                       env={**os.environ, "CC": "clang"})
    subprocess.run(["ninja", "-C", BUILD,
                    *(f"tests/fuzz/fuzz-{name}" for name in names)],
                   check=True)


def fuzz(name, seconds):
    """Run one; true when nothing was found."""
    mine = os.path.join(BUILD, "corpus", name)
    found = os.path.join(BUILD, "found", "")
    os.makedirs(mine, exist_ok=True)
    os.makedirs(found, exist_ok=True)
    print(f"== {name}, {seconds} s", flush=True)
    done = subprocess.run(
        [os.path.join(BUILD, "tests", "fuzz", f"fuzz-{name}"),
         f"-max_total_time={seconds}", f"-max_len={MAX_BYTES.get(name, 1024)}",
         f"-artifact_prefix={found}{name}-", f"-timeout={HANGS}",
         "-print_final_stats=1", mine, os.path.join(CORPUS, name),
         *([GOLDEN] if name in READS_GOLDEN else [])],
        check=False)
    return done.returncode == 0


def main():
    seconds, names = int(sys.argv[1]), sys.argv[2:]
    names = names or sorted(os.listdir(CORPUS))
    build(names)
    return 0 if all([fuzz(name, seconds) for name in names]) else 1


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        sys.exit(__doc__)
    sys.exit(main())
