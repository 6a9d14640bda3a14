"""One queue, read through a proxy that adds 5 ms each way; see README.md."""

import os
import subprocess

from brokers import LIMITS, MILLRACE, Broker, json_of
from measure import ROOT, SECONDS, alternate, machine, median, rate, spread, table

PROXY = os.path.join(ROOT, "build-release", "tests", "support", "fault_proxy")
DELAYS_MS = (2.5, 5)  # each way: 5 and 10 ms a round trip
PULL = 32
PULLS = (1, 16, 64)


class Proxy:
    def __init__(self, namesrv, delay_ms):
        self.process = subprocess.Popen([PROXY, "--to", namesrv, "--delay-ms", str(delay_ms)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.address = self.process.stdout.readline().decode().strip()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def main():
    rows = []
    with Broker(next(iter(LIMITS.values()))) as broker:
        broker.fill("BenchOne", queues=1, count=1000000)
        broker.warm_up("BenchOne", queues=1)
        for delay_ms in DELAYS_MS:
            proxy = Proxy(broker.namesrv, delay_ms)
            cases = {pulls: [MILLRACE, "bench", "read", "--topic", "BenchOne", "--namesrv", proxy.address, "--seconds",
                             "%gs" % SECONDS, "--pulls", pulls, "--json"] for pulls in PULLS}
            results = alternate(cases, measure=json_of)
            proxy.stop()
            for pulls, found in results.items():
                one = PULL / 0.005  # what one pull after the other gives at 5 ms a round trip
                low, high = spread(found, rate("messages"))
                middle = median(found, rate("messages"))
                rows.append(("%g ms" % (2 * delay_ms), pulls, "%.0f" % middle, "%.0f to %.0f" % (low, high),
                             "%.1f" % (middle / one)))
    print(machine())
    table(("round trip added", "pulls in flight", "messages/s", "of the rounds", "times 32 / 5 ms"), rows)
    print("wanted: 20 times with 5 ms; 64 pulls in flight are the default")


main()
