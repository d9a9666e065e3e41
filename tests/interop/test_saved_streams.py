# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU saves of a running Linux guest is read back as QEMU has it.

Read by ferry-inspect, and by the independent reader, which must agree.
"""
import json
import subprocess

import interop_kit
import read_stream
import tap


def inspect(stream, block, out):
    """What ferry-inspect says of a stream; block goes to the file out."""
    done = subprocess.run(
        [interop_kit.FERRY_INSPECT, "--json", "--extract", block, out,
         stream], capture_output=True, text=True, check=True,
        timeout=interop_kit.TIMEOUT)
    return json.loads(done.stdout)


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

    def check_readers_agree(self, found, parsed):
        for kind in "zero", "plain", "compressed":
            self.assertEqual(
                found["ram"][kind],
                sum(r.kind == kind for r in parsed.records()), kind)
        self.assertEqual(found["ram"]["repeated"], parsed.repeated)
        names = [[(d["name"], d["instance"], d["version"], d["size"])
                  for d in devices]
                 for devices in (found["devices"], parsed.devices)]
        self.assertEqual(*names)

    def check(self, qemu, compress):
        stream, ram = self.save(qemu, compress)
        extracted = self.path("extracted")
        found = inspect(stream, "pc.ram", extracted)
        self.assert_same_ram(extracted, ram)
        self.assertEqual(found["ram"]["compressed"] > 0, compress)

        parsed = read_stream.parse(read_stream.load(stream), ram=True,
                                   may_repeat=True)
        read_stream.write_ram(parsed, self.path("blocks"))
        self.assert_same_ram(self.path("blocks/pc.ram.ram"), ram)
        self.check_readers_agree(found, parsed)
        pages = [(r.block, r.page_offset) for r in parsed.records()]
        self.assertLess(len(set(pages)), len(pages), "no page changed")

    def test_compress(self):
        self.check(interop_kit.need_qemu(), compress=True)

    def test_plain(self):
        self.check(interop_kit.need_qemu(), compress=False)

    def test_newest_plain(self):
        self.check(interop_kit.need_newest_qemu(), compress=False)


if __name__ == "__main__":
    tap.main()
