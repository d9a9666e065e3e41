#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two relays encrypt the link between them, or one refuses the other."""
import os
import random
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "relay"))
from breaking_link import WAYS, BreakingChain, BreakingLink  # noqa: E402
from relay_kit import (BUILD, MACHINE, RELAY, Chain,  # noqa: E402
                       RelayTest, receive,
                       receive_all_or_reset, sample_stream)
import tap  # noqa: E402  (relay_kit has added its folder)

TLS_RECORD = b"\x16\x03"  # of a handshake
STREAM = sample_stream(random.Random(23), return_path=False)


def creds(name):
    return os.path.join(BUILD, "tests", "tls", "certificates", name)


def sends(name, *args):
    return ["--role", "send", "--tls-creds", creds(name), *args]


def receives(name):
    return ["--role", "receive", "--tls-creds", creds(name)]


class TlsRelayTest(RelayTest):
    def setUp(self):
        super().setUp()
        link, nobody = socket.socketpair()
        nobody.close()
        with link:
            said = subprocess.run(
                [RELAY, "--stdio", "--connect", "unix:/nowhere",
                 *receives("good")],
                stdin=link, capture_output=True, check=False).stderr
        if b"cannot be used" in said:
            self.skipTest("GIO finds no TLS (glib-networking)")


class Encrypted(TlsRelayTest):
    def test_bytes(self):
        """Both ways; and none of it is to be seen on the link."""
        chain = Chain(self, receiver=receives("good"),
                      sender=sends("good", "--tls-hostname", "localhost"))
        chain.say(STREAM)
        self.assertEqual(chain.hear(len(STREAM)), STREAM)
        chain.destination.sendall(MACHINE)
        self.assertEqual(receive(chain.source, len(MACHINE)), MACHINE)
        chain.finish("completed")
        for seen in chain.wire.forward, chain.wire.reverse:
            self.assertTrue(seen.startswith(TLS_RECORD))
            self.assertNotIn(MACHINE, seen)

    def test_host_of_uri(self):
        """The certificate is for the address that --connect has."""
        listener = self.listen("qemu")
        receiver = self.start("--listen", "tcp:127.0.0.1:0", "--connect",
                              "unix:" + self.path("qemu"), "--once",
                              *receives("good"))
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", receiver.wait_listening(), "--once",
                            *sends("good"))
        source = self.connect("relay", sender)
        source.sendall(STREAM)
        destination = self.accept(listener)
        self.assertEqual(receive(destination, len(STREAM)), STREAM)
        source.shutdown(socket.SHUT_WR)
        destination.close()
        self.assertEqual(sender.wait(), 0, sender.stderr())
        self.assertEqual(receiver.wait(), 0, receiver.stderr())


    def test_link_breaks(self):
        """The new connection is encrypted by the same certificates."""
        chain = BreakingChain(
            self, receiver=receives("good"),
            sender=sends("good", "--tls-hostname", "localhost"))
        chain.say(STREAM[:50])
        chain.hear(50)
        for how in WAYS[:2]:
            chain.link.breaks(how)
            chain.sender.wait_says("the link goes on after")
        chain.say(STREAM[50:])
        self.assertEqual(chain.hear(len(STREAM) - 50), STREAM[50:])
        chain.finish("completed")

    def test_another_certificate(self):
        """Somebody with the secret, and with another certificate of the CA."""
        receiver = self.start("--listen", "unix:" + self.path("link"),
                              "--connect", "unix:" + self.path("qemu"),
                              *receives("good"), resumes=True)
        receiver.wait_listening()
        listener = self.listen("qemu")
        link = BreakingLink(self.folder, self.path("link"))
        self.addCleanup(link.close)
        folder = self.path("creds")
        shutil.copytree(creds("good"), folder)
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", link.uri, "--role", "send",
                            "--tls-creds", folder, "--tls-hostname",
                            "localhost", resumes=True)
        source = self.connect("relay", sender)
        source.sendall(STREAM[:50])
        destination = self.accept(listener)
        receive(destination, 50)
        for name in "client-cert.pem", "client-key.pem":
            shutil.copy(os.path.join(creds("elsewhere"), name), folder)
        link.breaks("reset")
        self.assertEqual(receive_all_or_reset(source), b"")
        receiver.wait_says("does not have (any more)")


class Refused(TlsRelayTest):
    def check(self, sender, receiver, sender_says, receiver_says):
        """Neither QEMU is told anything but the end."""
        chain = Chain(self, sender=sender, receiver=receiver)
        chain.source.sendall(STREAM[:50])
        self.assertEqual(receive_all_or_reset(chain.source), b"")
        self.assertEqual(chain.sender.wait(), 1)
        self.assertIn(sender_says, chain.sender.stderr())
        # It goes on to wait for whom it may let in.
        chain.receiver.wait_says("refused: ")
        self.assertIn(receiver_says, chain.receiver.stderr())
        self.assertIsNone(chain.receiver.process.poll())
        self.assertNotIn(MACHINE, chain.wire.forward)
        chain.listener.settimeout(0)
        self.assertRaises(BlockingIOError, chain.listener.accept)

    def check_tls(self, sender, receiver, sender_says, receiver_says,
                  name="localhost"):
        self.check(sends(sender, "--tls-hostname", name), receives(receiver),
                   sender_says, receiver_says)

    def test_other_ca(self):
        self.check_tls("good", "foreign", "is not signed by the CA",
                       "the handshake failed")

    def test_other_host(self):
        self.check_tls("good", "elsewhere", "is for another host",
                       "the handshake failed")

    def test_hostname(self):
        self.check_tls("good", "good", "(tls-hostname 'other')",
                       "the handshake failed", name="other")

    def test_sender(self):
        """It learns of it when it has shaken hands."""
        self.check_tls("expired", "good", "failed", "has expired")

    def test_no_certificates(self):
        self.check_tls("nothing", "good", "nothing/client-key.pem",
                       "the handshake failed")
        self.setUp()
        self.check_tls("good", "nothing", "the handshake failed",
                       "nothing/server-key.pem")

    def test_plain_sender(self):
        self.check([], receives("good"), "failed", "TLS: ")

    def test_plain_receiver(self):
        self.check(sends("good", "--tls-hostname", "localhost"),
                   ["--role", "receive"], "is tls-creds set at the other end?",
                   "does this relay lack --tls-creds?")

    def test_qemu_at_the_receiver(self):
        """A peer that does not encrypt is refused."""
        listener = self.listen("qemu")
        receiver = self.start("--listen", "unix:" + self.path("link"),
                              "--connect", "unix:" + self.path("qemu"),
                              "--once", *receives("good"))
        receiver.wait_listening()
        source = self.connect("link", receiver)
        source.sendall(STREAM[:50])
        receive_all_or_reset(source)
        receiver.wait_says("refused: ")
        self.assertIsNone(receiver.process.poll())
        listener.settimeout(0)
        self.assertRaises(BlockingIOError, listener.accept)


class Silence(TlsRelayTest):
    def test_signal(self):
        """A peer that takes the connection and says nothing."""
        listener = self.listen("link")
        sender = self.start("--listen", "unix:" + self.path("relay"),
                            "--connect", "unix:" + self.path("link"),
                            *sends("good", "--tls-hostname", "localhost"))
        source = self.connect("relay", sender)
        source.sendall(STREAM[:50])
        self.assertTrue(self.accept(listener).recv(1))  # it has begun
        sender.process.terminate()
        sender.wait_says("still running")
        sender.process.terminate()
        self.assertEqual(sender.wait(), 1)
        self.assertIn("terminated by a signal", sender.stderr())
        self.assertEqual(receive_all_or_reset(source), b"")


if __name__ == "__main__":
    tap.main()
