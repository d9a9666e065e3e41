#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of devices: of made-up descriptions, of QEMU's, and of bad ones."""
import glob
import gzip
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (VALIDATOR, InspectTest, name, schema,  # noqa: E402
                         tail, u16, u32, u64, whole)
from inspect_kit import END, PAGE, START, block_list, head, pages, \
    section  # noqa: E402
import tap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.path.join(HERE, "samples")


def stream(content, fields, subsections=None, more=()):
    """One device, 'board', with this content and description; more: others,
    which are not described."""
    device = {"name": "board", "instance_id": 0, "version": 1,
              "fields": fields}
    if subsections is not None:
        device["subsections"] = subsections
    devices = [device] + [{"name": what, "instance_id": 1 + i, "version": 1}
                          for i, (what, _) in enumerate(more)]
    return head() + section(START, block_list(("pc.ram", 16 * PAGE))) + \
        pages(END) + tail((("board", content), *more),
                          {"page_size": PAGE, "devices": devices})


def field(what, kind, size, **more):
    return {"name": what, "type": kind, "size": size, **more}


def struct(what, size, *fields, **more):
    return {"name": what, "type": "struct", "size": size,
            "struct": {"vmsd_name": what + "-state", "version": 2,
                       "fields": list(fields)}, **more}


def subsection(what, *fields):
    return {"vmsd_name": what, "version": 3, "fields": list(fields)}


def begun(what, content):
    return b"\x05" + name(what) + u32(3) + content


class Fields(InspectTest):
    def fields(self, *made):
        report = self.inspect(stream(*made), "--fields")
        self.assertNotIn("mismatch", report["devices"][0])
        return report["devices"][0]["fields"]

    def values(self, *made):
        return [f["value"] for f in self.fields(*made)]

    def mismatch(self, *made):
        """The stream is good, but the description is not; what is told."""
        report = self.inspect(stream(*made), "--fields")
        told = report["devices"][0]["mismatch"]
        self.assertEqual(report["warnings"], [
            "device 'board' (instance 0) is not as the vmdescription says: it "
            + told])
        return told, report["devices"][0]["fields"]

    def test_numbers(self):
        for kind, data, value in (
                ("uint8", b"\xff", 255), ("int8", b"\xff", -1),
                ("uint16", u16(0xfffe), 0xfffe), ("int16", u16(0xfffe), -2),
                ("uint32", u32(0xfffffffd), 0xfffffffd),
                ("int32", u32(0xfffffffd), -3),
                ("uint64", b"\xff" * 8, (1 << 64) - 1),
                ("int64", b"\xff" * 8, -1), ("timer", b"\xff" * 8, -1),
                ("bool", b"\0", False), ("bool", b"\1", True),
                ("uint16 equal", u16(7), 7), ("int32 le", u32(2), 2)):
            with self.subTest(kind):
                self.assertEqual(
                    self.values(data, [field("f", kind, len(data))]), [value])

    def test_bytes(self):
        self.assertEqual(self.values(b"\x01\xab", [field("f", "buffer", 2)]),
                         ["01ab"])

    def test_other_size(self):
        """Then it is not a number that is known."""
        self.assertEqual(self.values(b"\0\1\2", [field("f", "uint32", 3)]),
                         ["000102"])

    def test_order(self):
        self.assertEqual(
            self.values(u16(1) + u32(2) + b"\3",
                        [field("a", "uint16", 2), field("b", "uint32", 4),
                         field("c", "uint8", 1)]), [1, 2, 3])

    def test_array(self):
        self.assertEqual(
            self.values(u16(1) + u16(2) + b"\3",
                        [field("a", "uint16", 2, array_len=2),
                         field("b", "uint8", 1, array_len=1)]), [[1, 2], [3]])

    def test_array_of_buffers(self):
        self.assertEqual(
            self.values(b"abcd", [field("a", "buffer", 2, array_len=2)]),
            [["6162", "6364"]])

    def test_absent(self):
        """A field, an array, that takes no bytes is not shown."""
        self.assertEqual(
            self.values(b"\1", [field("a", "uint8", 0),
                                field("b", "uint8", 1, array_len=0),
                                field("c", "uint8", 1)]), [1])

    def test_struct(self):
        self.assertEqual(
            self.fields(u16(5) + b"\6", [
                struct("s", 3, field("a", "uint16", 2),
                       struct("t", 1, field("b", "uint8", 1)))]),
            [{"name": "s", "type": "struct", "struct": "s-state", "version": 2,
              "size": 3, "fields": [
                  {"name": "a", "type": "uint16", "size": 2, "value": 5},
                  {"name": "t", "type": "struct", "struct": "t-state",
                   "version": 2, "size": 1, "fields": [
                       {"name": "b", "type": "uint8", "size": 1,
                        "value": 6}]}]}])

    def test_array_of_structs(self):
        found = self.fields(b"\1\2\3", [
            struct("s", 1, field("a", "uint8", 1), array_len=3)])
        self.assertEqual([(f["index"], f["fields"][0]["value"])
                          for f in found], [(0, 1), (1, 2), (2, 3)])

    def test_described_one_by_one(self):
        found = self.fields(b"\1\2\3", [
            struct("s", 1, field("a", "uint8", 1), index=0),
            struct("s", 2, field("a", "uint16", 2), index=1)])
        self.assertEqual([f["index"] for f in found], [0, 1])
        self.assertEqual(found[1]["fields"][0]["value"], 0x203)

    def test_tmp(self):
        """Its fields are its own members."""
        found = self.fields(b"\1\2", [
            field("t", "tmp", 2, vmsd_name="x", version=0,
                  fields=[field("a", "uint16", 2)])])
        self.assertEqual(found[0]["fields"][0]["value"], 0x102)

    def test_subsection(self):
        found = self.fields(
            b"\1" + begun("board/more", b"\2"), [field("a", "uint8", 1)],
            [subsection("board/more", field("b", "uint8", 1))])
        self.assertEqual(found[1], {
            "name": "board/more", "type": "subsection", "version": 3,
            "size": 17, "fields": [{"name": "b", "type": "uint8", "size": 1,
                                    "value": 2}]})

    def test_subsection_of_struct(self):
        inner = struct("s", 13, field("a", "uint8", 1))
        inner["struct"]["subsections"] = [
            subsection("s/b", field("b", "uint32", 4))]
        found = self.fields(b"\1" + begun("s/b", u32(9)),
                            [dict(inner, size=14)])
        self.assertEqual(found[0]["fields"][1]["fields"][0]["value"], 9)

    def test_not_described(self):
        found = self.fields(b"\1\2", [])
        self.assertEqual(found, [{"name": "data", "type": "buffer", "size": 2,
                                  "value": "0102"}])

    def test_no_content(self):
        self.assertEqual(self.fields(b"", []), [])

    def test_without_fields(self):
        report = self.inspect(stream(b"\1", [field("a", "uint8", 1)]))
        self.assertNotIn("fields", report["devices"][0])

    # What does not fit is told, and the rest is there.

    def test_too_short(self):
        told, found = self.mismatch(
            b"\1\2", [field("a", "uint8", 1), field("b", "uint32", 4)])
        self.assertEqual(told, "ends in field 'b'")
        self.assertEqual([f["value"] for f in found], [1])

    def test_too_long(self):
        told, found = self.mismatch(b"\1\2\3", [field("a", "uint8", 1)])
        self.assertEqual(told, "has 1 bytes of fields, and 3 in all")
        self.assertEqual(len(found), 1)

    def test_negative(self):
        for bad in field("a", "uint8", -1), field("a", "uint8", 1,
                                                  array_len=-5):
            told, _ = self.mismatch(b"\1\2", [bad])
            self.assertRegex(told, "'a' of (a negative size|negative length)")

    def test_huge(self):
        big = (1 << 63) - 1
        for bad in (field("a", "uint8", big),
                    field("a", "uint8", 1, array_len=big),
                    field("a", "uint64", 8, array_len=(1 << 61) + 1),
                    struct("a", big, field("b", "uint8", 1)),
                    struct("a", 1, field("b", "uint8", 1), array_len=big)):
            told, _ = self.mismatch(b"\1\2", [bad])
            self.assertRegex(told, "ends in field '[ab]'")

    def test_struct_of_another_size(self):
        """What is behind it is still right."""
        for size, text in ((2, "has 1 bytes in field 's', which should have "
                               "2"), (0, "ends in field 'a'")):
            data = b"\1" * size + u16(7)
            told, found = self.mismatch(
                data, [struct("s", size, field("a", "uint8", 1)),
                       field("b", "uint16", 2)])
            self.assertEqual(told, text)
            self.assertEqual(found[-1]["value"], 7)

    def test_lacks_subsection(self):
        for data in (b"\1", b"\1" + begun("board/other", b"\2"),
                     b"\1\x04" + begun("board/more", b"\2")[1:],
                     b"\1" + begun("board/more", b"\2")[:12]):
            told, found = self.mismatch(
                data, [field("a", "uint8", 1)],
                [subsection("board/more", field("b", "uint8", 1))])
            self.assertEqual(told, "lacks subsection 'board/more' at its byte "
                             "1")
            self.assertEqual(len(found), 1)

    def test_subsection_of_another_version(self):
        told, _ = self.mismatch(
            b"\x05" + name("board/more") + u32(4) + b"\2", [],
            [subsection("board/more", field("b", "uint8", 1))])
        self.assertEqual(told, "has another version of subsection "
                         "'board/more'")

    def test_odd_descriptions(self):
        """Members of other types are as if they were not there."""
        for odd in ([1], ["a"], [None], [{}], [{"name": 1, "type": 2,
                                               "size": "3"}],
                    [{"struct": {}, "size": 1}], [{"struct": [], "size": 1}]):
            self.mismatch(b"\1\2", odd)

    def test_repeated_without_bytes(self):
        """An array cannot repeat a description for ever."""
        none = [field(f"f{i}", "uint8", 0) for i in range(200)]
        bad = struct("s", 0, *none, array_len=1 << 40)
        less = struct("t", 1, *none, field("b", "uint8", 1), array_len=1 << 16)
        told, _ = self.mismatch(bytes(1 << 16), [bad, less])
        self.assertEqual(told, "has too many fields without bytes")

    def test_told_once(self):
        """Structs that are larger than they say do not show bytes twice."""
        bad = struct("s", 1, field("b", "buffer", 1000), array_len=1000)
        _, found = self.mismatch(bytes(2000), [bad])
        self.assertEqual(sum(len(f["fields"]) for f in found), 0)

    # Selecting

    MADE = (u16(5) + b"\6\7" + begun("board/more", b"\2"),
            [field("a", "uint16", 2),
             struct("s", 1, field("b", "uint8", 1), array_len=2)],
            [subsection("board/more", field("c", "uint8", 1))])

    def device(self, *paths, status=0, made=None):
        """What is printed of them, as JSON."""
        path = self.write(stream(*(made or self.MADE)))
        args = [arg for what in paths for arg in ("--device", what)]
        done = self.run_it("--json", *args, path)
        self.assertEqual(done.returncode, status, done.stderr)
        found = json.loads(done.stdout)
        if VALIDATOR:
            VALIDATOR.evolve(schema=dict(
                schema(), **{"$ref": "#/$defs/devices", "type": "array",
                             "required": [], "properties": {}}
            )).validate(found)
        return found

    def test_device(self):
        found = self.device("board")
        self.assertEqual([f["name"] for f in found[0]["fields"]],
                         ["a", "s", "s", "board/more"])

    def test_field(self):
        for path, names in (
                ("board/a", ["a"]), ("board/s", ["s", "s"]),
                ("board/s[1]", ["s"]), ("board/s[1]/b", ["b"]),
                ("board/s/b", ["b", "b"]), ("board[0]/a", ["a"]),
                ("board/board/more", ["board/more"]),
                ("board/board/more/c", ["c"])):
            with self.subTest(path):
                found = self.device(path)
                self.assertEqual([f["name"] for f in found[0]["fields"]],
                                 names)

    def test_not_there(self):
        for path in ("boar", "board/x", "board/s[2]", "board/s/x", "board[1]",
                     "board/aa", "x", ""):
            with self.subTest(path):
                done = self.run_it("--device", path,
                                   self.write(stream(*self.MADE)))
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"there is no device or field '{path}'",
                              done.stderr)

    def test_several(self):
        found = self.device("board/a", "other", made=(
            u16(5), [field("a", "uint16", 2)], None, (("other", b"12"),)))
        self.assertEqual([d["name"] for d in found], ["board", "other"])
        self.assertEqual(found[1]["fields"][0]["value"], "3132")

    def test_text(self):
        done = self.run_it(
            "--device", "board", self.write(stream(
                self.MADE[0] + b"x" * 40 + bytes(8), [
                    *self.MADE[1]], self.MADE[2] and [subsection(
                        "board/more", field("c", "uint8", 1),
                        field("text", "buffer", 40),
                        field("t", "timer", 8))])))
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout, """\
board (instance 0, version 1, 69 bytes)
  a                                  uint16             0x5
  s[0]                               struct s-state, version 2
    b                                uint8              0x6
  s[1]                               struct s-state, version 2
    b                                uint8              0x7
  board/more                         subsection, version 3
    c                                uint8              0x2
    text                             buffer, 40 bytes
           0  78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  xxxxxxxxxxxxxxxx
           *
          20  78 78 78 78 78 78 78 78                          xxxxxxxx
    t                                timer              0
""")

    def test_text_of_report(self):
        done = self.run_it("--fields", self.write(stream(*self.MADE)))
        self.assertIn("\nboard (instance 0, version 1, 21 bytes)\n",
                      done.stdout)

    def test_damage_behind(self):
        """What was read is printed, the damage is told."""
        path = self.write(stream(*self.MADE)[:-10])
        done = self.run_it("--device", "board", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("vmdescription", done.stderr)


class Samples(InspectTest):
    def sample(self, what):
        with gzip.open(os.path.join(SAMPLES, what + ".gz")) as f:
            return f.read()

    def check(self, what):
        report = json.loads(self.run_it(
            "--json", "--fields", self.write(self.sample(what))).stdout)
        self.assertGreater(len(report["devices"]), 15)
        for device in report["devices"]:
            self.assertNotIn("mismatch", device)
            self.assertTrue(device["fields"])
        return {d["name"]: {f["name"]: f.get("value") for f in d["fields"]}
                for d in report["devices"]}

    def test_all(self):
        for path in sorted(glob.glob(os.path.join(SAMPLES, "*.gz"))):
            with self.subTest(path):
                found = self.check(os.path.basename(path)[:-3])
                self.assertIn("cpu", found)

    def test_virtio_mem(self):
        """A device before RAM."""
        found = self.check("virtio-mem-11.1")
        early = found["0000:00:02.0/virtio-mem-device-early"]
        self.assertIn("bitmap", early)

    def test_state(self):
        found = self.check("background-snapshot-11.1")
        self.assertEqual(len(found["cpu"]["env.regs"]), 16)
        state = bytes.fromhex(found["globalstate"]["runstate"])
        self.assertEqual(state.rstrip(b"\0"), b"running")

    def test_postcopy(self):
        """Nothing describes its devices."""
        found = self.check("postcopy-11.1")
        self.assertEqual(list(found["cpu"]), ["data"])


if __name__ == "__main__":
    tap.main()
