#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The link that tests of downtime use is as thin and as long as it says.

tests/unit/test-delay-line.c holds the arithmetic to the nanosecond.  This is
about the whole, on a machine that may have other work.  A hiccup only makes an
answer late and a transfer slow, so the best of several attempts is compared
with the least that there must be, and all of them together with the most.
"""
import threading
import time

import program_kit
from ferry_vm import TIMEOUT
import delay_link
import tap

PORT = 4444
ATTEMPTS = 20
MBIT = 20
RTT_MS = 40
RTT_TOLERANCE_MS = 3      # the driver, two wake-ups and Python
RATE_TOLERANCE = 0.05     # a receiver that was late finds some that is older
OF_THE_RATE = 1448 / 1500  # what TCP and IP leave of a packet
WARM_UP = 1 << 20         # bytes
STRETCH = 1 << 20


def receive(sock, size):
    """Receive this many bytes, in any number of pieces."""
    while size > 0:
        data = sock.recv(min(size, 65536))
        if not data:
            raise ConnectionError("the other end has closed")
        size -= len(data)


class DelayLink(program_kit.ProgramTest):
    def setUp(self):
        super().setUp()
        self.link = delay_link.open_link(self, program_kit.BUILD, MBIT, RTT_MS)

    def connected(self):
        """A socket at the source, and one at the destination."""
        with self.link.socket(1) as listener:
            listener.bind((self.link.address, PORT))
            listener.listen()
            source = self.enterContext(self.link.socket(0))
            source.connect((self.link.address, PORT))
            destination, _ = listener.accept()
        self.enterContext(destination)
        for end in source, destination:
            end.settimeout(TIMEOUT)
        return source, destination

    def test_round_trip(self):
        source, destination = self.connected()
        times = []
        for _ in range(ATTEMPTS):
            begin = time.monotonic()
            source.send(b"x")
            destination.send(destination.recv(1))
            source.recv(1)
            times.append((time.monotonic() - begin) * 1000)
        print(f"# round trips of {min(times):.2f} to {max(times):.2f} ms")
        self.assertGreaterEqual(min(times), RTT_MS)
        self.assertLessEqual(min(times), RTT_MS + RTT_TOLERANCE_MS)

    def measure(self, destination, count):
        """Bits a second, as parts of the rate, in each of so many stretches
        that follow each other, and in all of them."""
        times = [time.monotonic()]
        for _ in range(count):
            receive(destination, STRETCH)
            times.append(time.monotonic())
        alone = STRETCH * 8 / (MBIT * 1e6 * OF_THE_RATE)
        return ([alone / (end - begin)
                 for begin, end in zip(times, times[1:])],
                count * alone / (times[-1] - times[0]))

    def test_rate(self):
        source, destination = self.connected()
        ended = threading.Event()

        def send():
            try:
                while not ended.is_set():
                    source.sendall(bytes(65536))
            except OSError:
                pass  # it is closed at the other end
        sender = threading.Thread(target=send)
        sender.start()
        receive(destination, WARM_UP)
        rates, whole = self.measure(destination, ATTEMPTS // 2)
        ended.set()
        destination.close()
        sender.join()
        print(f"# of the rate: {whole:.3f} in all,",
              *(f"{rate:.3f}" for rate in rates))
        self.assertLessEqual(whole, 1 + RATE_TOLERANCE)
        self.assertGreaterEqual(max(rates), 1 - RATE_TOLERANCE)


if __name__ == "__main__":
    tap.main()
