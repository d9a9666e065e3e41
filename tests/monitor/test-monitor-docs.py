#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the documentation say what ferry-vm says of itself?

    test-monitor-docs.py BUILD docs/monitor.md docs/options.md migration/options.c
"""
import os
import re
import sys
import unittest

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))
import ferry_vm  # noqa: E402
import tap  # noqa: E402


def section(text, title):
    """From a heading to the next of any level."""
    return re.split(r"^#+ ", text.partition(f"# {title}\n")[2], flags=re.M)[0]


def rows(text):
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in lines[2:]]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


class Docs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(MONITOR, encoding="utf-8") as f:
            cls.monitor = f.read()
        with open(OPTIONS, encoding="utf-8") as f:
            cls.options = f.read()

    def setUp(self):
        guest = os.path.join(BUILD, "tests", "guest", "ab.elf")
        self.vm = ferry_vm.Machine(BUILD, "-S", "-kernel", guest, mem="16M")
        self.schema = {entity["name"]: entity
                       for entity in self.vm.qmp("query-qmp-schema")}

    def tearDown(self):
        self.vm.close()

    def members(self, type_name):
        return self.schema[type_name]["members"]

    def listed(self, query):
        return sorted(entry["name"] for entry in self.vm.qmp(query))

    def test_hmp_commands(self):
        blocks = re.findall(r"^```\n(.*?)^```", self.monitor, re.M | re.S)
        self.assertEqual(blocks, [self.vm.hmp("help"), self.vm.hmp("info")])

    def test_both_monitors(self):
        """What only QMP has is what the text says that it has."""
        alone = re.search(r"QMP\s+alone has .*?: (.*?)\.\n", self.monitor,
                          re.S)[1]
        text = self.vm.hmp("help") + self.vm.hmp("info")
        there = re.findall(r"^(?:info )?(\w+)", text, re.M)

        def in_hmp(name):
            name = name.replace("-", "_").removeprefix("query_")
            one = name.replace("capabilities", "capability")
            return name in there or one.removesuffix("s") in there

        self.assertEqual(sorted(names(alone)),
                         [name for name in self.listed("query-commands")
                          if not in_hmp(name)])

    def test_hmp_errors(self):
        table = rows(section(self.monitor, "What it refuses"))
        self.assertGreater(len(table), 0)
        for typed, answer in table:
            with self.subTest(typed=typed):
                self.assertEqual(self.vm.hmp(typed.strip("`")).splitlines()[0],
                                 answer.strip("`"))

    def test_qmp_commands(self):
        table = rows(section(self.monitor, "QMP"))
        self.assertEqual(sorted(names(row[0])[0] for row in table),
                         self.listed("query-commands"))
        for command, arguments, _ in table:
            if arguments == "any parameters":
                continue
            with self.subTest(command=command):
                members = self.members(
                    self.schema[command.strip("`")]["arg-type"])
                optional = re.findall(r"\[`([^`]+)`\]", arguments)
                self.assertEqual(names(arguments),
                                 [m["name"] for m in members])
                self.assertEqual(optional, [m["name"] for m in members
                                            if "default" in m])

    def test_query_migrate(self):
        table = rows(section(self.monitor, "query-migrate"))
        members = self.members(self.schema["query-migrate"]["ret-type"])
        self.assertEqual(sorted(names(row[0])[0] for row in table),
                         sorted(m["name"] for m in members))
        types = {m["name"]: m["type"] for m in members}
        listed = {names(row[0])[0]: row[1] for row in table}
        self.assertEqual(listed["status"].split(", "),
                         self.schema[types["status"]]["values"])
        self.assertEqual(
            listed["compression"].partition(";")[0].split(", "),
            [m["name"] for m in self.members(types["compression"])])

    def test_events(self):
        table = rows(section(self.monitor, "Events"))
        self.assertEqual([names(row[0])[0] for row in table],
                         self.listed("query-events"))
        for event, data, _ in table:
            members = self.members(self.schema[event.strip("`")]["arg-type"])
            self.assertEqual(names(data), [m["name"] for m in members])

    def help_of(self, command):
        return re.findall(r"^  (\S+) \((.*), default (.*?)\) -- (.*)$",
                          self.vm.hmp(f"help {command}"), re.M)

    def test_capabilities(self):
        table = [(names(name)[0], "on or off", default, text)
                 for name, default, text
                 in rows(section(self.options, "Capabilities"))]
        self.assertEqual(table, self.help_of("migrate_set_capability"))
        self.assertEqual(
            [(row[0], row[2] == "on") for row in table],
            [(entry["capability"], entry["state"])
             for entry in self.vm.qmp("query-migrate-capabilities")])

    def test_parameters(self):
        table = [(names(name)[0], values, default, text)
                 for name, values, default, _, text
                 in rows(section(self.options, "Parameters"))]
        self.assertEqual(table, self.help_of("migrate_set_parameter"))
        self.assertEqual([f"{row[0]}: {row[2]}" for row in table],
                         self.vm.hmp("info migrate_parameters").splitlines())

    def test_methods(self):
        """Those that -version tells of; not all need be built in."""
        program = os.path.join(BUILD, "vmm", "ferry-vm")
        listed = {names(row[0])[0]: row[1] for row
                  in rows(section(self.options, "Parameters"))}
        self.assertEqual(listed["compress-method"].split(", "),
                         ferry_vm.methods(program, built_in=False))

    def test_live(self):
        with open(TABLE, encoding="utf-8") as f:
            options = f.read().split(".name = ")[1:]
        live = [re.match('"(.*?)"', option)[1] for option in options
                if ".live = true" in option]
        self.assertEqual([names(row[0])[0] for row
                          in rows(section(self.options, "Parameters"))
                          if row[3] == "yes"], live)

    def test_changes_while_it_runs(self):
        """Not of capabilities, and of all parameters (to what they are)."""
        self.vm.hmp("migrate_set_parameter max-bandwidth 1B")
        self.vm.hmp('migrate -d "exec:cat >/dev/null"')
        for row in rows(section(self.options, "Capabilities")):
            self.assertIn("There's a migration process in progress",
                          self.vm.hmp("migrate_set_capability "
                                      f"{names(row[0])[0]} {row[1]}"))
        for row in rows(section(self.options, "Parameters")):
            value = "1B" if "bandwidth" in row[0] else \
                row[2].removesuffix(" bytes") + "B" * row[2].endswith("bytes")
            value = value.split()[0]
            self.assertEqual(self.vm.hmp("migrate_set_parameter "
                                         f"{names(row[0])[0]} {value}"), "")
        self.vm.hmp("migrate_cancel")
        self.vm.wait_migration("cancelled")


if __name__ == "__main__":
    BUILD, MONITOR, OPTIONS, TABLE = sys.argv[1:5]
    del sys.argv[1:5]
    tap.main()
