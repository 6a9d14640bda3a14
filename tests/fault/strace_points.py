"""SIGKILL by `strace --inject`: its points, which are (system call, n) in whichever thread gets to n first.

strace is the outside witness: it counts the same calls as our injector, and kills by means of its own. But a thread that
makes fewer calls of a kind than another is beyond its reach there: those points are the injector's.
"""
import collections
import os
import re
import shutil
import subprocess

from syscall_points import Point
from tap import skip

LINE = re.compile(r"^(\d+) +(\w+)\(")


def tracing(tools):
    """Skips the case where strace is missing or may not trace."""
    try:
        done = tools.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=SIGKILL", "true"])
    except FileNotFoundError:
        skip("strace is not installed")
    if done.returncode != 0:
        skip("strace can't trace here: " + done.stderr.decode(errors="replace").strip())


class Counted:
    """The calls of a clean run by strace: the loader's (before the first thread) apart."""

    def __init__(self, scenario, calls):
        place = scenario.copy()
        log = place + ".strace"
        done = scenario.tools.run(["strace", "-f", "-qq", "-o", log, "-e", "trace=clone3,clone," + ",".join(sorted(calls)),
                                   *scenario.words(place)])
        if done.returncode != 0:
            raise RuntimeError("a clean run under strace failed: " + done.stderr.decode(errors="replace"))
        self.loader, self.threads, self.total = collections.Counter(), collections.Counter(), collections.Counter()
        started = False
        with open(log) as lines:
            for thread, call in (found.groups() for found in map(LINE.match, lines) if found):
                started = started or call.startswith("clone")
                self.threads[thread, call] += 1
                (self.total if started else self.loader)[call] += 1
        os.remove(log)
        shutil.rmtree(place)

    def most(self, call):
        return max((n for (_, name), n in self.threads.items() if name == call), default=0)


def strace_points(scenario, calls):
    runs = [Counted(scenario, calls) for _ in range(3)]
    return [Point("any", call, n, "", 0, 0) for call in sorted(calls)
            for n in range(runs[0].loader[call] + 1, min(run.most(call) for run in runs) + 1)]


def strace_kill(scenario, point):
    """A copy of a run under strace: (directory, None, whether the job was killed on entry to that call)."""
    place = scenario.copy()
    try:  # not with --seccomp-bpf: strace 6.1 then misses most of the calls that it should kill at
        done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + point.call, "-e",
                               "inject=%s:signal=SIGKILL:when=%d" % (point.call, point.n), *scenario.words(place)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env=scenario.tools.environment)
    except BaseException:
        shutil.rmtree(place)
        raise
    return place, None, done.returncode == -9
