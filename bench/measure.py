"""What the benchmarks share: running programs turn by turn, medians, tables.

The machine may be shared and drifts by 10 to 25 % within minutes. So what is compared is run in turn within one call
(A B C A B C ...), each figure is the median of at least five rounds, and what counts is the ratio. A program that is
over too soon is run again until its measured seconds add up to SECONDS; the sum is then one measurement.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = os.path.join(ROOT, "build-release", "bench")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
# These are added up over repeated runs; anything else is the last run's.
SUMS = ("orders", "messages", "rows", "batches", "seconds", "cpuSeconds", "driverCpuSeconds", "syncs", "syncSeconds", "planMs", "readMs",
        "writeMs", "commitMs", "bytes")


def run(command):
    """Runs a program with an empty directory as its first argument; gives what its last line of JSON says."""
    parent = os.environ.get("BENCH_DIR", os.path.join(ROOT, "build-release"))
    directory = tempfile.mkdtemp(prefix="bench-data-", dir=parent)
    try:
        arguments = [os.path.join(PROGRAMS, "bench_" + command[0]), directory] + [str(a) for a in command[1:]]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit("bench: %s ended with %d" % (" ".join(arguments), done.returncode))
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(directory)


def run_long_enough(command, seconds=None):
    total = run(command)
    while total["seconds"] < (SECONDS if seconds is None else seconds):
        more = run(command)
        for key, value in more.items():
            total[key] = total[key] + value if key in SUMS else value
    return total


def alternate(cases, rounds=None, measure=run_long_enough):
    """cases: {name: command}. One measurement of each, then again, ROUNDS times. {name: [result, ...]}"""
    results = {name: [] for name in cases}
    rounds = ROUNDS if rounds is None else rounds
    for i in range(rounds):
        for name, command in cases.items():
            results[name].append(measure(command))
            if sys.stderr.isatty():
                sys.stderr.write("\r%s: round %d of %d   " % (name, i + 1, rounds))
    if sys.stderr.isatty():
        sys.stderr.write("\r%60s\r" % "")
    return results


def median(results, value):
    """The median of value(result), a function or a key."""
    get = value if callable(value) else (lambda result: result[value])
    return statistics.median(get(result) for result in results)


def spread(results, value):
    get = value if callable(value) else (lambda result: result[value])
    values = [get(result) for result in results]
    return min(values), max(values)


def rate(what):
    return lambda result: result[what] / result["seconds"]


def cpu_us(what):
    return lambda result: result["cpuSeconds"] / result[what] * 1e6


def table(head, rows):
    """Prints a Markdown table; numbers stand right."""
    print("| " + " | ".join(head) + " |")
    print("|" + "|".join("---" if i == 0 else "---:" for i in range(len(head))) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def bars(rows, width=50):
    """Prints a plot: a bar for each (label, value), the longest over the whole width."""
    longest = max(value for _, value in rows)
    label_width = max(len(label) for label, _ in rows)
    print("```")
    for label, value in rows:
        print("%s  %s %.3g" % (label.rjust(label_width), "█" * max(1, round(value / longest * width)), value))
    print("```")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return "%s, %d cores, load %.1f" % (models[0] if models else os.uname().machine, os.cpu_count(),
                                        os.getloadavg()[0])
