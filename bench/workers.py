"""How the job's cost changes with the number of workers; see README.md."""

from measure import SECONDS, alternate, bars, cpu_us, machine, median, rate, table

MILLION = 1000000
COUNTS = (1, 2, 3, 4, 6, 8)
CASES = {}
for count in COUNTS:
    CASES["few", count] = ("job", 1000, 2 * MILLION, MILLION, count, SECONDS)
    CASES["many", count] = ("job", MILLION, 10 * MILLION, 2 * MILLION, count, 0)

results = alternate(CASES)
rows = []
for count in COUNTS:
    few, many = results["few", count], results["many", count]
    rows.append((count, "%.2f" % (median(few, rate("orders")) / MILLION), "%.2f" % median(few, cpu_us("orders")),
                 "%.2f" % (median(many, rate("orders")) / MILLION), "%.2f" % median(many, cpu_us("orders")),
                 "%.2f" % median(many, lambda r: r["readMs"] * 1e3 / r["orders"]),
                 "%.2f" % median(many, lambda r: (r["writeMs"] + r["commitMs"]) * 1e3 / r["orders"])))
print(machine())
table(("workers", "1,000 keys: million orders/s", "CPU µs/order", "1,000,000 keys: million orders/s", "CPU µs/order",
       "reading µs/order", "writing and committing µs/order"), rows)
for title, column in (("1,000 keys", 1), ("1,000,000 keys", 3)):
    print("\n%s, million orders/s by workers:\n" % title)
    bars([(str(row[0]), float(row[column])) for row in rows])
