#!/usr/bin/env python3
"""TAP: the demo's job through killed brokers and lost name servers; the ledger is this script's own.

usage: test_job.py MILLRACE        (with RMQ_TEST_NAMESRV, RMQ_TEST_CONTROL and RMQ_TEST_DIRECTORY)
"""
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from millrace import Directory, Millrace  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

namesrv = os.environ["RMQ_TEST_NAMESRV"]
millrace = Millrace(sys.argv[1], namesrv)


def control(action):
    subprocess.run([*os.environ["RMQ_TEST_CONTROL"].split(), action, os.environ["RMQ_TEST_DIRECTORY"]], check=True,
                   stdout=subprocess.DEVNULL)


def order(number):
    return json.dumps({"orderNo": "o-%d" % number, "customer": "c-%d" % (number % 50), "cost": number % 97 + 1})


class Job:
    """A topic, a ledger, and `millrace demo job` reading into a database."""

    def __init__(self, directory):
        self.topic = "Job%d" % int(time.time() * 1000)
        self.database, self.checkpoint = directory("orders.db"), directory("checkpoint")
        self.sent = 0
        equal(millrace.run("topic", "create", self.topic, "--queues", "4")[0], 0)

    def send(self, count):
        """Appends orders; all are acknowledged, or the test fails."""
        text = "".join(order(number) + "\n" for number in range(self.sent, self.sent + count))
        code, _, err = millrace.run("produce", "--topic", self.topic, "--batch", "100", input=text)
        equal(code, 0, err)
        self.sent += count

    def start(self, *more):
        return millrace.start("demo", "job", "--topic", self.topic, "--db", self.database, "--checkpoint", self.checkpoint,
                              "--interval", "50ms", *more)

    def applied(self):
        if not os.path.exists(self.database):
            return 0
        with sqlite3.connect(self.database, timeout=20) as database:
            try:
                return database.execute("SELECT count(*) FROM applied").fetchone()[0]
            except sqlite3.OperationalError:
                return 0

    def wait_applied(self, count, process, seconds=60):
        deadline = time.time() + seconds
        while self.applied() < count:
            check(process.poll() is None, "the job ended: " + (process.stderr.read().decode() if process.poll() is not None else ""))
            check(time.time() < deadline, "%d of %d applied after %d s" % (self.applied(), count, seconds))
            time.sleep(0.05)

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        equal(process.returncode, 0, err.decode())

    def balance(self):
        code, _, err = millrace.run("demo", "job", "--topic", self.topic, "--db", self.database, "--checkpoint", self.checkpoint,
                                    "--until", "end", timeout=120)
        equal(code, 0, err)
        with sqlite3.connect(self.database, timeout=20) as database:
            applied = dict(database.execute("SELECT orderNo, times FROM applied"))
            totals = dict(database.execute("SELECT customer, total FROM totals"))
        expected = {}
        for number in range(self.sent):
            expected["c-%d" % (number % 50)] = expected.get("c-%d" % (number % 50), 0) + number % 97 + 1
        equal(applied, {"o-%d" % number: 1 for number in range(self.sent)}, "applied")
        equal(totals, expected, "totals")


@case("a broker killed and restarted in the middle: the job goes on by itself and the books balance")
def _():
    with Directory() as directory:
        job = Job(directory)
        job.send(3000)
        process = job.start()
        job.wait_applied(3000, process)
        control("kill-broker")
        time.sleep(2)
        check(process.poll() is None, "the job must outlive its broker")
        control("start-broker")
        for _ in range(100):
            if millrace.run("topic", "describe", job.topic)[0] == 0:
                break
            time.sleep(0.3)
        job.send(3000)
        job.wait_applied(6000, process)
        job.stop(process)
        job.balance()


@case("the name server lost: the job goes on; after its return too")
def _():
    with Directory() as directory:
        job = Job(directory)
        job.send(1000)
        process = job.start()
        job.wait_applied(1000, process)
        control("kill-namesrv")
        time.sleep(3)
        check(process.poll() is None, "the job must outlive the name server")
        control("start-namesrv")
        for _ in range(200):  # brokers register every 30 s
            if millrace.run("topic", "describe", job.topic)[0] == 0:
                break
            time.sleep(0.3)
        job.send(1000)
        job.wait_applied(2000, process)
        job.stop(process)
        job.balance()


@case("the job killed again and again while orders come in")
def _():
    with Directory() as directory:
        job = Job(directory)
        for round_number in range(6):
            process = job.start()
            job.send(2000)
            time.sleep(0.1 * (round_number % 3))
            process.kill()
            process.communicate()
        job.balance()


@case("a second process on a live checkpoint gets an error that names the first")
def _():
    with Directory() as directory:
        job = Job(directory)
        job.send(500)
        first = job.start()
        job.wait_applied(500, first)
        second = job.start()
        _, err = second.communicate(timeout=30)
        equal(second.returncode, 1, err.decode())
        check(str(first.pid) in err.decode() and "--take-over" in err.decode(), err.decode())
        job.stop(first)
        job.balance()


@case("stopped, taken over, continued: the old process says so and stops, the books balance")
def _():
    with Directory() as directory:
        job = Job(directory)
        job.send(1000)
        first = job.start()
        job.wait_applied(1000, first)
        first.send_signal(signal.SIGSTOP)
        second = job.start("--take-over")
        job.send(1000)
        job.wait_applied(2000, second)
        first.send_signal(signal.SIGCONT)
        job.send(1000)
        _, err = first.communicate(timeout=30)
        equal(first.returncode, 1, err.decode())
        check("took over" in err.decode() or "taken over" in err.decode(), err.decode())
        job.wait_applied(3000, second)
        job.stop(second)
        job.balance()


main()
