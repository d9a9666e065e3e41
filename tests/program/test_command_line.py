#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is refused on the command line and by the monitor, and how.

On the command line: one line on stderr that names what was wrong, and status
1.  In the monitor: a line or two, and the session goes on.
"""
import os
import socket

import program_kit
import tap
from ferry_vm import QmpError
from program_kit import AB, capability_list

GUEST = ["-kernel", AB]

# (arguments, what the line must say)
BAD_COMMAND_LINES = [
    ([], "give -kernel or -incoming"),
    (["-foo"], "-foo: invalid option"),
    (["foo"], "foo: invalid option"),
    (["-m"], "-m: requires an argument"),
    (["-m", "0", *GUEST], "-m 0: expected a size of 2M"),
    (["-m", "1M", *GUEST], "-m 1M: expected a size"),
    (["-m", "16Q", *GUEST], "-m 16Q: expected a size"),
    (["-m", "-16", *GUEST], "-m -16: expected a size"),
    (["-m", "99999999999T", *GUEST], "-m 99999999999T: expected a size"),
    (["-m", "5M5", *GUEST], "-m 5M5: expected a size"),
    (["-smp", "0", *GUEST], "-smp 0: expected a number from 1 to 64"),
    (["-smp", "65", *GUEST], "-smp 65: expected a number from 1 to 64"),
    (["-smp", "two", *GUEST], "-smp two: expected a number from 1 to 64"),
    (["-kernel", "/nowhere"], "/nowhere"),
    (["-kernel", "/"], "is not a file"),
    (["-kernel", "/dev/null"], "is not a file"),
    (["-kernel", __file__], "not an ELF file"),
    (["-kernel", "/bin/sh"], "/bin/sh: not a statically linked executable"),
    (["-append", "x" * 4096, *GUEST], "at most 4095 bytes"),
    (["-ram-image", "/nowhere", *GUEST], "/nowhere"),
    (["-ram-image", "/dev/zero", *GUEST], "not a regular file"),
    (["-m", "2M", "-ram-image", "3M", *GUEST], "more than RAM"),
    (["-incoming", "foo:bar"],
     "Parameter 'uri' expects a valid migration protocol"),
    (["-incoming", "tcp:127.0.0.1"], "':' and a port must follow the host"),
    (["-incoming", "tcp:127.0.0.1:65536"], "port '65536'"),
    (["-incoming", "tcp:fe80::1:1"], "must stand in brackets"),
    (["-incoming", "unix:/nowhere/socket"], "/nowhere/socket"),
    (["-incoming", "fd:99"], "descriptor 99 is not open"),
    (["-incoming", "fd:x"], "'x' is not the number of a descriptor"),
    (["-incoming", "file:/nowhere"], "/nowhere"),
    (["-incoming", "file:/dev/null,offset=x"], "offset 'x' is not a number"),
    (["-incoming", "exec:"], "the command is empty"),
    (["-monitor", "foo", *GUEST], "-monitor foo: unknown character device"),
    (["-monitor", "unix:x", *GUEST], "add server=on"),
    (["-monitor", "unix:", *GUEST], "no path"),
    (["-monitor", "unix:x,server=on,wait=on", *GUEST], "wait=off"),
    (["-monitor", "file:x", *GUEST], "expected stdio, null or a socket"),
    (["-monitor", "unix:/nowhere/x,server=on", *GUEST], "/nowhere/x"),
    (["-qmp", "tcp:127.0.0.1,server=on", *GUEST], "port"),
    (["-monitor", "stdio", "-qmp", "stdio", *GUEST], "can use stdio"),
    (["-serial", "foo", *GUEST], "-serial foo: unknown character device"),
    (["-serial", "file:/nowhere/x", *GUEST], "/nowhere/x"),
    (["-accel", "tcg", *GUEST], "-accel tcg: expected kvm or soft"),
    (["-accel", "soft,dirty-log=x", *GUEST], "expected dirty-log=pagemap"),
    (["-accel", "kvm,dirty-log=hook", *GUEST], "expected kvm, soft"),
]

# (line, what the monitor prints)
BAD_LINES = [
    ("migrate_set_parameter compress_threads 0",
     "Error: Parameter 'compress_threads' expects a value between 1 and "
     "255\n"),
    ("migrate_set_parameter compress-threads 256",
     "Error: Parameter 'compress_threads' expects a value between 1 and "
     "255\n"),
    ("migrate_set_parameter compress_level 10",
     "Error: Parameter 'compress_level' expects a value between 0 and 9\n"),
    ("migrate_set_parameter compress_level x",
     "Error: Parameter 'compress-level' expects an integer between 0 and "
     "9\n"),
    ("migrate_set_parameter foo 1",
     "Error: invalid parameter value: foo\n"),
    ("migrate_set_capability foo on",
     "Error: invalid parameter value: foo\n"),
    ("migrate_set_capability compress maybe",
     "Expected 'on' or 'off'\n"
     "Try \"help migrate_set_capability\" for more information\n"),
    ("migrate -d foo:bar",
     "Error: Parameter 'uri' expects a valid migration protocol\n"),
    ("migrate -d",
     "migrate: string expected\n"
     "Try \"help migrate\" for more information\n"),
    ("migrate_incoming unix:x",
     "Error: '-incoming' was not specified on the command line\n"),
    ("foo", "unknown command: 'foo'\n"),
]

# (command, arguments, error class, description)
BAD_REQUESTS = [
    ("foo", {}, "CommandNotFound", "The command foo has not been found"),
    ("migrate", {}, "GenericError", "Parameter 'uri' is missing"),
    ("migrate", {"uri": "foo:bar"}, "GenericError",
     "Parameter 'uri' expects a valid migration protocol"),
    ("migrate", {"uri": "unix:x", "foo": 1}, "GenericError",
     "Parameter 'foo' is unexpected"),
    ("migrate-set-parameters", {"compress-threads": 0}, "GenericError",
     "Parameter 'compress_threads' expects a value between 1 and 255"),
    ("pmemsave", {"val": 0, "size": 1 << 40, "filename": "/dev/null"},
     "GenericError",
     "Invalid addr 0x0000000000000000/size 1099511627776 specified"),
]


class CommandLine(program_kit.ProgramTest):
    def test_refused(self):
        with open(os.path.join(self.folder, "3M"), "wb") as f:
            f.truncate(3 << 20)
        for args, words in BAD_COMMAND_LINES:
            with self.subTest(" ".join(args)[:60]):
                done = program_kit.run_vm(*args, cwd=self.folder)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, r"\Aferry-vm: .*\n\Z")
                self.assertIn(words, done.stderr)
        self.assertEqual(os.listdir(self.folder), ["3M"])

    def test_socket_of_another(self):
        """Nobody takes over the socket of a process that lives."""
        path = os.path.join(self.folder, "socket")
        with socket.socket(socket.AF_UNIX) as owner:
            owner.bind(path)
            owner.listen()
            owner.setblocking(False)
            for option in "-monitor", "-qmp", "-serial":
                with self.subTest(option):
                    done = program_kit.run_vm(
                        option, f"unix:{path},server=on,wait=off", *GUEST)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn("another process has this socket",
                                  done.stderr)
            with self.assertRaises(BlockingIOError):
                owner.accept()

    def test_help_and_version(self):
        for arg, words in ("-help", "-incoming URI"), ("-h", "-smp N"), \
                ("-version", "ferry-vm 0."):
            done = program_kit.run_vm(arg)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(words, done.stdout)


class FilesMade(program_kit.ProgramTest):
    mem = "2M"

    def test_for_nobody_else(self):
        """Sockets and files have mode 0600, although the umask allows more."""
        vm = self.start("-incoming", self.unix_uri(), umask=0)
        serial = os.path.join(self.folder, "serial")
        program_kit.run_vm("-m", "2M", *GUEST, "-S", "-monitor", "stdio",
                           "-serial", f"file:{serial}", input="quit\n",
                           umask=0)
        made = [serial, os.path.join(self.folder, "migration"), vm.save_ram(),
                *(vm.path(name) for name in ("qmp", "hmp", "serial"))]
        self.assertEqual({path: os.stat(path).st_mode & 0o777
                          for path in made}, dict.fromkeys(made, 0o600))


class MonitorLines(program_kit.ProgramTest):
    def test_hmp(self):
        vm = self.source()
        for line, answer in BAD_LINES:
            with self.subTest(line):
                self.assertEqual(vm.hmp(line), answer)
                self.assertEqual(vm.hmp("info status"),
                                 "VM status: running\n")
        self.assertEqual(vm.hmp("info migrate"),
                         "capabilities: " + capability_list(" ") + "\n")
        self.check_runs(vm)

    def test_qmp(self):
        vm = self.source()
        for name, arguments, cls, description in BAD_REQUESTS:
            with self.subTest(name):
                with self.assertRaises(QmpError) as caught:
                    vm.qmp(name, **arguments)
                self.assertEqual(str(caught.exception), description)
                self.assertEqual(caught.exception.cls, cls)
                self.assertEqual(vm.status(), "running")
        self.assertEqual(vm.migration(), {})
        self.check_runs(vm)


if __name__ == "__main__":
    tap.main()
