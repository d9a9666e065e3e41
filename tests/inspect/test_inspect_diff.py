#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between two guests."""
import glob
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, PAGE, PART, PLAIN, ROOT, START,  # noqa: E402
                         VALIDATOR, InspectTest, block_list, head, name,
                         packed, pages, record, section, tail, u16, u32)
import tap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
DIFFERS = 4


def field(what, kind, size, **more):
    return {"name": what, "type": kind, "size": size, **more}


def guest(content=(), blocks=(("pc.ram", 16 * PAGE),), devices=None,
          machine="made-up"):
    """content: (block, page, byte); devices: (name, content, fields)."""
    records = [record(PLAIN, page, bytes([c]) * PAGE, block)
               for block, page, c in content]
    devices = devices or [("board", b"\1", [field("a", "uint8", 1)])]
    description = {"devices": [
        {"name": what, "instance_id": i, "version": 1, "fields": fields[0],
         "subsections": fields[1]} if isinstance(fields, tuple) else
        {"name": what, "instance_id": i, "version": 1, "fields": fields}
        for i, (what, _, fields) in enumerate(devices)]}
    return head(machine) + section(START, block_list(*blocks)) + \
        pages(PART, *records) + pages(END) + \
        tail([d[:2] for d in devices], description)


class Diff(InspectTest):
    def run_diff(self, one, other, *args, status=DIFFERS):
        paths = [self.write(data, what) if isinstance(data, bytes) else data
                 for what, data in (("one", one), ("other", other))]
        done = self.run_it("--diff", *args, *paths)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def diff(self, one, other, status=DIFFERS):
        found = json.loads(self.run_diff(one, other, "--json",
                                         status=status).stdout)
        if VALIDATOR:
            with open(os.path.join(ROOT, "docs", "inspect-diff.schema.json"),
                      encoding="utf-8") as f:
                type(VALIDATOR)(json.load(f)).validate(found)
        self.assertEqual(found["same"], status == 0)
        return found

    def fields(self, *both):
        """Of the only device, which is all that differs."""
        found = self.diff(*(guest(devices=[("board", *d)]) for d in both))
        self.assertEqual(found["blocks"], [])
        self.assertEqual(len(found["devices"]), 1)
        return found["devices"][0]["fields"]

    def test_same(self):
        one = guest([("pc.ram", 1, 1), ("pc.ram", 1, 2)])
        found = self.diff(one, guest([("pc.ram", 1, 2)]), status=0)
        self.assertEqual((found["blocks"], found["devices"]), ([], []))

    def test_other_form(self):
        """Zero or not sent, plain or compressed is the same."""
        a = head() + section(START, block_list(("b", 2 * PAGE))) + \
            pages(PART, packed(1, b"x" * PAGE, "b"),
                  record(PLAIN, 0, bytes(PAGE))) + pages(END) + tail()
        b = head() + section(START, block_list(("b", 2 * PAGE))) + \
            pages(PART, record(PLAIN, 1, b"x" * PAGE, "b")) + pages(END) + \
            tail()
        self.diff(a, b, status=0)

    def test_pages(self):
        found = self.diff(
            guest([("pc.ram", 1, 1), ("pc.ram", 2, 1), ("pc.ram", 9, 1)]),
            guest([("pc.ram", 2, 2), ("pc.ram", 3, 1), ("pc.ram", 9, 1),
                   ("pc.ram", 15, 1)]))
        self.assertEqual(found["blocks"], [{
            "name": "pc.ram", "first-length": 16 * PAGE,
            "second-length": 16 * PAGE, "pages": 4,
            "ranges": [{"offset": PAGE, "pages": 3},
                       {"offset": 15 * PAGE, "pages": 1}]}])

    def test_blocks(self):
        found = self.diff(
            guest([("a", 1, 1)], [("a", 2 * PAGE), ("b", PAGE)]),
            guest([("a", 3, 1)], [("c", PAGE), ("a", 4 * PAGE)]))
        self.assertEqual(found["blocks"], [
            {"name": "a", "first-length": 2 * PAGE, "second-length": 4 * PAGE,
             "ranges": [{"offset": PAGE, "pages": 1}], "pages": 1},
            {"name": "b", "first-length": PAGE, "ranges": [], "pages": 0},
            {"name": "c", "second-length": PAGE, "ranges": [], "pages": 0}])

    def test_machine(self):
        found = self.diff(guest(), guest(machine="other"))
        self.assertEqual((found["first-machine"], found["second-machine"]),
                         ("made-up", "other"))

    def test_devices(self):
        one = [("x", b"1", []), ("y", b"1", [])]
        found = self.diff(guest(devices=one[:1]), guest(devices=one))
        self.assertEqual(found["devices"], [
            {"name": "y", "instance": 1, "second-version": 1, "fields": []}])
        found = self.diff(guest(devices=one), guest(devices=one[:1]))
        self.assertEqual(found["devices"][0]["first-version"], 1)

    def test_field(self):
        made = [field("a", "uint8", 1), field("b", "int16", 2),
                field("c", "uint8", 1, array_len=2)]
        self.assertEqual(
            self.fields((b"\1" + u16(2) + b"\3\4", made),
                        (b"\1" + u16(0xffff) + b"\3\5", made)),
            [{"path": "b", "type": "int16", "first": 2, "second": -1},
             {"path": "c", "type": "uint8", "first": [3, 4],
              "second": [3, 5]}])

    def test_subsection(self):
        more = b"\x05" + name("board/more") + u32(3) + b"\7"
        made = [field("a", "uint8", 1)]
        extra = [{"vmsd_name": "board/more", "version": 3,
                  "fields": [field("b", "uint8", 1)]}]
        self.assertEqual(
            self.fields((b"\1", (made, [])), (b"\1" + more, (made, extra))),
            [{"path": "board/more/b", "type": "uint8", "second": 7}])
        self.assertEqual(
            self.fields((b"\1" + more, (made, extra)), (b"\1", (made, []))),
            [{"path": "board/more/b", "type": "uint8", "first": 7}])

    def test_one_name(self):
        """Fields of one name are paired in their order."""
        made = [field("unused", "buffer", 1), field("unused", "buffer", 1)]
        self.assertEqual(
            self.fields((b"\1\2", made), (b"\1\3", made)),
            [{"path": "unused (2)", "type": "buffer", "first": "02",
              "second": "03"}])

    def test_other_type(self):
        self.assertEqual(
            self.fields((b"\1", [field("a", "uint8", 1)]),
                        (b"\0\1", [field("a", "uint16", 2)])),
            [{"path": "a", "type": "uint8", "first": 1, "second": 1}])

    def test_text(self):
        made = [field("a", "uint8", 1), field("r", "uint8", 1, array_len=2),
                field("b", "buffer", 20), field("s", "buffer", 2)]
        one = guest([("pc.ram", i, 1) for i in range(0, 16, 2)] +
                    [("pc.ram", 15, 1)],
                    devices=[("board", b"\1\2\3" + bytes(20) + b"ab", made),
                             ("x", b"1", [])])
        other = guest([], devices=[
            ("board", b"\2\2\4" + bytes(18) + b"\1\1" + b"ac", made)],
            machine="other")
        self.assertEqual(self.run_diff(one, other).stdout, f"""\
first           {self.path('one')}
second          {self.path('other')}
machine         made-up -> other

RAM block pc.ram
  0x0: 1 page
  0x2000: 1 page
  0x4000: 1 page
  0x6000: 1 page
  0x8000: 1 page
  0xa000: 1 page
  0xc000: 1 page
  0xe000: 2 pages
  9 pages differ

board (instance 0)
  a                                        0x1 -> 0x2
  r[1]                                     0x3 -> 0x4
  b                                        2 of 20 bytes, the first at 18
  s                                        6162 -> 6163

x (instance 1): only in the first guest
""")

    def test_samples(self):
        """The same in two forms."""
        for path in glob.glob(os.path.join(HERE, "samples", "*.gz")):
            if "multifd" in path or "dirty" in path:
                continue
            with self.subTest(path):
                with gzip.open(path) as f:
                    data = self.write(f.read(), "sample")
                out = self.path("new")
                done = self.run_it("--stream", out, data)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.diff(data, out, status=0)
                os.unlink(out)

    def test_damaged(self):
        """Which of the two is told."""
        good, bad = guest(), guest()[:-10]
        for both, what in ((bad, good), "one"), ((good, bad), "other"):
            done = self.run_diff(*both, status=1)
            self.assertEqual(done.stdout, "")
            self.assertTrue(done.stderr.startswith(
                f"ferry-inspect: {self.path(what)}: the vmdescription"),
                done.stderr)

    def test_usage(self):
        path = self.write(guest())
        for args in ([path], [path] * 3, ["--extract", "a", "b", path, path],
                     ["--elf", "o", path, path]):
            done = self.run_it("--diff", *args)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--diff takes two streams", done.stderr)


if __name__ == "__main__":
    tap.main()
