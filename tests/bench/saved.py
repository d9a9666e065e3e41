#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast ferry-inspect reads a saved guest, beside programs that people have.

    tests/bench/saved.py BUILD IMAGE

IMAGE is a guest's RAM; a plain stream is made of it, and one that is compressed.
Output goes to the folder of IMAGE, and is not synced by the others, as it is by
ferry-inspect.  If ANALYZE_MIGRATION is the path of QEMU's analyze-migration.py
(scripts/ in Debian's source package), that is measured, too.  Each is run three
times, and the fastest counts.
"""
import contextlib
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib

PAGE = 4096
ROUNDS = 3
NAME = b"pc.ram"
ZERO, MEM_SIZE, PLAIN, EOS, CONTINUE, COMPRESSED = 2, 4, 8, 16, 32, 256
RAM = struct.pack(">IB3sII", 2, 3, b"ram", 0, 4)
FOOTER = struct.pack(">BI", 0x7e, 2)
DEVICE = struct.pack(">BIB5sII", 4, 3, 5, b"board", 0, 1) + \
    b"\7" + struct.pack(">BI", 0x7e, 3)
DESCRIPTION = b"""{"page_size": 4096, "devices": [{
    "name": "board", "instance_id": 0, "vmsd_name": "board", "version": 1,
    "fields": [{"name": "a", "type": "uint8", "size": 1}]}]}"""


def record(flag, page, first, data=b""):
    head = struct.pack(">Q", page * PAGE | flag | (0 if first else CONTINUE))
    return head + (bytes([len(NAME)]) + NAME if first else b"") + data


def page_record(number, page, compress):
    first = number == 0
    if not any(page):
        return record(ZERO, number, first, b"\0")
    if compress and not first:
        data = zlib.compress(page, 1)
        return record(COMPRESSED, number, first,
                      struct.pack(">I", len(data)) + data)
    return record(PLAIN, number, first, page)


def write_stream(image, path, compress=False):
    size = os.path.getsize(image) // PAGE * PAGE
    machine = b"made-up"
    with open(image, "rb") as f, open(path, "wb") as out:
        out.write(b"QEVM" + struct.pack(">IBI", 3, 7, len(machine)) + machine)
        out.write(b"\1" + RAM + struct.pack(">Q", size | MEM_SIZE) +
                  bytes([len(NAME)]) + NAME + struct.pack(">QQ", size, EOS) +
                  FOOTER + b"\2" + struct.pack(">I", 2))
        for number in range(size // PAGE):
            out.write(page_record(number, f.read(PAGE), compress))
        out.write(struct.pack(">Q", EOS) + FOOTER + b"\3" +
                  struct.pack(">IQ", 2, EOS) + FOOTER + DEVICE + b"\0\6" +
                  struct.pack(">I", len(DESCRIPTION)) + DESCRIPTION)


def measure(args, outs):
    """The fastest round: seconds, of CPU, and the most memory in MiB."""
    best = None
    for _ in range(ROUNDS):
        for path in outs:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path) if os.path.isdir(path) else \
                    os.unlink(path)
        begin = time.monotonic()
        process = subprocess.Popen(args, stdout=subprocess.DEVNULL,
                                   cwd=os.path.dirname(outs[0]))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        if status:
            raise RuntimeError(f"{args[0]} ended with {status}")
        found = (seconds, usage.ru_utime + usage.ru_stime,
                 usage.ru_maxrss / 1024)
        best = min(best or found, found)
    return best


def memcpy_rate(size=64 << 20):
    """MB/s of one core.  The memory is not this process's: those that it starts
    would begin with it."""
    return float(subprocess.run([sys.executable, "-c", f"""
import ctypes, time
one, other = (ctypes.create_string_buffer({size}) for _ in range(2))
def copy():
    begin = time.monotonic()
    ctypes.memmove(other, one, {size})
    return time.monotonic() - begin
print({size} / 1e6 / min(copy() for _ in range(10)))
"""], check=True, capture_output=True).stdout)


def contestants(inspect, plain, packed, out):
    """(name, arguments)."""
    yield "cp", ["cp", "--sparse=never", plain, out]
    for option in "--extract pc.ram", "--stream":
        yield f"ferry-inspect {option}, plain", \
            [inspect, *option.split(), out, plain]
    yield "ferry-inspect --extract pc.ram, zlib pages", \
        [inspect, "--extract", "pc.ram", out, packed]
    yield "ferry-inspect, plain", [inspect, plain]
    yield "ferry-inspect, zlib pages", [inspect, packed]
    yield "zstd -d of the plain stream's .zst", \
        ["zstd", "-q", "-d", plain + ".zst", "-o", out]
    yield "ferry-inspect --extract pc.ram, .zst", \
        [inspect, "--extract", "pc.ram", out, plain + ".zst"]
    analyze = os.environ.get("ANALYZE_MIGRATION")
    if analyze:
        yield "analyze-migration.py -x, plain", \
            [sys.executable, analyze, "-x", "-f", plain]


def run(inspect, image):
    folder = os.path.dirname(os.path.abspath(image))
    plain, packed, out = (os.path.join(folder, name) for name in
                          ("saved.plain", "saved.packed", "saved.out"))
    size = os.path.getsize(image)
    write_stream(image, plain)
    write_stream(image, packed, compress=True)
    subprocess.run(["zstd", "-q", "-1", "-f", plain, "-o", plain + ".zst"],
                   check=True)
    print(f"{size >> 20} MiB of RAM; stream {os.path.getsize(plain) >> 20} "
          f"MiB; memcpy {memcpy_rate():.0f} MB/s\n")
    print(f"{'':<44}{'s':>7}{'CPU s':>8}{'MB/s':>8}{'MiB':>7}")
    for name, args in contestants(inspect, plain, packed, out):
        dumped = os.path.join(folder, "pc.ram")
        seconds, cpu, memory = measure(
            args, [out, dumped, os.path.join(folder, "desc.json"),
                   os.path.join(folder, "state.json")])
        rate = os.path.getsize(plain) / 1e6 / seconds
        print(f"{name:<44}{seconds:7.2f}{cpu:8.2f}{rate:8.0f}{memory:7.0f}",
              flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(os.path.join(os.path.abspath(sys.argv[1]), "tools", "inspect",
                     "ferry-inspect"), sys.argv[2])
