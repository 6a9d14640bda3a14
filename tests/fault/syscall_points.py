"""Points at which `millrace demo job` is struck: (thread, system call, n) of a run, and what one strike does to the books.

A scenario is a topic with orders and what a job has made of some of them (checkpoint and database); each point gets a copy
of its own. The ledger is this process's list of what was sent, and the database is read by Python's sqlite3 alone.
"""
import collections
import os
import random
import re
import shutil
import sqlite3
import subprocess
import tempfile

Point = collections.namedtuple("Point", "thread call n place size flags")

O_CREAT = 0o100
RETRIES = 8  # a run's number of calls varies a little with the threads' timing: a strike that found no call is tried again
PATIENCE = 30  # seconds until a run counts as hanging
JOB = ("--until", "end", "--batch-orders", "6", "--keep-batches", "2")

GROWS = {"openat", "creat", "write", "writev", "pwrite64", "pwritev", "fsync", "fdatasync", "ftruncate", "fallocate", "mkdir",
         "mkdirat", "link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2"}
MOVES = {"read", "readv", "pread64", "preadv", "recvfrom", "recvmsg", "write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"}
CHANGES = GROWS | {"unlink", "unlinkat", "rmdir", "flock", "fcntl", "sendto", "sendmsg", "connect", "epoll_ctl"}
WAITS = MOVES | {"open", "openat", "creat", "close", "fsync", "fdatasync", "ftruncate", "fallocate", "flock", "fcntl", "connect",
                 "accept", "accept4", "epoll_wait", "epoll_pwait", "poll", "ppoll", "select"}


def fits(point, what):
    """Whether the kernel could answer this call so."""
    if what == "ENOSPC":
        return point.call in GROWS and point.place not in ("stream", "datagram", "other") and (point.call != "openat" or point.flags & O_CREAT)
    if what == "EINTR":
        return point.call in WAITS
    if what == "short":
        return point.call in MOVES and point.size >= 2 and point.place in ("file", "stream", "output")
    if what == "late-EIO":
        return point.call in CHANGES and point.place != "other" and (point.call != "openat" or point.flags & O_CREAT)
    return True  # kill, EIO


def name_of(point):
    return "%s:%s:%d" % point[:3]


def share_of(points, seed, scale):
    """All points at scale 100, else a seeded share with each (thread, call) in it at least once."""
    if scale >= 100:
        return list(points)
    kinds = collections.defaultdict(list)
    for point in points:
        kinds[point[:2]].append(point)
    chosen = []
    for key, group in sorted(kinds.items()):
        chance = random.Random("%s %s" % (seed, key))
        must = chance.choice(group)
        chosen += [point for point in group if point is must or chance.random() * 100 < scale]
    return chosen


class Books:
    """What a database says, against what was sent."""

    def __init__(self, path, sent):
        self.applied, self.totals, self.integrity = {}, {}, "ok"
        if os.path.exists(path) and os.path.getsize(path) > 0:
            connection = sqlite3.connect(path, timeout=20)
            try:
                self.integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
                if connection.execute("SELECT count(*) FROM sqlite_master WHERE name='applied'").fetchone()[0]:
                    self.applied = dict(connection.execute("SELECT orderNo, times FROM applied"))
                    self.totals = dict(connection.execute("SELECT customer, total FROM totals"))
            except sqlite3.DatabaseError as damage:
                self.integrity = str(damage)
            finally:
                connection.close()
        self.lost = sum(1 for order in sent if order["orderNo"] not in self.applied)
        self.repeated = sum(times - 1 for times in self.applied.values())
        self.unknown = len(set(self.applied) - {order["orderNo"] for order in sent})
        due = collections.Counter()
        for order in sent:
            due[order["customer"]] += order["cost"] * self.applied.get(order["orderNo"], 0)
        self.wrong_totals = sum(1 for customer in set(due) | set(self.totals)
                                if due.get(customer, 0) != self.totals.get(customer, 0))

    def fault(self, complete):
        """What is wrong, or None; while a job is not at its end orders may be missing, but only whole batches of them."""
        if self.integrity != "ok":
            return "the database is damaged: " + self.integrity
        if self.repeated or self.unknown or self.wrong_totals or (complete and self.lost):
            return "%d lost, %d repeated, %d unknown, %d wrong totals" % (self.lost, self.repeated, self.unknown, self.wrong_totals)
        return None


class Run:
    """How one run of the job under the injector went."""

    def __init__(self, log, done):
        words = [line.split() for line in log.splitlines()]
        hits = [line[1] for line in words if line[0] == "hit"]
        ends = [line[1:] for line in words if line[0] == "end"]
        self.hit = hits[0] if hits else None
        self.killed = ends == [["signal", "9"]]
        self.exit = int(ends[0][1]) if ends and ends[0][0] == "exit" else None
        self.signal = int(ends[0][1]) if ends and ends[0][0] == "signal" else None
        self.points = [Point(line[1], line[2], int(line[3]), line[4], int(line[5]), int(line[6])) for line in words
                       if line[0] == "call"]
        self.out, self.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


class Scenario:
    """A job's files before the run that is struck, and the orders it must have taken afterwards."""

    def __init__(self, name, tools, orders, directory):
        self.name, self.tools, self.orders, self.directory = name, tools, orders, directory
        os.makedirs(directory, exist_ok=True)
        self.ends = collections.Counter()  # how the runs with a failed call ended

    # ---- runs ----

    def words(self, directory, *more):
        return [self.tools.program, "demo", "job", "--namesrv", self.tools.namesrv, "--topic", self.orders.topic,
                "--db", os.path.join(directory, "orders.db"), "--checkpoint", os.path.join(directory, "checkpoint"), *JOB, *more]

    def plain(self, directory, *more):
        done = self.tools.run(self.words(directory, *more))
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def under_injector(self, directory, at, *more):
        log = directory + ".log"
        done = self.tools.run([self.tools.injector, "--log", log, *(["--at", at] if at else []), *self.words(directory, *more)])
        with open(log) as file:
            text = file.read()
        os.remove(log)
        if done.returncode != 0:
            raise RuntimeError("the injector failed (%d): %s" % (done.returncode, done.stderr.decode(errors="replace")))
        return Run(text, done)

    def copy(self):
        place = tempfile.mkdtemp(dir=self.tools.directory)
        shutil.copytree(self.directory, place, dirs_exist_ok=True)
        return place

    def points(self, *more):
        """The calls that each of some clean runs makes."""
        common = None
        for _ in range(3):
            place = self.copy()
            run = self.under_injector(place, None, *more)
            shutil.rmtree(place)
            if run.exit != 0 or run.err:
                raise RuntimeError("a clean run failed: %s %s" % (run.exit, run.err))
            seen = {point[:3]: point for point in run.points}
            common = seen if common is None else {key: point for key, point in seen.items() if key in common}
        return list(common.values())

    # ---- one point ----

    def until_struck(self, attempt):
        """What `attempt` gives: (directory, run, whether it was struck). A run in which nothing was is no point."""
        for _ in range(RETRIES):
            place, run, struck = attempt()
            if struck:
                return place, run
            shutil.rmtree(place)
            self.tools.misses += 1
        raise AssertionError("nothing was struck in %d runs" % RETRIES)

    def struck(self, point, what, *more):
        """A copy in which that call was struck: (directory, run). Raises if no run came to that call."""
        def attempt():
            place = self.copy()
            run = self.under_injector(place, "%s=%s" % (name_of(point), what), *more)
            return place, run, run.hit is not None and (what != "kill" or run.killed)
        return self.until_struck(attempt)

    def books_now(self, place):
        """The books without touching the files: reading recovers a database, and that is for the job's next start."""
        copy = tempfile.mkdtemp(dir=self.tools.directory)
        for name in ("orders.db", "orders.db-wal", "orders.db-journal"):
            if os.path.exists(os.path.join(place, name)):
                shutil.copy(os.path.join(place, name), copy)
        try:
            return Books(os.path.join(copy, "orders.db"), self.orders.sent)
        finally:
            shutil.rmtree(copy)

    def finish(self, place, *more):
        """The next plain start goes on alone: returns the books at the end, and what was wrong with the start."""
        code, out, err = self.plain(place, *more)
        books = Books(os.path.join(place, "orders.db"), self.orders.sent)
        if (code, out, err) != (0, "", ""):
            return books, "the next start ended with %d: %s%s" % (code, out, err)
        return books, None

    def killed_at(self, point, kill=None):
        """What is wrong after SIGKILL at that call, or None."""
        place, _ = self.until_struck(lambda: kill(self, point)) if kill else self.struck(point, "kill")
        try:
            fault = self.books_now(place).fault(False) or self.shown(place)
            if fault:
                return "after the kill: " + fault
            books, fault = self.finish(place)
            return fault or books.fault(True)
        finally:
            shutil.rmtree(place)

    def books_after(self, point, what, *more):
        """The books of a run that was struck and of the next start: for controls, which judge by themselves."""
        place, _ = self.struck(point, what, *more)
        try:
            return self.finish(place, *more)[0]
        finally:
            shutil.rmtree(place)

    def failed_at(self, point, what):
        """What is wrong after that call failed so, or None."""
        place, run = self.struck(point, what)
        try:
            self.ends[what, "went on" if run.exit == 0 else "ended with an error"] += 1
            fault = complaint_fault(run, point) or must_go_on(run, point, what) or self.books_now(place).fault(run.exit == 0) or self.shown(place)
            if fault:
                return "after the failure: " + fault
            books, fault = self.finish(place)
            return fault or books.fault(True)
        finally:
            shutil.rmtree(place)

    def shown(self, place):
        """`checkpoint show` reads what is there, unless there is no checkpoint yet."""
        checkpoint = os.path.join(place, "checkpoint")
        done = self.tools.run([self.tools.program, "checkpoint", "show", checkpoint])
        if done.returncode == 0 or not os.path.exists(os.path.join(checkpoint, "meta.json")):
            return None
        return "checkpoint show: " + done.stderr.decode(errors="replace")


LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z (WARN|INFO|ERROR) \w+: ")


def complaint_fault(run, point):
    """An end is 0, or 1 with one sentence; log lines may precede it."""
    if run.signal is not None:
        return "it died by signal %d: %s" % (run.signal, run.err)
    if run.out:
        return "it wrote to stdout: " + run.out
    lines = [line for line in run.err.splitlines() if not LOG_LINE.match(line)]
    if run.exit == 0:
        return "it went well and complained: " + run.err if lines else None
    if run.exit != 1:
        return "exit code %r: %s" % (run.exit, run.err)
    if point.place == "output":
        return None  # its own sentence may be what could not be written
    if len(lines) != 1 or not lines[0].startswith("millrace: demo job: "):
        return "not one sentence: " + run.err
    return None


def must_go_on(run, point, what):
    """An interrupted call is made again, and half of the bytes are no error. (fcntl and fdatasync are SQLite's.)"""
    if run.exit != 0 and what in ("EINTR", "short") and point.call not in ("fcntl", "fdatasync"):
        return "it gave up: " + run.err
    return None


class Tools:
    """The programs, and where copies go: in memory, since a kill asks nothing of the disk."""

    def __init__(self, program, injector, namesrv):
        self.program, self.injector, self.namesrv = program, injector, namesrv
        memory = "/dev/shm"
        self.directory = tempfile.mkdtemp(prefix="millrace-test-", dir=memory if os.access(memory, os.W_OK) else None)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        # the leak checker needs ptrace itself
        self.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        self.misses = 0

    def run(self, command):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=PATIENCE, env=self.environment)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
