# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU saves of a running Linux guest is read back as QEMU has it.

Read by ferry-inspect, and by the independent reader, which must agree; or by
ferry-inspect alone, while QEMU sends it.
"""
import json
import os
import subprocess

import interop_kit
import read_stream
import tap
from ferry_vm import wait_until


def start_inspect(stream, block, out):
    """ferry-inspect with a stream; block goes to the file out."""
    return subprocess.Popen(
        [interop_kit.FERRY_INSPECT, "--json", "--extract", block, out,
         stream], stdout=subprocess.PIPE, text=True)


def finish_inspect(process):
    """What it says."""
    with process:
        said, _ = process.communicate(timeout=interop_kit.TIMEOUT)
    if process.returncode:
        raise RuntimeError(f"ferry-inspect ended with {process.returncode}")
    return json.loads(said)


def changed_pages(vm):
    return vm.migration().get("xbzrle-cache", {"pages": 0})["pages"]


class SavedStreams(interop_kit.InteropTest):
    def save(self, qemu, compress):
        """The stream of a guest that wrote to its memory meanwhile, and what
        QEMU itself says is in that memory."""
        guest = interop_kit.need_guest()
        vm = self.run_qemu(qemu, *guest.options(write=8), compress=compress)
        vm.serial.wait_for(b"round 1")
        stream = self.path("stream")
        vm.save(stream)
        return stream, vm.save_ram()

    def send_changes(self, qemu, uri):
        """Migrate with xbzrle, so that some pages come at least three times.
        What QEMU itself says is in memory then."""
        guest = interop_kit.need_guest()
        vm = self.run_qemu(qemu, *guest.options(write=8))
        vm.serial.wait_for(b"round 1")
        vm.set_capability("xbzrle")
        vm.set_parameters(max_bandwidth=20 << 20, downtime_limit=1)
        vm.qmp("migrate", uri=uri)
        wait_until(lambda: changed_pages(vm) > 500, "changes of pages")
        vm.set_parameters(max_bandwidth=0, downtime_limit=20000)
        self.assert_completed(vm)
        return vm.save_ram()

    def check_readers_agree(self, found, parsed):
        for kind, also in (("zero", ""), ("plain", ""),
                           ("compressed", "xbzrle")):
            self.assertEqual(
                found["ram"][kind],
                sum(r.kind in (kind, also) for r in parsed.records()), kind)
        self.assertEqual(found["ram"]["repeated"], parsed.repeated)
        names = [[(d["name"], d["instance"], d["version"], d["size"])
                  for d in devices]
                 for devices in (found["devices"], parsed.devices)]
        self.assertEqual(*names)

    def check(self, qemu, compress):
        parsed = self.check_saved(*self.save(qemu, compress))
        kinds = {r.kind for r in parsed.records()}
        self.assertEqual("compressed" in kinds, compress)

    def check_changes(self, qemu):
        stream = self.path("stream")
        ram = self.send_changes(
            qemu, f"exec:cat > {stream}.part && mv {stream}.part {stream}")
        wait_until(lambda: os.path.exists(stream), "the whole stream")
        parsed = self.check_saved(stream, ram)
        self.assertGreater(
            sum(r.kind == "xbzrle" for r in parsed.records()), 100)

    def check_changes_live(self, qemu):
        uri = f"unix:{self.path('socket')}"
        process = start_inspect(uri, "pc.ram", self.path("extracted"))
        self.addCleanup(process.kill)
        wait_until(lambda: os.path.exists(self.path("socket")), "the socket")
        ram = self.send_changes(qemu, uri)
        found = finish_inspect(process)
        self.assertGreater(found["ram"]["compressed"], 500)
        self.assert_same_ram(self.path("extracted"), ram)

    def check_saved(self, stream, ram):
        extracted = self.path("extracted")
        found = finish_inspect(start_inspect(stream, "pc.ram", extracted))
        self.assert_same_ram(extracted, ram)

        parsed = read_stream.parse(read_stream.load(stream), ram=True,
                                   may_repeat=True)
        read_stream.write_ram(parsed, self.path("blocks"))
        self.assert_same_ram(self.path("blocks/pc.ram.ram"), ram)
        self.check_readers_agree(found, parsed)
        pages = [(r.block, r.page_offset) for r in parsed.records()]
        self.assertLess(len(set(pages)), len(pages), "no page changed")
        return parsed

    def test_compress(self):
        self.check(interop_kit.need_qemu(), compress=True)

    def test_plain(self):
        self.check(interop_kit.need_qemu(), compress=False)

    def test_xbzrle(self):
        self.check_changes(interop_kit.need_qemu())

    def test_xbzrle_live(self):
        self.check_changes_live(interop_kit.need_qemu())

    def test_newest_xbzrle(self):
        self.check_changes(interop_kit.need_newest_qemu())

    def test_newest_xbzrle_live(self):
        self.check_changes_live(interop_kit.need_newest_qemu())

    def test_newest_plain(self):
        self.check(interop_kit.need_newest_qemu(), compress=False)


if __name__ == "__main__":
    tap.main()
