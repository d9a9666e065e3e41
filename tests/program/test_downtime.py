#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest time stands still while the guest does, and no beat is lost.

The guest `stress` beats on its serial port by guest time, and drops no beat.
So the beats of both ports together are guest time divided by the beat; and
guest time is what has passed from start to end, less the downtime.  The
downtime is made so long that it shows.

A guest's clock is read from a stream: that of a migration to a command which
takes all and then fails, after which the guest goes on where it was.
"""
import os
import sys
import time

import program_kit
import tap

sys.path.insert(0, os.path.join(program_kit.ROOT, "tests", "wire"))
import read_stream  # noqa: E402

BEAT_MS = 10
LINK = 1 << 20  # bytes/s
DOWNTIME_MS = 3000  # at least: the guest keeps 4 MiB dirty
TOLERANCE_MS = 500


class Downtime(program_kit.ProgramTest):
    mem = "16M"
    guest = f"ws=4 words=64 fill=random beat={BEAT_MS}"

    def machine(self, *args):
        return self.start(*args, "-append", self.guest)

    def beats_ms(self, *homes):
        return program_kit.said_by(*homes).count(b".") * BEAT_MS

    def wait_beats(self, vm, more=20):
        before = vm.serial.text().count(b".")
        vm.serial.wait_for(lambda text: text.count(b".") >= before + more)

    def clock_ms(self, vm):
        """The clock of a stopped guest."""
        path = os.path.join(self.folder, "stream")
        vm.qmp("migrate", uri=f"exec:cat > {path}; exit 1")
        vm.wait_migration("failed")
        with open(path, "rb") as f:
            stream = read_stream.parse(f.read())
        clock = next(d for d in stream.devices if d["name"] == "clock")
        return clock["fields"]["ns"] / 1e6

    def lag_ms(self, *homes):
        """By how much a guest's beats are behind its clock: they began that
        late.  The guest may also not have had the CPU just before it was
        stopped, so the least of several times counts."""
        vm, lags = homes[-1], []
        for _ in range(3):
            self.wait_beats(vm)
            vm.qmp("stop")
            clock = self.clock_ms(vm)
            lags.append(clock - self.beats_ms(*homes))
            vm.qmp("cont")
        self.assertGreaterEqual(min(lags), 0)
        return min(lags)

    def test_beats(self):
        uri = self.unix_uri()
        src = self.machine("-kernel", program_kit.STRESS, "-S")
        dst = self.machine("-incoming", uri)
        begin = time.monotonic()
        src.qmp("cont")
        before = self.lag_ms(src)
        src.set_parameters(max_bandwidth=LINK, downtime_limit=60000)
        info = self.move(src, uri)
        self.assertGreaterEqual(info["downtime"], DOWNTIME_MS)
        dst.wait_migration("completed")
        after = self.lag_ms(src, dst)
        dst.qmp("stop")
        passed = (time.monotonic() - begin) * 1000
        clock = self.clock_ms(dst)

        print(f"# {passed:.0f} ms passed, {info['downtime']} ms of them "
              f"downtime; guest time {clock:.0f} ms, beats "
              f"{self.beats_ms(src, dst)} ms, which began {before:.0f} ms "
              f"late and then were {after:.0f} ms late")
        self.assertLessEqual(clock, passed - info["downtime"] + 1)
        self.assertLessEqual(abs(after - before), TOLERANCE_MS)


if __name__ == "__main__":
    tap.main()
