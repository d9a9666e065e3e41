# SPDX-License-Identifier: GPL-2.0-or-later
"""Drive ferry-vm processes: start, QMP, HMP, serial port, RAM, end.

    with Machine(build, "-kernel", guest, "-append", "ws=8") as vm:
        vm.qmp("migrate", uri="tcp:127.0.0.1:4444")

A Machine has its sockets in a folder of its own and is killed, if it still
runs, when the block ends.
"""
import json
import mmap
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

TIMEOUT = 120  # seconds until something that should happen counts as hanging


NO_EXEC = "this build has no exec: URIs"


def skip_without_exec(said):
    """A test that needs them cannot be run in such a build."""
    if NO_EXEC in said:
        raise unittest.SkipTest(NO_EXEC)


def methods(program, built_in=True):
    """The compress-methods that ferry-vm or ferry-relay knows; those that it
    can use, or all."""
    said = subprocess.run([program, "--version"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return [name for name, what
            in re.findall("^compress-method (.*?): (.*)$", said, re.M)
            if not built_in or what != "not built in"]


class QmpError(Exception):
    """An error answer; its text is the description, .cls the class."""

    def __init__(self, error):
        super().__init__(error["desc"])
        self.cls = error["class"]


def wait_until(condition, what, timeout=TIMEOUT, poll=0.01):
    """Poll other processes' state; this side has no event to wait for."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} after {timeout} seconds")
        time.sleep(poll)


def connect_unix(path, process=None):
    """Connect as soon as somebody listens at path."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(TIMEOUT)

    def attempt():
        if process and process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode} before it "
                               f"listened at {path}")
        try:
            sock.connect(path)
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    wait_until(attempt, f"listener at {path}")
    return sock


class Qmp:
    """A QMP session; events are gathered in .events."""

    def __init__(self, path, process=None):
        self.sock = connect_unix(path, process)
        self.file = self.sock.makefile("r", encoding="utf-8")
        self.events = []
        self.greeting = json.loads(self.file.readline())
        self.command("qmp_capabilities")

    def wait_event(self, name):
        """Wait for an event of that name, unless it has come already."""
        def look():
            self.command("query-status")
            return [e for e in self.events if e["event"] == name]
        return wait_until(look, f"event {name}")[0]

    def command(self, name, **arguments):
        """Run a command; '_' in argument names stands for '-'."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v
                                    for k, v in arguments.items()}
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("the QMP session ended")
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                skip_without_exec(answer["error"]["desc"])
                raise QmpError(answer["error"])
            else:
                return answer["return"]

    def close(self):
        self.file.close()
        self.sock.close()


class Hmp:
    """An HMP session: text lines in, what is printed until the prompt out."""

    PROMPT = "(ferry) "

    def __init__(self, path, process=None):
        self.sock = connect_unix(path, process)
        self.text = ""
        self.banner = self.receive()

    def _write(self, data):
        self.sock.sendall(data)

    def _read(self):
        return self.sock.recv(65536)

    def wait_for(self, wanted):
        """Read until that was printed; receive() returns it all the same.

        What is printed meanwhile does not put the end off: a live line goes on
        for as long as its migration does."""
        end = time.monotonic() + TIMEOUT
        while wanted not in self.text:
            if time.monotonic() > end:
                raise TimeoutError(f"no {wanted!r} in: {self.text[-500:]!r}")
            data = self._read().decode()
            if not data:
                raise ConnectionError(f"the HMP session ended: {self.text}")
            self.text += data

    def receive(self):
        """What is printed until the prompt."""
        self.wait_for(self.PROMPT)
        skip_without_exec(self.text)
        text, self.text = self.text.split(self.PROMPT, 1)
        return text.replace("\r\n", "\n")

    def send(self, line):
        self._write(line.encode() + b"\n")

    def command(self, line):
        self.send(line)
        return self.receive()

    def close(self):
        self.sock.close()


class HmpPipe(Hmp):
    """The same over a process's standard input and output."""

    def __init__(self, process):
        self.stdin, self.stdout = process.stdin, process.stdout
        self.text = ""
        self.banner = self.receive()

    def _write(self, data):
        self.stdin.write(data)
        self.stdin.flush()

    def _read(self):
        if not select.select([self.stdout], [], [], TIMEOUT)[0]:
            raise TimeoutError(f"no HMP output in {TIMEOUT} seconds")
        return os.read(self.stdout.fileno(), 65536)

    def close(self):
        self.stdin.close()
        self.stdout.close()


class Serial:
    """What comes out of a serial port, and when: a list of (time, byte)."""

    def __init__(self, path, process=None):
        self.sock = connect_unix(path, process)
        self.sock.settimeout(None)
        self.lock = threading.Lock()
        self.arrived = []
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        try:
            while data := self.sock.recv(4096):
                now = time.monotonic()
                with self.lock:
                    self.arrived += [(now, bytes([b])) for b in data]
        except OSError:
            pass

    def output(self):
        with self.lock:
            return list(self.arrived)

    def text(self):
        return b"".join(b for _, b in self.output())

    def wait_for(self, wanted, timeout=TIMEOUT):
        """Wait until the text has wanted in it, or wanted(text) is true."""
        test = wanted if callable(wanted) else lambda text: wanted in text
        wait_until(lambda: test(self.text()), f"serial output {wanted}",
                   timeout)
        return self.text()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.sock.close()


class Vm:
    """A process that runs a guest, with a QMP session and a serial port.

    Its sockets are in a folder of its own.  The guest starts when all are
    connected, unless -S or -incoming is among the arguments: nobody hears
    what a serial port says before.  The process is killed, if it still runs,
    when the with block ends.
    """

    def __init__(self, mem):
        self.mem = mem
        self.folder = tempfile.mkdtemp(prefix="ferry-")
        self.errors = open(self.path("stderr"), "w+", encoding="utf-8")
        self.process = self.serial = self.session = None
        self.last_words = ""  # what it has said, once it is closed

    def common_options(self, args):
        """What ferry-vm and QEMU are told alike, and args."""
        self.starts = not {"-S", "-incoming"}.intersection(args)
        return ["-m", self.mem,
                "-qmp", f"unix:{self.path('qmp')},server=on,wait=off",
                "-serial", f"unix:{self.path('serial')},server=on,wait=off",
                *(["-S"] if self.starts else []), *args]

    def start(self, command_line, **popen):
        self.command_line = command_line
        self.process = subprocess.Popen(
            command_line, **{"stdin": subprocess.DEVNULL,
                             "stdout": self.errors, "stderr": self.errors,
                             **popen})
        try:
            self.connect()
            if self.starts:
                self.qmp("cont")
        except Exception as err:
            self.process.kill()
            self.process.wait()
            said = self.stderr()
            self.close()
            skip_without_exec(said)
            raise RuntimeError(f"{err}; it said: {said}") from err

    def connect(self):
        self.serial = Serial(self.path("serial"), self.process)
        self.session = Qmp(self.path("qmp"), self.process)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def path(self, name):
        return os.path.join(self.folder, name)

    def stderr(self):
        with open(self.path("stderr"), encoding="utf-8") as f:
            return f.read()

    def qmp(self, name, **arguments):
        return self.session.command(name, **arguments)

    def status(self):
        return self.qmp("query-status")["status"]

    def migration(self):
        return self.qmp("query-migrate")

    def set_capability(self, name, state=True):
        self.qmp("migrate-set-capabilities",
                 capabilities=[{"capability": name, "state": state}])

    def set_parameters(self, **parameters):
        self.qmp("migrate-set-parameters", **parameters)

    def wait_migration(self, *states, progress=None):
        """Wait until the migration is in one of the states; query-migrate."""
        def look():
            info = self.migration()
            if progress:
                progress(info)
            return info.get("status") in states and info
        return wait_until(look, f"migration {states}", poll=0.05)

    def save_ram(self, size=None):
        """RAM as a file; its path."""
        path = self.path("ram")
        size = size or int(self.mem[:-1]) << {"K": 10, "M": 20}[self.mem[-1]]
        self.qmp("pmemsave", val=0, size=size, filename=path)
        return path

    def quit(self):
        """End it as its user would; its exit status."""
        try:
            self.qmp("quit")
        except ConnectionError:
            pass
        return self.wait()

    def wait(self):
        """Wait for its end; its exit status."""
        return self.process.wait(TIMEOUT)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(TIMEOUT / 2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for session in (self.serial, self.session):
            if session:
                session.close()
        self.last_words = self.stderr()
        self.errors.close()
        shutil.rmtree(self.folder)


class Machine(Vm):
    """ferry-vm.  Its HMP monitor is on a Unix socket or, with stdio=True, on
    pipes."""

    def __init__(self, build, *args, mem="64M", accel="soft", stdio=False,
                 **popen):
        super().__init__(mem)
        self.build = build
        self.stdio = stdio
        self.monitor = None
        if stdio:
            popen = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE,
                     **popen}
        self.start([os.path.join(build, "vmm", "ferry-vm"),
                    "-monitor", "stdio" if stdio
                    else f"unix:{self.path('hmp')},server=on,wait=off",
                    *(["-accel", accel] if accel else []),
                    *self.common_options(args)], **popen)

    def connect(self):
        super().connect()
        self.monitor = HmpPipe(self.process) if self.stdio \
            else Hmp(self.path("hmp"), self.process)

    def hmp(self, line):
        return self.monitor.command(line)

    def close(self):
        super().close()
        if self.monitor:
            self.monitor.close()


def free_port():
    """A TCP port that nobody listens at, as far as one can know."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def differing_pages(path_a, path_b, page=4096, chunk=1 << 20):
    """Compare two RAM files page by page; the numbers of those that differ."""
    different = []
    with open(path_a, "rb") as a, open(path_b, "rb") as b:
        size = os.fstat(a.fileno()).st_size
        if size != os.fstat(b.fileno()).st_size:
            raise ValueError(f"{path_a} and {path_b} differ in size")
        with mmap.mmap(a.fileno(), 0, prot=mmap.PROT_READ) as ma, \
                mmap.mmap(b.fileno(), 0, prot=mmap.PROT_READ) as mb:
            for at in range(0, size, chunk):
                if ma[at:at + chunk] != mb[at:at + chunk]:
                    different += [p // page
                                  for p in range(at, min(at + chunk, size),
                                                 page)
                                  if ma[p:p + page] != mb[p:p + page]]
    return different
