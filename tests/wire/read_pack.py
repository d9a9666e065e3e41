# SPDX-License-Identifier: GPL-2.0-or-later
"""Read packs: an independent implementation of docs/pack.md.

It is written from the specification alone.  A History takes the packs of one
stream in order, and gives the pages that they stand for.  It needs Python's
xxhash to look at checksums, and leaves them out without it.
"""
import struct

try:
    import xxhash
except ImportError:
    xxhash = None

PAGE = 4096
WORDS = PAGE // 8
PAGES_MAX = 64
ENTRY_MAX = 9
EXTRA_MAX = 65535
# checksum, body, codec, pages, extra, dictionary
HEAD = struct.Struct(">QIBBHB")
REF = struct.Struct(">HB")
DICTIONARY_MAX = 64
ZERO, PATTERN, SAME, DELTA, NEW = range(5)
METHODS = {1: "zlib", 2: "zstd", 3: "lz4"}  # compress-method + 1


class PackError(Exception):
    """The pack breaks a rule."""


def require(ok, cause):
    if not ok:
        raise PackError(cause)


class Bytes:
    """Reads a body from its front."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        require(self.at + size <= len(self.data), "the body is too short")
        self.at += size
        return self.data[self.at - size:self.at]


def stream_sum(data):
    """What SUM says of these bytes; None where nobody can tell."""
    return hash64(bytes(data)) if xxhash else None


def hash64(data):
    return xxhash.xxh3_64_intdigest(data)


def checksum(number, keys, pages, extra):
    words = [number]
    for key, page in zip(keys, pages):
        words += [key, hash64(page)]
    words.append(hash64(extra))
    return hash64(struct.pack(f">{len(words)}Q", *words))


class History:
    """What a receiver keeps of a stream."""

    def __init__(self, window, decode):
        """decode(method, raw, size, dictionary) gives size bytes, or
        raises."""
        self.window = window
        self.decode = decode
        self.packs = []  # of lists of pages; None: cannot be referred to

    def read(self, raw, keys):
        """The pages of the next pack, and its extra bytes."""
        require(len(raw) >= HEAD.size, "a pack without a head")
        expected, size, codec, count, extra_size, refs = HEAD.unpack_from(raw)
        require(1 <= count <= PAGES_MAX and count == len(keys),
                f"a pack of {count} pages")
        require(size <= PAGES_MAX * (ENTRY_MAX + PAGE) + EXTRA_MAX,
                f"a body of {size} bytes")
        dictionary = self.dictionary(raw[HEAD.size:], refs)
        require(codec or not refs, "a dictionary for nothing")
        rest = raw[HEAD.size + refs * REF.size:]
        body = Bytes(self.body(rest, size, codec, dictionary))
        pages = self.pages(body, self.table(body, count))
        extra = body.take(extra_size)
        require(body.at == size, "bytes behind the body's end")
        if xxhash:
            require(checksum(len(self.packs) - 1, keys, pages, extra) ==
                    expected, "a wrong checksum")
        return pages, extra

    def dictionary(self, raw, count):
        """The bytes of the pages that the pack is given with it."""
        require(count <= DICTIONARY_MAX, f"a dictionary of {count} pages")
        refs = Bytes(raw)
        self.packs.append([])  # references are seen from the pack itself
        pages = [self.referred(*REF.unpack(refs.take(REF.size)))
                 for _ in range(count)]
        self.packs.pop()
        return b"".join(pages)

    def body(self, raw, size, codec, dictionary):
        if codec == 0:
            require(len(raw) == size, "a body of another size than it says")
            return raw
        require(codec in METHODS, f"codec {codec}")
        require(len(dictionary) // PAGE * REF.size + len(raw) < size,
                "an encoded body that is not shorter")
        require(not dictionary or METHODS[codec] == "zstd",
                f"a dictionary for {METHODS[codec]}")
        return self.decode(METHODS[codec], raw, size, dictionary)

    @staticmethod
    def table(body, count):
        entries = []
        for _ in range(count):
            kind = body.take(1)[0]
            require(kind <= NEW, f"a page of kind {kind}")
            rest = {PATTERN: 8, SAME: 3, DELTA: 3}.get(kind, 0)
            entries.append((kind, body.take(rest)))
        return entries

    def pages(self, body, entries):
        pages = []
        self.packs.append([])
        for kind, rest in entries:
            if kind == ZERO:
                page = bytes(PAGE)
            elif kind == PATTERN:
                page = bytes(rest) * WORDS
            elif kind == NEW:
                page = bytes(body.take(PAGE))
            else:
                page = self.referred(*REF.unpack(rest))
                if kind == DELTA:
                    page = changed(page, body)
            pages.append(page)
            self.packs[-1].append(None if kind in (ZERO, PATTERN) else page)
        return pages

    def referred(self, back, index):
        require(back <= min(self.window, len(self.packs) - 1),
                "a reference outside of the window")
        pack = self.packs[-1 - back]
        require(index < len(pack) and pack[index] is not None,
                "a reference to a page that is not there")
        return pack[index]


def changed(page, body):
    """The page, but for the words of a delta."""
    present = int.from_bytes(body.take(WORDS // 8), "little")
    require(present.bit_count() <= WORDS // 2, "too many words differ")
    out = bytearray(page)
    for word in range(WORDS):
        if present >> word & 1:
            at = 8 * word
            delta = body.take(8)
            out[at:at + 8] = bytes(a ^ b for a, b in zip(out[at:at + 8],
                                                         delta))
    return bytes(out)
