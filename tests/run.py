#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Build and run tests, and print "N passed, N failed" last.

    tests/run.py [--all] [BUILD]

runs in BUILD (default: build) what needs no special build and no whole system:
all suites but "system".  With --all the rest comes after it: the suite "system",
and what has threads and parsers in it once more in BUILD-asan (AddressSanitizer
and UndefinedBehaviourSanitizer) and in BUILD-tsan (ThreadSanitizer).

A test may be skipped for what the machine itself lacks; its reason then begins
with "this machine".  Any other skip, such as for a program that a package
brings, is a failure to root, who has had everything installed, and where CI is
set.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MACHINE = "this machine"  # what the reason of a skip begins with, to be one
SKIPS_ALL = re.compile(r"^1\.\.0 # SKIP (.*)", re.M)
LAST_LINES = 40  # of a program that failed
SLOWEST = 20     # programs that are listed at the end
# Without tls: ThreadSanitizer sees no lock of its libraries.
SANITIZED = ["unit", "pair", "errors", "wire", "inspect", "relay", "chance"]
AT_ONCE = 2 * (os.cpu_count() or 1)  # programs: half of their time they wait
STRESS = "150"   # seconds of stress_moves with each sanitizer


def only(*suites):
    return [word for suite in suites for word in ("--suite", suite)]


# The end of a build's folder, options of meson setup, and of meson test.
CHECK = [("", [], ["--no-suite", "system"])]
REST = [
    ("", [], only("system")),
    ("-asan", ["-Db_sanitize=address,undefined", "-Db_lundef=false"],
     only(*SANITIZED, "fuzz", "tls")),
    ("-tsan", ["-Db_sanitize=thread", "-Db_lundef=false"], only(*SANITIZED)),
]


def run(args, **env):
    print("+", " ".join(args), flush=True)
    return subprocess.run(args, cwd=ROOT,
                          env={**env, **os.environ}).returncode == 0


def build(folder, options):
    if not os.path.exists(os.path.join(ROOT, folder, "build.ninja")):
        if not run(["meson", "setup", folder, *options]):
            return False
    return run(["ninja", "-C", folder])


def is_strict():
    return os.geteuid() == 0 or "CI" in os.environ


def judge_skip(name, reason):
    """(name, outcome, text) of a test case that was skipped."""
    if reason.startswith(MACHINE) or not is_strict():
        return name, "skipped", reason
    return name, "failed", \
        f"skipped, and not for what this machine lacks: {reason or 'no reason'}"


def reason_of(case):
    """Why a test case was skipped, as far as meson has kept it."""
    said = case.find("system-out")
    text = said.text or "" if said is not None else ""
    whole = SKIPS_ALL.search(text)  # of a program that runs no test at all
    return whole[1] if whole else text.strip()


def outcomes(folder):
    """Yield (name, outcome, text) of each test case of the last run."""
    log = os.path.join(ROOT, folder, "meson-logs", "testlog.junit.xml")
    for suite in ET.parse(log).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            name = f"{suite.get('name')}: {case.get('name')}"
            bad = [c for c in case if c.tag in ("failure", "error")]
            skips = [c for c in case if c.tag == "skipped"]
            if bad:
                yield name, "failed", bad[0].get("message") or ""
            elif skips:
                yield judge_skip(name, reason_of(case))
            else:
                yield name, "passed", ""


def last_words(result):
    """What a test program said besides of what went well."""
    said = result.get("stdout", "") + result.get("stderr", "")
    lines = [line for line in said.splitlines() if not line.startswith("ok ")]
    return "".join(f"\n    {line}" for line in lines[-LAST_LINES:])


def programs(folder):
    """Yield what meson says of each test program of the last run."""
    log = os.path.join(ROOT, folder, "meson-logs", "testlog.json")
    with open(log, encoding="utf-8") as f:
        yield from map(json.loads, f)


def broken_programs(folder):
    """Yield (name, outcome, text) of test programs that ended badly: also when
    each of their cases had passed (a leak, a race, a crash at the end)."""
    for result in programs(folder):
        if result["result"] not in ("OK", "SKIP"):
            yield (f"{result['name']} (program)", "failed",
                   f"{result['result']} {result['returncode']}" +
                   last_words(result))


def test(folder, choice, found, times, **env):
    """Run a build's tests; add outcomes to found, (seconds, name) to times."""
    ok = run(["meson", "test", "-C", folder, "--no-rebuild",
              "--print-errorlogs", "--num-processes", str(AT_ONCE), *choice],
             **env)
    mine = [(f"{folder}: {name}", what, text)
            for name, what, text in [*outcomes(folder),
                                     *broken_programs(folder)]]
    if not ok and not any(what == "failed" for _, what, _ in mine):
        mine.append((f"{folder}: meson test", "failed", "see above"))
    found += mine
    times += [(result["duration"], f"{folder}: {result['name']}")
              for result in programs(folder)]


def report(found, times):
    """Print what was slow, what did not pass, and how many of each last."""
    print(f"The slowest {SLOWEST}, in seconds:")
    for seconds, name in sorted(times, reverse=True)[:SLOWEST]:
        print(f"{seconds:8.1f} {name}")
    for name, what, text in found:
        if what != "passed":
            print(f"{what.upper()}: {name} {text}".rstrip())
    count = {w: sum(1 for f in found if f[1] == w)
             for w in ("passed", "failed", "skipped")}
    line = f"{count['passed']} passed, {count['failed']} failed"
    if count["skipped"]:
        line += f", {count['skipped']} skipped"
    print(line)
    return 1 if count["failed"] or not count["passed"] else 0


def main():
    parser = argparse.ArgumentParser(description="run tests")
    parser.add_argument("--all", action="store_true",
                        help="whole systems and sanitizers, too")
    parser.add_argument("build", nargs="?", default="build")
    args = parser.parse_args()
    found, times = [], []
    for suffix, options, choice in CHECK + (REST if args.all else []):
        folder = args.build + suffix
        if build(folder, options):
            test(folder, choice, found, times,
                 **({"FERRY_SECONDS": STRESS} if suffix else {}))
        else:
            found.append((f"{folder}: build", "failed", "see above"))
    return report(found, times)


if __name__ == "__main__":
    sys.exit(main())
