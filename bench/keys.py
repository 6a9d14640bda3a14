"""How the job's cost grows with the number of keys; see README.md."""

from measure import alternate, bars, cpu_us, machine, median, rate, table

MILLION = 1000000
COUNTS = (1000, 10000, 100000, MILLION, 10 * MILLION)
CASES = {}
for count in COUNTS:
    CASES["job", count] = ("job", count, 10 * MILLION, 2 * MILLION, 2, 0)
    CASES["bare", count] = ("sqlite_ceiling", count, 10 * MILLION, 2 * MILLION)

results = alternate(CASES)
rows = []
for count in COUNTS:
    job, bare = results["job", count], results["bare", count]
    rows.append(("{:,}".format(count), "%.2f" % (median(job, rate("orders")) / MILLION),
                 "%.2f" % median(job, cpu_us("orders")),
                 "%.2f" % median(job, lambda r: r["readMs"] * 1e3 / r["orders"]),
                 "%.2f" % median(job, lambda r: (r["writeMs"] + r["commitMs"]) * 1e3 / r["orders"]),
                 "%.2f" % (bare[0]["rows"] / bare[0]["orders"]),
                 "%.2f" % median(bare, lambda r: r["seconds"] * 1e6 / r["orders"]),
                 "%d" % median(job, lambda r: (r["maxRssKiB"] - r["bodyBytes"] / 1024) / 1024)))
print(machine())
print("10 million orders, batches of 2 million, 2 workers; times in µs an order\n")
table(("keys", "million orders/s", "CPU", "reading", "writing and committing", "rows upserted per order",
       "bare SQLite for these", "RSS MiB without the orders"), rows)
print("\nmillion orders/s:\n")
bars([(row[0], float(row[1])) for row in rows])
