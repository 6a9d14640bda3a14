#!/usr/bin/env python3
"""Runs the libFuzzer targets of a build made with -Dfuzz=true, each for some seconds after its corpus.

usage: run.py --build build-fuzz [--seconds 20] [--only NAME]     (0 seconds: until stopped, in rounds)

As many run at once as there are processors.

A finding stays in BUILD/fuzz-findings; add it to tests/fuzz/corpus/NAME with its fix. Closes with `N passed, N failed`.
"""
import argparse
import concurrent.futures
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(target, build, seconds, seed):
    name = os.path.basename(target)[len("fuzz_"):]
    work = os.path.join(build, "fuzz-corpus", name)
    findings = os.path.join(build, "fuzz-findings", name)
    os.makedirs(work, exist_ok=True)
    os.makedirs(findings, exist_ok=True)
    command = [target, work, os.path.join(HERE, "corpus", name), "-max_total_time=%d" % seconds, "-seed=%d" % seed,
               "-artifact_prefix=%s/" % findings, "-rss_limit_mb=2048", "-timeout=20", "-print_final_stats=1", "-verbosity=0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors="replace")
    runs = [line.split()[-1] for line in text.splitlines() if "number_of_executed_units" in line]
    good = done.returncode == 0 and runs and int(runs[0]) > 0
    print("%-20s %s, %s runs" % (name, "ok" if good else "FAILED", runs[0] if runs else "no"), flush=True)
    if not good:
        print(text[-6000:])
    return bool(good)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    targets = sorted(path for path in glob.glob(os.path.join(build, "tests", "fuzz", "fuzz_*"))
                     if os.access(path, os.X_OK) and os.path.isfile(path) and "fuzz_replay_" not in path
                     and arguments.only in path)
    seed = int(os.environ.get("MILLRACE_SEED", "1"))
    failed = 0 if targets else 1
    passed = 0
    while True:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for good in pool.map(lambda target: run(target, build, arguments.seconds or 300, seed), targets):
                passed += 1 if good else 0
                failed += 0 if good else 1
        seed += 1
        if arguments.seconds or failed:
            break
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
