"""The cost of a micro-batch with nothing in it, with and without its file syncs; see README.md."""

from measure import SECONDS, alternate, machine, median, spread, table

KINDS = {"no row (a record that the job leaves out)": "none", "one order, one row": "one"}
CASES = {(name, syncs): ("empty_batch", kind, syncs, SECONDS)
         for name, kind in KINDS.items() for syncs in ("nosync", "sync")}


def milliseconds(result):
    return result["seconds"] / result["batches"] * 1e3


results = alternate(CASES)
rows = []
for (name, syncs), found in results.items():
    low, high = spread(found, milliseconds)
    rows.append((name, "without" if syncs == "nosync" else "with", "%.3f" % median(found, milliseconds),
                 "%.3f to %.3f" % (low, high),
                 "%.3f" % median(found, lambda r: r["cpuSeconds"] / r["batches"] * 1e3),
                 "%.1f" % median(found, lambda r: r["syncs"] / r["batches"]),
                 "" if syncs == "nosync" else "%.3f" % median(found, lambda r: r["syncSeconds"] / r["syncs"] * 1e3)))
print(machine())
table(("micro-batch", "syncs", "ms/batch", "of the rounds", "CPU ms/batch", "syncs/batch", "ms/sync"), rows)
print("\nwanted: less than 1 ms without its syncs")
