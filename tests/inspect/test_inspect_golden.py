# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded streams, and made-up ones for what those do not have.

What ferry-inspect says of the recorded ones is compared with what the
independent reader of tests/wire finds in them.
"""
import copy
import json
import os
import resource
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inspect_kit import (END, FULL, GOLDEN, INSPECT, PAGE, PART,  # noqa: E402
                         PLAIN, ROOT, START, TIMEOUT, ZERO, InspectTest,
                         block_list, command, golden, head, packed, pages,
                         record, section, tail, u32, u64, whole,
                         zero_range)
import inspect_kit  # noqa: E402
import read_stream  # noqa: E402
import tap  # noqa: E402
from ferry_vm import skip_without_exec  # noqa: E402

NAMES = sorted(f[:-4] for f in os.listdir(GOLDEN) if f.endswith(".bin"))
KINDS = ("zero", "plain", "compressed")
TEXT = b"some text " * 409 + b"\0" * 6
NOISE = bytes(i * i % 251 for i in range(PAGE))
# A sanitizer's own memory is not bounded.
SANITIZED = os.environ.get("FERRY_SANITIZE", "none") != "none"


# What records of several pages are counted as.
COUNTED_AS = {"batch": "compressed", "pack": "compressed",
              "xbzrle": "compressed",
              "zero-range": "zero"}


def kind_of(record):
    return COUNTED_AS.get(record.kind, record.kind)


def count(records, kind):
    """Pages of that kind."""
    return sum(len(r.pages) for r in records if kind_of(r) == kind)


class Golden(InspectTest):
    def check_frame(self, report, s):
        self.assertEqual(report["machine"], s.machine)
        self.assertEqual(report["bytes"], s.size)
        self.assertEqual(report["handed-over"], s.handed_over)
        self.assertEqual(report["trailing"], 0)
        self.assertEqual(
            [(c["offset"], c["command"], c.get("value"))
             for c in report["commands"]],
            [(c["offset"], c["command"], c.get("value")) for c in s.commands
             if c["command"] != "SUM" and c.get("value") != read_stream.GO])

    def check_ram(self, ram, s):
        self.assertEqual({b["name"]: b["length"] for b in ram["blocks"]},
                         s.blocks)
        sections = s.sections[1:]  # without START
        self.assertEqual([(x["offset"], x["size"], x["type"])
                          for x in ram["sections"]],
                         [(x.offset, x.size, x.type) for x in sections])
        for kind in KINDS:
            self.assertEqual(ram[kind], count(s.records(), kind))
            self.assertEqual([x[kind] for x in ram["sections"]],
                             [count(x.records, kind) for x in sections])
            for b in ram["blocks"]:
                mine = [r for r in s.records() if r.block == b["name"]]
                self.assertEqual(b[kind], count(mine, kind))
        self.assertEqual(ram["compressed-bytes"], sum(
            r.data_size for r in s.records() if kind_of(r) == "compressed"))

    def check_tail(self, report, s):
        keys = ("name", "id", "instance", "version", "offset", "size")
        self.assertEqual([[d[k] for k in keys] for d in report["devices"]],
                         [[d[k] for k in keys] for d in s.devices])
        self.assertEqual((report["vmdescription-offset"],
                          report["vmdescription-size"]), s.vmdescription)
        self.assertEqual(report["vmdescription"], s.description)

    def test_same_as_independent_reader(self):
        for name in NAMES:
            with self.subTest(name):
                s = read_stream.parse(golden(name))
                report = self.inspect(golden(name), "--verify")
                self.assertTrue(report["verified"])
                self.check_frame(report, s)
                self.check_ram(report["ram"], s)
                self.check_tail(report, s)

    def test_extract(self):
        for name in NAMES:
            ram = read_stream.parse(golden(name), ram=True).ram
            for block in ram:
                with self.subTest(f"{name} {block}"):
                    data, _ = self.extract(golden(name), block)
                    self.assertEqual(data, bytes(ram[block]))

    def test_passes(self):
        passes = self.inspect(golden("three-passes"))["ram"]["passes"]
        self.assertEqual([(p["sections"], p["final"],
                           sum(p[k] for k in KINDS)) for p in passes],
                         [(1, False, 150), (1, False, 3), (1, False, 1),
                          (1, True, 2)])

    def test_text(self):
        done = self.run_it("--verify", "--sections", "--vmdescription",
                           os.path.join(GOLDEN, "compressed.bin"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for line in ("machine         fake-1.0\n",
                     "RAM             600.0 KiB (614400 bytes)\n",
                     "PART  72 ", "2 (guest stopped)", '"vmsd_name"'):
            self.assertIn(line, done.stdout)
        self.assertRegex(done.stdout, r"ram0 +150 +119 +1 +30 +8\.9 KiB "
                         r"+34\.68\n")
        self.assertRegex(done.stdout, r"fake +0 +2 +9201 +56 B\n")

    def test_text_fits_a_terminal(self):
        for name in NAMES:
            done = self.run_it("--sections", os.path.join(GOLDEN,
                                                          name + ".bin"))
            self.assertLessEqual(max(map(len, done.stdout.splitlines()[1:])),
                                 80, done.stdout)
            self.assertNotIn("\033", done.stdout)

    def test_standard_input(self):
        path = os.path.join(GOLDEN, "plain.bin")
        for where in ("-", "fd:0", "exec:cat " + path):
            with open(path, "rb") as f:
                done = self.run_it("--json", where, stdin=f)
            skip_without_exec(done.stderr)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["ram"]["plain"], 2)

    def test_offset(self):
        path = self.write(b"x" * 512 + golden("plain"))
        self.inspect(f"file:{path},offset=512")
        self.refused(path, text="not a migration stream")


class MadeUp(InspectTest):
    def test_order_of_pages(self):
        """The last version of a page is extracted."""
        data, report = self.extract(whole(
            pages(PART, packed(0, TEXT, "pc.ram"), record(PLAIN, 1, NOISE),
                  packed(2, TEXT), record(ZERO, 3), packed(4, NOISE)),
            pages(PART, record(PLAIN, 0, NOISE), record(ZERO, 1),
                  record(ZERO, 2), packed(3, TEXT))), "pc.ram")
        self.assertEqual(data, NOISE + bytes(2 * PAGE) + TEXT + NOISE +
                         bytes(11 * PAGE))
        self.assertEqual(len(report["ram"]["passes"]), 3)

    def test_pages_upon_pages(self):
        """Plain pages are collected before they are written.  Others that
        need them, or replace them, find them there."""
        def changes(page, at, data):
            data = bytes([at, len(data)]) + data
            return u64(page * PAGE | 0x60) + b"\1\0" + bytes([len(data)]) + \
                data

        run = [record(PLAIN, i, NOISE) for i in range(1, 100)]
        data, _ = self.extract(whole(
            pages(PART, record(PLAIN, 0, NOISE, "a"), *run,
                  changes(5, 3, b"new"), record(ZERO, 6), packed(7, TEXT),
                  record(PLAIN, 8, TEXT), record(PLAIN, 9, TEXT),
                  record(PLAIN, 0, TEXT, "b"), changes(0, 1, b"x"),
                  record(PLAIN, 10, TEXT, "a"), changes(10, 0, b"y"),
                  record(PLAIN, 6, TEXT), record(ZERO, 7)),
            blocks=[("a", 200 * PAGE), ("b", PAGE)]), "a")
        self.assertEqual(data, (
            NOISE * 5 + NOISE[:3] + b"new" + NOISE[6:] + TEXT + bytes(PAGE) +
            TEXT * 2 + b"y" + TEXT[1:] + NOISE * 89).ljust(200 * PAGE, b"\0"))

    def test_machine_without_ram(self):
        """QEMU's machine none."""
        report = self.inspect(head() + section(START, block_list()) +
                              pages(PART) + pages(END) + tail())
        self.assertEqual((report["ram"]["total"], report["ram"]["blocks"]),
                         (0, []))

    def test_sparse(self):
        out = self.path("out")
        self.inspect(whole(
            pages(PART, packed(0, TEXT, "a"), record(PLAIN, 1, NOISE),
                  record(ZERO, 2), packed(1 << 20, TEXT)),
            pages(PART, record(ZERO, 1)), blocks=[("a", 1 << 33)]),
            "--extract", "a", out)
        stat = os.stat(out)
        self.assertEqual(stat.st_size, 1 << 33)
        self.assertEqual(stat.st_blocks * 512, 2 * PAGE)
        self.assertEqual(stat.st_mode & 0o777, 0o600)

    def test_two_blocks_at_once(self):
        paths = [self.path("x"), self.path("y")]
        self.inspect(whole(
            pages(PART, packed(1, TEXT, "a"), record(PLAIN, 0, NOISE, "b")),
            blocks=[("a", 2 * PAGE), ("b", PAGE)]),
            "--extract", "a", paths[0], "--extract", "b", paths[1])
        self.assertEqual([open(p, "rb").read() for p in paths],
                         [bytes(PAGE) + TEXT, NOISE])

    @tap.only_if(not SANITIZED)
    def test_memory_is_bounded(self):
        """A terabyte that is claimed costs nothing; nor do pages."""
        records = [packed(i << 10, TEXT, "huge") for i in range(1 << 12)]
        path = self.write(whole(*[pages(PART, *records)] * 4,
                                blocks=[("huge", 1 << 40)]))
        for args in (["--verify"], ["--extract", "huge", self.path("out")]):
            # Meson sets it, and then calloc() writes to all that it gives.
            env = {**os.environ, "MALLOC_PERTURB_": "0"}
            with subprocess.Popen([INSPECT, *args, path], env=env,
                                  stdout=subprocess.DEVNULL) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            # The pages themselves are the file's: that is 4096 of them.
            print(f"# {args[0]}: {usage.ru_maxrss} KiB")
            self.assertLess(usage.ru_maxrss, 128 << 10)

    def within(self, mib, *args):
        """What it prints with so much memory, mapped files included."""
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

        done = self.run_it("--json", *args, preexec_fn=limit)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    @tap.only_if(not SANITIZED)
    def test_ranges_of_terabytes(self):
        """Many records of a few bytes, each of which names all of 16 TiB."""
        total = 1 << 32
        for count in (1, 100000):
            path = self.write(whole(
                pages(PART, zero_range(0, total, "a")),
                pages(PART, *[zero_range(1, total - 1)] * count),
                blocks=[("a", total * PAGE)]))
            ram = json.loads(self.within(128, path))["ram"]
            self.assertEqual(ram["zero"], total + count * (total - 1))
            self.assertEqual(ram["repeated"], (count - 1) * (total - 1))
            self.assertEqual(len(ram["passes"]), 3)
            self.assertEqual(ram["blocks"][0]["missing"], 0)

    @tap.only_if(not SANITIZED)
    def test_pages_far_apart(self):
        """Memory goes by the input: these are 900 KB."""
        count, apart = 100000, 40000
        out = self.within(192, self.write(whole(
            pages(PART, record(PLAIN, 0, NOISE, "a"),
                  *[record(ZERO, i * apart) for i in range(1, count)]),
            blocks=[("a", 1 << 44)])))
        self.assertEqual(json.loads(out)["ram"]["blocks"][0]["missing"], (1 << 32) - count)

    @tap.only_if(not SANITIZED)
    def test_many_sections(self):
        """What is said of each does not have to be in memory at once.  (Nor is
        it here: the kernel counts a parent's memory as a child's.)"""
        count = 50000
        out = self.within(80, self.write(whole(*[pages(PART)] * count)))
        self.assertEqual(out.count('"PART"'), count)

    def test_ranges_between_pages(self):
        """What is decoded and written to files costs by the record, too."""
        total = 1 << (27 if SANITIZED else 30)  # TSan leaves no 4 TiB to map
        turn = packed(total - 1, TEXT) + zero_range(0, total)
        path = self.write(whole(
            pages(PART, zero_range(0, total, "a"), turn * 20000,
                  packed(5, TEXT)), blocks=[("a", total * PAGE)]))
        self.inspect(path, "--verify")
        out = self.path("out")
        self.inspect(path, "--extract", "a", out)
        with open(out, "rb") as f:
            self.assertEqual(f.read(7 * PAGE),
                             bytes(5 * PAGE) + TEXT + bytes(PAGE))
        self.assertEqual(os.stat(out).st_blocks * 512, PAGE)

    def test_too_much_ram(self):
        self.refused(whole(blocks=[("a", 1 << 45)]), kind="unsupported",
                     text="35184372088832 bytes of RAM")

    def test_block_extras(self):
        """Page sizes where postcopy was advised, addresses where listed."""
        def stream(advised, capabilities, *blocks):
            return head(capabilities=capabilities) + \
                (command(3, u64(1) + u64(2)) if advised else b"") + \
                section(START, block_list(*blocks)) + pages(END) + tail()

        big, address = u64(2 << 20), u64(1 << 32)
        report = self.inspect(stream(True, [], ("a", PAGE, big),
                                     ("b", PAGE), ("c", PAGE, big)))
        self.assertEqual([b.get("page-size") for b in
                          report["ram"]["blocks"]], [2 << 20, None, 2 << 20])
        report = self.inspect(stream(False, ["x-ignore-shared"],
                                     ("a", PAGE, u64(0)),
                                     ("b", PAGE, address)))
        self.assertEqual(report["capabilities"], ["x-ignore-shared"])
        self.assertEqual([b.get("address") for b in
                          report["ram"]["blocks"]], [0, 1 << 32])
        self.refused(stream(False, [], ("a", PAGE, big), ("b", PAGE)),
                     text="an empty name, before byte 56")

    def test_missing_pages(self):
        """Listed, but not in the stream; and one of which a page is."""
        stream = head(capabilities=["x-ignore-shared"]) + section(
            START, block_list(("shared", 4 * PAGE, u64(0)),
                              ("some", 4 * PAGE, u64(1 << 32)))) + \
            pages(PART, packed(1, TEXT, "some")) + pages(END) + tail()
        data, report = self.extract(stream, "some")
        self.assertEqual(data, bytes(PAGE) + TEXT + bytes(2 * PAGE))
        self.assertEqual([b["missing"] for b in report["ram"]["blocks"]],
                         [4, 3])
        out = self.path("out")
        self.refused(stream, "--extract", "some", out + "2", "--extract",
                     "shared", out, kind="other",
                     text="'shared' has no pages in this stream")
        self.assertEqual(os.listdir(self.folder), ["stream"])

    def test_repeated_page(self):
        report = self.inspect(whole(
            pages(PART, packed(0, TEXT, "pc.ram"), record(ZERO, 0))))
        self.assertEqual(report["ram"]["repeated"], 1)
        self.assertEqual(len(report["ram"]["passes"]), 2)

    def test_commands_between_devices(self):
        """QEMU 10 says SWITCHOVER_START; it could stand among devices."""
        stream = head() + command(1) + command(11) + \
            section(START, block_list(("a", PAGE))) + pages(END)
        devices = [section(FULL, b"one", 5, "x", 0, 1), command(11),
                   section(FULL, b"two\x7e\0\0\0\5", 6, "y", 3, 2)]
        text = tail((), {"devices": [{"name": "x", "instance_id": 0},
                                     {"name": "y", "instance_id": 3}]})
        report = self.inspect(stream + b"".join(devices) + text)
        self.assertEqual([c["command"] for c in report["commands"]],
                         ["OPEN_RETURN_PATH", "SWITCHOVER_START"])
        self.assertEqual([d["size"] for d in report["devices"]],
                         [len(devices[0]), len(devices[2])])

    def test_late_packs(self):
        """Packs that are announced when a batch has come, or twice."""
        packs = command(0x4650, u32(1))
        for name in "batches", "packs":
            data = golden(name)
            at = read_stream.parse(data).sections[2].offset
            self.refused(data[:at] + packs + data[at:],
                         text="packs are announced in a wrong place")

    def test_sum(self):
        """Where packs come, no damaged byte is missed, in whatever pieces the
        part behind RAM comes, and the checksum cannot be left out."""
        data = golden("packs")
        s = read_stream.parse(data)
        begin = s.devices[0]["offset"] + 15
        end = s.devices[0]["offset"] + s.devices[0]["size"] - 5
        for at in range(begin, end):
            bad = bytearray(data)
            bad[at] ^= 1
            self.refused(bytes(bad), text="the stream's checksum is wrong")
        sum_at = data.rindex(b"\x08\x46\x53\0\x08")
        without = data[:sum_at] + data[sum_at + 13:]
        self.refused(without, text="ends without its checksum, before byte "
                     f"{sum_at} of the stream")
        self.refused(data[:sum_at + 13] + command(11) + data[sum_at + 13:],
                     text="ends without its checksum")
        # The same without a vmdescription.
        self.refused(without[:sum_at + 1], text="ends without its checksum")

    def test_sum_without_vmdescription(self):
        data = golden("packs")
        sum_at = data.rindex(b"\x08\x46\x53\0\x08")
        end = sum_at + 13
        self.inspect(data[:end] + b"\0")
        for at in (read_stream.parse(data).devices[0]["offset"] + 15, end - 1):
            bad = bytearray(data[:end] + b"\0")
            bad[at] ^= 1
            self.refused(bytes(bad), text="the stream's checksum is wrong")

    def test_sum_among_devices(self):
        """Before, between and behind devices, and of another size."""
        wrong = command(0x4653, u64(0))
        devices = [section(FULL, b"12345", 5 + i, name, i, 3)
                   for i, name in enumerate("xy")]
        text = tail((), {"devices": [{"name": "x", "instance_id": 0},
                                     {"name": "y", "instance_id": 1}]})
        ram = head() + section(START, block_list(("a", PAGE))) + pages(END)
        for at in range(3):
            parts = devices[:at] + [wrong] + devices[at:]
            for end in text, b"\0":
                if end == text or at == 2:
                    self.refused(ram + b"".join(parts) + end,
                                 text="a SUM without PACKS")
        data = golden("packs")
        s = read_stream.parse(data)
        sum_at = data.rindex(b"\x08\x46\x53\0\x08")
        for at in s.devices[0]["offset"], sum_at, sum_at + 13:
            self.refused(data[:at] + wrong + data[at:],
                         text=f"checksum is wrong, before byte {at + 13} of")
            self.refused(data[:at] + command(0x4653, u32(0)) + data[at:],
                         text="a SUM of another size")

    def test_sum_among_ram(self):
        """It is read, and compared, wherever it stands."""
        data = golden("packs")
        at = read_stream.parse(data).sections[1].offset
        self.refused(data[:at] + command(0x4653, u64(0)) + data[at:],
                     text="the stream's checksum is wrong")
        plain = golden("ferry-peer")
        at = read_stream.parse(plain).sections[1].offset
        self.refused(plain[:at] + command(0x4653, u64(0)) + plain[at:],
                     text="a SUM without PACKS")

    def test_device_with_footers_in_it(self):
        """Neither a footer nor what looks like a vmdescription misleads."""
        inner = b"\x7e" + u32(2) + b"\0\x06" + u32(2) + b"{}" + \
            b"\0\x06" + u32(0xFFFFFF) + b"{"
        report = self.inspect(head() + section(
            START, block_list(("a", PAGE))) + pages(END) +
            tail([("one", inner), ("two", inner)]))
        self.assertEqual([d["name"] for d in report["devices"]],
                         ["one", "two"])

    def test_without_vmdescription(self):
        stream = head() + section(START, block_list(("a", PAGE))) + pages(END)
        device = section(FULL, b"state", 7, "x", 0, 1)
        for devices in (b"", device, device * 2):
            report = self.inspect(stream + devices + b"\0")
            self.assertEqual(report["devices-size"], len(devices))
            self.assertNotIn("vmdescription", report)

    def test_behind_the_end(self):
        report = self.inspect(golden("ferry-peer") + b"rest")
        self.assertTrue(report["handed-over"])
        self.assertEqual(report["trailing"], 4)
        report = self.inspect(golden("plain") + bytes(100000))
        self.assertEqual(report["trailing"], 100000)


class Schema(InspectTest):
    """docs/inspect.schema.json: the kit holds all reports to it."""

    def test_schema(self):
        if not inspect_kit.VALIDATOR:
            self.skipTest("this machine has no jsonschema for Python")
        inspect_kit.VALIDATOR.check_schema(inspect_kit.schema())
        report = self.inspect(golden("packs"))
        for path in (("bytes",), ("ram", "total"), ("ram", "blocks", 0,
                                                    "name"),
                     ("ram", "passes", 0, "final"), ("devices", 0, "id")):
            bad = copy.deepcopy(report)
            place = bad
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = []
            self.assertFalse(inspect_kit.VALIDATOR.is_valid(bad))
            place[path[-1] + "x"] = place.pop(path[-1])
            self.assertFalse(inspect_kit.VALIDATOR.is_valid(bad))

    def test_described(self):
        """docs/inspect.md has every member."""
        with open(os.path.join(ROOT, "docs", "inspect.md"),
                  encoding="utf-8") as f:
            text = f.read()
        for name in inspect_kit.schema()["properties"]:
            self.assertIn(f"`{name}`", text)


class Page(unittest.TestCase):
    """The manual page has the options that --help has, and is well-formed."""

    PATH = os.path.join(ROOT, "docs", "man", "ferry-inspect.1")

    def test_options(self):
        done = subprocess.run([INSPECT, "--help"], capture_output=True,
                              text=True, check=True, timeout=TIMEOUT)
        wanted = [line for line in done.stdout.splitlines()
                  if line.startswith("--")]
        with open(self.PATH, encoding="utf-8") as f:
            page = [line.replace(".It Fl -", "--", 1).replace(" Ar", "")
                    .rstrip() for line in f if line.startswith(".It Fl -")]
        self.assertGreater(len(wanted), 5)
        self.assertEqual(page, wanted)

    def test_form(self):
        try:
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning",
                                   self.PATH], capture_output=True, text=True,
                                  timeout=TIMEOUT)
        except FileNotFoundError:
            self.skipTest("mandoc is not installed")
        self.assertEqual((done.returncode, done.stdout + done.stderr),
                         (0, ""))


if __name__ == "__main__":
    tap.main()
