#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations that do not get to their end, and what becomes of the guest.

Whatever happens before the guest is handed over, it runs on at the source as
if nothing had been, and never at the destination.
"""
import os
import signal

import program_kit
import tap
from ferry_vm import QmpError, differing_pages, free_port, wait_until


class Failures(program_kit.ProgramTest):
    def check_failed(self, src, *words):
        """src knows why, says so everywhere, and its guest runs on."""
        info = src.wait_migration("failed")
        text = src.hmp("info migrate")
        self.assertIn("Migration status: failed (", text)
        for word in words:
            self.assertIn(word, info["error-desc"])
            self.assertIn(word, text)
            wait_until(lambda: word in src.stderr(), f"'{word}' on stderr")
        self.check_runs(src)

    def check_second_attempt(self, src):
        """To a new destination, at full speed."""
        uri = self.unix_uri("second")
        dst = self.destination(uri, "-S")
        src.set_parameters(max_bandwidth=0)
        self.move(src, uri)
        self.check_moved(src, dst)

    def begun(self, *args):
        """Two machines in the middle of a migration that never ends."""
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, *args)
        self.begin_slow_move(src, uri)
        dst.wait_migration("active")
        return src, dst


class NoDestination(Failures):
    def test_nobody_listens(self):
        src = self.source()
        src.qmp("migrate", uri=f"tcp:127.0.0.1:{free_port()}")
        self.check_failed(src, "Connection refused")
        self.check_second_attempt(src)

    def test_no_such_socket(self):
        src = self.source()
        src.qmp("migrate", uri=self.unix_uri())
        self.check_failed(src, "No such file")

    def test_no_space(self):
        src = self.source()
        src.qmp("migrate", uri="file:/dev/full")
        self.check_failed(src, "No space left on device")
        self.check_second_attempt(src)

    def test_command_fails_at_once(self):
        src = self.source()
        src.qmp("migrate", uri="exec:exit 3")
        self.check_failed(src, "command 'exit 3'")

    def test_command_fails_in_the_end(self):
        """With everything written, and the guest already stopped."""
        src = self.source()
        src.qmp("migrate", uri="exec:cat > /dev/null; exit 3")
        self.check_failed(src, "exited with status 3")
        self.check_second_attempt(src)


class AnotherMachine(Failures):
    def check_mismatch(self, *args, words, **kwargs):
        uri = self.unix_uri()
        src = self.source()
        dst = self.destination(uri, *args, **kwargs)
        src.qmp("migrate", uri=uri)
        self.check_failed(src, "the destination failed: ", words)
        self.check_refused(dst, words)
        self.check_second_attempt(src)

    def test_more_ram(self):
        self.check_mismatch(mem="64M", words="33554432 bytes of RAM, this "
                                             "machine 67108864")

    def test_more_cpus(self):
        """Found out when the source's guest is stopped already."""
        self.check_mismatch("-smp", "2", words="the guest has 1 CPUs, this "
                                               "machine has 2")


class SuddenEnds(Failures):
    def test_destination_is_killed(self):
        src, dst = self.begun()
        self.kill(dst)
        self.check_failed(src)
        self.check_second_attempt(src)

    def test_source_is_killed(self):
        src, dst = self.begun()
        self.kill(src)
        self.check_refused(dst)

    def test_destination_quits(self):
        src, dst = self.begun()
        self.assertEqual(dst.quit(), 0)
        self.assertEqual(dst.serial.text(), b"")
        self.check_failed(src)

    def test_source_quits(self):
        src, dst = self.begun()
        self.assertEqual(src.quit(), 0)
        self.check_refused(dst)

    def test_signals(self):
        """They mean the same as quit."""
        for number in signal.SIGTERM, signal.SIGINT:
            with self.subTest(number):
                src, dst = self.begun()
                src.process.send_signal(number)
                self.assertEqual(src.wait(), 0)
                self.check_refused(dst)
                src, dst = self.begun()
                dst.process.send_signal(number)
                self.assertEqual(dst.wait(), 0)
                self.check_failed(src)

    def test_signals_while_it_ends(self):
        """Signals do not change what a process that ends exits with."""
        src, dst = self.begun()
        self.kill(src)
        while dst.process.poll() is None:
            dst.process.send_signal(signal.SIGTERM)
        self.assertIn(dst.process.returncode, (0, 1))

    def test_quit_while_waiting(self):
        for uri in self.unix_uri(), f"tcp:127.0.0.1:{free_port()}", "defer":
            dst = self.destination(uri)
            self.assertEqual(dst.quit(), 0)
        self.assertEqual(os.listdir(self.folder), [])


class Cancelling(Failures):
    def test_cancel(self):
        src, dst = self.begun()
        self.assertEqual(src.hmp("migrate_cancel"), "")
        src.wait_migration("cancelled")
        self.assertIn("Migration status: cancelled\n",
                      src.hmp("info migrate"))
        self.check_refused(dst)
        self.check_runs(src)
        self.check_second_attempt(src)

    def test_cancel_and_begin_again_at_once(self):
        src, _ = self.begun()
        for n in range(5):
            src.qmp("migrate_cancel")
            src.wait_migration("cancelled")
            uri = self.unix_uri(f"again{n}")
            self.destination(uri)
            src.qmp("migrate", uri=uri)
        src.qmp("migrate_cancel")
        src.wait_migration("cancelled")
        self.check_runs(src)
        self.check_second_attempt(src)

    def test_nothing_to_cancel(self):
        src = self.source()
        src.qmp("migrate_cancel")
        self.assertEqual(src.migration(), {})
        self.check_second_attempt(src)
        src.qmp("migrate_cancel")
        self.assertEqual(src.migration()["status"], "completed")

    def test_not_at_the_destination(self):
        _, dst = self.begun()
        dst.qmp("migrate_cancel")
        self.assertEqual(dst.migration()["status"], "active")


class Refusals(Failures):
    """What cannot be done now, and does not disturb what is being done."""

    def check_error(self, vm, line, words):
        self.assertEqual(vm.hmp(line), f"Error: {words}\n")

    def test_while_migrating(self):
        src, dst = self.begun("-S")
        busy = "There's a migration process in progress"
        self.check_error(src, f"migrate -d {self.unix_uri('x')}", busy)
        self.check_error(src, f"migrate {self.unix_uri('x')}", busy)
        self.check_error(src, "migrate_set_capability compress on", busy)
        with self.assertRaisesRegex(QmpError, busy):
            src.qmp("migrate", uri=self.unix_uri("x"))
        src.set_parameters(max_bandwidth=0)
        src.wait_migration("completed")
        self.check_moved(src, dst)

    def test_after_migrating(self):
        src = self.source()
        self.move(src, "exec:cat > /dev/null")
        self.check_error(src, f"migrate -d {self.unix_uri()}",
                         "Can't migrate the vm that was paused due to "
                         "previous migration")
        self.assertEqual(src.status(), "postmigrate")

    def test_while_waiting(self):
        dst = self.destination(self.unix_uri())
        self.check_error(dst, f"migrate -d {self.unix_uri('x')}",
                         "Guest is waiting for an incoming migration")
        self.check_error(dst, f"migrate_incoming {self.unix_uri('x')}",
                         "The incoming migration has already been started")

    def test_two_sources(self):
        """A second source finds no destination."""
        src, dst = self.begun("-S")
        other = self.source()
        other.qmp("migrate", uri=self.unix_uri())
        self.check_failed(other)
        src.set_parameters(max_bandwidth=0)
        src.wait_migration("completed")
        self.check_moved(src, dst)


class Deferred(Failures):
    def test_defer(self):
        uri = self.unix_uri()
        src, dst = self.source(), self.destination("defer", "-S")
        self.assertEqual(dst.migration(), {})
        dst.set_parameters(decompress_threads=5)
        dst.hmp(f"migrate_incoming {uri}")
        self.assertEqual(dst.migration(), {"socket-address": [
            {"type": "unix", "path": uri[len("unix:"):]}]})
        src.set_capability("compress")
        self.move(src, uri)
        self.check_moved(src, dst)

    def test_second_uri_after_a_bad_one(self):
        uri = self.unix_uri()
        src, dst = self.source(), self.destination("defer", "-S")
        for bad, words in ("foo:bar", "valid migration protocol"), \
                ("fd:99", "descriptor 99 is not open"), \
                ("unix:/nowhere/x", "No such file"):
            with self.assertRaisesRegex(QmpError, words):
                dst.qmp("migrate-incoming", uri=bad)
        dst.qmp("migrate-incoming", uri=uri)
        self.move(src, uri)
        self.check_moved(src, dst)


class RunStates(Failures):
    """A guest arrives in the state in which it left, also with -S."""

    def check_arrives_stopped(self, src, left_as, arrives_as):
        uri = self.unix_uri()
        dst = self.destination(uri)
        self.assertEqual(src.status(), left_as)
        self.move(src, uri)
        dst.wait_migration("completed")
        self.assertEqual(src.status(), "postmigrate")
        self.assertEqual(dst.status(), arrives_as)
        self.assertEqual(differing_pages(src.save_ram(), dst.save_ram()), [])
        self.assertEqual(dst.serial.text(), b"")
        dst.qmp("cont")
        self.check_runs(src, dst)

    def test_paused(self):
        src = self.source()
        src.qmp("stop")
        self.check_arrives_stopped(src, "paused", "paused")

    def test_never_started(self):
        src = self.start("-kernel", program_kit.AB, "-append", self.append,
                         "-S")
        self.check_arrives_stopped(src, "prelaunch", "prelaunch")

    def test_running(self):
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri)
        self.move(src, uri)
        dst.wait_migration("completed")
        self.check_runs(src, dst)

    def test_stopped_while_migrating(self):
        """The last of the passes is then of a guest that stands still."""
        src, dst = self.begun()
        src.qmp("stop")
        src.set_parameters(max_bandwidth=0)
        src.wait_migration("completed")
        dst.wait_migration("completed")
        self.assertEqual(dst.status(), "paused")
        self.check_stopped(src)
        dst.qmp("cont")
        self.check_runs(src, dst)

    def test_stop_and_cont_while_it_is_awaited(self):
        uri = self.unix_uri()
        src, dst = self.source(), self.destination(uri, "-S")
        dst.qmp("cont")
        dst.qmp("stop")
        dst.qmp("cont")
        self.assertEqual(dst.status(), "inmigrate")
        self.move(src, uri)
        dst.wait_migration("completed")
        self.check_runs(src, dst)

    def test_paused_stays_paused_after_a_failure(self):
        src = self.source()
        src.qmp("stop")
        src.qmp("migrate", uri="exec:cat > /dev/null; exit 3")
        src.wait_migration("failed")
        self.assertEqual(src.status(), "paused")
        self.check_stopped(src)
        src.qmp("cont")
        self.check_runs(src)


if __name__ == "__main__":
    tap.main()
