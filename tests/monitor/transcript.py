# SPDX-License-Identifier: GPL-2.0-or-later
"""Transcripts: what is typed to a monitor, and what QEMU and Ferry answer.

A transcript is a text file.  What QEMU answers was recorded from the binary;
test-transcripts.py compares it with Ferry's answers.

    # a comment
    @ args -S               options of both programs, before the first command
    @ greeting              what a QMP session begins with
    > info status           a command, as typed; in *.qmp a piece of JSON
    VM status: ...          QEMU's answer; in *.qmp events before it, too
    ~ reason                Ferry may differ here: docs/monitor.md says why,
    ~~ VM status: ...       and this is what it answers
    @ pass                  the next command comes with a descriptor of
                            /dev/null (SCM_RIGHTS)
    @ wait completed        until query-migrate says so
    @ event active          until the MIGRATION event; all events so far follow
    @ run-state paused      until query-status says so

Numbers that no two runs have in common are normalised to N, and as it is
chance how many passes a migration has, MIGRATION_PASS is left out.  METHODS
stands for the names of Ferry's compress-methods.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))
import ferry_vm  # noqa: E402

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "transcripts")
QEMU = "qemu-system-x86_64"
# Even of zero pages more than a pipe takes: whose reader goes is always met by
# a write.
MIB = 64
QEMU_VERSION = "7.2."


class Step:
    """A command ("> ...") or a directive ("@ ..."), and what it shows."""

    def __init__(self, line, before):
        self.line = line
        self.before = before  # comments and blank lines, to be kept
        self.qemu = []
        self.reason = None    # None: Ferry's answer is QEMU's
        self.ferry = []

    def answer_of(self, who):
        return self.ferry if who == "ferry" and self.reason else self.qemu


class Transcript:
    def __init__(self, path):
        self.path = path
        self.kind = os.path.splitext(path)[1][1:]
        self.args = []
        self.steps = []
        self.head = []
        with open(path, encoding="utf-8") as f:
            for line in f.read().splitlines():
                self._add(line)

    def _add(self, line):
        step = self.steps[-1] if self.steps else None
        if line.startswith("@ args "):
            self.args = line.split()[2:]
            self.head.append(line)
        elif line.startswith((">", "@ ")):
            before, self.head = self.head, []
            self.steps.append(Step(line, before))
        elif line.startswith("#") or not line:
            self.head.append(line)
        elif line.startswith("~~ "):
            step.ferry.append(line[3:])
        elif line.startswith("~ "):
            step.reason = line[2:]
        else:
            step.qemu.append(line)

    def text(self):
        lines = []
        for step in self.steps:
            lines += [*step.before, step.line, *step.qemu]
            if step.reason:
                lines += ["~ " + step.reason,
                          *("~~ " + line for line in step.ferry)]
        return "\n".join(lines + self.head) + "\n"


def all_transcripts():
    return [Transcript(os.path.join(FOLDER, name))
            for name in sorted(os.listdir(FOLDER))]


class QemuVm:
    """QEMU with the monitors of a ferry_vm.Machine, as far as is needed."""

    def __init__(self, *args):
        self.folder = tempfile.TemporaryDirectory(prefix="ferry-qemu-")
        options = []
        for name in ("qmp", "own-qmp"):
            options += ["-qmp", f"unix:{self.path(name)},server=on,wait=off"]
        self.process = subprocess.Popen(
            [QEMU, "-machine", "pc,accel=tcg", "-nodefaults", "-display",
             "none", "-m", str(MIB), *options, "-monitor",
             f"unix:{self.path('hmp')},server=on,wait=off", *args],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session = ferry_vm.Qmp(self.path("own-qmp"), self.process)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.session.close()
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def qmp(self, name, **arguments):
        return self.session.command(name, **arguments)


def qemu_version():
    """QEMU's version, or None where it is not installed."""
    try:
        text = subprocess.run([QEMU, "--version"], capture_output=True,
                              check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return re.search(r"version ([\d.]+)", text)[1]


def start(who, transcript, build):
    """A machine to play the transcript to."""
    if who == "qemu":
        return QemuVm(*transcript.args)
    guest = [] if "-incoming" in transcript.args else [
        "-kernel", os.path.join(build, "tests", "guest", "ab.elf"),
        "-append", "ws=1"]
    return ferry_vm.Machine(build, *guest, *transcript.args, mem=f"{MIB}M")


class Session:
    passing = False

    def send(self, data):
        if not self.passing:
            self.sock.sendall(data)
            return
        self.passing = False
        fd = os.open("/dev/null", os.O_RDWR)
        socket.send_fds(self.sock, [data], [fd])
        os.close(fd)


class HmpSession(Session):
    """One command after the other; QEMU's echo is dropped."""

    def __init__(self, who, path):
        self.who = who
        self.sock = ferry_vm.connect_unix(path)
        self._read()

    def _read(self):
        text = ""
        while not text.endswith(f"({self.who}) "):
            data = self.sock.recv(65536).decode()
            if not data:
                return text  # the process has ended, as "quit" wants
            text += data
        return text[:-len(f"({self.who}) ")]

    def run(self, command):
        self.send(command.encode() + b"\n")
        text = self._read()
        ferry_vm.skip_without_exec(text)
        if self.who == "qemu":
            text = text.partition("\r\n")[2]
        if command == "info version":
            text = re.sub(r"(?m)^\d+\.\d+\.\d+.*", "N.N.N", text)
        if command == "info migrate":
            text = re.sub(r"(?<= )\d+(\.\d+)?", "N", text)
            text = re.sub(r"(?<=encoder: ).*", "N", text)
        return text.splitlines()


def normalised(value):
    """Counters, times and versions become N, whatever they are nested in."""
    if isinstance(value, dict):
        return {k: "N" if k in ("package", "encoder") else normalised(v)
                for k, v in value.items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "N" if is_number else value


VARIES = re.compile(r'"query-(migrate|version)"')


class QmpSession(Session):
    """Requests as they stand, also broken ones; one answer to each."""

    def __init__(self, who, path):
        self.sock = ferry_vm.connect_unix(path)
        self.file = self.sock.makefile("r", encoding="utf-8")
        self.events = []
        self.greeting = json.dumps(
            normalised(json.loads(self.file.readline())),
            sort_keys=True)

    def _next(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("the QMP session ended")
        value = json.loads(line)
        if "event" in value:
            value["timestamp"] = normalised(value["timestamp"])
        return value

    def run(self, request):
        self.send(request.encode() + b"\n")
        while "event" in (value := self._next()):
            self.events.append(value)
        ferry_vm.skip_without_exec(str(value))
        if "return" in value and VARIES.search(request):
            value["return"] = normalised(value["return"])
        return [json.dumps(value, sort_keys=True)]

    def wait_event(self, status):
        while not any(e["event"] == "MIGRATION" and
                      e["data"]["status"] == status for e in self.events):
            self.events.append(self._next())
        # Two threads send them: only one kind has an order.
        self.events.sort(key=lambda event: event["event"])
        return self.take_events()

    def take_events(self):
        events = [e for e in self.events if e["event"] != "MIGRATION_PASS"]
        self.events = []
        return [json.dumps(e, sort_keys=True) for e in events]


def follow(machine, session, directive):
    """Do what a line with @ says; what it shows."""
    what, _, state = directive[2:].partition(" ")
    if what == "greeting":
        return [session.greeting]
    if what == "event":
        return session.wait_event(state)
    if what == "pass":
        session.passing = True
        return []
    command = {"wait": "query-migrate", "run-state": "query-status"}[what]
    ferry_vm.wait_until(
        lambda: machine.qmp(command).get("status") == state, directive)
    return []


def play_step(machine, session, step, following):
    if step.line.startswith("@"):
        return follow(machine, session, step.line)
    shown = session.run(step.line[2:])
    # Whether the migration's events come before the answer is chance.
    if isinstance(session, QmpSession) and \
            not following.startswith("@ event"):
        return session.take_events() + shown
    return shown


def play(who, transcript, build):
    """Type it all; a list of what each step shows."""
    kind = {"hmp": HmpSession, "qmp": QmpSession}[transcript.kind]
    lines = [step.line for step in transcript.steps[1:]] + [""]
    with start(who, transcript, build) as machine:
        session = kind(who, machine.path(transcript.kind))
        shown = [play_step(machine, session, step, following)
                 for step, following in zip(transcript.steps, lines)]
        session.sock.close()
    names = ferry_vm.methods(os.path.join(build, "vmm", "ferry-vm"), False)
    return [[line.replace(f"({', '.join(names)}, ", "(METHODS, ")
             for line in lines] for lines in shown]
