# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests of test_relay_bytes.py once more, over links that outlive their
connections: version 4."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_relay_bytes  # noqa: E402
from relay_kit import RelayTest, receive_all_or_reset  # noqa: E402
import tap  # noqa: E402

# These speak an older version, or to no other relay.
OTHERS = {"OlderRelay", "OlderRelay2", "Recorded"}

for name, case in vars(test_relay_bytes).items():
    if isinstance(case, type) and issubclass(case, RelayTest) and \
            case is not RelayTest and name not in OTHERS:
        globals()[name] = type(name, (case,),
                               {"RESUMES": True, "__module__": __name__})
del name, case


class Ends(Ends):  # noqa: F821
    GREETING = 36 + 88   # HELLO, SESSION

    def check_before_damage(self, heard, chain, at):
        pass  # the frames stand in records: that nothing is wrong will do

    # How a link that breaks ends is test_relay_resume.py's.
    test_killed = test_link_cut = None


class Alone(Alone):  # noqa: F821
    # A listener serves one migration: test_relay_channels.py, and
    # ManyAtOnce in test_relay_resume.py.
    test_full_receiver = test_many_at_once = None


class Silent(Silent):  # noqa: F821
    def check_sides(self):
        """They are of the one migration.  It is not over."""
        if "--to-qemu" in self.sender.process.args:
            super().check_sides()
        else:
            self.assertEqual(self.sender.reports(), [])

    def test_once(self):
        """A connection on which nothing was said ends with the others."""
        self.pair(sender=["--once"], receiver=["--once"])
        main = self.main()
        side = self.connect("relay", self.sender)
        there = self.accept(self.target)
        self.end_main(*main)
        self.assertEqual(receive_all_or_reset(side), b"")
        self.assertEqual(receive_all_or_reset(there), b"")
        self.check_statuses(0)


if __name__ == "__main__":
    tap.main()
