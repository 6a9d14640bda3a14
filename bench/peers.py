"""The official Java client beside ours, on the same topic; see README.md."""

import os
import shutil
import subprocess
import sys

from brokers import LIMITS, VERSION, Broker, fetch, json_of
from measure import ROOT, SECONDS, alternate, cpu_us, machine, median, rate, table

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = os.path.join(ROOT, "build-release", "bench-java")
PEERS = {"Java pull, 1 thread": ("pull", 1), "Java pull, 4 threads": ("pull", 4), "Java push, 32 a callback": ("push", 1)}


def compile_java():
    if shutil.which("javac") is None:
        sys.exit("bench: peers needs a JDK (apt-get install openjdk-17-jdk-headless)")
    fetch.fetch(VERSION)
    jars = os.path.join(fetch.jars(VERSION), "*")
    os.makedirs(CLASSES, exist_ok=True)
    subprocess.run(["javac", "-nowarn", "-cp", jars, "-d", CLASSES, os.path.join(HERE, "java", "Peer.java")], check=True,
                   stderr=subprocess.DEVNULL)
    return CLASSES + ":" + jars


def peer(classpath, broker, mode, threads):
    return ["java", "-Duser.home=" + CLASSES, "-Drocketmq.client.logUseSlf4j=true", "-cp", classpath, "Peer", mode,
            broker.namesrv, "BenchRead", SECONDS, threads]


def measure(command):
    return json_of(command, stderr=subprocess.DEVNULL) if command[0] == "java" else json_of(command)


def main():
    classpath = compile_java()
    rows = []
    ratios = []
    for limits, settings in LIMITS.items():
        with Broker(settings) as broker:
            broker.fill("BenchRead")
            broker.warm_up("BenchRead")
            cases = {name: peer(classpath, broker, *words) for name, words in PEERS.items()}
            cases["millrace bench read"] = broker.read("BenchRead")
            results = alternate(cases, measure=measure)
        ours = results["millrace bench read"]
        for name, found in results.items():
            rows.append((limits, name, "%.2f" % (median(found, rate("messages")) / 1e6),
                         "%.2f" % median(found, cpu_us("messages")), "%.0f" % (median(found, "maxRssKiB") / 1024)))
            if found is not ours:
                ratios.append((limits, name, "%.1f" % (median(ours, rate("messages")) / median(found, rate("messages"))),
                               "%.0f" % (median(found, cpu_us("messages")) / median(ours, cpu_us("messages"))),
                               "%.1f" % (median(found, "maxRssKiB") / median(ours, "maxRssKiB"))))
    print(machine())
    table(("broker", "reader", "million/s", "CPU µs/message", "RSS MiB"), rows)
    print("\nmillrace against each:\n")
    table(("broker", "reader", "times the rate", "times less CPU", "times less memory"), ratios)


main()
