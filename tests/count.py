#!/usr/bin/env python3
"""Counts the TAP cases of a test run and closes with `N passed, N failed`.

usage: count.py BUILD...

Reads each build's meson-logs/testlog.junit.xml (meson's own totals count executables) and, if it is there, live-results.tsv
of tests/live/run.py. A program that crashed, timed out or reported no case counts as one failure. A skip that is not in
tests/known_skips is a failure.
"""
import os
import sys
import xml.etree.ElementTree as ElementTree


def known_skips():
    path = os.path.join(os.path.dirname(__file__), "known_skips")
    if not os.path.exists(path):
        return set()
    with open(path) as lines:
        return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def count_junit(path, skips):
    passed, failed = 0, []
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        cases = list(suite.iter("testcase"))
        name = suite.get("name", "?")
        if not cases:
            failed.append("%s: no case ran" % name)
        for case in cases:
            title = "%s: %s" % (name, case.get("name"))
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(title)
            elif case.find("skipped") is not None:
                if name.split(":")[-1].strip() not in skips and case.get("name") not in skips:
                    failed.append(title + " (skipped, and not in tests/known_skips)")
            else:
                passed += 1
    return passed, failed


def main():
    skips = known_skips()
    passed, failed = 0, []
    for build in sys.argv[1:]:
        junit = os.path.join(build, "meson-logs", "testlog.junit.xml")
        if os.path.exists(junit):
            more, bad = count_junit(junit, skips)
            passed += more
            failed += ["%s: %s" % (build, name) for name in bad]
        else:
            failed.append("%s: no test log" % build)
        live = os.path.join(build, "live-results.tsv")
        if os.path.exists(live):
            for line in open(live):
                broker, name, good, bad = line.rstrip("\n").split("\t")
                passed += int(good)
                failed += ["%s: %s (%s)" % (broker, name, bad)] * int(bad)
    for name in failed:
        print("failed: " + name)
    print("%d passed, %d failed" % (passed, len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
