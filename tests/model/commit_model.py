"""The commit protocol as a state machine: two processes, one checkpoint, one or two sinks, a few batches.

What is modelled. The files of a checkpoint (`epoch/K`, `plan/N`, `state/N.RUN` with `out/N.RUN`, `commit/N`, `done/N`, `floor`),
each written in one atomic, durable step; sinks that keep (epoch, last batch, its run) and a ledger of which run took effect as
which batch; commits that travel: one whose sender died, or gave up waiting, may arrive at any later time. The functions of a job
are not deterministic: each run of a batch is another one, and what it computes hangs on the run of the batch before.

A step has the name of its crash points in the code (engine/stream/crash_point.h): plan, read, begin, write, prepare, state,
decide, commit, done, report, forget; `start` is what comes before the first batch (engine/stream/recovery.c). A step that looks at
shared things twice is cut at that point: "plan.put" is the second part of plan. Between any two parts the other process may do
anything, and the process may die: that is a pause, a crash, a take-over anywhere.

Promises, looked at in every step:
  once      what a sink has are the batches 1, 2, ... with ranges that follow one another, each once (sinks without a
            transaction: each at least once)
  same      each run of a batch reads the same records
  one run   all sinks have the same run of a batch, and batch N+1 was computed on that run's state
  alone     no start or step of the newest process is refused or finds a checkpoint that it can't go on from: no human is needed
  progress  whatever happened, all batches can still get into all sinks

`Rules` holds what the protocol demands, each rule as a switch: cases.py turns them off one by one.
"""
import collections

N_PROCESSES = 2
NAMES = "AB"

TX, PLAIN, FOREACH = "tx", "plain", "foreach"  # a transaction; effects at commit; effects at write

Rules = collections.namedtuple("Rules", [
    "sinks", "batches", "faults", "take_overs", "late", "retain", "wide",
    "plan_absent", "plan_floor", "run_on_state", "state_name", "state_first", "stage", "decide_absent", "decide_floor",
    "offsets_inside", "sink_epoch", "sink_successor", "raise_epoch", "epoch_absent", "new_epoch", "check_epoch",
    "open_first", "ask_why", "lowest", "done_last", "floor_first", "plan_kept"])

SOUND = Rules(
    sinks=(TX,), batches=3, faults=1, take_overs=1, late=True, retain=1, wide=False,
    plan_absent=True,     # plan/N: who comes second takes what is there
    plan_floor=True,      # who has created plan/N reads the floor afterwards
    plan_kept=True,       # a restart looks for a plan before it makes one
    run_on_state=True,    # a batch runs on the state of the run that counts
    state_name="run",     # state/N.RUN; "batch": state/N; "epoch": state/N.EPOCH
    state_first=True,     # the state is written before any sink commits
    stage=True,           # where the sinks can't decide, output is staged and commit/N names the run
    decide_absent=True,   # commit/N: who comes second takes the winner's run
    decide_floor=True,    # who has created commit/N reads the floor afterwards
    offsets_inside=True,  # offsets and batch in the transaction of the rows
    sink_epoch=True,      # a sink refuses an older epoch
    sink_successor=True,  # a sink takes only the successor of its last batch
    raise_epoch=True,     # a start raises the epoch in each sink before it believes it
    epoch_absent=True,    # no two processes have the same epoch
    new_epoch=True,       # after a commit of unknown outcome: a new epoch, then ask
    check_epoch=True,     # a taken-over process looks before it plans, decides, forgets, recovers
    open_first=True,      # a start looks for plans after the sinks are fenced
    ask_why=True,         # what misses a file looks whether it was taken over before it blames the checkpoint
    lowest=True,          # a start goes on after the lowest batch of all sinks
    done_last=True,       # done/N comes after all commits
    floor_first=True)     # the floor is raised before anything is deleted

# epochs: taken so far; plans: per batch (first, end) or None; states: ((name, run), ...); decided: per batch a run or 0;
# runs: of run r (from 1) (batch, first, end, base run); net: commits under way.
State = collections.namedtuple("State", "epochs plans states decided done floor sinks net processes runs faults take_overs")
Sink = collections.namedtuple("Sink", "epoch last run ledger")
# until: highest plan at start; last: per sink its last batch; base: the run whose state is in memory; found: done/N at start
Process = collections.namedtuple("Process", "pc epoch n until floor last base range run sink again decided found")

OFF = Process("off", 0, 0, 0, 0, (), 0, None, 0, 0, False, False, 0)
ENDED = OFF._replace(pc="ended")  # all batches done
ALIVE_NOT = ("off", "ended")


class Broken(Exception):
    """A promise is broken by the step under way."""


class Missing(Exception):
    """The process misses something that it has a right to find, unless others own the checkpoint by now."""


def replaced(items, index, value):
    return items[:index] + (value,) + items[index + 1:]


def step_of(pc):
    """The crash point's name of a part of a step."""
    return pc.split(".")[0]


class Model:
    def __init__(self, rules):
        self.rules = rules
        self.staged = rules.sinks != (TX,)
        self.all_sinks = range(len(rules.sinks))
        empty = (0,) * rules.batches
        self.init = State(0, (None,) * rules.batches, (), empty, 0, 0, (Sink(0, 0, 0, ()),) * len(rules.sinks), (),
                          (OFF,) * N_PROCESSES, (), rules.faults, rules.take_overs)
        self.parts = {
            "recover": self.recover, "start": self.start, "start.walk": self.start_walk, "start.open": self.start_open,
            "start.check": self.start_check, "start.goon": self.start_goon,
            "plan": self.plan, "plan.put": self.plan_put, "plan.floor": self.plan_floor, "plan.load": self.plan_load,
            "read": self.read, "begin": self.local, "write": self.write, "prepare": self.prepare, "state": self.state,
            "decide": self.decide, "decide.put": self.decide_put, "decide.floor": self.decide_floor,
            "commit": self.commit, "done": self.done, "report": self.local,
            "forget": self.forget, "forget.raise": self.forget_raise, "forget.delete": self.forget_delete}

    # ---- order of the steps ----

    def to_sinks(self, p, first=0):
        """Where a process goes when the run is settled: to the next sink that lacks the batch, or on."""
        for sink in range(first, len(self.rules.sinks)):
            if p.last[sink] < p.n:
                return p._replace(pc="begin", sink=sink)
        return p._replace(pc="done" if self.rules.done_last else "report")

    def after(self, p):
        """The process with its step behind it."""
        step, rules = step_of(p.pc), self.rules
        if step == "plan":
            return self.to_sinks(p) if p.decided else p._replace(pc="read")
        if step == "read":
            if self.staged:
                return p._replace(pc="state") if rules.state_first else self.before_sinks(p)
            return p._replace(pc="done", sink=0) if not rules.done_last else p._replace(pc="begin", sink=0)
        if step == "state":
            if not rules.state_first:
                return p._replace(pc="done")
            if not self.staged:
                return p._replace(pc="commit")
            return p._replace(pc="decide") if rules.stage else self.before_sinks(p)
        if step == "decide":
            return self.before_sinks(p)
        if step == "prepare":
            return p._replace(pc="state") if rules.state_first and not self.staged else p._replace(pc="commit")
        if step == "commit":
            following = self.to_sinks(p, p.sink + 1)
            return following._replace(pc="state") if following.pc == "done" and not rules.state_first else following
        if step == "done" and not rules.done_last:
            return self.to_sinks(p) if p.decided or self.staged else p._replace(pc="begin")
        return p._replace(pc={"begin": "write", "write": "prepare", "done": "report", "report": "forget"}[step])

    def before_sinks(self, p):
        return self.to_sinks(p) if self.rules.done_last else p._replace(pc="done")

    def next_batch(self, p):
        return p._replace(pc="plan", n=p.n + 1, base=p.run, range=None, run=0, sink=0, again=False, decided=False)

    # ---- helpers ----

    def put(self, s, who, p):
        return s._replace(processes=replaced(s.processes, who, p))

    def go(self, s, who, what):
        """One way on: the step is over."""
        return [(what, self.put(s, who, self.after(s.processes[who])))]

    def stop(self, s, who, why):
        """The process finds that another one owns the checkpoint. The newest one must never find that."""
        if s.processes[who].epoch == s.epochs and self.rules.epoch_absent:
            raise Broken("alone: the newest process stops: " + why)
        return [(why + " and stops", self.put(s, who, OFF))]

    def name_of(self, n, epoch, run):
        return {"run": (n, run), "epoch": (n, epoch), "batch": (n, 0)}[self.rules.state_name]

    def stored(self, s, n, epoch, run):
        """The run whose state stands under the name that the state of `run` would have; None: it is not there."""
        return dict(s.states).get(self.name_of(n, epoch, run))

    def last_plan(self, s):
        return max([n for n in range(1, self.rules.batches + 1) if s.plans[n - 1] is not None] + [s.done])

    def end_of(self, s, run):
        return s.runs[run - 1][2] if run else 0

    def need(self, condition, what):
        if not condition:
            raise Missing(what)

    # ---- start (recovery.c) ----

    def recover(self, s, who):
        p = s.processes[who]
        if self.rules.check_epoch and s.epochs > p.epoch:
            return self.stop(s, who, "was taken over before its commit was settled")
        return [("asks the sinks what became of its commit",
                 self.put(s, who, OFF._replace(pc="start" if self.rules.new_epoch else "start.open", epoch=p.epoch, floor=p.floor)))]

    def start(self, s, who):
        epoch = s.epochs + 1 if self.rules.epoch_absent else max(1, s.epochs)
        p = OFF._replace(epoch=epoch, floor=s.floor, pc="start.open" if self.rules.open_first else "start.walk")
        return [("takes epoch/%d" % epoch, self.put(s._replace(epochs=epoch), who, p))]

    def start_walk(self, s, who):
        p = s.processes[who]
        p = p._replace(until=self.last_plan(s), found=s.done, pc="start.check" if self.rules.open_first else "start.open")
        return [("finds plan/%d and done/%d the last" % (p.until, p.found), self.put(s, who, p))]

    def start_open(self, s, who):
        p = s.processes[who]
        number = len(p.last)
        sink = s.sinks[number]
        if number + 1 == len(self.rules.sinks):
            p = p._replace(pc="start.walk" if self.rules.open_first else "start.check")
        if self.rules.sinks[number] != TX:
            return [("opens sink %d" % (number + 1), self.put(s, who, p._replace(last=p.last + (-1,))))]
        if self.rules.sink_epoch and sink.epoch > p.epoch:
            return self.stop(s, who, "finds epoch %d in sink %d" % (sink.epoch, number + 1))
        if self.rules.raise_epoch:
            s = s._replace(sinks=replaced(s.sinks, number, sink._replace(epoch=p.epoch)))
        return [("opens sink %d, which has batch %d" % (number + 1, sink.last),
                 self.put(s, who, p._replace(last=p.last + (sink.last,), run=max(p.run, sink.run))))]

    def run_that_counts(self, s, n, sink):
        return s.decided[n - 1] if self.staged and self.rules.stage else s.sinks[sink].run

    def start_check(self, s, who):
        p = s.processes[who]
        last = tuple(p.found if n < 0 else n for n in p.last)  # a sink without transaction has what done/N says
        for number in self.all_sinks:
            n = last[number]
            self.need(n <= p.until, "sink %d has batch %d, the checkpoint only %d" % (number + 1, n, p.until))
            self.need(p.floor == 0 or n > p.floor, "sink %d has batch %d, the floor is %d" % (number + 1, n, p.floor))
            if n == 0 or self.rules.sinks[number] != TX:
                continue
            sink = s.sinks[number]
            if sink.last != n:  # it moved on after we asked: only possible where nothing fences
                continue
            self.need(self.run_that_counts(s, n, number) == sink.run or not self.rules.stage,
                      "sink %d has run %d of batch %d, commit/%d names another" % (number + 1, sink.run, n, n))
            if self.rules.state_name == "run":
                self.need(self.stored(s, n, 0, sink.run) is not None,
                          "sink %d has run %d of batch %d, whose state is not there" % (number + 1, sink.run, n))
        return [("finds sinks and checkpoint in agreement", self.put(s, who, p._replace(last=last, pc="start.goon")))]

    def start_goon(self, s, who):
        p = s.processes[who]
        n = min(p.last) if self.rules.lowest else max(p.last)
        base = 0
        if n > 0:
            run = self.run_that_counts(s, n, p.last.index(n))
            base = self.stored(s, n, self.epoch_of_sink(s, p, n), run)
            self.need(base is not None, "the state of batch %d is not there" % n)
            if p.found < n:
                s = s._replace(done=max(s.done, n))
        p = p._replace(pc="plan", n=n + 1, base=base, run=0, found=0)
        return [("goes on after batch %d, on the state of run %d" % (n, base), self.put(s, who, p))]

    def epoch_of_sink(self, s, p, n):
        """Where a state has only its writer's epoch in its name, the sink would keep that."""
        names = [name for name, _ in s.states if name[0] == n]
        return max([name[1] for name in names] or [p.epoch])

    # ---- plan (batch_plan.c) ----

    def plan(self, s, who):
        p, rules = s.processes[who], self.rules
        if p.n > rules.batches:
            return [("finds nothing more to do", self.put(s, who, ENDED))]
        there = s.plans[p.n - 1]
        if p.n <= p.until and there is not None and rules.plan_kept:
            return self.take_plan(s, who, "finds plan/%d = %s" % (p.n, there), there)
        if rules.check_epoch and s.epochs > p.epoch:
            return self.stop(s, who, "sees epoch/%d before it plans" % s.epochs)
        first = self.end_of(s, p.base)
        ends = [first + 1, first + 2]
        if p.n == rules.batches:
            ends = [2 * rules.batches]
        elif not rules.wide and p.n > 1:
            ends = [first + 1]
        return [("chooses %s for batch %d" % ((first, end), p.n),
                 self.put(s, who, p._replace(pc="plan.put", range=(first, end)))) for end in ends]

    def take_plan(self, s, who, what, there):
        p = s.processes[who]
        self.need(there[0] == self.end_of(s, p.base),
                  "plan/%d begins at %d, the state ends at %d" % (p.n, there[0], self.end_of(s, p.base)))
        return [(what, self.put(s, who, p._replace(pc="plan.load" if self.staged else "read", range=there, again=True)))]

    def plan_put(self, s, who):
        p = s.processes[who]
        there = s.plans[p.n - 1]
        if there is not None and self.rules.plan_absent:
            if s.floor >= p.n and self.rules.plan_floor:
                return self.stop(s, who, "finds floor %d" % s.floor)
            return self.take_plan(s, who, "finds plan/%d = %s there and takes it" % (p.n, there), there)
        s = s._replace(plans=replaced(s.plans, p.n - 1, p.range))
        return [("writes plan/%d = %s" % (p.n, p.range), self.put(s, who, p._replace(pc="plan.floor")))]

    def plan_floor(self, s, who):
        p = s.processes[who]
        if self.rules.plan_floor and s.floor >= p.n:
            return self.stop(s, who, "finds floor %d after it wrote plan/%d" % (s.floor, p.n))
        return self.go(s._replace(processes=replaced(s.processes, who, p._replace(floor=s.floor))), who, "reads floor %d" % s.floor)

    def plan_load(self, s, who):
        p = s.processes[who]
        run = s.decided[p.n - 1]
        if not run or not self.rules.stage:
            return [("finds batch %d undecided" % p.n, self.put(s, who, p._replace(pc="read")))]
        self.need(self.stored(s, p.n, p.epoch, run) is not None, "commit/%d names run %d, which is not there" % (p.n, run))
        return self.go(self.put(s, who, p._replace(run=run, decided=True)), who, "finds commit/%d = run %d" % (p.n, run))

    # ---- a run ----

    def read(self, s, who):
        p = s.processes[who]
        run = len(s.runs) + 1
        for n, first, end, _ in s.runs:
            if n == p.n and (first, end) != p.range:
                raise Broken("same: one run of batch %d reads %s, another one %s" % (n, (first, end), p.range))
        s = s._replace(runs=s.runs + ((p.n, p.range[0], p.range[1], p.base if self.rules.run_on_state else 0),))
        return self.go(self.put(s, who, p._replace(run=run)), who, "reads %s: run %d" % (p.range, run))

    def local(self, s, who):
        return self.go(s, who, "")

    def write(self, s, who):
        p = s.processes[who]
        if self.rules.sinks[p.sink] == FOREACH:
            s = self.take_effect(s, p.sink, p.n, p.run)
        return self.go(s, who, "")

    def prepare(self, s, who):
        p = s.processes[who]
        if not self.rules.offsets_inside:
            s = self.take_effect(s, p.sink, p.n, p.run)
        return self.go(s, who, "" if self.rules.offsets_inside else "commits the rows of run %d" % p.run)

    def state(self, s, who):
        p = s.processes[who]
        states = dict(s.states)
        states[self.name_of(p.n, p.epoch, p.run)] = p.run
        return self.go(s._replace(states=tuple(sorted(states.items()))), who, "writes the state of run %d" % p.run)

    # ---- decide ----

    def decide(self, s, who):
        p = s.processes[who]
        if self.rules.check_epoch and s.epochs > p.epoch:
            return self.stop(s, who, "sees epoch/%d before it decides" % s.epochs)
        return [("sees no newer epoch", self.put(s, who, p._replace(pc="decide.put")))]

    def decide_put(self, s, who):
        p = s.processes[who]
        there = s.decided[p.n - 1]
        if there and self.rules.decide_absent:
            if s.floor >= p.n and self.rules.decide_floor:
                return self.stop(s, who, "finds floor %d" % s.floor)
            self.need(self.stored(s, p.n, p.epoch, there) is not None,
                      "commit/%d names run %d, which is not there" % (p.n, there))
            return [("finds commit/%d = run %d and takes it" % (p.n, there),
                     self.put(s, who, p._replace(pc="decide.floor", run=there, decided=True)))]
        s = s._replace(decided=replaced(s.decided, p.n - 1, p.run))
        return [("writes commit/%d = run %d" % (p.n, p.run), self.put(s, who, p._replace(pc="decide.floor", decided=True)))]

    def decide_floor(self, s, who):
        p = s.processes[who]
        if self.rules.decide_floor and s.floor >= p.n:
            return self.stop(s, who, "finds floor %d after it wrote commit/%d" % (s.floor, p.n))
        return self.go(self.put(s, who, p._replace(floor=s.floor)), who, "reads floor %d" % s.floor)

    # ---- commit ----

    def take_effect(self, s, number, n, run):
        """The rows of `run` are in the sink as batch n: what the books will say."""
        sink, kind = s.sinks[number], self.rules.sinks[number]
        ledger, name = sink.ledger, "sink %d" % (number + 1)
        if kind != TX and n <= len(ledger):
            if ledger[n - 1] != run:
                raise Broken("one run: %s got run %d and then run %d of batch %d" % (name, ledger[n - 1], run, n))
            return s
        if n <= len(ledger):
            raise Broken("once: %s takes batch %d a second time" % (name, n))
        if n > len(ledger) + 1:
            raise Broken("once: %s takes batch %d and never batch %d" % (name, n, len(ledger) + 1))
        before = ledger[-1] if ledger else 0
        _, first, _, base = s.runs[run - 1]
        if first != self.end_of(s, before):
            raise Broken("once: batch %d in %s begins at %d, the one before ended at %d" % (n, name, first, self.end_of(s, before)))
        if base != before:
            raise Broken("one run: batch %d in %s was computed on run %d, the sink has run %d before it" % (n, name, base, before))
        for other in s.sinks:
            if len(other.ledger) >= n and other.ledger[n - 1] != run:
                raise Broken("one run: batch %d is run %d in one sink and run %d in the other" % (n, other.ledger[n - 1], run))
        return s._replace(sinks=replaced(s.sinks, number, sink._replace(ledger=ledger + (run,))))

    def deliver(self, s, request):
        """A commit arrives: (state, None), or (state, why it is refused)."""
        number, epoch, n, run = request
        sink = s.sinks[number]
        if self.rules.sinks[number] == TX:
            if self.rules.sink_epoch and sink.epoch > epoch:
                return s, "epoch %d is newer" % sink.epoch
            if self.rules.sink_successor and n != sink.last + 1:
                return s, "batch %d does not follow %d" % (n, sink.last)
        if self.rules.sinks[number] != FOREACH and self.rules.offsets_inside:
            s = self.take_effect(s, number, n, run)
        sink = s.sinks[number]
        return s._replace(sinks=replaced(s.sinks, number, sink._replace(last=n, run=run))), None

    def committed(self, s, who):
        p = s.processes[who]
        return self.put(s, who, self.after(p._replace(last=replaced(p.last, p.sink, p.n))))

    def commit(self, s, who):
        p = s.processes[who]
        request = (p.sink, p.epoch, p.n, p.run)
        what = "commits run %d of batch %d to sink %d" % (p.run, p.n, p.sink + 1)
        after, refused = self.deliver(s, request)
        if refused is None:
            ways = [(what, self.committed(after, who))]
        else:
            ways = self.stop(s, who, what + ", is refused (%s)" % refused)
        if s.faults and self.rules.late and self.rules.sinks[p.sink] == TX:
            lost = s._replace(faults=s.faults - 1)
            under_way = tuple(sorted(s.net + (request,)))
            if refused is None:
                ways.append((what + ": in, the answer is lost",
                             self.put(after._replace(faults=s.faults - 1), who, p._replace(pc="recover"))))
            ways.append((what + ": no answer", self.put(lost._replace(net=under_way), who, p._replace(pc="recover"))))
            ways.append((what + " and is killed", self.put(lost._replace(net=under_way), who, OFF)))
        return ways

    # ---- after the sinks ----

    def done(self, s, who):
        p = s.processes[who]
        return self.go(s._replace(done=max(s.done, p.n)), who, "writes done/%d" % p.n)

    def forget(self, s, who):
        p = s.processes[who]
        if p.n - self.rules.retain < p.floor + 1:
            return [("", self.put(s, who, self.next_batch(p)))]
        if self.rules.check_epoch and s.epochs > p.epoch:
            return self.stop(s, who, "sees epoch/%d before it forgets" % s.epochs)
        p = p._replace(floor=s.floor, pc="forget.raise" if self.rules.floor_first else "forget.delete")
        return [("means to forget batch %d" % (p.n - self.rules.retain), self.put(s, who, p))]

    def forget_raise(self, s, who):
        p = s.processes[who]
        floor = max(p.floor, p.n - self.rules.retain)
        following = p._replace(floor=floor, pc="forget.delete") if self.rules.floor_first else self.next_batch(p._replace(floor=floor))
        return [("raises the floor to %d" % floor, self.put(s._replace(floor=floor), who, following))]

    def forget_delete(self, s, who):
        p = s.processes[who]
        floor = max(p.floor, p.n - self.rules.retain)
        s = s._replace(plans=(None,) * floor + s.plans[floor:], decided=(0,) * floor + s.decided[floor:],
                       states=tuple(item for item in s.states if item[0][0] > floor))
        following = self.next_batch(p) if self.rules.floor_first else p._replace(pc="forget.raise")
        return [("deletes all of batch %d and before" % floor, self.put(s, who, following))]

    # ---- everything that can happen ----

    def is_local(self, s, p):
        """True for a step that nobody else can see: what others do before it or after it is the same."""
        if p.pc == "write":
            return self.rules.sinks[p.sink] != FOREACH
        if p.pc == "prepare":
            return self.rules.offsets_inside
        if p.pc == "forget":
            return p.n - self.rules.retain < p.floor + 1
        return p.pc in ("read", "begin", "report")

    def advance(self, s, who):
        """(label, state) of each way on for a process, its local steps taken together with the next that others can see."""
        passed = ""
        while self.is_local(s, s.processes[who]):
            passed += step_of(s.processes[who].pc) + ", "
            s = self.parts[s.processes[who].pc](s, who)[0][1]
        p = s.processes[who]
        head = "%s %s%s %d: " % (NAMES[who], passed, step_of(p.pc), p.n)
        return [(head + what, after) for what, after in self.part(s, who)]

    def part(self, s, who):
        """The next part of a process's step."""
        p = s.processes[who]
        try:
            return self.parts[p.pc](s, who)
        except Missing as missing:
            if self.rules.ask_why and s.epochs > p.epoch:
                return self.stop(s, who, "misses something (%s), sees epoch/%d" % (missing, s.epochs))
            raise Broken("alone: a process needs a human: %s" % missing)

    def starts(self, s):
        """A restart, if nobody is alive; a take-over, as often as the bounds allow."""
        slots = [who for who in range(N_PROCESSES) if s.processes[who].pc in ALIVE_NOT]
        n_alive = N_PROCESSES - len(slots)
        if not slots or any(p.pc == "ended" for p in s.processes) or (n_alive and not s.take_overs):
            return []
        who = slots[0]
        p = OFF._replace(pc="start")
        return [("%s %s" % (NAMES[who], "takes over" if n_alive else "starts"),
                 self.put(s._replace(take_overs=s.take_overs - (1 if n_alive else 0)), who, p))]

    def arrivals(self, s):
        for index, request in enumerate(s.net):
            left = s._replace(net=s.net[:index] + s.net[index + 1:])
            what = "a commit of epoch %d arrives late: batch %d, run %d, sink %d" % (request[1], request[2], request[3], request[0] + 1)
            after, refused = self.deliver(left, request)
            yield what + (": refused, " + refused if refused else ""), after

    def moves(self, s):
        """All that can happen in `s`, as (label, function that gives [(label, state)])."""
        for label, after in self.starts(s):
            yield label, lambda label=label, after=after: [(label, after)]
        for who in range(N_PROCESSES):
            p = s.processes[who]
            if p.pc in ALIVE_NOT:
                continue
            yield NAMES[who], lambda who=who: self.advance(s, who)
            if s.faults and p.pc != "start":
                yield NAMES[who], lambda who=who: [("%s is killed" % NAMES[who], self.put(s._replace(faults=s.faults - 1), who, OFF))]
        if s.net:
            yield "net", lambda: list(self.arrivals(s))

    def steps(self, s):
        for label, ways in self.moves(s):
            try:
                for what, after in ways():
                    yield what, after, None
            except Broken as broken:
                yield label + " goes on", s, str(broken)

    def goal(self, s):
        return all(len(sink.ledger) == self.rules.batches for sink in s.sinks) and any(p.pc == "ended" for p in s.processes)
