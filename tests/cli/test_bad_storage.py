#!/usr/bin/env python3
"""TAP: checkpoints and databases that are damaged, foreign, locked, read-only or full: one sentence, nothing lost.

usage: test_bad_storage.py MILLRACE

Each case ends with the cure that the sentence names, and the balance against this script's own ledger.
"""
import glob
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Directory, Millrace  # noqa: E402
from orders import Job, Orders, complaint, contents  # noqa: E402
from rooms import Room, enter_namespace  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

enter_namespace()
broker = Broker(sys.argv[1])
millrace = Millrace(sys.argv[1], broker.namesrv)
topics = 0


def prepared(directory, count=120):
    """A topic with orders, and a job that has taken them."""
    global topics
    topics += 1
    topic = "Stored%d" % topics
    equal(millrace.run("topic", "create", topic, "--queues", "2"), (0, "", ""), "topic create")
    orders, job = Orders(millrace, topic), Job(millrace, topic, directory)
    if count:
        orders.send(count)
        job.balance(orders)
    return orders, job


def wait_for(condition, what, seconds=60):
    deadline = time.time() + seconds
    while not condition():
        check(time.time() < deadline, "%s did not come within %d s" % (what, seconds))
        time.sleep(0.02)


def numbers(checkpoint, kind):
    return sorted(int(name.split(".")[0]) for name in os.listdir(os.path.join(checkpoint, kind)))


def copy_of(job, directory, name):
    """The same job on copies of checkpoint and database."""
    copy = Job(millrace, job.topic, directory, name + ".db", name)
    shutil.copytree(job.checkpoint, copy.checkpoint)
    connection = sqlite3.connect(job.database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    shutil.copy(job.database, copy.database)
    return copy


def running(orders, job):
    """The job, started and past its first batch."""
    process = job.start()
    orders.send(1)
    wait_for(lambda: len(contents(job.database)["applied"]) == len(orders.sent) or process.poll() is not None, "all orders")
    check(process.poll() is None, "the job ended")
    return process


def kill_in_a_batch(orders, job):
    """Leaves a batch that is planned and not done: the job is killed while it waits for the database."""
    process = running(orders, job)
    holder = sqlite3.connect(job.database, isolation_level=None, timeout=20)
    holder.execute("BEGIN IMMEDIATE")
    last = numbers(job.checkpoint, "plan")[-1]
    orders.send(40)
    wait_for(lambda: numbers(job.checkpoint, "plan")[-1] > last, "a plan")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    holder.execute("ROLLBACK")
    holder.close()
    check(numbers(job.checkpoint, "plan")[-1] > numbers(job.checkpoint, "done")[-1], "a batch is unfinished")


def damage(path, how):
    with open(path, "rb") as file:
        data = file.read()
    changed = {"a flipped bit": data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1:],
               "cut": data[:-7], "cut in the middle": data[:len(data) // 2], "empty": b"",
               "twice": data + data, "zeros": bytes(len(data))}
    with open(path, "wb") as file:
        file.write(changed[how])


DAMAGES = ("a flipped bit", "cut", "cut in the middle", "empty", "twice", "zeros")


def deciding(checkpoint):
    """The files that the next start stands on, of each kind one."""
    plan = "plan/%d" % numbers(checkpoint, "plan")[-1]
    states = sorted(os.listdir(os.path.join(checkpoint, "state")), key=lambda name: int(name.split(".")[0]))
    return ["meta.json", plan, "state/" + states[-1]] + (["floor"] if os.path.exists(checkpoint + "/floor") else [])


# ---- damaged checkpoints ----


@case("a damaged file of a checkpoint: named, nothing done; a copy put back cures it, and so does a new checkpoint")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        kill_in_a_batch(orders, job)
        names = deciding(job.checkpoint)
        equal(len(names), 3, "kinds")
        for name in names:
            for how in DAMAGES:
                copy = copy_of(job, directory, "copy")
                before = contents(copy.database)
                damage(os.path.join(copy.checkpoint, name), how)
                what = "%s, %s" % (name, how)
                complaint(copy.run(), 1, "checkpoint file %s in %s" % (name, copy.checkpoint), "put it back", "--adopt-sink")
                if not name.startswith("state") or how == "cut":
                    complaint(millrace.run("checkpoint", "show", copy.checkpoint, connect=False), 1, name)
                equal(contents(copy.database), before, what)
                shutil.copy(os.path.join(job.checkpoint, name), os.path.join(copy.checkpoint, name))
                copy.balance(orders)
                shutil.rmtree(copy.checkpoint)
                os.remove(copy.database)
        for name in names:
            copy = copy_of(job, directory, "adopted")
            damage(os.path.join(copy.checkpoint, name), "cut")
            complaint(copy.run(), 1, name)
            copy.checkpoint = directory("fresh")
            complaint(copy.run(), 1, copy.database, "--adopt-sink")
            code, out, err = copy.run("--adopt-sink")
            equal((code, out), (0, ""), err)
            orders.check(copy.database)
            for gone in (directory("fresh"), directory("adopted")):
                shutil.rmtree(gone)
            os.remove(copy.database)


@case("files that nothing stands on: a damaged done, epoch, lock or old state changes nothing")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        for name in ("done/1", "epoch/1", "lock", "state/0.start"):
            for how in DAMAGES:
                copy = copy_of(job, directory, "copy")
                damage(os.path.join(copy.checkpoint, name), how)
                copy.balance(orders)
                shutil.rmtree(copy.checkpoint)
                os.remove(copy.database)


@case("a damaged floor; and a database or checkpoint older than the floor")
def _():
    with Directory() as directory:
        orders, job = prepared(directory, 10)
        copy_of(job, directory, "old")
        process = job.start()
        for _ in range(115):  # a hundred batches are kept, and the floor is raised by tens
            last = numbers(job.checkpoint, "done")[-1]
            orders.send(1)
            wait_for(lambda: numbers(job.checkpoint, "done")[-1] > last, "a batch")
        wait_for(lambda: os.path.exists(job.checkpoint + "/floor"), "a floor")
        process.send_signal(signal.SIGTERM)
        equal(process.communicate(timeout=30)[0], b"")
        job.balance(orders)
        for how in DAMAGES:
            copy = copy_of(job, directory, "copy")
            damage(copy.checkpoint + "/floor", how)
            complaint(copy.run(), 1, "checkpoint file floor", "--adopt-sink")
            shutil.rmtree(copy.checkpoint)
            os.remove(copy.database)
        old = Job(millrace, job.topic, directory, "old.db", "checkpoint")
        before = contents(old.database)
        complaint(old.run(), 1, "older copy", "put a newer copy of it back")
        equal(contents(old.database), before, "the older database")
        old = Job(millrace, job.topic, directory, "orders.db", "old")
        complaint(old.run(), 1, "older copy", "--adopt-sink")
        job.balance(orders)


# ---- checkpoints of others ----


def rewrite_meta(checkpoint, change):
    path = os.path.join(checkpoint, "meta.json")
    with open(path) as file:
        meta = json.loads(file.read().splitlines()[0])
    change(meta)
    body = json.dumps(meta, separators=(",", ":"))
    with open(path, "w") as file:
        file.write("%s\ncrc32 %08x\n" % (body, zlib.crc32(body.encode())))


@case("a checkpoint of a newer format, another name, another topic: refused by name, and left alone")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        newer = copy_of(job, directory, "newer")
        rewrite_meta(newer.checkpoint, lambda meta: meta.update(format=2))
        complaint(newer.run(), 1, newer.checkpoint, "format 2", "the version that wrote it")
        complaint(millrace.run("checkpoint", "show", newer.checkpoint, connect=False), 1, "format 2", "the version that wrote it")
        other = copy_of(job, directory, "other")
        rewrite_meta(other.checkpoint, lambda meta: meta.update(name="invoices"))
        complaint(other.run(), 1, other.checkpoint, '"invoices"', '"demo"', "a checkpoint of its own")
        elsewhere, _ = prepared(directory, 0)
        strange = copy_of(job, directory, "strange")
        strange.topic = elsewhere.topic
        complaint(strange.run(), 1, strange.checkpoint, job.topic + '"', elsewhere.topic + '"', "a checkpoint of its own")
        strange.topic = job.topic
        for copy in (other, strange):
            if copy is other:
                rewrite_meta(copy.checkpoint, lambda meta: meta.update(name="demo"))
            copy.balance(orders)


@case("a database of another stream: both are named, and three ways out")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        other = Job(millrace, job.topic, directory, "orders.db", "second")
        before = contents(job.database)
        complaint(other.run(), 1, other.database, "stream", "use that checkpoint", "--adopt-sink", "another database")
        equal(contents(job.database), before, "the database")
        job.balance(orders)


@case("no checkpoint: a file, a path below a file, a directory of something else")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        with open(directory("file"), "w") as file:
            file.write("x")
        for place in (directory("file"), directory("file") + "/below"):
            wrong = Job(millrace, job.topic, directory)
            wrong.checkpoint = place
            complaint(wrong.run(), 1, place)
            complaint(millrace.run("checkpoint", "show", place, connect=False), 1, place)
        os.mkdir(directory("photos"))
        complaint(millrace.run("checkpoint", "show", directory("photos"), connect=False), 1, "photos", "no checkpoint")
        job.balance(orders)


# ---- databases ----


@case("a database that another program has locked: the job says so, waits, and goes on; a start gives up and says so")
def _():
    with Directory() as directory, Directory() as second_directory:
        orders, job = prepared(directory)
        other_orders, other = prepared(second_directory)
        process = running(orders, job)
        holders = [sqlite3.connect(path, isolation_level=None) for path in (job.database, other.database)]
        for holder in holders:
            holder.execute("BEGIN IMMEDIATE")
        orders.send(50)
        other_orders.send(50)
        complaint(other.run(), 1, other.database, "locked by another program", "let that program end")
        equal(len(contents(job.database)["applied"]), 121, "before the lock is given back")
        time.sleep(1)
        for holder in holders:
            holder.execute("ROLLBACK")
            holder.close()
        wait_for(lambda: len(contents(job.database)["applied"]) == len(orders.sent), "all orders")
        check(process.poll() is None, "the job goes on")
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=30)[1].decode()
        equal(process.returncode, 0, err)
        check("locked by another program" in err and "tried again" in err and job.database in err, err)
        job.balance(orders)
        other.balance(other_orders)


@case("a database that is none: text, a directory, a device, a damaged one, one without its directory")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        with open(directory("text.db"), "w") as file:
            file.write("these are no tables\n" * 100)
        os.mkdir(directory("directory.db"))
        os.mkfifo(directory("fifo.db"))
        for name, what in (("text.db", "not an SQLite database"), ("directory.db", "is a directory"),
                           ("fifo.db", "not a regular file"), ("missing/orders.db", "create it")):
            wrong = Job(millrace, job.topic, directory, name)
            complaint(wrong.run(), 1, wrong.database, what)
        with open(directory("text.db")) as file:
            equal(file.read(), "these are no tables\n" * 100, "the text")
        check(not os.path.exists(directory("missing")), "no directory is made for a database")
        damaged = copy_of(job, directory, "damaged")
        with open(damaged.database, "r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (os.path.getsize(damaged.database) - 4096))
        complaint(damaged.run(), 1, damaged.database, "damaged", "put a copy of it back")
        job.balance(orders)


@case("a table of the user's that doesn't fit")
def _():
    with Directory() as directory:
        orders, job = prepared(directory, 0)
        connection = sqlite3.connect(job.database)
        connection.execute("CREATE TABLE totals(something INTEGER)")
        connection.close()
        orders.send(10)
        complaint(job.run(), 1, job.database, "totals")
        connection = sqlite3.connect(job.database)
        connection.execute("DROP TABLE totals")
        connection.close()
        job.balance(orders)


def deny(path, yes):
    """Takes the right to write away from everything below `path`, or gives it back."""
    for place in [path, *glob.glob(path + "/**", recursive=True)]:
        directory = os.path.isdir(place)
        os.chmod(place, (0o500 if directory else 0o400) if yes else (0o700 if directory else 0o600))


@case("a database and a checkpoint that may only be read")
def _():
    with Directory() as directory, Directory() as room_directory:
        orders, job = prepared(directory)
        orders.send(30)
        if os.geteuid() == 0:  # root may write everywhere but on a read-only file system
            with Room(room_directory("room"), "4m") as room:
                for what in (job.checkpoint, job.database):
                    (shutil.copytree if os.path.isdir(what) else shutil.copy)(what, room_directory("room/" + os.path.basename(what)))
                room.writable(False)
                read_only(Job(millrace, job.topic, directory, room_directory("room/orders.db"), "checkpoint"))
                read_only(Job(millrace, job.topic, directory, "orders.db", room_directory("room/checkpoint")))
                code, out, err = millrace.run("checkpoint", "show", room_directory("room/checkpoint"), connect=False)
                equal((code, err), (0, ""), "reading is allowed")
        else:
            for place in (job.checkpoint, job.database):
                deny(place, True)
                read_only(job)
                deny(place, False)
        job.balance(orders)


def read_only(job):
    line = complaint(job.run(), 1)
    check("read-only" in line.lower() or "denied" in line, line)


@case("a full disk for the checkpoint: the job stops and says so; with room again nothing is lost or twice")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        with Room(directory("room"), "1m") as room:
            tight = Job(millrace, job.topic, directory, "orders.db", "room/checkpoint")
            shutil.copytree(job.checkpoint, tight.checkpoint)
            process = tight.start()
            wait_for(lambda: len(numbers(tight.checkpoint, "epoch")) > len(numbers(job.checkpoint, "epoch")), "the start")
            filler = room.fill()
            orders.send(200)
            out, err = process.communicate(timeout=60)
            complaint((process.returncode, out.decode(), err.decode()), 1, "checkpoint", "No space left")
            complaint(tight.run(), 1, "checkpoint", "No space left")
            code, out, err = millrace.run("checkpoint", "show", tight.checkpoint, connect=False)
            equal((code, err), (0, ""), "looking writes nothing")
            os.remove(filler)
            tight.balance(orders)


@case("a full disk for the database: the job stops and says so; with room again nothing is lost or twice")
def _():
    with Directory() as directory:
        orders, job = prepared(directory)
        with Room(directory("room"), "2m") as room:
            tight = Job(millrace, job.topic, directory, "room/orders.db")
            copy_of(job, directory, "room/copy")
            os.rename(directory("room/copy.db"), tight.database)
            process = tight.start()
            orders.send(1)
            wait_for(lambda: len(contents(tight.database)["applied"]) == len(orders.sent), "the first batch")
            filler = room.fill()
            orders.send(3000)
            out, err = process.communicate(timeout=60)
            for code, out, err in ((process.returncode, out.decode(), err.decode()), tight.run()):
                # A commit that fails is asked for and tried again a few times, which is logged.
                last = "".join(line + "\n" for line in err.splitlines() if line.startswith("millrace: "))
                complaint((code, out, last), 1, tight.database)
                check("full" in last or "No space" in last, err)
            os.remove(filler)
            tight.balance(orders)


try:
    main()
finally:
    broker.stop()
