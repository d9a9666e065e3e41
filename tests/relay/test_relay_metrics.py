# SPDX-License-Identifier: GPL-2.0-or-later
"""What --metrics serves, to those who ask for it and to those who ask for
something else."""
import http.client
import os
import random
import re
import socket
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from relay_kit import (EOF, EOS, FOOTER, PAGE, PART, END, RELAY,  # noqa: E402
                       ROOT, Chain, RelayTest, plain, preamble,
                       receive_all_or_reset, sample_stream)
import tap  # noqa: E402
from ferry_vm import TIMEOUT, wait_until  # noqa: E402

HAS_METRICS = "metrics: none" not in subprocess.run(
    [RELAY, "--version"], check=True, capture_output=True, text=True).stdout
PREFIX = "ferry_relay_migration_"
LABEL = r'[a-z]+="[A-Za-z0-9._-]+"'
SAMPLE = re.compile(r"([a-z_]+)(?:\{(%s(?:,%s)*)\})? (-?[0-9.]+(?:e[+-][0-9]+)?)"
                    % (LABEL, LABEL))


def parse(text):
    """{(name, labels): value}.  Each metric has HELP, TYPE and its samples, in
    one place, and no sample is there twice."""
    if not text.endswith("\n"):
        raise ValueError("no end of line at the end")
    values, name, seen = {}, None, set()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            kind = next(lines).split(" ")
            if name in seen or kind[:3] != ["#", "TYPE", name] or (
                    kind[3] not in ("counter", "gauge") or
                    name.endswith("_total") != (kind[3] == "counter")):
                raise ValueError(line)
            seen.add(name)
            continue
        match = SAMPLE.fullmatch(line)
        key = match and (match[1], match[2] or "")
        if not match or match[1] != name or key in values:
            raise ValueError(line)
        values[key] = float(match[3])
    return values


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


class MetricsTest(RelayTest):
    def ask(self, method="GET", path="/metrics"):
        connection = UnixConnection(self.path("metrics"))
        self.addCleanup(connection.close)
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read().decode()

    def values(self, number=1, role="send", **labels):
        """{name: value} of that migration, with its own labels only."""
        response, text = self.ask()
        self.assertEqual(response.status, 200)
        wanted = ",".join(f'{name}="{value}"' for name, value in
                          {"migration": number, "role": role,
                           **labels}.items())
        return {name.removeprefix(PREFIX): value
                for (name, has), value in parse(text).items()
                if has == wanted}

    def start_it(self, *args):
        self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--role", "send", "--metrics",
                           "unix:" + self.path("metrics"), *args)
        relay.wait_listening()
        return relay


@unittest.skipUnless(HAS_METRICS, "built without libmicrohttpd")
class Migrations(MetricsTest):
    def test_running(self):
        """The numbers follow the stream."""
        chain = Chain(self, sender=["--metrics",
                                    "unix:" + self.path("metrics")])
        for data, wanted in (
                (preamble() + PART + plain(16 << 20, bytes(PAGE), b"pc.ram"),
                 {"data_total_bytes": 64 << 20, "passes_total": 1,
                  "first_pass_bytes": (16 << 20) + PAGE,
                  "pages_again_total": 0, "succeeded": 0, "failed": 0}),
                (plain(0, b"a" * PAGE) + plain(PAGE, b"b" * PAGE),
                 {"passes_total": 2, "pages_again_total": 2,
                  "first_pass_bytes": 64 << 20, "pages_total": 3})):
            chain.say(data)
            self.assertEqual(chain.hear(len(data)), data)
            wait_until(lambda: wanted.items() <= self.values().items(),
                       wanted)
        phase, = self.values(phase="again").items()
        self.assertEqual(phase, ("phase", 1))
        values = self.values()
        self.assertGreater(values["data_processed_bytes"], 3 * PAGE)
        self.assertGreater(values["link_bytes_total"], 0)
        self.assertNotIn("end_time_seconds", values)
        self.assertEqual(parse(self.ask()[1])["ferry_relay_migrations", ""],
                         1)
        data = EOS + FOOTER + END + EOS + FOOTER + EOF
        chain.say(data)
        self.assertEqual(chain.hear(len(data)), data)
        chain.finish("completed")
        self.assertFalse(os.path.exists(self.path("metrics")))

    def test_ended(self):
        """The last values stay."""
        listener = self.listen("qemu")
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--to-qemu", "--metrics",
                           "unix:" + self.path("metrics"))
        relay.wait_listening()
        source = self.connect("relay", relay)
        source.sendall(preamble() + PART)
        destination = self.accept(listener)
        source.close()
        receive_all_or_reset(destination)
        destination.close()
        wait_until(lambda: self.values(role="to-qemu").get("failed") == 1,
                   "the end")
        values = self.values(role="to-qemu")
        self.assertEqual((values["succeeded"], values["outcome_unknown"],
                          values["link_rate_bytes"]), (0, 0, 0))
        self.assertGreaterEqual(values["end_time_seconds"],
                                values["start_time_seconds"])
        self.assertEqual(self.values(role="to-qemu", phase="ended"),
                         {"phase": 1})
        self.assertEqual(parse(self.ask()[1])["ferry_relay_migrations", ""],
                         0)

    def test_bound(self):
        """Of 64 migrations, however many there were."""
        self.listen("qemu").close()
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--role", "send", "--metrics",
                           "unix:" + self.path("metrics"))
        relay.wait_listening()
        for i in range(70):
            source = self.connect("relay", relay)
            source.sendall(preamble())
            receive_all_or_reset(source)
            source.close()
            relay.wait_says(f"migration {i + 1}: failed")
        wait_until(lambda: self.values(70).get("failed") == 1, "the last one")
        failed = [labels for name, labels in parse(self.ask()[1])
                  if name == PREFIX + "failed"]
        self.assertEqual(failed, [f'migration="{i}",role="send"'
                                  for i in range(7, 71)])

    def test_documented(self):
        """All that is served stands in docs/relay.md."""
        with open(os.path.join(ROOT, "docs", "relay.md"),
                  encoding="utf-8") as f:
            text = f.read()
        self.start_it()
        names = re.findall("^# TYPE (\\S+)", self.ask()[1], re.M)
        self.assertIn(PREFIX + "link_bytes_total", names)
        for name in names:
            self.assertRegex(text, "`%s[`{]" % name.removeprefix(PREFIX))


@unittest.skipUnless(HAS_METRICS, "built without libmicrohttpd")
class Requests(MetricsTest):
    def test_unix(self):
        self.start_it()
        mode = os.stat(self.path("metrics")).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        response, text = self.ask()
        self.assertEqual(response.getheader("Content-Type"),
                         "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(parse(text)["ferry_relay_migrations", ""], 0)

    def test_tcp(self):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--metrics", "tcp:127.0.0.1:0")
        relay.wait_says("metrics at ")
        port = int(re.search(r"metrics at tcp:127\.0\.0\.1:(\d+)\n",
                             relay.stderr())[1])
        connection = http.client.HTTPConnection("127.0.0.1", port,
                                                timeout=TIMEOUT)
        self.addCleanup(connection.close)
        for _ in range(200):  # on one connection
            connection.request("GET", "/metrics")
            parse(connection.getresponse().read().decode())

    def test_others(self):
        self.start_it()
        for method, path, status in (
                ("GET", "/", 404), ("GET", "/metrics/", 404),
                ("GET", "/../etc/passwd", 404), ("POST", "/", 404),
                ("POST", "/metrics", 405), ("DELETE", "/metrics", 405),
                ("HEAD", "/metrics", 200), ("GET", "/metrics?x=1", 200)):
            response, text = self.ask(method, path)
            self.assertEqual(response.status, status, (method, path))
            self.assertEqual(not text, method == "HEAD")

    def test_garbage(self):
        """Those who say nothing, too much, or anything else."""
        relay = self.start_it()
        rand = random.Random(40)
        silent = [self.connect("metrics", relay) for _ in range(8)]
        for data in (b"\r\n" * 1000, b"\0" * 5000, rand.randbytes(20000),
                     b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 20000,
                     b"GET /metrics", b"QEVM" + bytes(100)):
            sock = self.connect("metrics", relay)
            try:
                sock.sendall(data)
            except OSError:
                pass  # it has been refused already
            sock.close()
        self.assertEqual(self.ask()[0].status, 200)
        for sock in silent:
            sock.close()
        self.assertIsNone(relay.process.poll())

    def test_crowd(self):
        """Too many at once do not hold up a migration, nor those who come
        after them."""
        relay = self.start_it()
        crowd = [self.connect("metrics", relay) for _ in range(100)]
        source = self.connect("relay", relay)
        source.sendall(sample_stream(random.Random(41), pages=3))
        relay.wait_says("migration 1: ")
        for sock in crowd:
            sock.close()
        self.assertEqual(self.ask()[0].status, 200)


class Refused(MetricsTest):
    def check(self, uri, words):
        relay = self.start("--listen", "unix:" + self.path("relay"),
                           "--connect", "unix:" + self.path("qemu"),
                           "--metrics", uri)
        self.assertEqual(relay.wait(), 1)
        self.assertIn(words, relay.stderr())

    @unittest.skipUnless(HAS_METRICS, "built without libmicrohttpd")
    def test_in_use(self):
        self.listen("metrics")
        self.check("unix:" + self.path("metrics"), "another process has")

    @unittest.skipUnless(HAS_METRICS, "built without libmicrohttpd")
    def test_no_socket(self):
        self.check("file:" + self.path("x"), "at a socket")
        self.check("tcp::9100", "needs an address")

    if not HAS_METRICS:
        def test_no_library(self):
            self.check("tcp:127.0.0.1:0", "needs libmicrohttpd")


if __name__ == "__main__":
    tap.main()
