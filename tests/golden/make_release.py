#!/usr/bin/env python3
"""Makes tests/golden/release-VERSION: what a job of this version leaves behind.   usage: make_release.py MILLRACE

Run once for each release; what is there is never made anew, since newer versions must read what older ones wrote. The
directory holds a job's checkpoint and database, and the development broker's directory with the orders that it reads.
Three batches are done; a fourth is planned, and its process was killed before the commit.
"""
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from millrace import Broker, Directory, Millrace  # noqa: E402
from orders import Job, Orders  # noqa: E402

README = """What `millrace demo job` of version %s left behind, made by ../make_release.py: 40 orders in topic Orders (2 queues),
three batches done, the fourth planned and its process killed before the commit.

checkpoint/   the job's checkpoint
orders.db     its database
broker/       the directory of the development broker that has the orders (millrace broker --directory)
"""


def send_to_both(orders, count):
    """A process sends its lines to one queue: here each line is a process's."""
    for _ in range(count):
        orders.send(1)


def main():
    program = sys.argv[1]
    version = re.search(r"millrace (\S+)", subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True)
                        .stdout.decode()).group(1)
    target = os.path.join(HERE, "release-" + version)
    if os.path.exists(target):
        sys.exit(target + " is there already; releases are never made anew")
    with Directory() as directory:
        with Broker(program, "--directory", directory("broker"), "--topic", "Orders:2") as broker:
            millrace = Millrace(program, broker.namesrv)
            orders, job = Orders(millrace, "Orders", 5), Job(millrace, "Orders", directory)
            for _ in range(3):
                send_to_both(orders, 10)
                job.balance(orders)
            holder = sqlite3.connect(job.database, isolation_level=None)
            process = job.start()
            while not os.path.exists(job.checkpoint + "/epoch/4"):
                time.sleep(0.01)
            time.sleep(0.5)
            holder.execute("BEGIN IMMEDIATE")
            send_to_both(orders, 10)
            while not os.path.exists(job.checkpoint + "/plan/4"):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            holder.execute("ROLLBACK")
            holder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            holder.close()
        os.mkdir(target)
        shutil.copytree(job.checkpoint, target + "/checkpoint")
        shutil.copytree(directory("broker"), target + "/broker")
        shutil.copy(job.database, target + "/orders.db")
        with open(target + "/README", "w") as out:
            out.write(README % version)


main()
