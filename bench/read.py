"""Reading a topic, beside a probe that throws the bytes away; see README.md."""

from brokers import LIMITS, MESSAGES, Broker, json_of
from measure import alternate, cpu_us, machine, median, rate, spread, table

MILLION = 1e6
PROBES = {"probe, 1 in flight per queue": 1, "probe, 4 in flight per queue": 4}

rows = []
verdicts = []
for limits, settings in LIMITS.items():
    with Broker(settings) as broker:
        broker.fill("BenchRead")
        broker.warm_up("BenchRead")
        cases = {name: broker.probe("BenchRead", depth) for name, depth in PROBES.items()}
        cases["millrace bench read"] = broker.read("BenchRead")
        results = alternate(cases, measure=json_of)
    *probes, ours = results.values()
    for name, found in results.items():
        low, high = spread(found, rate("messages"))
        rows.append((limits, name, "%.2f" % (median(found, rate("messages")) / MILLION),
                     "%.2f to %.2f" % (low / MILLION, high / MILLION), "%.3f" % median(found, cpu_us("messages")),
                     "%.1f" % (median(found, "maxRssKiB") / 1024)))
    # Round by round, the better of the two probes is the ceiling.
    ratios = sorted(rate("messages")(mine) / max(rate("messages")(probe[i]) for probe in probes)
                    for i, mine in enumerate(ours))
    verdicts.append("%s: %.0f %% of the better probe of the same round (rounds: %s)" % (
        limits, 100 * ratios[len(ratios) // 2], ", ".join("%.0f" % (100 * r) for r in ratios)))
print(machine())
print("%s messages of 128 bytes in 4 queues\n" % format(MESSAGES, ","))
table(("broker", "program", "million/s", "of the rounds", "CPU µs/message", "RSS MiB"), rows)
print()
for verdict in verdicts:
    print(verdict)
print("wanted: 90 % at 0.6 µs with default limits, 2.5 million/s at 0.3 µs with raised ones, 64 MiB in both")
