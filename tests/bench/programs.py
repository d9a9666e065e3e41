#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages that real programs change, and what they take when they are sent again.

A Linux guest runs Debian's programs.  It is stopped and its RAM is saved, once
and again a while later.  bench-pack then sends the first image, and of each
later one the pages that have changed: with a history as large as RAM, with the
one that migrations have by default, and without.

    tests/bench/programs.py BUILD [redis] [sqlite] [perl]
"""
import glob
import json
import os
import stat
import subprocess
import sys
import tempfile
import time

import migrate
import vms

sys.path.insert(0, os.path.join(vms.ROOT, "tests", "interop"))
import debian  # noqa: E402
import linux_guest  # noqa: E402
import peers  # noqa: E402
import qemu_vm  # noqa: E402

MIB = 512
BOOT_LIMIT = 300   # seconds until a program is at work, on an emulated CPU
SETTLE = 2         # seconds that it works before the first image
APART = [0.5, 2, 4]  # seconds of work between the first image and the others

PACKAGES = ["redis-server", "sqlite3", "perl-base"]
PROGRAMS = {
    "redis": "redis, values of 1 KB: set, get, incr, lpush, lpop",
    "sqlite": "sqlite, updates of every 97th row",
    "perl": "perl, a hash that grows to 200,000 strings",
}

# Each says "working" when its data is there.
INIT = r"""#!/bin/busybox sh
export PATH=/bin:/usr/bin
/bin/busybox --install /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t tmpfs none /data

redis() {
    redis-server --save '' --port 0 --unixsocket /data/redis >/dev/null &
    until [ -S /data/redis ]; do usleep 100000; done
    bench="redis-benchmark -s /data/redis -d 1024 -r 10000 -q"
    $bench -n 20000 -t set,lpush >/dev/null
    echo working
    $bench -n 1000 -l -t set,get,incr,lpush,lpop >/dev/null
}

sqlite() {
    {
        echo "create table t (id integer primary key, name text,
                              count integer, note text);
              insert into t select value, 'name ' || value, 0,
                                   hex(randomblob(32))
                              from generate_series(1, 200000);
              select 'working';"
        n=0
        while :; do
            echo "update t set count = count + 1 where id % 97 = $((n % 97));"
            n=$((n + 1))
        done
    } | sqlite3 -batch /data/db
}

perl_hash() {
    exec perl -e '
        $| = 1;
        for (my $round = 0; ; $round++) {
            my %h;
            $h{"key $_"} = "round $round, value $_" for 1 .. 200000;
            print "working\n" if !$round;
        }'
}

case $program in
perl) perl_hash ;;
*) $program ;;
esac
"""


def entries(root):
    """Of an archive: the programs and their libraries, as Debian has them."""
    folder = stat.S_IFDIR | 0o755
    folders = ["proc", "lib64", "lib", "lib/x86_64-linux-gnu", "usr",
               "usr/bin", "usr/lib", "usr/lib/x86_64-linux-gnu"]
    files = [path for pattern in
             ("lib64/*", "lib/x86_64-linux-gnu/*.so*", "usr/bin/redis-*",
              "usr/bin/sqlite3", "usr/bin/perl",
              "usr/lib/x86_64-linux-gnu/lib*.so*")
             for path in sorted(glob.glob(f"{root}/{pattern}"))]
    yield from ((name, folder) for name in folders)
    for path in files:
        name, mode = os.path.relpath(path, root), os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            yield name, mode, os.readlink(path).encode()
        elif stat.S_ISREG(mode):
            with open(path, "rb") as f:
                yield name, mode, f.read()
    yield "programs", stat.S_IFREG | 0o755, INIT.encode()
    yield "TRAILER!!!", 0


def download(apt, folder):
    apt.unpack_whole(os.path.join(folder, "root"), *PACKAGES)


class ProgramGuest(linux_guest.LinuxGuest):
    """The Linux guest with those programs as well."""

    def __init__(self, cache, folder):
        super().__init__(cache)
        root = os.path.join(debian.build_once(cache, "programs", download),
                            "root")
        with open(self.initramfs, "rb") as f:
            first = f.read()
        self.initramfs = os.path.join(folder, "initramfs")
        with open(self.initramfs, "wb") as f:
            f.write(first)
            for number, entry in enumerate(entries(root)):
                f.write(linux_guest.cpio_entry(number, *entry))

    def running(self, program):
        return self.options(rdinit="/programs", program=program)


def images(qemu, guest, program, folder):
    """Yield the first image and a later one, and the time between them."""
    first, later = os.path.join(folder, "first"), os.path.join(folder, "later")
    with qemu_vm.QemuVm(qemu, *guest.running(program), mem=f"{MIB}M") as vm:
        vm.serial.wait_for(b"working", BOOT_LIMIT)
        worked = 0
        time.sleep(SETTLE)
        vm.qmp("stop")
        os.rename(vm.save_ram(), first)
        for apart in APART:
            vm.qmp("cont")
            time.sleep(apart - worked)
            vm.qmp("stop")
            worked = apart
            os.rename(vm.save_ram(), later)
            yield first, later, apart


def measure(build, first, later):
    out = subprocess.run(
        [os.path.join(build, "tests", "bench", "bench-pack"), "--again",
         first, later], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)


def as_row(program, apart, found):
    none, *histories = found["results"][1:]
    return {"name": PROGRAMS[program], "apart": apart,
            "pages": found["again"], "words": found["words"],
            "bytes": none["bytes"], "cpu_s": none["cpu_s"],
            "histories": [{**h, "ratio": h["bytes"] / none["bytes"]}
                          for h in histories]}


def show(row):
    words = ", ".join(f"{count} up to {limit}"
                      for limit, count in row["words"].items())
    print(f"{row['name']}, {row['apart']} s apart: {row['pages']} pages; "
          f"words: {words}; {row['bytes'] / 1e6:.2f} MB without a history")
    for h in row["histories"]:
        print(f"    {h['history_mib']:4} MiB: {h['bytes'] / 1e6:6.2f} MB, "
              f"ratio {h['ratio']:.2f}; {h['same']} same, {h['delta']} delta, "
              f"{h['new']} new, {h['pattern']} pattern", flush=True)


def run(build, qemu, programs=tuple(PROGRAMS)):
    """The rows, printed as they come."""
    if not qemu_vm.version(qemu) or "zstd" not in migrate.methods(build):
        print(f"programs: there is no {qemu}, or no zstd in this build")
        return
    try:
        with tempfile.TemporaryDirectory(prefix="ferry-bench-") as folder:
            guest = ProgramGuest(os.path.join(build, "interop"), folder)
            for program in programs:
                for first, later, apart in images(qemu, guest, program,
                                                  folder):
                    row = as_row(program, apart,
                                 measure(build, first, later))
                    show(row)
                    yield row
    except debian.Unavailable as err:
        print(f"programs: no Linux guest: {err}")


if __name__ == "__main__":
    build_folder, *chosen = sys.argv[1:]
    for _ in run(build_folder, peers.INSTALLED, chosen or tuple(PROGRAMS)):
        pass
