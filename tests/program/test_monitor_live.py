#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Monitors while a guest is on its way: several at once, what they report,
events, the blocking migrate, and options that change on the fly."""
import json
import signal
import struct

import program_kit
import tap
from ferry_vm import Hmp, Qmp, connect_unix, free_port, wait_until

RAM = {
    "total", "transferred", "duplicate", "skipped", "normal", "normal-bytes",
    "mbps", "postcopy-requests", "page-size", "multifd-bytes",
    "pages-per-second", "postcopy-bytes",
}
SOURCE_RAM = RAM | {"remaining", "dirty-pages-rate", "dirty-sync-count",
                    "precopy-bytes", "downtime-bytes"}
COMPRESSION = {"pages", "busy", "busy-rate", "compressed-size",
               "compression-rate", "unchanged", "encoder", "method",
               "level", "history"}


ENTRY = 0x100000
HALT = b"\xf4"


def write_halting_guest(path):
    """The shortest guest: one CPU halts, which is the machine's shutdown."""
    code = 64 + 56  # behind the ELF header and one program header
    with open(path, "wb") as f:
        f.write(struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1,
                            2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 1, 0, 0, 0))
        f.write(struct.pack("<IIQQQQQQ", 1, 5, code, ENTRY, ENTRY, len(HALT),
                            len(HALT), 1) + HALT)


class RawQmp:
    """A QMP session that says just what it is told to."""

    def __init__(self, vm):
        self.sock = connect_unix(vm.path("qmp"), vm.process)
        self.file = self.sock.makefile("r", encoding="utf-8")

    def send(self, text):
        self.sock.sendall(text.encode())

    def receive(self):
        """The next message that is not an event."""
        while "event" in (message := json.loads(self.file.readline())):
            pass
        return message

    def close(self):
        self.file.close()
        self.sock.close()


class Sessions(program_kit.ProgramTest):
    def setUp(self):
        super().setUp()
        uri = self.unix_uri()
        self.src = self.source()
        self.dst = self.destination(uri, "-S")
        self.begin_slow_move(self.src, uri)

    def tearDown(self):
        """The guest arrives, whatever the sessions did."""
        self.src.set_parameters(max_bandwidth=0)
        self.src.wait_migration("completed")
        self.check_moved(self.src, self.dst)

    def raw(self):
        session = RawQmp(self.src)
        self.addCleanup(session.close)
        greeting = session.receive()
        self.assertEqual(set(greeting["QMP"]), {"version", "capabilities"})
        return session

    def negotiated(self):
        session = self.raw()
        session.send('{"execute": "qmp_capabilities"}')
        self.assertEqual(session.receive(), {"return": {}})
        return session

    def test_negotiation_is_per_session(self):
        one, two = self.raw(), self.negotiated()
        one.send('{"execute": "query-migrate", "id": 1}')
        answer = one.receive()
        self.assertEqual(answer["error"]["class"], "CommandNotFound")
        self.assertEqual(answer["id"], 1)
        two.send('{"execute": "query-migrate"}')
        self.assertEqual(two.receive()["return"]["status"], "active")
        one.send('{"execute": "qmp_capabilities"}')
        self.assertEqual(one.receive(), {"return": {}})
        two.send('{"execute": "qmp_capabilities"}')
        self.assertEqual(two.receive()["error"]["class"], "CommandNotFound")

    def test_joined_and_split(self):
        """Many objects in one write, and one object in many."""
        session = self.negotiated()
        session.send("".join(
            json.dumps({"execute": "query-migrate", "id": {"n": n}})
            for n in range(50)))
        for n in range(50):
            answer = session.receive()
            self.assertEqual(answer["id"], {"n": n})
            self.assertEqual(answer["return"]["status"], "active")
        for c in '{"execute" : "query-status",\n "id": "}{\\"]\u00e9"}':
            session.send(c)
        answer = session.receive()
        self.assertEqual(answer["id"], '}{"]\u00e9')
        self.assertEqual(answer["return"]["status"], "running")

    def test_broken_json(self):
        session = self.negotiated()
        for text in '{"execute": }', '}', '{"execute": "query-status", 1}', \
                '[]', '{"execute": "query-status"}}', '{"id": 1}':
            with self.subTest(text):
                session.send(text + "\n")
                session.send('{"execute": "query-name", "id": "after"}')
                answers = []
                while not answers or answers[-1].get("id") != "after":
                    answers.append(session.receive())
                self.assertEqual(answers[-1]["return"], {})
                self.assertEqual(answers[-2]["error"]["class"],
                                 "GenericError")

    def test_in_turns(self):
        """Ten sessions, each of which gets its own answers."""
        sessions = [self.negotiated() for _ in range(10)]
        for n, session in enumerate(sessions):
            session.send(json.dumps({"execute": "query-migrate", "id": n}))
        for n, session in reversed(list(enumerate(sessions))):
            self.assertEqual(session.receive()["id"], n)

    def test_session_ends_in_the_middle(self):
        for text in "", '{"execute": ', '{"execute": "query-migrate"}' * 1000:
            session = RawQmp(self.src)
            session.send('{"execute": "qmp_capabilities"}' + text)
            session.close()
        self.assertEqual(self.src.migration()["status"], "active")


class Shutdown(program_kit.ProgramTest):
    """The ends of a machine, and why."""

    def test_nothing_after_quit(self):
        """Not even what was asked in the same write."""
        vm = self.start("-S", "-kernel", program_kit.AB)
        session = RawQmp(vm)
        self.addCleanup(session.close)
        session.send("".join(json.dumps({"execute": name}) for name in
                             ("qmp_capabilities", "quit", "cont", "quit")))
        self.assertEqual(vm.wait(), 0)
        said = [json.loads(line) for line in session.file]
        self.assertEqual([m for m in said[1:] if "event" not in m],
                         [{"return": {}}] * 2)
        self.assertEqual([(m["event"], m["data"]) for m in said
                          if "event" in m],
                         [("SHUTDOWN", {"guest": False,
                                        "reason": "host-qmp-quit"})])

    def test_guest_halts(self):
        write_halting_guest(f"{self.folder}/halt.elf")
        vm = self.start("-kernel", f"{self.folder}/halt.elf")
        event = vm.session.wait_event("SHUTDOWN")
        self.assertEqual(event["data"], {"guest": True,
                                         "reason": "guest-shutdown"})
        self.assertEqual(vm.status(), "shutdown")

    def test_signals(self):
        for number in signal.SIGTERM, signal.SIGINT:
            vm = self.start("-S", "-kernel", program_kit.AB)
            session = RawQmp(vm)
            self.addCleanup(session.close)
            session.send('{"execute": "qmp_capabilities"}')
            session.receive()
            session.receive()
            vm.process.send_signal(number)
            self.assertEqual(vm.wait(), 0)
            event = json.loads(session.file.readline())
            self.assertEqual((event["event"], event["data"]),
                             ("SHUTDOWN", {"guest": False,
                                           "reason": "host-signal"}))


class Queries(program_kit.ProgramTest):
    def check_numbers(self, info, members):
        ram = info["ram"]
        self.assertEqual(set(ram), members)
        self.assertEqual(ram["total"], int(self.mem[:-1]) << 20)
        self.assertEqual(ram["page-size"], 4096)
        self.assertEqual(ram["normal-bytes"], ram["normal"] * 4096)
        self.assertGreater(ram["transferred"], 0)

    def check_source(self, info, compress):
        ram = info["ram"]
        self.check_numbers(info, SOURCE_RAM)
        self.assertEqual(ram["precopy-bytes"] + ram["downtime-bytes"],
                         ram["transferred"])
        members = {"status", "total-time", "setup-time", "ram"}
        members |= {"compression"} if compress else set()
        if info["status"] == "completed":
            members |= {"downtime"}
            self.assertEqual(ram["remaining"], 0)
            self.assertGreater(ram["downtime-bytes"], 0)
        else:
            members |= {"expected-downtime"}
        self.assertEqual(set(info), members)
        if compress:
            self.assertEqual(set(info["compression"]) - {"reason"},
                             COMPRESSION)

    def move_and_look(self, uri, compress):
        src = self.source()
        dst = self.destination(uri, "-S")
        self.assertEqual(src.migration(), {})
        self.assertEqual(list(dst.migration()), ["socket-address"])
        src.set_capability("compress", compress)
        src.set_parameters(max_bandwidth=2048)  # even compressed it is long
        src.qmp("migrate", uri=uri)
        wait_until(lambda: src.migration().get("ram", {}).get("transferred"),
                   "progress")
        first, second = src.migration(), src.migration()
        self.assertEqual(first["status"], "active")
        self.assertGreater(first["ram"]["remaining"], 0)
        for name in "transferred", "dirty-sync-count", "normal", "duplicate":
            self.assertLessEqual(first["ram"][name], second["ram"][name])
        self.check_source(first, compress)
        src.set_parameters(max_bandwidth=0)
        info = src.wait_migration("completed")
        self.check_source(info, compress)
        return src, dst, info

    def check_both_sides(self, uri, compress):
        src, dst, sent = self.move_and_look(uri, compress)
        got = dst.wait_migration("completed")
        members = {"status", "total-time", "setup-time", "ram"}
        members |= {"compression"} if compress else set()
        self.assertEqual(set(got), members)
        self.check_numbers(got, RAM)
        for name in "transferred", "normal", "duplicate":
            self.assertEqual(got["ram"][name], sent["ram"][name], name)
        self.assertEqual(src.migration(), sent)
        self.check_moved(src, dst)

    def test_tcp(self):
        self.check_both_sides(f"tcp:127.0.0.1:{free_port()}", False)

    def test_tcp_compressed(self):
        self.check_both_sides(f"tcp:127.0.0.1:{free_port()}", True)

    def test_unix_compressed(self):
        self.check_both_sides(self.unix_uri(), True)

    def test_many_watch(self):
        """Everybody sees the same migration, and it only goes forward."""
        uri = self.unix_uri()
        src = self.source()
        dst = self.destination(uri, "-S")
        watchers = [Qmp(src.path("qmp")) for _ in range(5)]
        for watcher in watchers:
            self.addCleanup(watcher.close)
        last = {"transferred": 0, "dirty-sync-count": 0}
        src.qmp("migrate", uri=uri)
        status = None
        while status != "completed":
            for watcher in watchers:
                info = watcher.command("query-migrate")
                status = info["status"]
                self.assertIn(status, ("setup", "active", "device",
                                       "completed"))
                ram = info.get("ram", last)
                for name, value in last.items():
                    self.assertGreaterEqual(ram[name], value)
                    last[name] = ram[name]
        self.check_moved(src, dst)


class Events(program_kit.ProgramTest):
    def started(self):
        """A source whose RESUME, of being started, has come and gone."""
        src = self.source()
        src.session.wait_event("RESUME")
        src.session.events.clear()
        return src

    def test_stop_and_resume(self):
        uri = self.unix_uri()
        src, dst = self.started(), self.destination(uri)
        self.move(src, uri)
        for vm, name in (src, "STOP"), (dst, "RESUME"):
            event = vm.session.wait_event(name)
            self.assertEqual(set(event["timestamp"]),
                             {"seconds", "microseconds"})
            self.assertEqual([e["event"] for e in vm.session.events], [name])
        dst.qmp("stop")
        dst.session.wait_event("STOP")
        self.check_stopped(src, dst)

    def test_stop_and_resume_when_it_fails(self):
        src = self.started()
        src.qmp("migrate", uri="exec:cat > /dev/null; exit 1")
        src.wait_migration("failed")
        src.session.wait_event("RESUME")
        self.assertEqual([e["event"] for e in src.session.events],
                         ["STOP", "RESUME"])
        self.check_runs(src)


class Blocking(program_kit.ProgramTest):
    """migrate without -d."""

    def test_to_the_end(self):
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, "-S")
        self.slow_down(src)
        src.monitor.send(f"migrate {uri}")
        other = Hmp(src.path("hmp"))
        self.addCleanup(other.close)
        src.wait_migration("active")
        self.assertEqual(other.command("info status"),
                         "VM status: running\n")
        src.monitor.wait_for(" mbps, remaining ")
        src.set_parameters(max_bandwidth=0)
        text = src.monitor.receive()
        self.assertRegex(text, r"\r100%, \d+\.\d\d mbps, "
                               r"remaining 0 MB, dirty \d+ pages/s, "
                               r"pass \d+ *\n"
                               r"Migration status: completed\n\Z")
        self.assertEqual(src.hmp("info status"),
                         "VM status: paused (postmigrate)\n")
        self.check_moved(src, dst)

    def test_continued_by_another(self):
        """Its line goes on when another session lets the migration go on."""
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, "-S")
        src.set_capability("pause-before-switchover")
        self.assertRegex(src.hmp(f"migrate {uri}"),
                         r"(\A|\n)Migration status: pre-switchover\n\Z")
        src.qmp("migrate-continue", state="pre-switchover")
        self.assertRegex(src.monitor.receive(),
                         r"\r100%, .* pass \d+ *\n"
                         r"Migration status: completed\n\Z")
        self.check_moved(src, dst)

    def test_cancelled_by_another(self):
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri)
        self.slow_down(src)
        src.monitor.send(f"migrate {uri}")
        dst.wait_migration("active")
        src.qmp("migrate_cancel")
        self.assertRegex(src.monitor.receive(),
                         r"(\A|\n)Migration status: cancelled\n\Z")
        self.check_refused(dst)
        self.check_runs(src)

    def test_failing(self):
        src = self.source()
        self.assertRegex(src.hmp(f"migrate {self.unix_uri()}"),
                         r"\AError: .*No such file.*\n\Z")
        self.check_runs(src)

    def test_through_qmp(self):
        """A session that answers one by one cannot wait: it goes on."""
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, "-S")
        text = src.qmp("human-monitor-command",
                       command_line=f"migrate {uri}")
        self.assertIn("continuing detached", text)
        src.wait_migration("completed")
        self.check_moved(src, dst)


class LiveOptions(program_kit.ProgramTest):
    def test_max_bandwidth(self):
        """Up from a rate at which it would have taken an hour."""
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, "-S")
        src.set_parameters(max_bandwidth=1024)
        src.qmp("migrate", uri=uri)
        src.wait_migration("active")
        self.assertEqual(
            src.hmp("migrate_set_parameter max_bandwidth 100G"), "")
        src.wait_migration("completed")
        self.check_moved(src, dst)

    def test_downtime_limit(self):
        """Up to one that lets a guest go which cannot be caught otherwise."""
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, "-S")
        src.set_parameters(max_bandwidth=16 << 20, downtime_limit=1)
        src.qmp("migrate", uri=uri)
        wait_until(lambda: src.migration().get("ram", {}).get(
            "dirty-sync-count", 0) > 4, "some passes")
        self.assertEqual(src.migration()["status"], "active")
        self.assertEqual(
            src.hmp("migrate_set_parameter downtime_limit 2000000"), "")
        src.wait_migration("completed")
        self.check_moved(src, dst)


if __name__ == "__main__":
    tap.main()
