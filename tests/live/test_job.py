#!/usr/bin/env python3
"""TAP: the demo's job through killed brokers and lost name servers; the ledger is this script's own.

usage: test_job.py MILLRACE        (with RMQ_TEST_NAMESRV, RMQ_TEST_CONTROL and RMQ_TEST_DIRECTORY)
"""
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from millrace import Directory, Millrace  # noqa: E402
from orders import Job, Orders, contents  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

namesrv = os.environ["RMQ_TEST_NAMESRV"]
millrace = Millrace(sys.argv[1], namesrv)


def control(action):
    subprocess.run([*os.environ["RMQ_TEST_CONTROL"].split(), action, os.environ["RMQ_TEST_DIRECTORY"]], check=True,
                   stdout=subprocess.DEVNULL)


def prepared(directory):
    """A topic of its own with its ledger, and a job that reads it."""
    topic = "Job%d" % int(time.time() * 1000)
    equal(millrace.run("topic", "create", topic, "--queues", "4")[0], 0)
    return Orders(millrace, topic, 50), Job(millrace, topic, directory)


def wait_applied(orders, job, process, seconds=60):
    """Until the running job has taken all that was sent."""
    deadline = time.time() + seconds
    while len(contents(job.database)["applied"]) < len(orders.sent):
        check(process.poll() is None, "the job ended: " + (process.stderr.read().decode() if process.poll() is not None else ""))
        check(time.time() < deadline, "not all of %d applied after %d s" % (len(orders.sent), seconds))
        time.sleep(0.05)


def stop(process):
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    equal(process.returncode, 0, err.decode())


def outlives(what, gone_for, count):
    """The job goes on by itself while `what` is killed and started again, and the books balance."""
    with Directory() as directory:
        orders, job = prepared(directory)
        orders.send(count)
        process = job.start()
        wait_applied(orders, job, process)
        control("kill-" + what)
        time.sleep(gone_for)
        check(process.poll() is None, "the job must outlive the " + what)
        control("start-" + what)
        for _ in range(200):  # brokers register every 30 s
            if millrace.run("topic", "describe", job.topic)[0] == 0:
                break
            time.sleep(0.3)
        orders.send(count)
        wait_applied(orders, job, process)
        stop(process)
        job.balance(orders)


@case("a broker killed and restarted in the middle: the job goes on by itself and the books balance")
def _():
    outlives("broker", 2, 3000)


@case("the name server lost: the job goes on; after its return too")
def _():
    outlives("namesrv", 3, 1000)


@case("the job killed again and again while orders come in")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        for round_number in range(6):
            process = job.start()
            orders.send(2000)
            time.sleep(0.1 * (round_number % 3))
            process.kill()
            process.communicate()
        job.balance(orders, timeout=120)


@case("a second process on a live checkpoint gets an error that names the first")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        orders.send(500)
        first = job.start()
        wait_applied(orders, job, first)
        second = job.start()
        _, err = second.communicate(timeout=30)
        equal(second.returncode, 1, err.decode())
        check(str(first.pid) in err.decode() and "--take-over" in err.decode(), err.decode())
        stop(first)
        job.balance(orders)


@case("stopped, taken over, continued: the old process says so and stops, the books balance")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        orders.send(1000)
        first = job.start()
        wait_applied(orders, job, first)
        first.send_signal(signal.SIGSTOP)
        second = job.start("--take-over")
        orders.send(1000)
        wait_applied(orders, job, second)
        first.send_signal(signal.SIGCONT)
        orders.send(1000)
        _, err = first.communicate(timeout=30)
        equal(first.returncode, 1, err.decode())
        check("took over" in err.decode() or "taken over" in err.decode(), err.decode())
        wait_applied(orders, job, second)
        stop(second)
        job.balance(orders)


main()
