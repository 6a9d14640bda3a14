"""Exhaustive search over a small model, breadth first, so that the first trace found is a shortest one.

A model gives `init`, a hashable state, and `steps(state)`, which yields (label, next state, broken): `broken` is None, or a
sentence that says which promise this step breaks. `goal(state)` is true where all that was promised has happened; a state from
which no goal can be reached any more is a broken promise too (work that is stuck for ever).
"""
import array
import collections
import time


class Found:
    """What a search found: `broken` is None if each promise holds in all states within the bounds."""

    def __init__(self, broken, trace, n_states, n_steps, seconds):
        self.broken = broken
        self.trace = trace
        self.n_states = n_states
        self.n_steps = n_steps
        self.seconds = seconds

    def text(self):
        """The finding for people: the promise, then the shortest way to break it."""
        lines = [self.broken or "sound"]
        lines += ["%3d. %s" % (number, label) for number, label in enumerate(self.trace, 1)]
        return "\n".join(lines)


class Search:
    """The states seen so far, each with the step that first led to it."""

    def __init__(self, model, max_states):
        self.model = model
        self.max_states = max_states
        self.numbers = {model.init: 0}
        self.states = [model.init]
        self.parents = array.array("l", [-1])
        self.labels = [None]
        self.counts = collections.Counter()  # how often each label was seen
        self.edges_from, self.edges_to = array.array("l"), array.array("l")

    def trace_to(self, number, last=None):
        labels = [] if last is None else [last]
        while self.parents[number] >= 0:
            labels.append(self.labels[number])
            number = self.parents[number]
        return labels[::-1]

    def number_of(self, state, parent, label):
        known = self.numbers.get(state)
        if known is None:
            known = self.numbers[state] = len(self.states)
            self.states.append(state)
            self.parents.append(parent)
            self.labels.append(label)
        return known

    def visit_all(self):
        """(broken, trace) of the first promise that is broken, or (None, [])."""
        at = 0
        while at < len(self.states):
            for label, state, broken in self.model.steps(self.states[at]):
                if broken is not None:
                    return broken, self.trace_to(at, label)
                self.counts[label] += 1
                self.edges_from.append(at)
                self.edges_to.append(self.number_of(state, at, label))
            at += 1
            if at > self.max_states:
                raise RuntimeError("more than %d states: the bounds are too wide" % self.max_states)
        return None, []

    def find_stuck(self):
        """The first state from which no goal can be reached: walks the edges backwards from all goals."""
        starts = array.array("l", [0]) * (len(self.states) + 1)  # edges sorted by their end: a compact list of lists
        for end in self.edges_to:
            starts[end + 1] += 1
        for number in range(len(self.states)):
            starts[number + 1] += starts[number]
        places = array.array("l", starts)
        sources = array.array("l", [0]) * len(self.edges_to)
        for source, end in zip(self.edges_from, self.edges_to):
            sources[places[end]] = source
            places[end] += 1
        good = bytearray(len(self.states))
        todo = [number for number, state in enumerate(self.states) if self.model.goal(state)]
        for number in todo:
            good[number] = 1
        while todo:
            number = todo.pop()
            for source in sources[starts[number]:starts[number + 1]]:
                if not good[source]:
                    good[source] = 1
                    todo.append(source)
        return good.find(0)


def search(model, max_states=3_000_000, out_work=None):
    """Visits every state of `model` that can be reached; the Search itself goes to the list `out_work`."""
    began = time.monotonic()
    work = Search(model, max_states)
    if out_work is not None:
        out_work.append(work)
    broken, trace = work.visit_all()
    if broken is None:
        stuck = work.find_stuck()
        if stuck >= 0:
            broken, trace = "progress: from here on not all batches can get into all sinks", work.trace_to(stuck)
    return Found(broken, trace, len(work.states), len(work.edges_to), time.monotonic() - began)
