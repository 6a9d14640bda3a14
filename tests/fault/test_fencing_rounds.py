#!/usr/bin/env python3
"""TAP: two live processes on one checkpoint, round after round: one is stopped at a seeded moment, the other takes over, the
first goes on. It must be refused, say so and stop, and each order has taken effect once.

usage: test_fencing_rounds.py MILLRACE        (200 rounds at MILLRACE_FAULT_SCALE=100)
"""
import collections
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Directory, Millrace  # noqa: E402
from orders import Job, Orders  # noqa: E402
from tap import Failed, case, check, equal, main  # noqa: E402

SCALE = float(os.environ.get("MILLRACE_FAULT_SCALE", "1"))
SEED = os.environ.get("MILLRACE_SEED") or str(int(time.time()))
ROUNDS = max(8, int(2 * SCALE))
MOST_CONTROL_ROUNDS = 60

broker = Broker(sys.argv[1])
millrace = Millrace(sys.argv[1], broker.namesrv)
print("# seed %s, %d rounds" % (SEED, ROUNDS), flush=True)


class Relay:
    """A job that one process after another runs."""

    def __init__(self, name, directory, *options):
        equal(millrace.run("topic", "create", name, "--queues", "3")[0], 0)
        self.orders, self.job = Orders(millrace, name), Job(millrace, name, directory)
        self.options, self.fenced = options, "--unsafe" not in options
        self.chance = random.Random("%s %s" % (SEED, name))
        self.endings = collections.Counter()
        self.seen = 0
        self.process = self.start()

    def start(self, *more):
        log = tempfile.TemporaryFile()
        process = self.job.start("--batch-orders", "5", *self.options, *more, stderr=log)
        process.log = log
        return process

    def epoch(self):
        """Of the newest process that has the checkpoint."""
        try:
            return max((int(name) for name in os.listdir(os.path.join(self.job.checkpoint, "epoch"))), default=0)
        except FileNotFoundError:
            return 0

    def wait_epoch(self, beyond):
        deadline = time.monotonic() + 60
        while self.epoch() <= beyond:
            check(time.monotonic() < deadline, "no process has taken the checkpoint: " + self.said(self.process))
            time.sleep(0.002)

    def said(self, process):
        process.log.seek(0)
        return process.log.read().decode().strip()

    def round(self):
        """One take-over. The old process is stopped while it has work, and goes on while the new one has."""
        old = self.process
        self.wait_epoch(self.seen)  # who is stopped before it has its epoch would be the newer one
        self.seen = self.epoch()
        self.orders.send(self.chance.randrange(20, 60))
        time.sleep(self.chance.random() * 0.12)
        old.send_signal(signal.SIGSTOP)
        self.process = self.start("--take-over")
        time.sleep(self.chance.random() * 0.3)
        self.orders.send(self.chance.randrange(5, 20))
        old.send_signal(signal.SIGCONT)
        try:
            code = old.wait(timeout=60 if self.fenced else 2)
        except subprocess.TimeoutExpired:
            old.kill()
            check(not self.fenced, "the old process went on for a minute: " + self.said(old))
            return  # without a fence nobody tells it
        text = self.said(old)
        equal(code, 1, "the old process: " + text)
        check("a newer process took over" in text and text.count("\n") <= 1, "the old process said: " + text)
        self.endings[re.sub(r"[0-9]+", "N", text.split("newer process took over")[1])[:40]] += 1
        check(self.process.poll() is None, "the new process ended: " + self.said(self.process))

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        equal(self.process.wait(timeout=60), 0, self.said(self.process))
        self.job.balance(self.orders, *self.options)


@case("each old process is refused, and the books balance")
def _():
    with Directory() as directory:
        relay = Relay("Fencing", directory)
        for number in range(ROUNDS):
            try:
                relay.round()
            except Failed as failure:
                raise Failed("round %d: %s" % (number, failure)) from None
        relay.finish()
        for ending, count in sorted(relay.endings.items()):
            print("# %d times: a newer process took over%s..." % (count, ending), flush=True)


@case("control: with the offsets outside of the transaction the same rounds lose or repeat orders")
def _():
    with Directory() as directory:
        relay = Relay("Unfenced", directory, "--unsafe")
        for number in range(MOST_CONTROL_ROUNDS):
            relay.round()
            if number % 5 == 4:
                try:
                    relay.finish()
                except Failed:
                    print("# found after %d rounds" % (number + 1), flush=True)
                    return
                relay.seen = relay.epoch()
                relay.process = relay.start()
        check(False, "%d rounds without a lost or repeated order: this test sees nothing" % MOST_CONTROL_ROUNDS)


main()
broker.stop()
