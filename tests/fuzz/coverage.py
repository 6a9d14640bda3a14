#!/usr/bin/env python3
"""How many lines of each decoder its fuzz target's corpus reaches; less than 90 % is a failure.

usage: coverage.py BUILD       (a build made with -Db_coverage=true; ./dev fuzz --coverage makes and runs it)

Counted are the lines of the functions that read bytes. Left out are encoders, and lines that are only reached without
memory: tests/fault/test_fail_once_decode.c is about those. Lines that are not reached are named.
Closes with `N passed, N failed`.
"""
import glob
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LEAST = 90.0
DECODERS = {  # of each target: files below proto/ without the ending; "FILE:PART": its functions with PART in their names
    "batch_member": ["inner_batch:batch_member_next"],
    "compress": ["compress"],
    "frame": ["frame"],
    "header_bin": ["header_bin"],
    "header_json": ["header_json"],
    "heartbeat": ["heartbeat", "lock", "body_json"],
    "json": ["json", "json_scan", "utf8"],
    "offset_id": ["msgid"],
    "props": ["props"],
    "record": ["record", "record_body", "inner_batch"],
    "route": ["route", "route_brokers", "cluster_info", "topic_list"],
    "topic_stats": ["topic_stats"],
}
NOT_DECODING = re.compile(r"encode|append|compress_with|_compress$|^rmq_body_compress|write|put_|free|deinit|unique|_init$|format|detach|"
                          r"take_back|memory|_ref$|_unref$|month_start|source|deflate|check_numbers|_failure$|no_room")
NO_MEMORY = re.compile(r"NOMEM|no_memory|no memory|out of memory|== NULL\)")


def replay(build, target):
    for old in glob.glob(os.path.join(build, "**", "*.gcda"), recursive=True):
        os.remove(old)
    subprocess.run([os.path.join(build, "tests", "fuzz", "fuzz_replay_" + target), os.path.join(HERE, "corpus", target)],
                   check=True, stdout=subprocess.DEVNULL)


def lines_of(build, name, part):
    """(source line number, count) of the decoding functions of proto/NAME.c with `part` in their names."""
    data = glob.glob(os.path.join(build, "proto", "*.p", name + ".c.gcda"))
    if not data:
        return []
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["gcov", "--json-format", "-o", os.path.dirname(data[0]), data[0]], cwd=directory, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with gzip.open(glob.glob(os.path.join(directory, "*.json.gz"))[0]) as text:
            seen = json.load(text)
    for file in seen["files"]:
        if file["file"].endswith("proto/%s.c" % name):
            return [(line["line_number"], line["count"]) for line in file["lines"]
                    if not NOT_DECODING.search(line.get("function_name") or "") and part in (line.get("function_name") or part)]
    return []


def measure(build, target):
    reached, missed = 0, []
    replay(build, target)
    for entry in DECODERS[target]:
        name, _, part = entry.partition(":")
        with open(os.path.join(ROOT, "proto", name + ".c")) as text:
            source = text.read().splitlines()
        for number, count in lines_of(build, name, part):
            nearby = " ".join(source[max(0, number - 2):number + 1])
            if count:
                reached += 1
            elif not NO_MEMORY.search(nearby):
                missed.append("%s.c:%d %s" % (name, number, source[number - 1].strip()))
    return reached, missed


def main():
    build = os.path.abspath(sys.argv[1])
    subprocess.run(["ninja", "-C", build, *("tests/fuzz/fuzz_replay_" + target for target in DECODERS)], check=True,
                   stdout=sys.stderr)
    good = 0
    for target in sorted(DECODERS):
        reached, missed = measure(build, target)
        total = reached + len(missed)
        share = 100.0 * reached / total if total else 0.0
        good += share >= LEAST
        print("%-14s %5.1f %% of %3d lines%s" % (target, share, total, "" if share >= LEAST else ": FAILED"), flush=True)
        for line in missed:
            print("    not reached: " + line)
    print("%d passed, %d failed" % (good, len(DECODERS) - good))
    sys.exit(0 if good == len(DECODERS) else 1)


main()
