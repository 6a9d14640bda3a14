#!/usr/bin/env python3
"""TAP: whatever a power loss leaves, a start goes on alone and every order takes effect once.   usage: test_power_loss.py POWER_JOB

A job of five batches is killed once and ends; all that it does to its checkpoint and databases is recorded (power_shim.c). Then the
power fails: at a random moment of that life, with a random legal loss of what was not synced (power_disk.py). In what is left the
databases are looked at (what the job had reported as committed is there), the job is started, and its books are read with SQLite
alone. In one state of four the power fails a second time, during that start. MILLRACE_FAULT_SCALE times 60 states for each kind of database (at most 800), drawn from MILLRACE_SEED.
"""
import collections
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from power_disk import STYLES, Disk, materialise, read_log, snapshot  # noqa: E402
from tap import case, check, main  # noqa: E402

SCALE = int(os.environ.get("MILLRACE_FAULT_SCALE") or 1)
SEED = int(os.environ.get("MILLRACE_SEED") or 1)
EACH = min(60 * max(1, SCALE), 800)
MODES = ("wal", "delete", "two")
ORDERS = [queue * 1000000 + offset for queue in range(3) for offset in range(10)]
KINDS = {"C": "create", "W": "write", "T": "truncate", "S": "sync", "D": "directory sync", "L": "link", "R": "rename", "U": "unlink",
         "M": "mkdir", "!": "report"}
FILES = ("database", "write-ahead log", "rollback journal", "temporary", "lock", "plan", "state", "done", "commit", "out", "floor",
         "epoch", "meta.json")
COUNTS = collections.Counter()
JOB = sys.argv[1]
ROOM = tempfile.mkdtemp(prefix="millrace-power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def job(*words):
    done = subprocess.run([JOB] + list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=180)
    return done.returncode, done.stdout.decode(errors="replace").strip()


def databases(mode):
    return ["0.db", "1.db"] if mode == "two" else ["0.db"]


class Life:
    """The recorded life of a job."""

    def __init__(self, mode):
        self.mode = mode
        root, log = os.path.join(ROOM, "life-" + mode), os.path.join(ROOM, "log-" + mode)
        os.mkdir(root)
        code, out = job("prepare", root, mode)
        check(code == 0, out)
        self.before = snapshot(root)
        code, out = job("record", root, mode, log)
        check(code == 0, out)
        self.operations = read_log(log)
        self.after = snapshot(root)
        self.names = {}
        for operation in self.operations:
            if operation.kind in "CKLR":
                self.names[operation.file] = operation.second or operation.name
        books(root, mode)

    def reported(self, moment):
        """The last batch that every sink had committed when the power failed."""
        commits = collections.Counter(operation.offset for operation in self.operations[:moment]
                                      if operation.kind == "!" and operation.name == "after-commit")
        whole = [batch for batch, times in commits.items() if times >= len(databases(self.mode))]
        return max(whole + [0])

    def kind_of_file(self, operation):
        name = operation.second or operation.name or self.names.get(operation.file, "")
        for end, kind in ((".db", "database"), ("-wal", "write-ahead log"), ("-journal", "rollback journal")):
            if name.endswith(end):
                return kind
        parts = name.split("/")
        if len(parts) > 1 and parts[1] in FILES:
            return parts[1]
        return "temporary" if len(parts) > 1 and parts[1].startswith(".") else None

    def moments(self, number):
        """When the power may fail for state `number`: the first states see to it that each kind of operation and file occurs."""
        wanted = list(KINDS) + list(FILES)
        if number < len(wanted):
            chosen = [moment for moment, operation in enumerate(self.operations, 1)
                      if wanted[number] in (operation.kind, self.kind_of_file(operation))]
            if chosen:
                return chosen
        return range(1, len(self.operations) + 1)

    def state(self, number, deaf=""):
        """State `number` of this life: (tree, moment, how it came about)."""
        rng = random.Random("%d %s %s %d" % (SEED, self.mode, deaf, number))
        moments = self.moments(number)
        while True:
            moment = rng.choice(moments)
            disk = Disk(self.before, lambda operation: DEAF[deaf](operation.kind, operation.name or self.names.get(operation.file, "")))
            for operation in self.operations[:moment]:
                disk.follow(operation)
            if not disk.is_quiet() or rng.random() < 0.1:
                tree, how = disk.lose(rng)
                return tree, moment, how


def books(root, mode):
    """Every order once in every database, read by SQLite alone."""
    for name in databases(mode):
        db = sqlite3.connect(os.path.join(root, name))
        try:
            check(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok", name + " is damaged")
            times = dict(db.execute("SELECT orderNo, times FROM applied"))
        finally:
            db.close()
        lost = [order for order in ORDERS if order not in times]
        twice = [order for order, n in times.items() if n != 1]
        check(not lost and not twice and len(times) == len(ORDERS), "%s: %d lost, %d twice" % (name, len(lost), len(twice)))


def last_batch(root, name):
    """The last batch that a database has. Looking settles its journal: only in a copy."""
    path = os.path.join(root, name)
    if not os.path.exists(path):
        return 0
    db = sqlite3.connect(path)
    try:
        found = db.execute("SELECT max(batch_id) FROM millrace_commits").fetchone()[0]
    except sqlite3.OperationalError as error:
        check("no such table" in str(error), "%s: %s" % (name, error))
        found = 0
    finally:
        db.close()
    return found or 0


def recover(life, number, deaf=""):
    """None if the start after loss `number` is exact, or what was wrong; and the state's digest, moment and way."""
    tree, moment, how = life.state(number, deaf)
    root = os.path.join(ROOM, "%s%s-%d" % (life.mode, deaf, number))
    wrong = None
    try:
        os.mkdir(root)
        materialise(tree, root)
        copy = root + "-copy"
        shutil.copytree(root, copy)
        reported = life.reported(moment)
        for name in databases(life.mode):
            has = last_batch(copy, name)
            check(has >= reported, "%s has batch %d, %d was reported" % (name, has, reported))
        if number % 4 == 3 and not deaf:
            lose_again(life, number, tree, root)
        code, out = job("recover", root, life.mode)
        check(code == 0, "the start fails: " + out)
        books(root, life.mode)
    except Exception as error:  # noqa: BLE001: whatever it is, the state is not exact
        wrong = "%s: %s" % (type(error).__name__, error)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(root + "-copy", ignore_errors=True)
    digest = hashlib.sha256(repr(sorted(tree.items())).encode()).hexdigest()
    return wrong, digest, moment, how


def lose_again(life, number, tree, root):
    """The power fails during the start after loss `number`: `root` then holds what is left of `tree` and that start."""
    log = root + "-log"
    code, out = job("again", root, life.mode, log)
    operations = read_log(log)
    os.unlink(log)
    check(code == 0, "the start fails: " + out)
    rng = random.Random("again %d %s %d" % (SEED, life.mode, number))
    disk = Disk(tree)
    for operation in operations[:rng.randint(1, len(operations))]:
        disk.follow(operation)
    left, _ = disk.lose(rng)
    shutil.rmtree(root)
    os.mkdir(root)
    materialise(left, root)
    COUNTS["lost again during the start"] += 1


def many(life, count, deaf=""):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda number: recover(life, number, deaf), range(count)))


# Syncs that do nothing, for the controls: (kind of operation, path) of those.
DEAF = {
    "": lambda kind, path: False,
    "files": lambda kind, path: kind == "S",
    "directories": lambda kind, path: kind == "D",
    "checkpoint-files": lambda kind, path: kind == "S" and path.startswith("checkpoint"),
    "checkpoint-directories": lambda kind, path: kind == "D" and path.startswith("checkpoint"),
    "database-directory": lambda kind, path: kind == "D" and not path.startswith("checkpoint"),
    "all": lambda kind, path: True}
LIVES = {}
DIGESTS = set()


def exact(mode):
    @case("%s: exact after every loss (seed %d)" % (mode, SEED))
    def _():
        life = LIVES[mode] = Life(mode)
        disk = Disk(life.before)
        for operation in life.operations:
            disk.follow(operation)
        whole = {path: content for path, content in life.after.items() if not path.endswith("-shm")}
        seen = disk.lose(AlwaysAll())[0]
        check({path: content for path, content in seen.items() if not path.endswith("-shm")} == whole,
              "the recorder has missed something: " + ", ".join(sorted(path for path in set(seen) | set(whole)
                                                                       if seen.get(path, 0) != whole.get(path, 0))))
        bad = []
        for number, (wrong, digest, moment, how) in enumerate(many(life, EACH)):
            if wrong:
                bad.append("state %d, operation %d of %d (%s), %s: %s" % (number, moment, len(life.operations),
                                                                         life.operations[moment - 1][:5], how, wrong))
            COUNTS["repeated states" if digest in DIGESTS else "states"] += 1
            DIGESTS.add(digest)
            count(life, moment, how)
        check(not bad, "seed %d: %d of %d states\n%s" % (SEED, len(bad), EACH, "\n".join(bad[:5])))


class AlwaysAll(random.Random):
    """Draws the way in which nothing is lost."""

    def choice(self, items):
        return "all"


def count(life, moment, how):
    operation = life.operations[moment - 1]
    COUNTS["after a " + KINDS.get(operation.kind, "rmdir")] += 1
    kind = life.kind_of_file(operation)
    if kind:
        COUNTS["at a file: " + kind] += 1
    COUNTS["names: " + how[0]] += 1
    COUNTS["content: " + how[1]] += 1
    COUNTS["garbage" if how[2] else "zeros"] += 1


for each in MODES:
    exact(each)


@case("every kind of loss occurred")
def _():
    for name, times in sorted(COUNTS.items()):
        print("#   %-34s %d" % (name, times))
    check(COUNTS["lost again during the start"] >= EACH * len(MODES) // 4 - len(MODES), "too few second losses")
    check(SCALE >= 10 or COUNTS["states"] >= EACH * len(MODES) * 7 // 10, "%d different states" % COUNTS["states"])
    check(SCALE < 100 or COUNTS["states"] >= 1000, "%d different states" % COUNTS["states"])
    wanted = ["names: " + style for style in STYLES] + ["content: " + style for style in STYLES] + ["garbage", "zeros"]
    wanted += ["after a " + kind for kind in KINDS.values()] + ["at a file: " + kind for kind in FILES]
    for name in wanted:
        check(COUNTS[name] > 0, "no state " + name)


def control(name, mode, deaf, at_least):
    @case("control: %s" % name)
    def _():
        found = [wrong for wrong, _, _, _ in many(LIVES[mode], 40, deaf) if wrong]
        print("# %d of 40 states are wrong, such as: %s" % (len(found), found[0] if found else ""))
        check(len(found) >= at_least, "%d found" % len(found))


control("syncs of files do nothing", "wal", "files", 5)
control("syncs of files do nothing, rollback journal", "delete", "files", 5)
control("syncs of directories do nothing", "delete", "directories", 5)
control("syncs of the checkpoint's files do nothing", "two", "checkpoint-files", 5)
control("syncs of the checkpoint's directories do nothing", "wal", "checkpoint-directories", 3)
control("syncs of the directory that holds checkpoint and database do nothing", "delete", "database-directory", 3)
control("no sync does anything", "two", "all", 5)

try:
    main()
finally:
    shutil.rmtree(ROOM, ignore_errors=True)
