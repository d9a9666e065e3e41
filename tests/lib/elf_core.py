# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an ELF core of 64 bits, as elf(5) has it."""
import struct
from collections import namedtuple

Note = namedtuple("Note", "owner type content")
Load = namedtuple("Load", "address size offset")


def up(n):
    return (n + 3) // 4 * 4


class Core:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            ident = f.read(16)
            kind, self.machine, _, _, at, _, _, _, size, count = \
                struct.unpack("<HHIQQQIHHH", f.read(42))
            assert (ident[:7], kind, size) == (b"\x7fELF\2\1\1", 4, 56)
            self.loads, self.notes = [], []
            for i in range(count):
                f.seek(at + i * size)
                kind, _, offset, _, address, in_file, in_memory, _ = \
                    struct.unpack("<IIQQQQQQ", f.read(size))
                assert in_file == in_memory
                if kind == 1:
                    self.loads.append(Load(address, in_file, offset))
                else:
                    f.seek(offset)
                    self.parse_notes(f.read(in_file))

    def parse_notes(self, data):
        while data:
            name, size, kind = struct.unpack_from("<III", data)
            at = 12 + up(name)
            self.notes.append(Note(data[12:12 + name - 1].decode(), kind,
                                   data[at:at + size]))
            data = data[at + up(size):]

    def read(self, address, size):
        """Memory, which must be in one piece."""
        for load in self.loads:
            if load.address <= address and \
                    address + size <= load.address + load.size:
                with open(self.path, "rb") as f:
                    f.seek(load.offset + address - load.address)
                    return f.read(size)
        raise ValueError(f"the core has no {size} bytes at {address:#x}")
