#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/frontier.py: which points count, and which are tried."""
import os
import sys
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [FOLDER, os.path.join(os.path.dirname(FOLDER), "lib")]
import frontier  # noqa: E402
import tap  # noqa: E402


def point(rate, status="completed", written=1.0, error=None):
    return {"rate": rate, "status": status, "written": written * rate,
            "error": error}


def climb(rates, ending):
    """The rates that are tried where those end."""
    return [row["rate"] for row in frontier.climb(
        rates, lambda rate: point(
            rate, "completed" if rate in ending else "active"))]


class Points(unittest.TestCase):
    def test_one_counts_that_ends_with_a_guest_that_writes(self):
        self.assertEqual(frontier.why_not(point(1000, written=0.95)), "")

    def test_none_counts_that_does_not_end(self):
        self.assertEqual(frontier.why_not(point(1000, "active")),
                         "did not end")

    def test_none_counts_that_fails_and_the_error_is_told(self):
        self.assertEqual(frontier.why_not(point(1000, "failed", error="why")),
                         "why")

    def test_none_counts_whose_guest_is_too_slow(self):
        self.assertEqual(frontier.why_not(point(1000, written=0.94)),
                         "guest at 94%")


class Frontier(unittest.TestCase):
    def test_all_rates_are_tried_from_the_lowest_up(self):
        self.assertEqual(climb([3, 1, 2], {1, 2, 3}), [1, 2, 3])

    def test_it_goes_on_after_one_that_does_not_count(self):
        self.assertEqual(climb([1, 2, 3, 4], {1, 3, 4}), [1, 2, 3, 4])

    def test_it_ends_after_two_that_do_not_count(self):
        self.assertEqual(climb([1, 2, 3, 4], {1, 4}), [1, 2, 3])

    def test_it_is_the_highest_rate_that_counts(self):
        rows = [point(1), point(2, "active"), point(3), point(4, written=0.5)]
        self.assertEqual(frontier.frontier(rows), 3)

    def test_it_is_zero_where_none_counts(self):
        self.assertEqual(frontier.frontier([point(1, "active")]), 0)


if __name__ == "__main__":
    tap.main()
