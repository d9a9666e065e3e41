#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves over every kind of channel, with and without compression."""
import json
import os
import shutil
import socket

import program_kit
import tap
from ferry_vm import QmpError, free_port


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


class Channels(program_kit.ProgramTest):
    compress = False

    def check_live(self, out, incoming=None, out_fds=(), incoming_fds=()):
        """Both sides at once."""
        src = self.source(pass_fds=out_fds)
        dst = self.destination(incoming or out, "-S", pass_fds=incoming_fds)
        src.set_capability("compress", self.compress)
        self.move(src, out)
        self.check_moved(src, dst)
        self.check_bytes(src, dst)

    def check_bytes(self, src, dst):
        """Both ends have counted every byte of the same stream, or the
        destination of a file all but its vmdescription, which it may leave."""
        sent, got = [vm.migration()["ram"] for vm in (src, dst)]
        self.assertLessEqual(got["transferred"], sent["transferred"])
        self.assertEqual(sent["precopy-bytes"] + sent["downtime-bytes"],
                         sent["transferred"])
        for name in "normal", "duplicate":
            self.assertEqual(sent[name], got[name])

    def check_stored(self, out, incoming=None):
        """First one side, then the other."""
        src = self.source()
        src.set_capability("compress", self.compress)
        self.move(src, out)
        dst = self.destination(incoming or out, "-S")
        self.check_moved(src, dst)
        return src


class Plain(Channels):
    def path(self, name):
        return os.path.join(self.folder, name)

    def test_tcp(self):
        self.check_live(f"tcp:127.0.0.1:{free_port()}")

    def test_tcp_any_address(self):
        port = free_port()
        self.check_live(f"tcp:127.0.0.1:{port}", f"tcp::{port}")

    def test_tcp_short(self):
        """QEMU's usual short form of 0.0.0.0, at both ends."""
        port = free_port()
        self.check_live(f"tcp:0:{port}")

    def test_tcp_by_name(self):
        self.check_live(f"tcp:localhost:{free_port()}")

    def test_tcp_ipv6(self):
        if not has_ipv6():
            self.skipTest("this machine has no address ::1")
        self.check_live(f"tcp:[::1]:{free_port()}")

    def test_unix(self):
        self.check_live(self.unix_uri())
        self.assertFalse(os.path.exists(self.path("migration")))

    def test_exec_file(self):
        path = self.path("stream")
        self.check_stored(f"exec:cat > {path}", f"exec:cat {path}")

    def test_exec_pipe(self):
        """Two commands that meet in a FIFO."""
        os.mkfifo(self.path("fifo"))
        self.check_live(f"exec:cat > {self.path('fifo')}",
                        f"exec:cat {self.path('fifo')}")

    def test_exec_socat(self):
        if not shutil.which("socat"):
            self.skipTest("no socat here")
        port = free_port()
        self.check_live(
            f"exec:socat -u - TCP:127.0.0.1:{port},retry=600,interval=0.1",
            f"exec:socat -u TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr -")

    def check_fds(self, reader, writer):
        for fd in reader, writer:
            self.addCleanup(os.close, fd)
        self.check_live(f"fd:{writer}", f"fd:{reader}", out_fds=[writer],
                        incoming_fds=[reader])

    def test_fd_pipe(self):
        """We keep both ends open: nobody may wait for the end of file."""
        self.check_fds(*os.pipe())

    def test_fd_socket(self):
        self.check_fds(*[sock.detach() for sock in socket.socketpair()])

    def get_fd(self, vm, name, fd):
        """Pass it to the monitor, as a management program does."""
        request = {"execute": "getfd", "arguments": {"fdname": name}}
        socket.send_fds(vm.session.sock, [json.dumps(request).encode()], [fd])
        self.assertEqual(json.loads(vm.session.file.readline()),
                         {"return": {}})

    def test_fd_by_name(self):
        src = self.source()
        dst = self.destination("defer", "-S")
        ends = socket.socketpair()
        for vm, end in (src, ends[0]), (dst, ends[1]):
            self.get_fd(vm, "link", end.fileno())
            end.close()
        src.set_capability("compress", self.compress)
        dst.qmp("migrate-incoming", uri="fd:link")
        self.move(src, "fd:link")
        self.check_moved(src, dst)
        for vm in src, dst:  # it is used up
            with self.assertRaisesRegex(QmpError, "'link' not found"):
                vm.qmp("closefd", fdname="link")

    def test_file(self):
        src = self.check_stored(f"file:{self.path('stream')}")
        self.assertEqual(src.migration()["ram"]["transferred"],
                         os.path.getsize(self.path("stream")))
        self.assertEqual(os.stat(self.path("stream")).st_mode & 0o777, 0o600)

    def test_file_with_offset(self):
        """What stands before the offset stays, what stands behind goes."""
        path = self.path("stream")
        with open(path, "wb") as f:
            f.write(b"x" * 5000 + b"y" * (64 << 20))
        self.check_stored(f"file:{path},offset=5000")
        with open(path, "rb") as f:
            self.assertEqual(f.read(5000), b"x" * 5000)
        self.assertLess(os.path.getsize(path), 64 << 20)

    def test_file_again_and_again(self):
        """A stored guest is started as often as one likes."""
        uri = f"file:{self.path('stream')}"
        src = self.source()
        self.move(src, uri)
        for _ in range(2):
            dst = self.destination(uri, "-S")
            self.check_moved(src, dst)
            dst.quit()


class Compressed(Plain):
    compress = True


if __name__ == "__main__":
    tap.main()
