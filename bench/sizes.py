"""How the cost of reading grows with the size of messages and the number of queues; see README.md."""

from brokers import LIMITS, Broker, json_of
from measure import ROUNDS, alternate, bars, cpu_us, machine, median, rate, table

SECONDS = 2  # a point; there are many
SIZES = (16, 64, 128, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
QUEUES = (1, 4, 16, 64, 256, 1024)
TOPIC_BYTES = 256 << 20
TOPIC_MESSAGES = 500000


def text(size):
    return "%d B" % size if size < 1024 else "%d KiB" % (size >> 10) if size < 1 << 20 else "%d MiB" % (size >> 20)


def name_of(kind, value):
    return "Bench%s%d" % (kind, value)


def measure_all(broker, kind, values, queues_of, size_of):
    """{value: (ours, probe)}: each point beside the probe, in turn, so that a slow moment is seen as such."""
    found = {}
    for value in values:
        size = size_of(value)
        count = max(200, min(TOPIC_MESSAGES, TOPIC_BYTES // (size + 150)))
        broker.fill(name_of(kind, value), queues=queues_of(value), count=count, size=size)
    for value in values:
        topic = name_of(kind, value)
        depth = 4 if queues_of(value) <= 64 else 1
        results = alternate({"probe": broker.probe(topic, depth, queues=queues_of(value), seconds=SECONDS),
                             "ours": broker.read(topic, seconds=SECONDS)}, rounds=ROUNDS, measure=json_of)
        found[value] = (results["ours"], results["probe"])
    return found


def row(label, ours, probe, size):
    speed = median(ours, rate("messages"))
    return (label, "%.3f" % (speed / 1e6), "%.0f" % (speed * size / 1e6),
            "%.0f %%" % (100 * speed / median(probe, rate("messages"))), "%.2f" % median(ours, cpu_us("messages")),
            "%.0f" % (median(ours, lambda r: r["messages"] / r["requests"])), "%.0f" % (median(ours, "maxRssKiB") / 1024))


def main():
    rows = []
    plots = []
    for limits, settings in LIMITS.items():
        with Broker(settings) as broker:
            broker.fill("BenchRead", count=500000)
            broker.warm_up("BenchRead")
            sizes = measure_all(broker, "Size", SIZES, lambda _: 4, lambda size: size)
            queues = measure_all(broker, "Queues", QUEUES, lambda n: n, lambda _: 128)
        short = limits.split(",", maxsplit=1)[0]
        rows += [row("%s, 4 queues, %s" % (short, text(size)), *found, size) for size, found in sizes.items()]
        rows += [row("%s, %d queues, 128 B" % (short, n), *found, 128) for n, found in queues.items()]
        plots.append((short + ": µs of CPU a message by its size",
                      [(text(size), median(found[0], cpu_us("messages"))) for size, found in sizes.items()]))
        plots.append((short + ": million messages/s by the number of queues",
                      [(str(n), median(found[0], rate("messages")) / 1e6) for n, found in queues.items()]))
    print(machine())
    table(("broker, topic", "million/s", "MB/s", "of the probe", "CPU µs/message", "messages a pull", "RSS MiB"), rows)
    for title, points in plots:
        print("\n%s\n" % title)
        bars(points)


main()
