"""The whole job against a bare SQLite program; see README.md."""

from measure import SECONDS, alternate, cpu_us, machine, median, rate, spread, table

MILLION = 1000000
CASES = {
    "1,000 keys, batches of 20,000": ("job", 1000, 2 * MILLION, 20000, 2, SECONDS),
    "1,000 keys, batches of 1,000,000": ("job", 1000, 2 * MILLION, MILLION, 2, SECONDS),
    "1,000,000 keys, 10 million orders, batches of 2,000,000": ("job", MILLION, 10 * MILLION, 2 * MILLION, 2, 0),
    "the same sums, bare SQLite": ("sqlite_ceiling", MILLION, 10 * MILLION, 2 * MILLION),
}

results = alternate(CASES)
rows = []
for name, found in results.items():
    low, high = spread(found, rate("orders"))
    phases = "" if "readMs" not in found[0] else "%.2f / %.2f / %.2f" % tuple(
        median(found, lambda r, key=key: r[key] / r["seconds"] / 1000) for key in ("readMs", "writeMs", "commitMs"))
    rows.append((name, "%.2f" % (median(found, rate("orders")) / MILLION),
                 "%.2f to %.2f" % (low / MILLION, high / MILLION), "%.2f" % median(found, cpu_us("orders")), phases))
print(machine())
table(("job", "million orders/s", "of the rounds", "CPU µs/order", "share of reading / writing / committing"), rows)
job, bare = list(results.values())[2:]
ratios = [a["orders"] / a["seconds"] / (b["orders"] / b["seconds"]) for a, b in zip(job, bare)]
print("\n1,000,000 keys: %.0f %% of what bare SQLite reaches (rounds: %s); wanted: 70 %%" %
      (100 * sorted(ratios)[len(ratios) // 2], ", ".join("%.0f" % (100 * r) for r in ratios)))
