#!/usr/bin/env python3
"""TAP: the commit protocol is sound within bounds, and each rule that is taken away leads to a broken promise.

usage: test_model.py [crash_point.h]

MILLRACE_FAULT_SCALE=1 searches the bounds that fit into CI; from 100 on one more fault or take-over, and three batches
everywhere. Nothing here is random. Each negative control prints the shortest way to break a promise.
"""
import collections
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from checker import search  # noqa: E402
from commit_model import FOREACH, PLAIN, SOUND, TX, Model, step_of  # noqa: E402
from tap import case, check, main  # noqa: E402

FULL = int(os.environ.get("MILLRACE_FAULT_SCALE") or 1) >= 100
COUNTS = collections.Counter()  # of everything that the sound searches went through

# What must have happened somewhere in the sound searches: (name, pattern of a label).
EVENTS = [("a %s step" % step, r"\b%s\b" % step) for step in
          "plan read begin write prepare state decide commit done report forget start recover".split()] + [
    ("killed", "is killed"), ("take-over", "takes over"), ("restart", "[AB] starts"),
    ("plan found at start", r"finds plan/\d+ ="), ("plan found when writing (duplicate)", "there and takes it"),
    ("decision found (duplicate)", r"finds commit/\d+ = run \d+ and takes it"), ("decided batch at start", r"finds commit/\d+ = run \d+$"),
    ("commit in, answer lost", "the answer is lost"), ("commit under way", "no answer"),
    ("late commit taken", r"arrives late: batch \d+, run \d+, sink \d+$"), ("late commit refused", "arrives late.*refused"),
    ("commit refused", "is refused"), ("fenced before a plan", "before it plans"), ("fenced before a decision", "before it decides"),
    ("fenced by a floor", "finds floor"), ("missing since forgotten", "misses something"),
    ("fenced when opening a sink", r"finds epoch \d+ in sink"), ("sink skipped (empty)", "sink 2, which has batch"),
    ("nothing to do (empty)", "nothing more to do"), ("forgotten", "deletes all")]


def explore(max_states=12_000_000, **rules):
    """Searches the sound rules with some of them changed."""
    return search(Model(SOUND._replace(**rules)), max_states)


def sound(name, **rules):
    @case("sound: " + name)
    def _():
        work = []
        found = search(Model(SOUND._replace(**rules)), 12_000_000, work)
        check(found.broken is None, found.text())
        print("# %s: %d states, %d steps, %.1f s" % (name, found.n_states, found.n_steps, found.seconds))
        for label, times in work[0].counts.items():
            for event, pattern in EVENTS:
                if re.search(pattern, label):
                    COUNTS[event] += times


def control(name, promise, **rules):
    @case("control: " + name)
    def _():
        found = explore(**dict({"batches": 2}, **rules))
        check(found.broken is not None, "not found in %d states" % found.n_states)
        check(found.broken.startswith(promise), "another promise than \"%s\" is broken:\n%s" % (promise, found.text()))
        print("# %s: after %d states, %.1f s\n#   %s" % (name, found.n_states, found.seconds, found.text().replace("\n", "\n#   ")))


# ---- the rules as they are ----

sound("one transactional sink, three batches", batches=3)
sound("one transactional sink, two faults", batches=3 if FULL else 2, faults=2, take_overs=1 if FULL else 0)
sound("two transactional sinks", batches=3 if FULL else 2, sinks=(TX, TX))
sound("a sink without transaction, three batches", batches=3, sinks=(PLAIN,), faults=1 if FULL else 0)
sound("a transaction and a function for each batch", batches=3 if FULL else 2, sinks=(TX, FOREACH))
if FULL:
    sound("one transactional sink, two take-overs", batches=3, take_overs=2)
    sound("two transactional sinks, two faults", batches=2, sinks=(TX, TX), faults=2)
    sound("a sink without transaction, two take-overs", batches=2, sinks=(PLAIN,), take_overs=2)


@case("every step and every case occurred")
def _():
    for event, _ in EVENTS:
        print("#   %-40s %d" % (event, COUNTS[event]))
        check(COUNTS[event] > 0, event + " never occurred")


@case("the steps are those of the crash points in the code")
def _():
    with open(sys.argv[1]) as header:
        named = re.findall(r"^ +X\((\w+)\)", header.read(), re.M)
    check(len(named) > 5, "no steps found in " + sys.argv[1])
    parts = {step_of(part) for part in Model(SOUND).parts} - {"start", "recover"}
    check(set(named) == parts, "code: %s, model: %s" % (sorted(named), sorted(parts)))


# ---- one rule less ----

control("offsets outside of the transaction", "once", offsets_inside=False, take_overs=0)
control("plan/N replaced", "same", plan_absent=False)
control("a restart plans anew", "same", plan_kept=False, plan_absent=False, take_overs=0, sinks=(TX, TX))
control("state written after the commit", "alone", state_first=False, take_overs=0)
control("a batch runs without the state before it", "one run", run_on_state=False, faults=0, take_overs=0)
control("one state file for a batch", "one run", state_name="batch")
control("states named by the epoch only, asked again under the same epoch", "", state_name="epoch", new_epoch=False)
control("nothing staged: each sink gets its own run", "one run", sinks=(TX, TX), stage=False, take_overs=0)
control("staged and decided, the state written after the commit", "", sinks=(TX, TX), state_first=False, take_overs=0)
control("commit/N replaced", "", sinks=(TX, TX), decide_absent=False)
control("no fence: neither epoch nor successor", "", sink_epoch=False, sink_successor=False)
control("no epoch in the sink: the newest process is refused", "alone", sink_epoch=False)
control("a start believes a sink that it has not fenced", "", raise_epoch=False)
control("two processes with one epoch (a lock that does not hold)", "", epoch_absent=False, sink_successor=False)
control("asked under the same epoch after a lost commit", "", new_epoch=False)
control("plans looked for before the sinks are fenced", "alone", open_first=False)
control("a missing file blamed on the checkpoint", "alone", ask_why=False)
control("no floor read after a decision", "one run", sinks=(PLAIN,), decide_floor=False, faults=0)
control("no floor read after a plan", "same", plan_floor=False)
control("the floor raised after deleting", "", sinks=(PLAIN,), floor_first=False, faults=0)
control("forgotten what a sink still needs", "alone", retain=0, take_overs=0)
control("done before the commit: a sink without transaction loses it", "once", sinks=(PLAIN,), done_last=False, take_overs=0)
control("a start goes on after the highest batch", "", sinks=(TX, TX), lowest=False, take_overs=0)

main()
