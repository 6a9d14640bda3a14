#!/usr/bin/env python3
"""TAP: the main job struck at every system call: killed, or with a call that fails; nothing is lost or repeated.

usage: test_syscalls.py MILLRACE SYSCALL_FAULT

MILLRACE_FAULT_SCALE=100 strikes at every point, less at a seeded share (MILLRACE_SEED) that has each kind of point.
MILLRACE_FAULT_POINT='going mill-driver:fsync:3=kill', as a failure prints it, strikes at that one alone.
"""
import collections
import concurrent.futures
import os
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Millrace  # noqa: E402
from orders import Orders  # noqa: E402
from strace_points import Counted, strace_kill, strace_points, tracing  # noqa: E402
from syscall_points import Scenario, Tools, fits, name_of, share_of  # noqa: E402
from tap import case, check, main  # noqa: E402

SCALE = float(os.environ.get("MILLRACE_FAULT_SCALE", "1"))
SEED = os.environ.get("MILLRACE_SEED") or str(int(time.time()))
ONLY = os.environ.get("MILLRACE_FAULT_POINT", "").replace("=", " ").split()
# Each kind of point at least once, and on `./dev soak` all of them.
FLOORS = {"kill": (200, 3000), "strace-kill": (40, 700), "EIO": (200, 3000), "late-EIO": (60, 1000),
          "ENOSPC": (50, 500), "EINTR": (100, 2000),
          "short": (30, 400)}

broker = Broker(sys.argv[1])
millrace = Millrace(sys.argv[1], broker.namesrv)
tools = Tools(sys.argv[1], os.path.abspath(sys.argv[2]), broker.namesrv)
FAILURES = {"EIO": "EIO", "late-EIO": "done, but answered with EIO,", "ENOSPC": "ENOSPC", "EINTR": "EINTR",
            "short": "half of the bytes"}
counts = collections.Counter()  # points struck, by what


def say(text):
    print("# " + text.replace("\n", "\n# "), flush=True)


# ---- scenarios ----


def topic_with(name, count):
    check(millrace.run("topic", "create", name, "--queues", "2")[0] == 0, "topic create")
    orders = Orders(millrace, name, customers=5)
    orders.send(count)
    return orders


def first():
    """The first start ever: nothing is there."""
    return Scenario("first", tools, topic_with("First", 20), os.path.join(tools.directory, "first"))


def going(name="going", journal=False):
    """Some batches are done; the next start has a few more to do, and forgets the oldest."""
    scenario = Scenario(name, tools, topic_with(name.capitalize(), 14), os.path.join(tools.directory, name))
    if journal:  # the owner made the database, and a database stays in the mode that its owner gave it
        owner = sqlite3.connect(os.path.join(scenario.directory, "orders.db"))
        owner.execute("PRAGMA journal_mode=DELETE")
        owner.execute("CREATE TABLE owners(name TEXT)")
        owner.close()
    code, out, err = scenario.plain(scenario.directory)
    check((code, out, err) == (0, "", ""), err)
    scenario.orders.send(20)
    return scenario


def wreck(name, call, n, journal=False):
    """The start after a kill: the driver's nth `call` of the batches above is where the job died."""
    scenario = going(name, journal)
    point = [point for point in scenario.points() if point[:3] == ("mill-driver", call, n)][0]
    scenario.directory, _ = scenario.struck(point, "kill")
    check(os.path.exists(os.path.join(scenario.directory, "orders.db-journal")) == journal, "the wreck has a journal")
    plans, done = (set(os.listdir(os.path.join(scenario.directory, "checkpoint", kind))) for kind in ("plan", "done"))
    check(plans - done, "the wreck has an unfinished batch")
    return scenario


MAKERS = {
    "first": first,
    "going": going,
    "torn": lambda: wreck("torn", "pwrite64", 3),  # rows half written, no commit
    "unconfirmed": lambda: wreck("unconfirmed", "fdatasync", 1),  # the commit is in the database, and nobody was told
    "journal": lambda: going("journal", True),  # with a rollback journal instead of SQLite's WAL
    "hot": lambda: wreck("hot", "fdatasync", 3, True),  # rows are in the database, a journal is there to take them out
}
made = {}


def scenario_of(name):
    if name not in made:
        made[name] = MAKERS[name]()
        made[name].all_points = made[name].points()
    return made[name]


# ---- striking at many points ----


def strike_all(name, what, strike, points=None):
    """Strikes at the points of a scenario, two at a time; fails with each point that went wrong."""
    scenario = scenario_of(name)
    if points is None:
        points = [point for point in scenario.all_points if fits(point, what)]
    chosen = share_of(points, "%s %s %s" % (SEED, name, what), SCALE)
    if ONLY:
        chosen = [point for point in points if ONLY == [name, name_of(point), what]]
    slow = []

    def one(point):
        started = time.time()
        try:
            fault = strike(scenario, point)
        except subprocess.TimeoutExpired as hung:
            fault = "it hangs: %s" % " ".join(map(str, hung.cmd))
        except AssertionError as reason:
            fault = str(reason)
        slow.append((time.time() - started, name_of(point)))
        return fault and "MILLRACE_FAULT_POINT='%s %s=%s': %s" % (name, name_of(point), what, fault)

    started = time.time()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(one, chosen) if fault]
    counts[what] += len(chosen)
    tell(name, what, chosen, len(points), time.time() - started, max(slow, default=None))
    check(not faults, "seed %s: %d of %d points\n%s" % (SEED, len(faults), len(chosen), "\n".join(faults[:40])))
    check(chosen or (ONLY and (ONLY[0], ONLY[-1]) != (name, what)), "there is no such point")


def tell(name, what, chosen, of, seconds, slowest):
    ends = ["%d %s" % (count, how) for (cause, how), count in scenario_of(name).ends.items() if cause == what]
    by_thread = collections.Counter(point.thread for point in chosen)
    by_call = collections.Counter(point.call for point in chosen)
    say("%s, %s: %d of %d points in %.0f s (seed %s; slowest %s%s)" %
        (name, what, len(chosen), of, seconds, SEED, "%.1f s at %s" % slowest if slowest else "none", "".join("; " + end for end in ends)))
    for counter in (by_thread, by_call):
        say("  " + " ".join("%s %d" % item for item in counter.most_common()))


for scenario_name in MAKERS:
    @case("killed at each system call: " + scenario_name)
    def _(name=scenario_name):
        strike_all(name, "kill", lambda scenario, point: scenario.killed_at(point))

for failure in FAILURES:
    for scenario_name in MAKERS:
        @case("%s at each system call: %s" % (FAILURES[failure], scenario_name))
        def _(name=scenario_name, what=failure):
            strike_all(name, what, lambda scenario, point: scenario.failed_at(point, what))

# ---- strace, the outside witness ----

# What a run does the same number of times whatever the threads' timing.
STEADY = ("fsync", "fdatasync", "linkat", "renameat", "unlinkat", "mkdirat", "flock", "connect", "bind")


def calls_of(scenario):
    return {point.call for point in scenario.all_points if point.call != "mmap"}  # strace can't tell files' from others


@case("strace counts the same calls as the injector")
def _():
    tracing(tools)
    for name in ("first", "going"):
        scenario = scenario_of(name)
        ours = collections.Counter(point.call for point in scenario.all_points)
        seen = Counted(scenario, calls_of(scenario)).total
        check({call: ours[call] for call in STEADY} == {call: seen[call] for call in STEADY}, "%s\n%s" % (ours, seen))


for scenario_name in ("first", "going"):
    @case("killed by strace at each system call that it can address: " + scenario_name)
    def _(name=scenario_name):
        tracing(tools)
        scenario = scenario_of(name)
        strike_all(name, "strace-kill", lambda scenario, point: scenario.killed_at(point, strace_kill),
                   strace_points(scenario, calls_of(scenario)))


# ---- negative controls: the checks must find what is wrong ----


def control(what, chosen, *more):
    """How many of these strikes leave wrong books."""
    scenario = scenario_of("going")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        books = list(pool.map(lambda point: scenario.books_after(point, what, *more), chosen))
    wrong = [seen for seen in books if seen.fault(True)]
    say("%d of %d strikes left wrong books: %d orders lost, %d repeated" %
        (len(wrong), len(books), sum(seen.lost for seen in books), sum(seen.repeated for seen in books)))
    return wrong


@case("negative control: offsets outside of the transaction, and a kill repeats orders")
def _():
    points = scenario_of("going").points("--unsafe")
    wrong = control("kill", [point for point in points if point.thread == "mill-driver" and point.call in
                             ("pwrite64", "fdatasync", "fsync")], "--unsafe")
    check(sum(seen.repeated + seen.lost for seen in wrong) > 0, "nothing was lost or repeated")


@case("negative control: a disk that only pretends to write loses orders")
def _():
    wrong = control("pretend", [point for point in scenario_of("going").all_points
                                if point.thread == "mill-driver" and point.call == "pwrite64"])
    check(wrong, "no books were wrong")


@case("negative control: a run in which nothing died is no point")
def _():
    scenario = scenario_of("going")
    try:
        scenario.killed_at(scenario.all_points[0]._replace(n=1000000))
    except AssertionError:
        return
    check(False, "it passed for a kill")


@case("enough points were struck")
def _():
    say("points: %s; runs that came to no strike, tried again: %d" % (dict(counts), tools.misses))
    if ONLY:
        return
    short = [what for what, floors in FLOORS.items() if counts[what] < floors[SCALE >= 100]]
    check(not short, "fewer than %s: %s" % (FLOORS, dict(counts)))


try:
    main()
finally:
    tools.close()
    broker.stop()
