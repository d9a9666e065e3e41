#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a migration stream: an independent implementation of docs/stream.md.

As a program it prints what a stream holds as JSON, and exits with 1, the
offset and the cause when the stream breaks a rule.  As a module, parse()
returns the same as a Stream, with RAM on request.

It is written from the specification alone and shares nothing with the C code,
so that one checks the other.  It reads what QEMU writes in precopy, too.
There, where the vmdescription has types that the specification does not list,
devices are decoded by the sizes given, and left opaque where that does not
come out even.
"""
import argparse
import ctypes
import ctypes.util
import functools
import hashlib
import json
import mmap
import os
import struct
import sys
import zlib
from dataclasses import dataclass, field

from read_pack import (History, PackError, PAGES_MAX, ENTRY_MAX, HEAD, REF,
                       stream_sum)

PAGE = 4096
FLAGS = PAGE - 1

MAGIC, VERSION = 0x5145564D, 3
EOF, START, PART, END, FULL, SUBSECTION, VMDESCRIPTION, CONFIGURATION, \
    COMMAND = range(9)
FOOTER = 0x7E
SECTION_NAMES = {START: "START", PART: "PART", END: "END", FULL: "FULL"}

PACK, ZERO, MEM_SIZE, PLAIN, EOS, CONTINUE, XBZRLE, COMPRESSED, BATCH, ZERO_RANGE = \
    0x001, 0x002, 0x004, 0x008, 0x010, 0x020, 0x040, 0x100, 0x400, 0x800
PAGE_KINDS = {PACK: "pack", ZERO: "zero", PLAIN: "plain", XBZRLE: "xbzrle",
              COMPRESSED: "compressed", BATCH: "batch",
              ZERO_RANGE: "zero-range"}
METHOD = "compress-method-"  # a capability
FOREIGN_RECORDS = {0x080: "RDMA", 0x200: "multifd"}

# number: (name, allowed payload lengths)
COMMANDS = {
    1: ("OPEN_RETURN_PATH", {0}),
    2: ("PING", {4}),
    3: ("POSTCOPY_ADVISE", {0, 16}),  # QEMU; what follows is still precopy
    11: ("SWITCHOVER_START", {0}),
    0x4650: ("PACKS", {4}),
    0x4653: ("SUM", {8}),
    0x4656: ("VERIFY", range(10, 265)),
}
HELLO, GO = 0x46525931, 0x4652474F
GO_BYTES = struct.pack(">BHHI", COMMAND, 2, 4, GO)

NAME_MAX = 255
CAPABILITIES_MAX = 64
BLOCKS_MAX = 4096
COMPRESSED_MAX = 4110
BATCH_PAGES_MAX = 64
VMDESCRIPTION_MAX = 16 << 20
ARRAY_MAX = 1 << 16  # this reader's: elements of a device's array

SCALARS = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8}
SPECIFIED_TYPES = set(SCALARS) | {"bool", "buffer", "struct"}


class StreamError(Exception):
    """The stream breaks a rule: the offset of what is wrong, and why."""

    def __init__(self, offset, cause):
        super().__init__(f"byte {offset}: {cause}")
        self.offset = offset
        self.cause = cause


@dataclass
class Record:
    """One page record: where it stands, and what it says."""
    offset: int
    kind: str
    block: str
    page_offset: int
    data_offset: int
    data_size: int
    pages: list = field(default_factory=list)  # the offsets of all of them
    content: str = ""  # of a pack: what it refers to and stands for, hashed


@dataclass
class Section:
    offset: int
    type: str
    id: int
    name: str
    instance: int
    version: int
    size: int = 0
    records: list = field(default_factory=list)


@dataclass
class Stream:
    """What parse() found."""
    size: int = 0
    machine: str = ""
    capabilities: list = field(default_factory=list)
    page_bits: int = None
    uuid: str = None
    commands: list = field(default_factory=list)
    total: int = 0
    blocks: dict = field(default_factory=dict)  # name: length
    repeated: int = 0  # pages that came twice in one section
    sections: list = field(default_factory=list)  # of ram
    devices: list = field(default_factory=list)  # of dicts
    opaque: tuple = None  # (offset, size) of devices that are not decoded
    vmdescription: tuple = None  # (offset, size) with its head
    description: dict = None
    handed_over: bool = False
    ram: dict = None  # name: bytearray

    def records(self):
        return (r for s in self.sections for r in s.records)


class Cursor:
    """Typed reading from a buffer, with the end checked."""

    def __init__(self, data, limit=None):
        self.data = data
        self.at = 0
        self.limit = len(data) if limit is None else limit

    def take(self, size, what):
        if self.at + size > self.limit:
            raise StreamError(self.limit, f"the stream ends in {what}")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size, what):
        return int.from_bytes(self.take(size, what), "big")

    def u8(self, what):
        return self.number(1, what)

    def u16(self, what):
        return self.number(2, what)

    def u32(self, what):
        return self.number(4, what)

    def u64(self, what):
        return self.number(8, what)

    def peek(self, what):
        value = self.u8(what)
        self.at -= 1
        return value

    def text(self, size, what):
        at = self.at
        raw = bytes(self.take(size, what))
        if not raw:
            raise StreamError(at, f"{what} is empty")
        if 0 in raw:
            raise StreamError(at, f"a NUL byte in {what}")
        return raw.decode("utf-8", "backslashreplace")

    def name(self, what):
        at = self.at
        size = self.u8(what)
        if size == 0:
            raise StreamError(at, f"{what} is empty")
        return self.text(size, what)


def require(ok, offset, cause):
    if not ok:
        raise StreamError(offset, cause)


class Parser:
    """One pass over one stream.  Methods read the item of their name."""

    def __init__(self, data, want_ram, may_repeat):
        self.c = Cursor(data)
        self.may_repeat = may_repeat
        self.s = Stream(size=len(data), ram={} if want_ram else None)
        self.ram_id = None
        self.ram_ended = False
        self.block = None  # of the record before; survives sections
        self.method = None  # that batches are compressed with
        self.history = None  # of packs, once they are announced,
        self.packs_at = None  # behind the announcement
        self.sum_at = None  # behind SUM
        self.return_path = False
        self.hello = False
        self.advised = False  # postcopy, by a QEMU

    # The frame

    def stream(self):
        self.header()
        self.configuration()
        while not self.ram_ended:
            self.item()
        self.devices()
        return self.s

    def header(self):
        magic = self.c.u32("the header")
        require(magic == MAGIC, 0, f"magic 0x{magic:08x}")
        version = self.c.u32("the header")
        require(version == VERSION, 4, f"stream version {version}")

    def configuration(self):
        c = self.c
        at = c.at
        kind = c.u8("the configuration")
        require(kind == CONFIGURATION, at,
                f"type 0x{kind:02x} instead of the configuration")
        at = c.at
        size = c.u32("the machine type")
        require(1 <= size <= NAME_MAX, at, f"a machine type of {size} bytes")
        self.s.machine = c.text(size, "the machine type")
        while c.peek("the configuration") == SUBSECTION:
            c.u8("a configuration subsection")
            self.configuration_subsection()

    def configuration_subsection(self):
        c = self.c
        at = c.at
        name = c.name("a configuration subsection's name")
        c.u32("a configuration subsection's version")
        if name == "configuration/capabilities":
            count_at = c.at
            count = c.u32(name)
            require(count <= CAPABILITIES_MAX, count_at,
                    f"{count} capabilities")
            self.s.capabilities = [c.name("a capability")
                                   for _ in range(count)]
            for capability in self.s.capabilities:
                if capability.startswith(METHOD):
                    self.method = capability.removeprefix(METHOD)
        elif name == "configuration/target-page-bits":
            bits_at = c.at
            self.s.page_bits = c.u32(name)
            require(self.s.page_bits == 12, bits_at,
                    f"pages of {self.s.page_bits} bits")
        elif name == "configuration/uuid":
            self.s.uuid = bytes(c.take(16, name)).hex()
        else:
            raise StreamError(at, f"configuration subsection '{name}'")

    def item(self):
        """A command or a section, up to END of ram."""
        c = self.c
        at = c.at
        kind = c.u8("the type of a section")
        if kind == COMMAND:
            self.command(at)
        elif kind == START:
            self.start(at)
        elif kind in (PART, END):
            self.pages(at, kind)
        elif kind in (FULL, EOF):
            what = "a device" if kind == FULL else "EOF"
            raise StreamError(at, f"{what} before RAM has ended")
        else:
            raise StreamError(at, f"section type 0x{kind:02x}")

    def command(self, at):
        c = self.c
        number = c.u16("a command")
        size_at = c.at
        size = c.u16("a command")
        require(number in COMMANDS, at, f"command {number}")
        name, sizes = COMMANDS[number]
        require(size in sizes, size_at, f"{name} with {size} bytes")
        payload = bytes(c.take(size, name))
        command = {"offset": at, "command": name}
        if name == "OPEN_RETURN_PATH":
            require(not self.return_path, at,
                    "the return path is open already")
            self.return_path = True
        elif name == "PING":
            value = int.from_bytes(payload, "big")
            self.ping(at, value)
            command["value"] = value
        elif name == "POSTCOPY_ADVISE":
            self.advised = True
        elif name == "PACKS":
            require(self.hello and self.ram_id is not None
                    and self.block is None and self.history is None, at,
                    "PACKS out of its place")
            command["value"] = int.from_bytes(payload, "big")
            self.history = History(command["value"], unpack_body)
            self.packs_at = c.at
        elif name == "SUM":
            self.check_sum(at, payload)
        elif name == "VERIFY":
            require(payload[0] == size - 9, size_at,
                    f"VERIFY with {size} bytes")
            command["value"] = (f"{payload[1:-8].decode(errors='replace')} "
                                f"{payload[-8:].hex()}")
        self.s.commands.append(command)

    def check_sum(self, at, payload):
        """Over all that stands behind PACKS, up to the sum itself."""
        require(self.packs_at is not None, at, "SUM without PACKS")
        self.sum_at = self.c.at
        require(stream_sum(self.c.data[self.packs_at:self.sum_at - 8]) in
                (None, int.from_bytes(payload, "big")), at, "a wrong SUM")

    def ping(self, at, value):
        require(self.return_path, at, "PING without a return path")
        if value == HELLO:
            self.hello = True
        elif value == GO and self.hello:
            # Only the end may have it, where find_tail() looks for it.
            raise StreamError(at, "GO before the vmdescription")

    def footer(self, section):
        at = self.c.at
        kind = self.c.u8("a footer")
        require(kind == FOOTER, at,
                f"0x{kind:02x} instead of a footer after section "
                f"{section.id}")
        at = self.c.at
        number = self.c.u32("a footer")
        require(number == section.id, at,
                f"the footer of section {number} after section {section.id}")
        section.size = self.c.at - section.offset

    # RAM

    def start(self, at):
        c = self.c
        number = c.u32("a section's id")
        name_at = c.at
        name = c.name("a section's name")
        instance_at = c.at
        instance = c.u32("a section's instance")
        version_at = c.at
        version = c.u32("a section's version")
        require(name == "ram", name_at, f"iterable section '{name}'")
        require(instance == 0, instance_at, f"ram with instance {instance}")
        require(version == 4, version_at, f"ram with version {version}")
        require(self.ram_id is None, at, "a second START of ram")
        self.ram_id = number
        section = Section(at, "START", number, name, instance, version)
        self.s.sections.append(section)
        self.block_list()
        self.footer(section)

    def block_list(self):
        c = self.c
        at = c.at
        word = c.u64("the list of blocks")
        require(word & FLAGS == MEM_SIZE, at,
                f"ram starts with flags 0x{word & FLAGS:03x}")
        self.s.total = word & ~FLAGS
        extra = 8 if "x-ignore-shared" in self.s.capabilities else 0
        first = c.at
        try:
            self.block_entries(extra)
        except StreamError:
            if not self.advised:
                raise
            c.at = first
            self.block_entries(extra + 8)
        if self.s.ram is not None:
            self.s.ram = {name: bytearray(length)
                          for name, length in self.s.blocks.items()}

    def block_entries(self, extra):
        c = self.c
        blocks = {}
        left = self.s.total
        while left:
            at = c.at
            name = c.name("the name of a block")
            require(name not in blocks, at, f"block '{name}' twice")
            require(len(blocks) < BLOCKS_MAX, at, "too many blocks")
            at = c.at
            length = c.u64("the length of a block")
            require(0 < length <= left and length % PAGE == 0, at,
                    f"block '{name}' with {length} bytes")
            c.take(extra, "the list of blocks")
            blocks[name] = length
            left -= length
        at = c.at
        word = c.u64("the list of blocks")
        require(word == EOS, at, f"0x{word:x} instead of EOS")
        self.s.blocks = blocks

    def pages(self, at, kind):
        c = self.c
        number_at = c.at
        number = c.u32("a section's id")
        require(self.ram_id is not None, at, "pages before RAM has begun")
        require(number == self.ram_id, number_at,
                f"section {number}, which has not begun")
        section = Section(at, SECTION_NAMES[kind], number, "ram", 0, 4)
        self.s.sections.append(section)
        seen = set()
        while True:
            record = self.record()
            if record is None:
                break
            for offset in record.pages:
                page = (record.block, offset)
                self.s.repeated += page in seen
                require(self.may_repeat or page not in seen, record.offset,
                        f"block '{record.block}', offset 0x{offset:x} twice "
                        f"in one section")
                seen.add(page)
            section.records.append(record)
        self.footer(section)
        self.ram_ended = kind == END

    def record(self):
        """The next page record; None for EOS."""
        c = self.c
        at = c.at
        word = c.u64("a RAM record")
        flags, offset = word & FLAGS, word & ~FLAGS
        kind = flags & ~CONTINUE
        if word == EOS:
            return None
        require(kind not in FOREIGN_RECORDS, at,
                f"{FOREIGN_RECORDS.get(kind)} is not supported")
        require(kind in PAGE_KINDS, at, f"a RAM record with flags "
                                        f"0x{flags:03x}")
        if not flags & CONTINUE:
            name_at = c.at
            name = c.name("the name of a block")
            require(name in self.s.blocks, name_at, f"unknown block '{name}'")
            self.block = name
        require(self.block is not None, at, "a first record without a block")
        record = Record(at, PAGE_KINDS[kind], self.block, offset, c.at, 0)
        record.pages = self.page_offsets(kind, offset)
        last = record.pages[-1]
        require(last < self.s.blocks[self.block], at,
                f"offset 0x{last:x} is outside block '{self.block}'")
        content = self.content(kind, record)
        record.data_size = c.at - record.data_offset
        if self.s.ram is not None:
            for i, page in enumerate(record.pages):
                self.s.ram[self.block][page:page + PAGE] = \
                    content[i * PAGE:(i + 1) * PAGE]
        return record

    def page_offsets(self, kind, first):
        """Where the pages of a record are; what says so is read."""
        c = self.c
        at = c.at
        if kind == ZERO_RANGE:
            count = c.u64("a range")
            require(count, at, "a range of no pages")
            require(count <= self.s.total // PAGE, at,
                    f"a range of {count} pages")
            return list(range(first, first + count * PAGE, PAGE))
        if kind not in (BATCH, PACK):
            return [first]
        count = c.u8("a batch")
        require(1 <= count <= BATCH_PAGES_MAX, at, f"a batch of {count} pages")
        pages = [first]
        for _ in range(count - 1):
            at = c.at
            gap = c.u16("a batch")
            require(gap, at, "a batch with a page twice")
            pages.append(pages[-1] + gap * PAGE)
        return pages

    def batch(self, record):
        """What the pages of a batch are, one after the other."""
        c = self.c
        at = c.at
        most = len(record.pages) * PAGE
        size = c.u32("a batch")
        require(1 <= size < most, at,
                f"a batch of {len(record.pages)} pages in {size} bytes")
        record.data_offset = c.at
        return unpack(self.method, c.take(size, "a batch"), most, record,
                      self.s.ram is not None)

    def pack(self, record):
        """What the pages of a pack are, one after the other."""
        c = self.c
        at = c.at
        most = HEAD.size + len(record.pages) * (ENTRY_MAX + PAGE)
        size = c.u32("a pack")
        require(1 <= size <= most, at,
                f"a pack of {len(record.pages)} pages in {size} bytes")
        record.data_offset = c.at
        raw = bytes(c.take(size, "a pack"))
        try:
            pages, extra = self.history.read(
                raw, [self.key(record.block, page) for page in record.pages])
        except ImportError:
            require(self.s.ram is None, record.offset,
                    "a pack by zstd, which there is no library for")
            return b""
        except PackError as e:
            raise StreamError(record.offset, f"a bad pack: {e}") from None
        require(not extra, record.offset, "a pack with extra bytes")
        record.content = pack_digest(raw, pages)
        return b"".join(pages)

    def key(self, block, offset):
        """Which page of all RAM it is, the blocks being sorted by name."""
        before = sum(length for name, length in self.s.blocks.items()
                     if name.encode() < block.encode())
        return (before + offset) // PAGE

    def changed_page(self, record):
        """A page with the changes of an XBZRLE record made in it."""
        c = self.c
        at = c.at
        encoding, size = c.u8("changes"), c.u16("changes")
        require(encoding == 1, at, f"changes in encoding {encoding}")
        require(1 <= size <= PAGE, at + 1, f"changes of {size} bytes")
        record.data_offset = c.at
        page = bytearray(PAGE)
        if self.s.ram is not None:
            first = record.page_offset
            page[:] = self.s.ram[record.block][first:first + PAGE]
        make_changes(Cursor(c.take(size, "changes")), page, record)
        return page

    def content(self, kind, record):
        c = self.c
        wanted = PACK if self.history is not None else \
            COMPRESSED if self.method is None else BATCH
        require(kind == wanted or kind not in (PACK, BATCH, COMPRESSED),
                record.offset,
                f"{record.kind} with compress-method {self.method}")
        if kind == ZERO_RANGE:
            record.data_offset = c.at
            return bytes(PAGE * len(record.pages)) if self.s.ram else b""
        if kind == BATCH:
            return self.batch(record)
        if kind == PACK:
            return self.pack(record)
        if kind == PLAIN:
            return c.take(PAGE, "a plain page")
        if kind == XBZRLE:
            return self.changed_page(record)
        at = c.at
        if kind == ZERO:
            fill = c.u8("a zero page")
            require(fill == 0, at, f"a zero page filled with 0x{fill:02x}")
            return bytes(PAGE)
        size = c.u32("a compressed page")
        require(1 <= size <= COMPRESSED_MAX, at,
                f"a compressed page of {size} bytes")
        record.data_offset = c.at
        return inflate(c.take(size, "a compressed page"), record)

    # Devices and the end

    def devices(self):
        """Everything behind RAM."""
        end = self.find_tail()
        begin, self.c.limit = self.c.at, self.s.vmdescription[0]
        try:
            for device in self.s.description["devices"]:
                self.device(device)
            self.eof()
        except StreamError:
            if is_specified(self.s.description):
                raise
            self.leave_opaque(begin)
        if self.s.handed_over:
            self.s.commands.append(
                {"offset": end, "command": "PING", "value": GO})

    def leave_opaque(self, begin):
        eof = self.c.limit - 1
        require(begin <= eof and self.c.data[eof] == EOF, eof,
                "no EOF before the vmdescription")
        self.s.devices = []
        self.s.opaque = (begin, eof - begin)

    def next_type(self, what):
        """The type byte of what comes after commands, and its offset."""
        while True:
            at = self.c.at
            kind = self.c.u8(what)
            if kind != COMMAND:
                return kind, at
            self.command(at)

    def eof(self):
        kind, at = self.next_type("EOF")
        require(kind == EOF, at, f"section type 0x{kind:02x} instead of EOF")
        require(self.packs_at is None or self.sum_at == at, at,
                "EOF without SUM")
        require(self.c.at == self.c.limit, self.c.at,
                "bytes between EOF and the vmdescription")

    def find_tail(self):
        """Look for the vmdescription and GO, from behind.  Returns where the
        vmdescription ends."""
        data, begin, end = self.c.data, self.c.at, self.s.size
        if self.hello and data[max(begin, end - len(GO_BYTES)):] == GO_BYTES:
            self.s.handed_over = True
            end -= len(GO_BYTES)
        at = find_vmdescription(data, begin, end)
        if at is None:
            explain_no_vmdescription(data, begin, end)
        self.s.vmdescription = (at, end - at)
        self.s.description = parse_description(data, at + 5, end)
        return end

    def device(self, d):
        c = self.c
        kind, at = self.next_type("a device")
        require(kind == FULL, at, f"section type 0x{kind:02x} instead of a "
                                  f"device")
        number = c.u32("a section's id")
        name_at = c.at
        name = c.name("a section's name")
        require(name == d["name"], name_at,
                f"device '{name}', but the vmdescription has '{d['name']}'")
        instance_at = c.at
        instance = c.u32("a section's instance")
        require(instance == d["instance_id"], instance_at,
                f"'{name}' has instance {instance}, but {d['instance_id']} "
                f"in the vmdescription")
        version_at = c.at
        version = c.u32("a section's version")
        require(version == d.get("version", version), version_at,
                f"'{name}' has version {version}, but {d.get('version')} in "
                f"the vmdescription")
        section = Section(at, "FULL", number, name, instance, version)
        state = self.state(d)
        self.footer(section)
        self.s.devices.append({
            "offset": at, "id": number, "name": name, "instance": instance,
            "version": version, "size": section.size, **state})

    def state(self, d):
        """Fields and subsections of a device, a struct or a subsection."""
        values = {}
        for f in d.get("fields", []):
            key = unused_key(values, f)
            elements = [self.element(f) for _ in range(f.get("array_len", 1))]
            values[key] = elements if "array_len" in f else elements[0]
        state = {"fields": values}
        if "subsections" in d:
            state["subsections"] = [self.subsection(s)
                                    for s in d["subsections"]]
        return state

    def element(self, f):
        c, at = self.c, self.c.at
        kind, size = f["type"], f.get("size")
        what = f"field '{f['name']}'"
        if "struct" in f:
            value = self.state(f["struct"])
            require(size is None or c.at - at == size, at,
                    f"{what} has {c.at - at} bytes, expected {size}")
            return value if "subsections" in value else value["fields"]
        if kind == "bool":
            value = c.u8(what)
            require(value <= 1, at, f"{what}: a truth value of {value}")
            return bool(value)
        if kind in SCALARS:
            require(size == SCALARS[kind], at,
                    f"{what}: {kind} with {size} bytes")
            return c.number(size, what)
        return bytes(c.take(size, what)).hex()

    def subsection(self, d):
        c = self.c
        at = c.at
        kind = c.u8("a subsection")
        require(kind == SUBSECTION, at,
                f"0x{kind:02x} instead of subsection '{d['vmsd_name']}'")
        name_at = c.at
        name = c.name("a subsection's name")
        require(name == d["vmsd_name"], name_at,
                f"subsection '{name}', but the vmdescription has "
                f"'{d['vmsd_name']}'")
        version_at = c.at
        version = c.u32("a subsection's version")
        require(version == d["version"], version_at,
                f"'{name}' has version {version}, but {d['version']} in the "
                f"vmdescription")
        return {"name": name, "version": version, **self.state(d)}


def uleb128(c):
    """A number of one or two bytes."""
    low = c.u8("a count")
    if low < 0x80:
        return low
    high = c.u8("a count")
    require(high < 0x80, c.at - 1, "a count of more than two bytes")
    return low & 0x7F | high << 7


def make_changes(c, page, record):
    """Make the changes of an XBZRLE record in a page."""
    at = 0
    try:
        while c.at < c.limit:
            stays = uleb128(c)
            require(stays or at == 0, c.at, "0 bytes stay")
            changes = uleb128(c)
            require(changes, c.at, "0 bytes change")
            at += stays
            require(at + changes <= PAGE, c.at, "more than a page")
            page[at:at + changes] = c.take(changes, "the new bytes")
            at += changes
    except StreamError as err:
        raise StreamError(record.data_offset + err.offset,
                          f"bad changes of block '{record.block}', offset "
                          f"0x{record.page_offset:x}: {err.cause}") from None


def inflate(raw, record):
    """The page of a compressed record."""
    where = f"block '{record.block}', offset 0x{record.page_offset:x}: "
    z = zlib.decompressobj()
    try:
        page = z.decompress(raw, PAGE + 1)
    except zlib.error as e:
        raise StreamError(record.offset, f"{where}{e}") from None
    require(len(page) <= PAGE, record.offset,
            where + "it inflates to more than a page")
    require(z.eof, record.offset, where + "the zlib stream is cut off")
    require(len(page) == PAGE, record.offset,
            where + "it inflates to less than a page")
    require(not z.unused_data, record.offset,
            where + "bytes after the end of the zlib stream")
    return page


def lz4_block(raw, size):
    """An LZ4 block of size bytes, by its format's description."""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15 or nibble == 255:
            nibble = raw[at]
            at += 1
            total += nibble
        return total

    while True:
        token = raw[at]
        at += 1
        literals = length(token >> 4)
        if at + literals > len(raw):
            raise ValueError("literals behind the end")
        out += raw[at:at + literals]
        at += literals
        if at == len(raw):
            break
        distance = int.from_bytes(raw[at:at + 2], "little")
        at += 2
        match = length(token & 15) + 4
        if not 1 <= distance <= len(out) or len(out) + match > size:
            raise ValueError("a match out of bounds")
        for _ in range(match):
            out.append(out[-distance])
    return bytes(out)


@functools.lru_cache(None)
def zstd_library():
    name = ctypes.util.find_library("zstd")
    if not name:
        raise ImportError("there is no libzstd")
    z = ctypes.CDLL(name)
    for function in (z.ZSTD_createDCtx, z.ZSTD_DCtx_refPrefix,
                     z.ZSTD_decompressDCtx):
        function.restype = ctypes.c_size_t
    z.ZSTD_createDCtx.restype = ctypes.c_void_p
    return z


def zstd_frame(raw, size, dictionary=b""):
    """A zstd frame of size bytes, where there is the library for that."""
    z = zstd_library()
    out = ctypes.create_string_buffer(size)
    decoder = ctypes.c_void_p(z.ZSTD_createDCtx())
    try:
        z.ZSTD_DCtx_refPrefix(decoder, dictionary,
                              ctypes.c_size_t(len(dictionary)))
        got = z.ZSTD_decompressDCtx(decoder, out, ctypes.c_size_t(size), raw,
                                    ctypes.c_size_t(len(raw)))
    finally:
        z.ZSTD_freeDCtx(decoder)
    if got > size:  # an error's number, or size_t's
        raise ValueError("a bad zstd frame")
    return out.raw[:got]


UNPACKERS = {"lz4": lz4_block, "zstd": zstd_frame}


def unpack(method, raw, size, record, wanted):
    """The pages of a batch; zero bytes where it cannot be looked into and
    nobody wants them."""
    require(method in UNPACKERS, record.offset, f"compress-method {method}")
    try:
        pages = UNPACKERS[method](bytes(raw), size)
    except ImportError:
        require(not wanted, record.offset,
                "a batch by zstd, which there is no library for")
        return bytes(size)
    except Exception as e:  # pylint: disable=broad-except
        raise StreamError(record.offset, f"a bad batch: {e!r}") from None
    require(len(pages) == size, record.offset,
            f"a batch that holds {len(pages)} bytes instead of {size}")
    return pages


def unpack_body(method, raw, size, dictionary):
    """The body of a pack."""
    if method == "zlib":
        body = zlib.decompress(raw)
    else:
        try:
            body = (zstd_frame(raw, size, dictionary) if method == "zstd"
                    else UNPACKERS[method](raw, size))
        except ImportError:
            raise
        except Exception as e:  # pylint: disable=broad-except
            raise PackError(f"{e!r}") from None
    if len(body) != size:
        raise PackError(f"a body of {len(body)} bytes instead of {size}")
    return body


def find_vmdescription(data, begin, end):
    """Where the vmdescription that ends at end begins, or None."""
    at = data.find(b"\x06", begin, end)
    while at >= 0:
        size = int.from_bytes(data[at + 1:at + 5], "big")
        if at + 5 + size == end and data[at + 5:at + 6] == b"{":
            return at
        at = data.find(b"\x06", at + 1, end)
    return None


def explain_no_vmdescription(data, begin, end):
    """None ends where the stream does: is it cut off, or is there more?"""
    at = data.find(b"\x00\x06", begin, end)
    while at >= 0 and data[at + 6:at + 7] not in (b"{", b""):
        at = data.find(b"\x00\x06", at + 1, end)
    require(at >= 0, end, "the stream ends in the devices")
    size = int.from_bytes(data[at + 2:at + 6], "big")
    require(size <= VMDESCRIPTION_MAX or at + 6 > end, at + 2,
            f"a vmdescription of {size} bytes")
    require(at + 6 + size < end, end, "the stream ends in the vmdescription")
    raise StreamError(at + 6 + size, "bytes after the end")


def parse_description(data, begin, end):
    require(end - begin <= VMDESCRIPTION_MAX, begin - 4,
            f"a vmdescription of {end - begin} bytes")
    try:
        description = json.loads(bytes(data[begin:end]))
    except ValueError as e:
        raise StreamError(begin, f"the vmdescription is not JSON: {e}") \
            from None
    try:
        require(description["page_size"] == PAGE, begin,
                "the vmdescription has another page size")
        for device in description["devices"]:
            require({"name", "instance_id"} <= set(device), begin,
                    "the vmdescription has a device without name or instance")
            check_state(device, begin, nested=False)
    except (AttributeError, KeyError, TypeError) as e:
        raise StreamError(begin, f"the vmdescription is not as it should be: "
                                 f"{e!r}") from None
    return description


def check_state(d, begin, nested=True):
    """A device, struct or subsection of the vmdescription has what reading
    it needs."""
    if nested:
        require({"vmsd_name", "version", "fields"} <= set(d), begin,
                "the vmdescription has a state without name, version or "
                "fields")
    for f in d["fields"]:
        require(f["name"] and f["type"], begin, "a field without a name")
        require(0 <= f.get("array_len", 1) <= ARRAY_MAX, begin,
                f"field '{f['name']}' with {f.get('array_len')} elements")
        if "struct" in f:
            check_state(f["struct"], begin)
        else:
            require(0 <= f["size"] <= VMDESCRIPTION_MAX, begin,
                    f"field '{f['name']}' with {f['size']} bytes")
    for subsection in d.get("subsections", []):
        check_state(subsection, begin)


def is_specified(d):
    """Has a description only what docs/stream.md has?"""
    fields = d.get("fields", [])
    states = d.get("devices", []) + d.get("subsections", []) + \
        [f["struct"] for f in fields if "struct" in f]
    return all(f["type"] in SPECIFIED_TYPES and "index" not in f
               for f in fields) and all(is_specified(s) for s in states)


def unused_key(values, f):
    """A key for a field: QEMU's names need not be unique."""
    key = f["name"]
    if "index" in f:
        key += f"[{f['index']}]"
    while key in values:
        key += "'"
    return key


def parse(data, ram=False, may_repeat=False):
    """Read a whole stream, given as bytes or a mmap.  Returns a Stream;
    raises StreamError.  With ram, Stream.ram has what the blocks hold.  With
    may_repeat a section may have a page twice, as QEMU writes it."""
    return Parser(data, ram, may_repeat).stream()


# Reports

def section_report(section):
    report = {"offset": section.offset, "type": section.type,
              "id": section.id, "name": section.name, "size": section.size}
    if section.type == "START":
        return report
    for kind in PAGE_KINDS.values():
        sizes = [r.data_size for r in section.records if r.kind == kind]
        report[kind] = len(sizes)
        if kind in ("compressed", "batch", "pack"):
            report[kind + "_bytes"] = sum(sizes)
    return report


def report(s):
    """A Stream as what can be printed as JSON."""
    out = {
        "size": s.size, "machine": s.machine,
        "capabilities": s.capabilities, "page_bits": s.page_bits,
        "uuid": s.uuid, "commands": s.commands, "total": s.total,
        "blocks": [{"name": n, "length": l} for n, l in s.blocks.items()],
        "sections": [section_report(x) for x in s.sections],
        "devices": s.devices, "handed_over": s.handed_over,
        "vmdescription": dict(zip(("offset", "size"), s.vmdescription)),
    }
    if s.opaque:
        out["devices"] = dict(zip(("opaque_offset", "opaque_size"), s.opaque))
    return out


def canonical(data):
    """Lines that are the same for two streams that differ only in how their
    pages were compressed."""
    s = parse(data, ram=True)
    yield f"{s.machine} {s.total} {s.blocks}"
    for section in s.sections:
        yield f"{section.type} {section.id}"
        for r in section.records:
            yield (f"{r.kind} {r.block} {r.pages} "
                   f"{page_digest(data, r, s.capabilities)}")
    yield from (f"{c['command']} {c.get('value')}" for c in s.commands)
    yield hashlib.sha256(tail(s, data)).hexdigest()


def pack_digest(raw, pages):
    """Of a pack but for how its body was encoded: its head behind the body's
    size, its dictionary, and its pages."""
    refs = HEAD.unpack_from(raw)[-1] * REF.size
    return hashlib.sha256(raw[12:HEAD.size + refs] +
                          b"".join(pages)).hexdigest()


def tail(s, data):
    """What stands behind RAM, without the sum, which is over all bytes."""
    out = bytearray(data)
    for command in s.commands:
        if command["command"] == "SUM":
            at = command["offset"] + 5
            out[at:at + 8] = bytes(8)
    last = s.sections[-1]
    return out[last.offset + last.size:]


def page_digest(data, r, capabilities):
    raw = data[r.data_offset:r.data_offset + r.data_size]
    if r.kind == "compressed":
        raw = zlib.decompress(raw)
    elif r.kind == "pack":
        return r.content
    elif r.kind == "batch":
        raw = unpack(capabilities[0].removeprefix(METHOD), raw,
                     len(r.pages) * PAGE, r, True)
    return hashlib.sha256(raw).hexdigest()


def write_ram(s, folder):
    """Write each block to a file of its name, sparse where it is zero."""
    os.makedirs(folder, exist_ok=True)
    zero = bytes(PAGE)
    for name, memory in s.ram.items():
        path = os.path.join(folder, name.replace("/", "_") + ".ram")
        with open(path, "wb") as f:
            for at in range(0, len(memory), PAGE):
                if memory[at:at + PAGE] != zero:
                    f.seek(at)
                    f.write(memory[at:at + PAGE])
            f.truncate(len(memory))


def load(path):
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as f:
        if os.fstat(f.fileno()).st_size == 0:
            return b""
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


def main():
    args = argparse.ArgumentParser(
        description="Check and explain a migration stream.")
    args.add_argument("stream", help="a file, or - for standard input")
    args.add_argument("--ram", metavar="FOLDER",
                      help="write each RAM block to a file there")
    args.add_argument("--may-repeat", action="store_true",
                      help="let a section have a page twice, as QEMU does")
    args.add_argument("--canonical", action="store_true",
                      help="print what does not depend on the zlib in use")
    options = args.parse_args()
    data = load(options.stream)
    try:
        if options.canonical:
            print("\n".join(canonical(data)))
            return 0
        s = parse(data, options.ram is not None, options.may_repeat)
    except StreamError as e:
        print(f"{options.stream}: {e}", file=sys.stderr)
        return 1
    if options.ram is not None:
        write_ram(s, options.ram)
    json.dump(report(s), sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
