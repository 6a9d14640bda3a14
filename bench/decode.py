"""Decoding frames that lie in memory, on one core; see README.md."""

import json
import os
import subprocess

from measure import PROGRAMS, ROUNDS, SECONDS, machine, median, spread, table

rounds = []
for _ in range(ROUNDS):
    done = subprocess.run([os.path.join(PROGRAMS, "bench_decode"), str(SECONDS)], stdout=subprocess.PIPE, check=True)
    rounds.append([json.loads(line) for line in done.stdout.splitlines()])
rows = []
for shape in zip(*rounds):
    low, high = spread(shape, lambda r: r["messages"] / r["cpuSeconds"] / 1e6)
    rows.append(("%d × %d bytes" % (shape[0]["records"], shape[0]["body"]),
                 "%.2f" % median(shape, lambda r: r["messages"] / r["cpuSeconds"] / 1e6), "%.2f to %.2f" % (low, high),
                 "%.0f" % median(shape, lambda r: r["cpuSeconds"] / r["messages"] * 1e9)))
print(machine())
table(("records a frame", "million/s", "of the rounds", "ns/record"), rows)
print("wanted: 10 million records/s of 128 bytes")
