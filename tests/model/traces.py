"""Traces of the model for the real driver: random walks, one whole step at a time, written as text.

usage: traces.py COUNT SEED SINK...     SINK: sqlite, table (a transaction in shared memory), callback, foreach

    trace 7 sqlite                      sinks of the job
    A start                             a process begins; `take-over`: another one is alive; `locked`: it is refused
    A plan 1 take 2                     it goes on to the end of a step; if it makes a plan, two records of each queue
    A read 1 run 3                      the run's number, which the job's function writes into each row
    A commit 1 in-lost                  the commit is in, or not (out-lost), or will arrive (late), and the answer is lost
    A kill | A kill-before              after the step, or before its next one
    net 1 taken                         the first commit under way arrives
    check epoch 2 floor 0 done 1 plans 1,2 decided 1 states 2 | epoch 2 last 1 ledger 3:1:0-2 | ...
    end

A step's line ends in what must come of it: `ok`, `fenced` (the process stops), `ended` (all is done), `recovered 2` (it goes on
with batch 2 under a new epoch), `killed` (with its commit under way). The ledger has of each batch its run, how often it was delivered and the offsets of each queue.
Whatever happens, a trace goes on until all batches are in all sinks and no process is left.
"""
import collections
import random
import sys

from commit_model import ALIVE_NOT, ENDED, FOREACH, NAMES, OFF, PLAIN, SOUND, TX, Model, step_of

KINDS = {"sqlite": TX, "table": TX, "callback": PLAIN, "foreach": FOREACH}
MAX_LINES = 600


class Walk:
    def __init__(self, number, sinks, rng):
        self.kinds = sinks
        self.rng = rng
        self.model = Model(SOUND._replace(sinks=tuple(KINDS[kind] for kind in sinks), faults=rng.choice((0, 1, 1, 2, 3)),
                                          take_overs=rng.choice((0, 1, 1, 2)), wide=True))
        self.state = self.model.init
        self.lines = ["trace %d %s" % (number, " ".join(sinks))]
        self.delivered = [collections.Counter() for _ in sinks]
        self.events = collections.Counter()
        self.last_check = None
        self.current = 0

    # ---- what may happen now ----

    def holder(self, sink):
        """The process whose open transaction locks a database; None: it is free."""
        for who, p in enumerate(self.state.processes):
            if self.kinds[sink] == "sqlite" and p.pc in ("prepare", "state", "commit") and p.sink == sink and p.run:
                if p.pc != "state" or not self.model.staged:
                    return who
        return None

    def held_by_other(self, who):
        return any(self.holder(sink) not in (None, who) for sink in range(len(self.kinds)))

    def may_go(self, who):
        p = self.state.processes[who]
        if p.pc in ALIVE_NOT:
            return False
        return not (p.pc == "write" and self.holder(p.sink) not in (None, who))

    def alive(self):
        return [who for who, p in enumerate(self.state.processes) if p.pc not in ALIVE_NOT]

    # ---- lines ----

    def write(self, line, event):
        self.lines.append(line)
        self.events[event] += 1
        check = self.check()
        if check != self.last_check:
            self.lines.append(check)
            self.last_check = check
        if len(self.lines) > MAX_LINES:
            raise RuntimeError("a trace without end:\n" + "\n".join(self.lines))

    def check(self):
        s = self.state
        words = ["check epoch %d floor %d done %d" % (s.epochs, s.floor, s.done)]
        for name, items in (("plans", s.plans), ("decided", s.decided)):
            words.append(name + " " + (",".join(str(n) for n, item in enumerate(items, 1) if item) or "0"))
        words.append("states %d" % len(s.states))
        for number, sink in enumerate(s.sinks):
            ledger = ",".join("%d:%d:%d-%d" % (run, self.delivered[number][n], s.runs[run - 1][1], s.runs[run - 1][2])
                              for n, run in enumerate(sink.ledger, 1))
            words.append("| epoch %d last %d ledger %s" % (sink.epoch, sink.last, ledger or "0"))
        return " ".join(words)

    # ---- what happens ----

    def start(self, who, label):
        taking = bool(self.alive())
        self.state = dict(self.model.starts(self.state))[label]
        self.finish(who, "start")
        outcome = "fenced" if self.state.processes[who] == OFF else "ok"
        self.write("%s %s %s" % (NAMES[who], "take-over" if taking else "start", outcome), "take-over" if taking else "start")

    def finish(self, who, *steps):
        """Lets a process go on to the end of its step."""
        while step_of(self.state.processes[who].pc) in steps:
            self.state = self.rng.choice(self.model.part(self.state, who))[1]

    def note_delivery(self, before, step):
        kind = self.kinds[before.sink]
        if (step == "commit" and kind != "foreach") or (step == "write" and kind == "foreach"):
            self.delivered[before.sink][before.n] += 1

    def step(self, who):
        before = self.state.processes[who]
        step = step_of(before.pc)
        if step == "commit":
            return self.commit(who, before)
        line, range_ = "%s %s %d" % (NAMES[who], step, before.n), None
        n_runs = len(self.state.runs)
        while step_of(self.state.processes[who].pc) == step:
            self.state = self.rng.choice(self.model.part(self.state, who))[1]
            range_ = range_ or self.state.processes[who].range
            if step == "forget" and self.state.processes[who].pc == "plan":
                break
        after = self.state.processes[who]
        if step == "plan" and range_ is not None:
            line += " take %d" % (range_[1] - range_[0])
        if len(self.state.runs) > n_runs:
            line += " run %d" % len(self.state.runs)
        self.note_delivery(before, step)
        outcome = "ended" if after == ENDED else "fenced" if after == OFF else "ok"
        self.write("%s %s" % (line, outcome), "%s in %s" % (outcome, step) if outcome != "ok" else step)

    def commit(self, who, before):
        """A commit, and what becomes of its answer."""
        request = (before.sink, before.epoch, before.n, before.run)
        ways = dict((label.rsplit(": ", 1)[-1] if ": " in label else "plain", after) for label, after in self.part_ways(who))
        how = "plain"
        if not self.held_by_other(who) and self.rng.random() < 0.25:
            how = self.rng.choice([way for way in ways if "killed" not in way or self.kinds[before.sink] == "table"])
        line = "%s commit %d" % (NAMES[who], before.n)
        self.state = ways[how]
        if how == "plain":
            refused = self.state.processes[who] == OFF
            if not refused:
                self.note_delivery(before, "commit")
            return self.write(line + (" fenced" if refused else " ok"), "fenced in commit" if refused else "commit")
        if "killed" in how:
            return self.write(line + " late-killed killed", "late-killed")
        word = "in-lost"
        if how == "no answer":
            word = "late" if self.kinds[before.sink] == "table" else "out-lost"
            if word == "out-lost":
                net = list(self.state.net)
                net.remove(request)
                self.state = self.state._replace(net=tuple(net))
        else:
            self.note_delivery(before, "commit")
        self.finish(who, "recover", "start")
        after = self.state.processes[who]
        outcome = "fenced" if after == OFF else "recovered %d" % after.n
        self.write("%s %s %s" % (line, word, outcome), word + (" fenced" if after == OFF else ""))

    def part_ways(self, who):
        return [(label.replace(" and is killed", ": killed"), after) for label, after in self.model.part(self.state, who)]

    def kill(self, who):
        p = self.state.processes[who]
        self.state = self.model.put(self.state._replace(faults=self.state.faults - 1), who, OFF)
        how = self.rng.choice(("kill", "kill-before"))
        self.write("%s %s" % (NAMES[who], how), "%s %s" % (how, step_of(p.pc)))

    def arrive(self):
        index = self.rng.randrange(len(self.state.net))
        request = self.state.net[index]
        left = self.state._replace(net=self.state.net[:index] + self.state.net[index + 1:])
        after, refused = self.model.deliver(left, request)
        if refused is None:
            self.delivered[request[0]][request[2]] += 1
        self.state = after
        word = "refused" if refused else "taken"
        self.write("net %d %d %d %d %s" % (request + (word,)), "late commit " + word)

    def locked(self):
        free = [who for who, p in enumerate(self.state.processes) if p.pc in ALIVE_NOT]
        self.lines.append("%s locked" % NAMES[free[0]])
        self.events["locked"] += 1

    def go_on(self):
        """One random thing; False: all is over."""
        s, rng = self.state, self.rng
        if s.net and rng.random() < (0.2 if self.alive() else 0.6):
            self.arrive()
            return True
        alive = self.alive()
        starts = [] if self.held_by_other(None) else self.model.starts(s)
        if not alive:
            if not starts:
                return False
            self.current = NAMES.index(starts[0][0][0])
            self.start(self.current, starts[0][0])
            return True
        if self.current not in alive or rng.random() < 0.12:
            self.current = rng.choice(alive)
        who = self.current
        chance = rng.random()
        if s.faults and chance < 0.06:
            self.kill(who)
        elif starts and chance < 0.14:
            self.current = NAMES.index(starts[0][0][0])
            self.start(self.current, starts[0][0])
        elif len(alive) == 1 and s.processes[who].n > 1 and chance > 0.99 and len(self.lines) > 1:
            if not any(p == ENDED for p in s.processes) and self.first_lock_is_ours(who):
                self.locked()
        elif self.may_go(who):
            self.step(who)
        else:
            self.current = next(other for other in alive if other != who)
            self.step(self.current)
        return True

    def first_lock_is_ours(self, who):
        return self.state.processes[who].epoch == self.state.epochs

    def run(self):
        while self.go_on():
            pass
        for sink in self.state.sinks:
            assert len(sink.ledger) == self.model.rules.batches, "\n".join(self.lines)
        self.lines.append("end")
        return self


def sample(count, seed, sinks):
    """(lines, how often each thing happened) of `count` traces."""
    lines, events = [], collections.Counter()
    for number in range(1, count + 1):
        walk = Walk(number, sinks, random.Random("%d %d %s" % (seed, number, sinks))).run()
        lines += walk.lines
        events += walk.events
    return lines, events


if __name__ == "__main__":
    text, happened = sample(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    print("\n".join(text))
    for event, times in sorted(happened.items()):
        print("# %-24s %d" % (event, times), file=sys.stderr)
