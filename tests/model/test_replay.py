#!/usr/bin/env python3
"""TAP: the driver and the sinks do what the model says, along sampled traces.   usage: test_replay.py REPLAY

MILLRACE_FAULT_SCALE times 45 traces for each set of sinks, drawn from MILLRACE_SEED (default: 1).
"""
import collections
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from tap import case, check, main  # noqa: E402
from traces import sample  # noqa: E402

SCALE = int(os.environ.get("MILLRACE_FAULT_SCALE") or 1)
SEED = int(os.environ.get("MILLRACE_SEED") or 1)
EACH = 45 * max(1, SCALE)
SINKS = [["sqlite"], ["table"], ["callback"], ["foreach"], ["sqlite", "sqlite"], ["table", "table"], ["sqlite", "table"],
         ["sqlite", "foreach"], ["table", "callback"]]
LAST = re.compile(r"^(\d+) traces, (\d+) steps, (\d+) kills, (\d+) checks, (\d+) differ$")
EVENTS = collections.Counter()
TOTALS = collections.Counter()

# What must have happened in all traces together.
STEPS = "plan read begin write prepare state decide commit done report forget".split()
NEEDED = STEPS + ["start", "take-over", "locked", "ended in plan", "fenced in plan", "fenced in decide", "fenced in commit", "fenced in forget",
                  "in-lost", "out-lost", "late", "late-killed", "late commit taken", "late commit refused"]


def replay(sinks, count, *options):
    """(numbers of the last line, all lines, events) of a replay."""
    lines, events = sample(count, SEED, sinks)
    with tempfile.NamedTemporaryFile("w", suffix=".trace") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        done = subprocess.run([sys.argv[1], file.name] + list(options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60 + 20 * count)
    out = done.stdout.decode(errors="replace")
    found = LAST.match(out.splitlines()[-1]) if out else None
    check(done.returncode == 0 and found is not None, "exit %d\n%s" % (done.returncode, out[-4000:]))
    return [int(number) for number in found.groups()], out, events


def follows(sinks):
    @case("the driver follows the model: %s (seed %d)" % (", ".join(sinks), SEED))
    def _():
        (n_traces, n_steps, n_kills, n_checks, n_differ), out, events = replay(sinks, EACH)
        check(n_traces == EACH and n_checks > 5 * n_traces, out)
        check(n_differ == 0, "seed %d: python3 traces.py %d %d %s\n%s" % (SEED, EACH, SEED, " ".join(sinks), out))
        EVENTS.update(events)
        TOTALS.update(traces=n_traces, steps=n_steps, kills=n_kills, checks=n_checks)


for each in SINKS:
    follows(each)


@case("each step, each kill and each case occurred")
def _():
    print("# seed %d: %s" % (SEED, ", ".join("%d %s" % (n, name) for name, n in TOTALS.items())))
    for event, times in sorted(EVENTS.items()):
        print("#   %-24s %d" % (event, times))
    for event in NEEDED:
        check(EVENTS[event] > 0, "no \"%s\"" % event)
    for step in STEPS:
        check(EVENTS["kill " + step] + EVENTS["kill-before " + step] > 0, "nobody was killed before " + step)
    check(TOTALS["kills"] >= 3 * EACH, "%d kills" % TOTALS["kills"])


@case("control: with offsets outside of the transaction traces end otherwise")
def _():
    (n_traces, _, _, _, n_differ), out, _ = replay(["sqlite"], 4 * 45, "--unsafe")
    print("# %d of %d differ" % (n_differ, n_traces))
    check(0 < n_differ < n_traces, out)


@case("control: a sink that takes any commit")
def _():
    (n_traces, _, _, _, n_differ), out, _ = replay(["table"], 2 * 45, "--no-fence")
    print("# %d of %d differ" % (n_differ, n_traces))
    check(n_differ > 0, out)


main()
