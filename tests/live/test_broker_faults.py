#!/usr/bin/env python3
"""TAP: what becomes of a real broker (killed, moved in time, full, its topics changed) while the demo's job reads it.

usage: test_broker_faults.py MILLRACE        (with RMQ_TEST_NAMESRV, RMQ_TEST_CONTROL and RMQ_TEST_DIRECTORY)

0 lost, 0 twice, by a ledger of this script's own, or the stop that the documents promise. The moments come from
MILLRACE_SEED; MILLRACE_FAULT_SCALE says how often things happen.
"""
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import official  # noqa: E402
from millrace import Directory, Millrace  # noqa: E402
from orders import Job, Orders, complaint, contents  # noqa: E402
from rooms import Room  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

SEED = os.environ.get("MILLRACE_SEED", "1")
SCALE = int(os.environ.get("MILLRACE_FAULT_SCALE", "1"))
BACK_AT_WORK = 15  # seconds; 5 are promised, on a machine that has nothing else to do
BATCH = ("--batch", "100")

namesrv = os.environ["RMQ_TEST_NAMESRV"]
millrace = Millrace(sys.argv[1], namesrv)
chance = random.Random(SEED)
print("# seed %s, scale %d" % (SEED, SCALE), flush=True)


def control(action, *options):
    subprocess.run([*os.environ["RMQ_TEST_CONTROL"].split(), action, os.environ["RMQ_TEST_DIRECTORY"], *options], check=True,
                   stdout=subprocess.DEVNULL)


def wait_until(test, complaint, seconds=90):
    """Other processes do it; returns the seconds it took."""
    started = time.monotonic()
    while not test():
        check(time.monotonic() - started < seconds, "%s after %d s" % (complaint, seconds))
        time.sleep(0.05)
    return time.monotonic() - started


def new_topic(queues=4):
    topic = "Fault%d" % time.time_ns()
    equal(millrace.run("topic", "create", topic, "--queues", str(queues))[0], 0)
    return topic


def serves(topic):
    return millrace.run("topic", "describe", topic, "--connect-timeout", "1s")[0] == 0


class Work:
    """A topic with orders, and a job that reads it while things happen."""

    def __init__(self, directory, *options, **how):
        self.orders = Orders(millrace, new_topic(), customers=50)
        self.job = Job(millrace, self.orders.topic, directory)
        self.options, self.how = options, how
        self.process = None

    def start(self, *more):
        self.log = tempfile.TemporaryFile()
        self.process = self.job.start(*self.options, *more, stderr=self.log, **self.how)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode()

    def applied(self):
        try:
            return len(contents(self.job.database)["applied"])
        except sqlite3.Error:
            return 0

    def send(self, count):
        self.orders.send(count, *BATCH)

    def wait_applied(self, seconds=90):
        def done():
            check(self.process.poll() is None, "the job ended: " + self.said())
            return self.applied() >= len(self.orders.sent)
        return wait_until(done, "%d of %d applied" % (self.applied(), len(self.orders.sent)), seconds)

    def finish(self):
        """Stops the job cleanly, reads what is left, and balances the books."""
        self.process.send_signal(signal.SIGTERM)
        equal(self.process.wait(timeout=60), 0, self.said())
        self.job.balance(self.orders)


@case("a broker killed again and again, at seeded moments, while orders flow")
def _():
    with Directory() as directory:
        work = Work(directory)
        work.send(1000)
        work.start()
        work.wait_applied()
        slowest = 0.0
        for _ in range(min(2 + SCALE, 12)):
            work.send(500)
            time.sleep(chance.random() * 0.5)
            control("kill-broker")
            time.sleep(chance.random() * 2)
            control("start-broker")
            wait_until(lambda: serves(work.orders.topic), "the broker does not serve")
            work.send(500)
            slowest = max(slowest, work.wait_applied(BACK_AT_WORK))
        print("# back at work at most %.2f s after the broker" % slowest, flush=True)
        work.finish()


@case("a broker restarted in good order")
def _():
    with Directory() as directory:
        work = Work(directory)
        work.send(1000)
        work.start()
        work.wait_applied()
        control("stop-broker")
        control("start-broker")
        wait_until(lambda: serves(work.orders.topic), "the broker does not serve")
        work.send(1000)
        work.wait_applied(BACK_AT_WORK)
        work.finish()


@case("the broker's clock a day ahead, then an hour behind, while orders flow")
def _():
    with Directory() as directory:
        clock = directory("clock")
        work = Work(directory)
        work.send(200)
        work.start()
        work.wait_applied()
        for offset in ("+0", "+1d", "-1h"):
            with open(clock, "w") as file:
                file.write(offset + "\n")
            if offset == "+0":
                control("kill-broker")
                control("start-broker", "--clock", clock)
                wait_until(lambda: serves(work.orders.topic), "the broker does not serve")
            else:
                time.sleep(2.5)  # it reads the file once a second
            work.send(500)
            work.wait_applied(BACK_AT_WORK)
        stamps = {}
        for line in millrace.run("consume", "--topic", work.orders.topic, "--until", "end")[1].splitlines():
            message = json.loads(line)
            stamps.setdefault(round((message["storeTimestamp"] - time.time() * 1000) / 3600e3), 0)
        equal(sorted(stamps), [-1, 0, 24], "hours that the broker's clock was off, as it stored")
        work.finish()
        control("kill-broker")
        control("start-broker")
        wait_until(lambda: serves(work.orders.topic), "the broker does not serve")
        work.job.balance(work.orders)


@case("the job's clock a day ahead, then an hour behind, while it runs")
def _():
    with Directory() as directory:
        clock = directory("clock")
        work = Work(directory, environment=official.faked_clock(clock))
        for offset in ("+0", "+1d", "-1h"):
            with open(clock, "w") as file:
                file.write(offset + "\n")
            if work.process is None:
                work.start()
            else:
                time.sleep(2.5)
            work.send(500)
            work.wait_applied(BACK_AT_WORK)
        work.finish()
        code, out, err = millrace.run("checkpoint", "show", work.job.checkpoint, connect=False)
        equal(code, 0, err)


@case("the job's disk full: it says so and stops, and goes on when there is room")
def _():
    with Directory() as directory, Room(directory("room"), "1m") as room:
        work = Work(lambda name: os.path.join(room.path, name))
        work.start()
        work.send(300)
        work.wait_applied()
        filler = room.fill()
        work.send(20000)
        wait_until(lambda: work.process.poll() is not None, "the job went on without a disk")
        equal(work.process.returncode, 1, work.said())
        check("full" in work.said() or "space" in work.said().lower(), work.said())
        os.remove(filler)
        room.resize("64m")
        work.job.balance(work.orders)


@case("topic's queues grown while it runs")
def _():
    with Directory() as directory:
        work = Work(directory)
        work.start()
        work.send(500)
        work.wait_applied()
        equal(millrace.run("topic", "create", work.orders.topic, "--queues", "9")[0], 0)
        for _ in range(20):
            work.send(100)
        work.wait_applied()
        described = [json.loads(line) for line in millrace.run("topic", "describe", work.orders.topic, "--json")[1].splitlines()]
        equal(len(described), 9)
        check(sum(1 for queue in described if queue["maxOffset"] > 0) > 4, described)
        work.finish()


@case("a topic deleted and made anew is another topic: the job stops and names it; --on-data-loss skip goes on")
def _():
    with Directory() as directory:
        work = Work(directory)
        work.send(800)
        work.start()
        work.wait_applied()
        work.process.send_signal(signal.SIGTERM)
        equal(work.process.wait(timeout=60), 0, work.said())
        topic = work.orders.topic
        equal(millrace.run("topic", "delete", topic)[0], 0)
        time.sleep(1)
        equal(millrace.run("topic", "create", topic, "--queues", "4")[0], 0)
        # As many as before and more, so that every old offset is a legal one of the new topic.
        before = len(work.orders.sent)
        work.send(2 * before)
        wait_until(lambda: stored(topic) == 2 * before, "the new topic does not show its messages")
        complaint(work.job.run(), 1, topic)
        equal(len(contents(work.job.database)["applied"]), before, "nothing of the new topic was taken")
        code, _, err = work.job.run("--on-data-loss", "skip")
        equal(code, 0, err)
        applied = contents(work.job.database)["applied"]
        equal(applied, {order["orderNo"]: 1 for order in work.orders.sent}, "old and new, each once")


def stored(topic):
    described = [json.loads(line) for line in millrace.run("topic", "describe", topic, "--json")[1].splitlines()]
    return sum(queue["maxOffset"] - queue["minOffset"] for queue in described)


class Full:
    """A broker of its own on a small file system. It refuses messages from nine tenths on. If the file system were full to
    the last page its mapped files would fault, and 5.4.0 then loses messages that it had acknowledged: nothing
    that a client could make good."""

    def __init__(self, directory):
        self.room = Room(directory("store"), "48m")
        version = os.environ["RMQ_TEST_VERSION"]
        small = "mappedFileSizeCommitLog" if version.startswith("5.") else "mapedFileSizeCommitLog"
        queue = "mappedFileSizeConsumeQueue" if version.startswith("5.") else "mapedFileSizeConsumeQueue"
        self.state = official.start(self.room.path, version, settings=[
            small + "=4194304", queue + "=60000", "maxIndexNum=1000", "maxHashSlotNum=500", "cleanFileForciblyEnable=false"])
        self.namesrv = "127.0.0.1:%d" % self.state["namesrv_port"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        official.stop(self.state)
        self.room.__exit__()


@case("the broker's disk full: sends fail, nothing that was acknowledged is lost, and it all goes on when there is room")
def _():
    with Directory() as directory, Full(directory) as full:
        mine = Millrace(sys.argv[1], full.namesrv)
        topic = "Full%d" % time.time_ns()
        equal(mine.run("topic", "create", topic, "--queues", "4")[0], 0)
        orders, job = Orders(mine, topic, customers=50), Job(mine, topic, directory)
        orders.send(1000, *BATCH)
        log = tempfile.TemporaryFile()
        process = job.start(stderr=log)
        refusal = ""
        for _ in range(600):
            few = full.room.used() > 0.91  # the broker refuses from 0.9 on, but looks only every ten seconds
            some = [dict(orders.order(len(orders.sent) + i), note="x" * 1000) for i in range(1 if few else 100)]
            code, _, err = mine.run("produce", "--topic", topic, *BATCH, input="".join(json.dumps(one) + "\n" for one in some))
            if code != 0:
                refusal = err
                break
            orders.sent += some
            if few:
                time.sleep(0.5)
        check("SERVICE_NOT_AVAILABLE" in refusal or "DISK" in refusal.upper(), "the broker never was full: " + refusal)
        check(process.poll() is None, "the job must outlive a broker without room")
        full.room.resize("256m")
        wait_until(lambda: mine.run("produce", "--topic", topic, input=json.dumps(orders.order(len(orders.sent))) + "\n")[0] == 0,
                   "the broker takes nothing though there is room")
        orders.sent.append(orders.order(len(orders.sent)))
        wait_until(lambda: len(contents(job.database)["applied"]) >= len(orders.sent), "not all that was acknowledged came")
        process.send_signal(signal.SIGTERM)
        equal(process.wait(timeout=60), 0)
        code, _, err = job.run()
        equal(code, 0, err)
        orders.check(job.database)


main()
