#!/usr/bin/env python3
"""TAP: the examples do what their first lines say.   usage: test_examples.py MILLRACE COUNT"""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Directory, Millrace  # noqa: E402
from tap import case, check, equal, main, run  # noqa: E402

program, count = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
outside = os.environ.get("RMQ_TEST_NAMESRV")
broker = None if outside else Broker(program)
namesrv = outside or broker.namesrv
millrace = Millrace(program, namesrv)
topic = "Examples%d" % int(time.time() * 1000)


def run_until(directory, wanted):
    """Runs count until it has seen `wanted` messages, then kills it: the numbers of its batches and their counts."""
    process = subprocess.Popen([count, namesrv, topic], cwd=directory.path, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    batches = []
    try:
        while sum(n for _, n in batches) < wanted:
            line = process.stdout.readline().decode()
            found = re.match(r"batch (\d+): (\d+) messages\n$", line)
            check(found is not None, "%r %s" % (line, process.stderr.read().decode() if not line else ""))
            batches.append((int(found.group(1)), int(found.group(2))))
    finally:
        process.kill()
        process.communicate()
    return batches


@case("count: counts each message once, and goes on where it was")
def _():
    equal(millrace.run("topic", "create", topic)[0], 0)
    with Directory() as directory:
        equal(millrace.run("produce", "--topic", topic, input="x\n" * 1000)[0], 0)
        first = run_until(directory, 1000)
        equal(sum(n for _, n in first), 1000)
        equal(millrace.run("produce", "--topic", topic, input="y\n" * 17)[0], 0)
        again = run_until(directory, 17)
        # foreach_batch is at least once: the last batch may come again, with the same number and the same rows
        repeated = dict(first)
        fresh = [(batch, n) for batch, n in again if batch not in repeated]
        check(all(repeated[batch] == n for batch, n in again if batch in repeated), "%r %r" % (first, again))
        if sum(n for _, n in again) == 17 + sum(n for batch, n in again if batch in repeated):
            equal(sum(n for _, n in fresh), 17, "%r" % again)


@case("count: says what is wrong")
def _():
    with Directory() as directory:
        code, out, err = run([count], cwd=directory.path, timeout=60)
        equal((code, out), (1, ""))
        check(err.startswith("count: "), err)


main()
if broker is not None:
    broker.stop()
