# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU saves of a running Linux guest is read back as QEMU has it."""
import interop_kit
import read_stream
import tap


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

    def check(self, qemu, compress):
        stream, ram = self.save(qemu, compress)
        parsed = read_stream.parse(read_stream.load(stream), ram=True)
        read_stream.write_ram(parsed, self.path("blocks"))
        self.assert_same_ram(self.path("blocks/pc.ram.ram"), ram)
        records = list(parsed.records())
        self.assertEqual("compressed" in {r.kind for r in records}, compress)
        pages = [(r.block, r.page_offset) for r in records]
        self.assertLess(len(set(pages)), len(pages), "no page changed")

    def test_compress(self):
        self.check(interop_kit.need_qemu(), compress=True)

    def test_plain(self):
        self.check(interop_kit.need_qemu(), compress=False)

    def test_newest_plain(self):
        self.check(interop_kit.need_newest_qemu(), compress=False)


if __name__ == "__main__":
    tap.main()
