"""TAP for tests in Python: @case functions, run in order, each failure with its reason.

    from tap import case, check, main

    @case("a wrong option is named")
    def _(): check(condition, "what was seen")

    main()
"""
import os
import subprocess
import sys
import traceback

CASES = []


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def case(name):
    def register(function):
        CASES.append((name, function))
        return function
    return register


def check(condition, reason=""):
    if not condition:
        raise Failed(reason)


def skip(reason):
    """Ends a case that can't run here; its name must stand in tests/known_skips."""
    raise Skipped(reason)


def equal(seen, expected, what=""):
    check(seen == expected, "%s: got %r, expected %r" % (what, seen, expected))


def run(command, input=None, timeout=60, environment=None, **more):
    """Runs a program: (exit code, stdout, stderr) with text in both."""
    merged = dict(os.environ, **(environment or {}))
    for name in ("MILLRACE_NAMESRV", "MILLRACE_ACCESS_KEY", "MILLRACE_SECRET_KEY"):
        if not environment or name not in environment:
            merged.pop(name, None)
    done = subprocess.run(command, input=input.encode() if isinstance(input, str) else input, timeout=timeout, env=merged,
                          stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
                          **({"stdin": subprocess.DEVNULL} if input is None else {}), **more)
    return done.returncode, (done.stdout or b"").decode(errors="replace"), done.stderr.decode(errors="replace")


def main():
    wanted = os.environ.get("TAP_ONLY")
    chosen = [(name, function) for name, function in CASES if not wanted or wanted in name]
    print("1..%d" % len(chosen), flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        try:
            function()
            print("ok %d - %s" % (number, name), flush=True)
        except Skipped as reason:
            print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)
        except Failed as failure:
            print("not ok %d - %s\n# %s" % (number, name, str(failure).replace("\n", "\n# ")), flush=True)
        except Exception:  # noqa: BLE001: a broken case is a failed case
            print("not ok %d - %s\n# %s" % (number, name, traceback.format_exc().replace("\n", "\n# ")), flush=True)
    sys.stdout.flush()
