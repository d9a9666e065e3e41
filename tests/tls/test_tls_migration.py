#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that move over TLS, or stay because somebody was refused."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "program"))
import program_kit  # noqa: E402
from program_kit import BUILD, ROOT, TIMEOUT  # noqa: E402

import tap  # noqa: E402  (program_kit has added its folder)
from ferry_vm import Qmp, free_port, wait_until  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests", "wire"))
import read_stream  # noqa: E402

TLS = os.path.join(BUILD, "tests", "tls")
PIPE = os.path.join(TLS, "tls-pipe")
QEMU = shutil.which("qemu-system-x86_64")
BROKEN = "the handshake failed (is tls-creds set at the other end?"


def creds(name):
    return os.path.join(TLS, "certificates", name)


def qemu_is_usable():
    if not QEMU:
        return False
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True,
                          check=False).stdout
    return "version 7.2." in text


class TlsTest(program_kit.ProgramTest):
    mem = "16M"
    append = "ws=2"

    def setUp(self):
        super().setUp()
        if "cannot be used" in self.backend_refusal():
            self.skipTest("GIO finds no TLS (glib-networking)")

    def backend_refusal(self, **env):
        """What a machine says that is to encrypt a file, which cannot be; or
        that it has no TLS at all."""
        program_kit.need_accel(self, "soft")
        src = self.start("-kernel", program_kit.AB, "-append", self.append,
                         "-S", env={**os.environ, **env})
        src.set_parameters(tls_creds=creds("good"), tls_hostname="localhost")
        src.qmp("migrate", uri=f"file:{self.folder}/saved")
        return src.wait_migration("failed")["error-desc"]

    def source_with(self, folder, **parameters):
        src = self.source()
        src.set_parameters(tls_creds=folder, **parameters)
        return src

    def waiting(self, folder, *args):
        """A destination that encrypts, set up as people do it."""
        dst = self.destination("defer", *args)
        dst.hmp(f"migrate_set_parameter tls-creds {folder}")
        return dst

    def incoming(self, dst, host="127.0.0.1"):
        """Let it wait at a TCP port; the URI."""
        uri = f"tcp:{host}:{free_port()}"
        self.assertEqual(dst.hmp(f"migrate_incoming {uri}"), "")
        return uri

    def check_stays(self, src, *words):
        error = src.wait_migration("failed")["error-desc"]
        for word in words:
            self.assertIn(word, error)
        self.check_runs(src)

    def check_turned_away(self, dst, *words):
        """dst has said all these words of a peer, and waits on."""
        for word in ("was turned away: ", *words):
            wait_until(lambda: word in dst.stderr(), word)
        self.assertEqual(dst.status(), "inmigrate")


class Moves(TlsTest):
    def check(self, uri_of, **parameters):
        dst = self.waiting(creds("good"), "-S")
        src = self.source_with(creds("good"), **parameters)
        src.set_capability("compress")
        self.move(src, uri_of(dst))
        self.check_moved(src, dst)

    def test_tcp(self):
        self.check(self.incoming)

    def test_name(self):
        self.check(lambda dst: self.incoming(dst, "localhost"))

    def test_any_address(self):
        """The source connects to this machine, whose name is localhost."""
        def uri_of(dst):
            return f"tcp::{self.incoming(dst, '').rsplit(':', 1)[1]}"
        self.check(uri_of)

    def test_hostname_of_an_address_without(self):
        self.check(self.incoming, tls_hostname="localhost")

    def test_unix(self):
        def uri_of(dst):
            dst.qmp("migrate-incoming", uri=self.unix_uri())
            return self.unix_uri()
        self.check(uri_of, tls_hostname="localhost")

    def test_one_way(self):
        """Without a return path the channel's end is what counts."""
        dst = self.waiting(creds("good"), "-S")
        src = self.source_with(creds("good"))
        src.set_capability("return-path", False)
        self.move(src, self.incoming(dst))
        self.check_moved(src, dst)

    def test_second_attempt(self):
        """After a destination that was refused; and after that in plain."""
        wrong, right = self.waiting(creds("foreign")), \
            self.waiting(creds("good"), "-S")
        src = self.source_with(creds("good"))
        src.qmp("migrate", uri=self.incoming(wrong))
        self.check_stays(src, "is not signed by the CA")
        self.move(src, self.incoming(right))
        self.check_moved(src, right)
        plain = self.destination(self.unix_uri(), "-S")
        right.set_parameters(tls_creds="")
        self.move(right, self.unix_uri())
        plain.wait_migration("completed")


class Refused(TlsTest):
    def check(self, src_creds, dst_creds, src_says, dst_says, **parameters):
        dst = self.waiting(creds(dst_creds), "-S") if dst_creds \
            else self.destination("defer", "-S")
        src = self.source_with(creds(src_creds) if src_creds else "",
                               **parameters)
        uri = self.incoming(dst)
        src.qmp("migrate", uri=uri)
        self.check_stays(src, src_says)
        self.check_turned_away(dst, dst_says)
        self.check_moves_all_the_same(src, dst, uri)

    def check_moves_all_the_same(self, src, dst, uri):
        """Once both ends have what they need."""
        for vm in src, dst:
            vm.set_parameters(tls_creds=creds("good"), tls_hostname="")
        self.move(src, uri)
        self.check_moved(src, dst)

    def test_other_ca(self):
        self.check("good", "foreign", "certificate is not signed by the CA",
                   BROKEN)

    def test_other_host(self):
        self.check("good", "elsewhere", "certificate is for another host "
                   "(tls-hostname '127.0.0.1')", BROKEN)

    def test_hostname(self):
        self.check("good", "good", "(tls-hostname 'other')", BROKEN,
                   tls_hostname="other")

    def test_expired_destination(self):
        self.check("good", "expired", "certificate has expired", BROKEN)

    def test_expired_source(self):
        self.check("expired", "good", "the peer may have refused our "
                   "certificate", "the peer's certificate has expired")

    def test_destination_without_tls(self):
        self.check("good", None, BROKEN,
                   "which is TLS (tls-creds is not set here)")

    def test_source_without_tls(self):
        self.check(None, "good", "left before it had answered", BROKEN)

    def test_no_certificates(self):
        """An end without certificates fails before it connects or waits."""
        dst = self.waiting(creds("nothing"), "-S")
        uri = f"tcp:127.0.0.1:{free_port()}"
        self.assertIn("nothing/server-key.pem",
                      dst.hmp(f"migrate_incoming {uri}"))
        dst.set_parameters(tls_creds=creds("good"))
        self.assertEqual(dst.hmp(f"migrate_incoming {uri}"), "")
        src = self.source_with(creds("nothing"))
        src.qmp("migrate", uri=uri)
        self.check_stays(src, "nothing/client-key.pem")
        self.assertEqual(dst.stderr(), "")
        self.check_moves_all_the_same(src, dst, uri)

    def test_certificates_that_went(self):
        """A destination that can encrypt no more says so, and waits on."""
        dst = self.waiting(creds("good"), "-S")
        uri = self.incoming(dst)
        dst.set_parameters(tls_creds=creds("nothing"))
        src = self.source_with(creds("good"))
        src.qmp("migrate", uri=uri)
        self.check_stays(src, BROKEN)
        self.check_turned_away(dst, "nothing/server-key.pem")
        self.check_moves_all_the_same(src, dst, uri)

    def test_client_without_certificate(self):
        """Which Ferry never is, but a stranger may be."""
        dst = self.waiting(creds("good"))
        host, port = self.incoming(dst).split(":")[1:]
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile",
             os.path.join(creds("good"), "ca-cert.pem"), "-verify_return_error"],
            input=b"QEVM", capture_output=True, timeout=TIMEOUT, check=False)
        self.assertIn(b"Verify return code: 0 (ok)", done.stdout)
        self.check_turned_away(dst, "TLS: ")

    def test_not_a_socket(self):
        src = self.source_with(creds("good"), tls_hostname="localhost")
        saved = os.path.join(self.folder, "saved")
        for uri in f"file:{saved}", f"exec:cat >{saved}":
            src.qmp("migrate", uri=uri)
            self.check_stays(src, "only sockets can be encrypted")
            self.assertFalse(os.path.exists(saved))

    def test_whose_certificate(self):
        src = self.source_with(creds("good"))
        dst = self.waiting(creds("good"))
        dst.qmp("migrate-incoming", uri=self.unix_uri())
        src.qmp("migrate", uri=self.unix_uri())
        self.check_stays(src, "set tls-hostname")
        self.assertEqual(dst.stderr(), "")

    def test_no_backend(self):
        self.assertIn("tls-creds cannot be used: GLib finds no TLS here",
                      self.backend_refusal(GIO_MODULE_DIR=self.folder))


class Silence(TlsTest):
    """A peer that takes the connection and says nothing."""

    def test_cancel(self):
        src = self.source_with(creds("good"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            src.qmp("migrate",
                    uri=f"tcp:127.0.0.1:{listener.getsockname()[1]}")
            with listener.accept()[0] as peer:
                self.assertTrue(peer.recv(1))  # it has begun
                self.assertEqual(src.migration()["status"], "setup")
                src.qmp("migrate_cancel")
                src.wait_migration("cancelled")
        self.check_runs(src)

    def test_quit(self):
        dst = self.waiting(creds("good"))
        host, port = self.incoming(dst).split(":")[1:]
        with socket.create_connection((host, int(port))) as peer:
            peer.sendall(b"\x16\x03\x01")  # and so the handshake begins
            self.assertEqual(dst.quit(), 0)


@unittest.skipUnless(QEMU, "no qemu-system-x86_64")
@unittest.skipUnless(qemu_is_usable(), "this machine's QEMU is not 7.2")
class Qemu(TlsTest):
    def setUp(self):
        super().setUp()
        self.errors = tempfile.TemporaryFile("w+")
        self.addCleanup(self.errors.close)

    def qemu(self, endpoint, folder, *args):
        """A QEMU with these certificates; its QMP session."""
        path = os.path.join(self.folder, endpoint)
        process = subprocess.Popen(
            [QEMU, "-machine", "pc", "-accel", "tcg", "-display", "none",
             "-nodefaults", "-m", "16", "-object",
             f"tls-creds-x509,id=tls0,dir={folder},endpoint={endpoint},"
             "verify-peer=on", "-qmp", f"unix:{path},server=on,wait=off",
             *args], stdin=subprocess.DEVNULL, stderr=self.errors)
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.kill)
        session = Qmp(path, process)
        self.addCleanup(session.close)
        session.command("migrate-set-parameters", tls_creds="tls0")
        return session

    def qemu_says(self, *words):
        def look():
            self.errors.seek(0)
            text = self.errors.read()
            return all(word in text for word in words)
        wait_until(look, f"{words} from QEMU")

    def incoming_qemu(self, folder):
        uri = f"tcp:127.0.0.1:{free_port()}"
        qemu = self.qemu("server", folder, "-incoming", "defer")
        qemu.command("migrate-incoming", uri=uri)
        return qemu, uri

    def wait_status(self, qemu, status):
        wait_until(lambda: qemu.command("query-migrate").get("status") ==
                   status, status)

    def test_from_qemu(self):
        """As far as two kinds of machines can come: the stream's first
        words are understood."""
        dst = self.waiting(creds("good"))
        qemu = self.qemu("client", creds("good"), "-S")
        qemu.command("migrate", uri=self.incoming(dst))
        self.check_refused(dst, "Machine type received is 'pc-i440fx-7.2'")

    def test_to_qemu(self):
        _, uri = self.incoming_qemu(creds("good"))
        src = self.source_with(creds("good"))
        src.qmp("migrate", uri=uri)
        self.check_stays(src)
        self.qemu_says("Machine type received is '", "'pc-i440fx-7.2'")

    def test_whole_streams(self):
        """QEMU's guest leaves over TLS into a file, and comes from it."""
        saved = os.path.join(self.folder, "saved")
        uri = f"tcp:127.0.0.1:{free_port()}"
        qemu = self.qemu("client", creds("good"), "-S")
        with open(saved, "wb") as out, \
                subprocess.Popen([PIPE, "receive", uri, creds("good")],
                                 stdout=out) as pipe:
            self.connect_when_up(qemu, uri)
            self.wait_status(qemu, "completed")
            qemu.command("quit")
            self.assertEqual(pipe.wait(TIMEOUT), 0)
        with open(saved, "rb") as f:
            stream = read_stream.parse(f.read())
        self.assertEqual(stream.machine, "pc-i440fx-7.2")
        qemu, uri = self.incoming_qemu(creds("good"))
        with open(saved, "rb") as f:
            subprocess.run([PIPE, "send", uri, creds("good"), "127.0.0.1"],
                           stdin=f, check=True, timeout=TIMEOUT)
        self.wait_status(qemu, "completed")

    def connect_when_up(self, qemu, uri):
        def attempt():
            qemu.command("migrate", uri=uri)
            wait_until(lambda: qemu.command("query-migrate")["status"] not in
                       ("setup", "none"), "an outcome")
            return qemu.command("query-migrate")["status"] != "failed"
        wait_until(attempt, "listener")

    def test_refused_by_qemu(self):
        _, uri = self.incoming_qemu(creds("foreign"))
        src = self.source_with(creds("good"))
        src.qmp("migrate", uri=uri)
        self.check_stays(src, "certificate is not signed by the CA")

    def test_refuses_qemu(self):
        dst = self.waiting(creds("foreign"))
        qemu = self.qemu("client", creds("good"), "-S")
        qemu.command("migrate", uri=self.incoming(dst))
        self.check_turned_away(dst, "certificate is not signed by the CA")
        self.wait_status(qemu, "failed")


if __name__ == "__main__":
    tap.main()
