"""Orders in a topic, a ledger of their own, and `millrace demo job` reading them into a database."""
import atexit
import json
import os
import sqlite3

from tap import check, equal


def end(process):
    if process.poll() is None:
        process.kill()
        process.communicate()


class Orders:
    """What was sent, kept apart from everything that the program counts."""

    def __init__(self, millrace, topic, customers=17):
        self.millrace, self.topic, self.customers = millrace, topic, customers
        self.sent = []

    def order(self, number):
        return {"orderNo": "o-%d" % number, "customer": "c-%d" % (number % self.customers), "cost": number % 97 + 1}

    def send(self, count, *options):
        """Appends orders; all are acknowledged, or the test fails."""
        more = [self.order(number) for number in range(len(self.sent), len(self.sent) + count)]
        code, _, err = self.millrace.run("produce", "--topic", self.topic, *options,
                                         input="".join(json.dumps(order) + "\n" for order in more))
        equal(code, 0, err)
        self.sent += more

    def check(self, database):
        """The database has each order once, and the right totals."""
        totals = {}
        for order in self.sent:
            totals[order["customer"]] = totals.get(order["customer"], 0) + order["cost"]
        seen = contents(database)
        equal(seen["applied"], {order["orderNo"]: 1 for order in self.sent}, "applied")
        equal(seen["totals"], totals, "totals")


def contents(database):
    """Everything that counts in a database; empty tables if there is none."""
    seen = {"applied": {}, "totals": {}, "millrace_offsets": {}}
    if not os.path.isfile(database) or os.path.getsize(database) == 0:
        return seen
    connection = sqlite3.connect(database, timeout=20)
    try:
        for table in seen:
            if connection.execute("SELECT count(*) FROM sqlite_master WHERE name=?", (table,)).fetchone()[0]:
                seen[table] = {row[:-1] if len(row) > 2 else row[0]: row[-1]
                               for row in connection.execute("SELECT * FROM " + table)}
    finally:
        connection.close()
    return seen


class Job:
    """`millrace demo job` with a checkpoint and a database in a directory."""

    def __init__(self, millrace, topic, directory, database="orders.db", checkpoint="checkpoint"):
        self.millrace, self.topic = millrace, topic
        self.database, self.checkpoint = directory(database), directory(checkpoint)

    def words(self, *more):
        return ["demo", "job", "--topic", self.topic, "--db", self.database, "--checkpoint", self.checkpoint, *more]

    def run(self, *more, **how):
        """To the end of the topic: (exit code, stdout, stderr)."""
        return self.millrace.run(*self.words("--until", "end", *more), **how)

    def start(self, *more, **how):
        """For ever; what still runs when the test program ends is killed then."""
        process = self.millrace.start(*self.words("--interval", "20ms", *more), **how)
        atexit.register(end, process)
        return process

    def balance(self, orders, *more, **how):
        code, out, err = self.run(*more, **how)
        equal((code, out), (0, ""), err)
        orders.check(self.database)


def complaint(seen, code, *parts):
    """Checks that a program said one sentence, with these parts, and nothing else; returns it."""
    equal(seen[0], code, "exit code (%s)" % seen[2])
    equal(seen[1], "", "stdout")
    lines = seen[2].splitlines()
    check(len(lines) == 1 and lines[0].startswith("millrace: "), "not one sentence: " + seen[2])
    for part in parts:
        check(part in lines[0], "%r is not in %r" % (part, lines[0]))
    return lines[0]
