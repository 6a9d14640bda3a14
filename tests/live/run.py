#!/usr/bin/env python3
"""Runs the live tests on official brokers and says how many cases ran on each.

usage: run.py [--build build] [--version 5.4.0] [--only NAME]

For every version in tests/versions: a plain broker (every test of the suites `client` and `live`), one with ACL
(`live-acl`) and one with TLS (`live-tls`); a test of `live` and of one of these two runs there only. A test of suite
`client` is the same program that `meson test` runs on the development broker; RMQ_TEST_NAMESRV tells it to use this
one. RMQ_TEST_NAMESRV set from outside: that broker is used instead of all, and tests of the suite `live-control`, which
kill brokers, are left out and named.

The results go to BUILD/live-results.tsv (broker, test, passed, failed) for count.py.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import fetch  # noqa: E402
import official  # noqa: E402

RESULT = re.compile(r"^(ok|not ok)\b")
PLAN = re.compile(r"^1\.\.(\d+)(.*)")


def tests_of(build):
    text = subprocess.run(["meson", "introspect", build, "--tests"], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text)


def in_suite(test, suite):
    return any(name == suite or name.endswith(":" + suite) for name in test["suite"])


def run_one(build, test, environment, log):
    """Runs a TAP program: (passed, failed)."""
    merged = dict(os.environ, **test["env"] if isinstance(test["env"], dict) else {}, **environment)
    started = time.time()
    process = subprocess.Popen(test["cmd"], cwd=test["workdir"] or build, env=merged, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output = process.communicate(timeout=max(test["timeout"], 30) * 4)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output = process.communicate()[0].decode(errors="replace") + "\nnot ok - it did not end in time\n"
    passed = failed = 0
    planned = None
    for line in output.splitlines():
        if PLAN.match(line):
            planned = int(PLAN.match(line).group(1))
            if planned == 0:
                failed += 1  # a skip on a real broker is a failure: don't register what can't run
        elif RESULT.match(line):
            if line.startswith("ok"):
                passed += 1
            else:
                failed += 1
    if process.returncode != 0 or planned is None or passed + failed < planned:
        failed = max(failed, 1)
    log.write("==== %s (%.1f s, exit %s)\n%s\n" % (test["name"], time.time() - started, process.returncode, output))
    log.flush()
    if failed:
        print("".join("    %s\n" % line for line in output.splitlines() if not line.startswith("ok"))[-4000:])
    return passed, failed


def run_group(build, label, tests, environment, results, log):
    total = bad = 0
    for test in tests:
        passed, failed = run_one(build, test, environment, log)
        results.write("%s\t%s\t%d\t%d\n" % (label, test["name"], passed, failed))
        results.flush()
        print("  %-40s %4d passed %4d failed" % (test["name"], passed, failed), flush=True)
        total += passed
        bad += failed
    print("%s: %d cases ran, %d failed" % (label, total + bad, bad), flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--version", action="append")
    parser.add_argument("--only", help="only tests whose name contains this")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    tests = [test for test in tests_of(build) if not arguments.only or arguments.only in test["name"]]
    groups = {suite: [test for test in tests if in_suite(test, suite)]
              for suite in ("client", "live", "live-control", "live-acl", "live-tls")}
    groups["live"] = [test for test in groups["live"] if test not in groups["live-acl"] + groups["live-tls"]]
    bad = 0
    with open(os.path.join(build, "live-results.tsv"), "w") as results, \
            open(os.path.join(build, "live-log.txt"), "w") as log:
        outside = os.environ.get("RMQ_TEST_NAMESRV")
        if outside:
            for test in groups["live-control"]:
                print("left out, since it kills brokers: " + test["name"])
            plain = [test for test in groups["client"] + groups["live"] if test not in groups["live-control"]]
            sys.exit(1 if run_group(build, outside, plain, {}, results, log) else 0)
        for version in arguments.version or fetch.versions():
            plain = groups["client"] + [test for test in groups["live"] if test not in groups["client"]]
            for mode, chosen in (("plain", plain), ("acl", groups["live-acl"]), ("tls", groups["live-tls"])):
                if not chosen:
                    continue
                directory = tempfile.mkdtemp(prefix="millrace-live-")
                state = None
                try:
                    state = official.start(directory, version, mode)
                    bad += run_group(build, "%s %s" % (version, mode), chosen, official.environment(state), results, log)
                finally:
                    if state is not None:
                        official.stop(official.load(directory))
                    shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
