# SPDX-License-Identifier: GPL-2.0-or-later
"""Run unittest test cases and report them in TAP, one line a test.

    import tap
    ...
    if __name__ == "__main__":
        tap.main()
"""
import sys
import traceback
import unittest


def only_if(condition):
    """A test, or a class of them, that means nothing otherwise: it is not there
    then.  What it would need and does not find is a reason to skip it."""
    return lambda test: test if condition else None


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0
        self.subtest_failed = False

    def _line(self, ok, test, extra=""):
        self.number += 1
        print(f"{'ok' if ok else 'not ok'} {self.number} {test.id()}{extra}",
              flush=True)

    def _trace(self, err):
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print("#", line)

    def startTest(self, test):
        super().startTest(test)
        self.subtest_failed = False

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line(True, test)

    def stopTest(self, test):
        super().stopTest(test)
        if self.subtest_failed:  # then addSuccess() is not called
            self._line(False, test)

    def addError(self, test, err):
        super().addError(test, err)
        self._trace(err)
        self._line(False, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._trace(err)
        self._line(False, test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.subtest_failed = True
            print("# in", subtest.id())
            self._trace(err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line(True, test, f" # SKIP {reason}")


def main():
    """Run the tests of the calling module; arguments select by substring."""
    wanted = sys.argv[1:]
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules["__main__"])
    tests = [t for t in _flatten(suite)
             if not wanted or any(w in t.id() for w in wanted)]
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    # Last: a class that cannot be set up counts as one test.
    print(f"1..{result.number}", flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)


def _flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flatten(item)
        else:
            yield item
