# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of ferry-inspect share: running it, and making streams."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", folder)
                for folder in ("lib", "wire")]
try:
    import jsonschema
except ImportError:  # then test_schema says so
    jsonschema = None
BUILD = os.environ.get("FERRY_BUILD", os.path.join(ROOT, "build"))
INSPECT = os.path.join(BUILD, "tools", "inspect", "ferry-inspect")
GOLDEN = os.path.join(ROOT, "tests", "wire", "golden")
GUESTS = os.path.join(BUILD, "tests", "guest")
TIMEOUT = 120

PAGE = 4096
EOF, START, PART, END, FULL = range(5)
ZERO, MEM_SIZE, PLAIN, EOS, CONTINUE, COMPRESSED, ZERO_RANGE = \
    0x002, 0x004, 0x008, 0x010, 0x020, 0x100, 0x800


def schema():
    """Of the report."""
    with open(os.path.join(ROOT, "docs", "inspect.schema.json"),
              encoding="utf-8") as f:
        return json.load(f)


VALIDATOR = jsonschema and jsonschema.Draft202012Validator(schema())
VALIDATED_MAX = 1 << 20  # bytes: it is slow


def golden(name):
    with open(os.path.join(GOLDEN, name + ".bin"), "rb") as f:
        return f.read()


# Made-up streams

def u16(n):
    return struct.pack(">H", n)


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def name(text):
    return bytes([len(text)]) + text.encode()


def head(machine="made-up", capabilities=()):
    out = b"QEVM" + u32(3) + b"\x07" + u32(len(machine)) + machine.encode()
    if capabilities:
        out += b"\x05" + name("configuration/capabilities") + u32(1) + \
            u32(len(capabilities)) + b"".join(map(name, capabilities))
    return out


def command(number, payload=b""):
    return b"\x08" + u16(number) + u16(len(payload)) + payload


def footer(number):
    return b"\x7e" + u32(number)


def section(kind, content, number=1, what="ram", instance=0, version=4):
    named = name(what) + u32(instance) + u32(version) \
        if kind in (START, FULL) else b""
    return bytes([kind]) + u32(number) + named + content + footer(number)


def block_list(*blocks):
    """Of (name, length) or (name, length, extra bytes)."""
    return u64(sum(b[1] for b in blocks) | MEM_SIZE) + \
        b"".join(name(b[0]) + u64(b[1]) + b"".join(b[2:]) for b in blocks) + \
        u64(EOS)


def record(kind, page, data=b"", block=None):
    flags = kind if block else kind | CONTINUE
    size = u32(len(data)) if kind == COMPRESSED else b""
    return u64(page * PAGE | flags) + (name(block) if block else b"") + \
        (b"\0" if kind == ZERO else b"") + size + data


def zero_range(page, count, block=None):
    return record(ZERO_RANGE, page, u64(count), block)


def packed(page, data, block=None):
    return record(COMPRESSED, page, zlib.compress(data), block)


def pages(kind, *records):
    return section(kind, b"".join(records) + u64(EOS))


def tail(devices=(("board", b"12345"),), description=None):
    out = b"".join(section(FULL, content, 2 + i, what, i, 1)
                   for i, (what, content) in enumerate(devices))
    if description is None:
        description = {"page_size": PAGE, "devices": [
            {"name": what, "instance_id": i, "version": 1, "fields": [
                {"name": "all", "type": "buffer", "size": len(content)}]}
            for i, (what, content) in enumerate(devices)]}
    text = json.dumps(description).encode()
    return out + b"\0\x06" + u32(len(text)) + text


def whole(*parts, blocks=(("pc.ram", 16 * PAGE),)):
    """A stream of one START and these parts; END is not among them."""
    return head() + section(START, block_list(*blocks)) + b"".join(parts) + \
        pages(END) + tail()


# Running

class InspectTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ferry-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, what):
        return os.path.join(self.folder, what)

    def write(self, data, what="stream"):
        with open(self.path(what), "wb") as f:
            f.write(data)
        return self.path(what)

    def run_it(self, *args, **kwargs):
        return subprocess.run([INSPECT, *args], capture_output=True,
                              text=True, timeout=TIMEOUT, **kwargs)

    def inspect(self, stream, *args, status=0):
        """The report, as JSON; stream is bytes or a path."""
        path = self.write(stream) if isinstance(stream, bytes) else stream
        done = self.run_it("--json", *args, path)
        self.assertEqual(done.returncode, status, done.stderr)
        report = json.loads(done.stdout)
        if VALIDATOR and len(done.stdout) < VALIDATED_MAX:
            VALIDATOR.validate(report)
        self.assertEqual("error" in report, status != 0)
        self.assertEqual(report["complete"], status == 0)
        said = [f"warning: {text}" for text in report["warnings"]]
        if status:
            said.append(report["error"]["message"])
        self.assertEqual(done.stderr, "".join(
            f"ferry-inspect: {path}: {text}\n" for text in said))
        return report

    def refused(self, stream, *args, kind="stream", text=""):
        """The error; the stream is one that is refused."""
        error = self.inspect(stream, *args, status=1)["error"]
        self.assertEqual(error["kind"], kind, error)
        self.assertIn(text, error["message"])
        return error["message"]

    def extract(self, stream, block, *args):
        """What the block holds, and the report."""
        out = self.path("out")
        report = self.inspect(stream, "--extract", block, out, *args)
        with open(out, "rb") as f:
            data = f.read()
        os.unlink(out)
        return data, report
