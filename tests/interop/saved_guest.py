# SPDX-License-Identifier: GPL-2.0-or-later
"""Lay out a guest that QEMU has saved as send-guest wants it."""
import os
import struct

import read_stream

FOOTER_SIZE = 5


def file_of(block):
    return block.replace("/", "_") + ".ram"


def content(data, device):
    """A device's bytes, without the section's head and footer."""
    head = struct.calcsize(">BIBII") + len(device["name"].encode())
    return data[device["offset"] + head:
                device["offset"] + device["size"] - FOOTER_SIZE]


def parse(data):
    return read_stream.parse(data, ram=True, may_repeat=True)


def lay_out(path, folder, before=None):
    """Write the guest of a saved stream to a folder.  before is a stream that
    the guest's memory begins with.  Returns the file that has pc.ram."""
    data = read_stream.load(path)
    stream = parse(data)
    if stream.opaque:
        raise ValueError(f"{path}: the devices cannot be told apart")
    if before:
        old = parse(read_stream.load(before))
        read_stream.write_ram(old, folder)
        for block in old.blocks:
            name = os.path.join(folder, file_of(block))
            os.rename(name, name + ".before")
    read_stream.write_ram(stream, folder)
    lines = [f"machine {stream.machine}"]
    lines += [f"block {file_of(block)} {block}" for block in stream.blocks]
    for n, d in enumerate(stream.devices):
        lines.append(f"device device-{n} {d['instance']} {d['version']} "
                     f"{d['name']}")
        with open(os.path.join(folder, f"device-{n}"), "wb") as f:
            f.write(content(data, d))
    with open(os.path.join(folder, "guest"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    return os.path.join(folder, file_of("pc.ram"))
