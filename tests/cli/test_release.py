#!/usr/bin/env python3
"""TAP: checkpoints and databases of every release are read, gone on with, or refused by name.   usage: test_release.py MILLRACE

tests/golden/release-* is what a job of that version left, made by tests/golden/make_release.py: three batches done, the
fourth planned, 40 orders in all. Only copies are used.
"""
import glob
import json
import os
import shutil
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import peers  # noqa: E402
from millrace import Broker, Directory, Millrace  # noqa: E402
from orders import Job, Orders, complaint, contents  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

program = sys.argv[1]
releases = sorted(glob.glob(os.path.join(HERE, "..", "golden", "release-*")))
SENT = 40


class Copy:
    """A release's files in a directory of the test's own, and a ledger of what was sent then."""

    def __init__(self, release, directory):
        self.directory = directory
        for name in ("checkpoint", "broker"):
            shutil.copytree(os.path.join(release, name), directory(name))
        shutil.copy(os.path.join(release, "orders.db"), directory("orders.db"))

    def job(self, broker):
        millrace = Millrace(program, broker.namesrv)
        orders = Orders(millrace, "Orders", 5)
        orders.sent = [orders.order(number) for number in range(SENT)]
        return orders, Job(millrace, "Orders", self.directory)

    def text(self, name):
        with open(self.directory("checkpoint/" + name)) as file:
            return file.read()


def each(name):
    def register(function):
        for release in releases:
            @case("%s: %s" % (os.path.basename(release), name))
            def _(release=release):
                with Directory() as directory:
                    function(Copy(release, directory))
    return register


@case("there is at least one release")
def _():
    check(releases, "tests/golden/release-* is missing")


@each("checkpoint show reads it")
def _(copy):
    millrace = Millrace(program)
    code, out, err = millrace.run("checkpoint", "show", copy.directory("checkpoint"))
    equal((code, err), (0, ""))
    for part in ("demo", "3 done", "4 planned and not finished", "Orders"):
        check(part in out, out)
    code, out, err = millrace.run("checkpoint", "show", copy.directory("checkpoint"), "--json")
    equal((code, err), (0, ""))
    shown = json.loads(out)
    equal((shown["meta"]["format"], shown["meta"]["name"], shown["lastPlanned"], shown["lastDone"]), (1, "demo", 4, 3))


@each("the job goes on: the unfinished batch as it was planned, then the rest, and the books balance")
def _(copy):
    planned = copy.text("plan/4")
    with Broker(program, "--directory", copy.directory("broker")) as broker:
        orders, job = copy.job(broker)
        equal(len(contents(job.database)["applied"]), 30, "applied before")
        code, out, err = job.run("-v")
        equal((code, out), (0, ""), err)
        check("batch 4 (again)" in err, err)
        equal(copy.text("plan/4"), planned, "plan/4")
        orders.check(job.database)
        orders.send(10)
        job.balance(orders)


@each("with a new checkpoint it goes on from the database's own offsets")
def _(copy):
    with Broker(program, "--directory", copy.directory("broker")) as broker:
        orders, job = copy.job(broker)
        job.checkpoint = copy.directory("new")
        complaint(job.run(), 1, "--adopt-sink")
        code, out, err = job.run("--adopt-sink")
        equal((code, out), (0, ""), err)
        orders.check(job.database)


@each("a topic with fewer messages than were read: refused, with queue and offsets")
def _(copy):
    with Broker(program, "--topic", "Orders:2") as broker:
        _, job = copy.job(broker)
        before = contents(job.database)
        code, out, err = job.run()
        last = err.splitlines()[-1] + "\n"  # before it, the doubt is logged: brokers that have just started say this, too
        complaint((code, out, last), 1, "Orders/broker-a/", "available are 0 to 0", "--on-data-loss skip")
        equal(contents(job.database), before, "the database")


@each("a topic with other messages at the same offsets: refused, with queue and offset")
def _(copy):
    with Broker(program, "--topic", "Orders:2") as broker:
        orders, job = copy.job(broker)
        orders.sent = [orders.order(number) for number in range(80)]
        for number, order in enumerate(orders.sent):
            peers.send_raw(broker.address, "Orders", number % 2, json.dumps(order).encode())
        before = contents(job.database)
        complaint(job.run(), 1, "Orders/broker-a/", "another record", "--on-data-loss skip")
        equal(contents(job.database), before, "the database")
        code, out, err = job.run("--on-data-loss", "skip")
        equal((code, out), (0, ""), err)
        seen = contents(job.database)["applied"]
        check(set(seen) >= {order["orderNo"] for order in orders.sent[30:]}, "what is there now is read")


@each("its next format would be refused by name")
def _(copy):
    meta = json.loads(copy.text("meta.json").splitlines()[0])
    for newer in (2, 99):
        meta["format"] = newer
        body = json.dumps(meta, separators=(",", ":"))
        for checksum in ("crc32 %08x" % zlib.crc32(body.encode()), "sha256 of another kind"):
            with open(copy.directory("checkpoint/meta.json"), "w") as file:
                file.write("%s\n%s\n" % (body, checksum))
            complaint(Millrace(program).run("checkpoint", "show", copy.directory("checkpoint")), 1, "format %d" % newer,
                      "the version that wrote it")
            with Broker(program, "--directory", copy.directory("broker")) as broker:
                complaint(copy.job(broker)[1].run(), 1, "format %d" % newer, "the version that wrote it")


main()
