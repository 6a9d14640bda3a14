#!/usr/bin/env python3
"""TAP: bench read and bench send count what they should; nothing here looks at speed.   usage: test_bench.py MILLRACE"""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Millrace  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

outside = os.environ.get("RMQ_TEST_NAMESRV")
broker = None if outside else Broker(sys.argv[1])
millrace = Millrace(sys.argv[1], outside or broker.namesrv)
FIELDS = ("messages", "bytes", "requests", "seconds", "cpuSeconds", "maxRssKiB")
PERCENTILES = ("p50", "p90", "p99", "p999", "max")
counter = 0


def new_topic(queues=2):
    global counter
    counter += 1
    topic = "Bench-%d-%d-%d" % (os.getpid(), int(time.time() * 1000), counter)
    equal(millrace.run("topic", "create", topic, "--queues", str(queues)), (0, "", ""), "topic create")
    return topic


def report(*words):
    code, out, err = millrace.run("bench", *words, "--json")
    equal((code, err), (0, ""), " ".join(words))
    equal(out.count("\n"), 1, "one line")
    found = json.loads(out)
    for field in FIELDS:
        check(isinstance(found[field], (int, float)) and found[field] >= 0, "%s in %s" % (field, out))
    values = [found["latencyMicros"][name] for name in PERCENTILES]
    equal(values, sorted(values), "percentiles")
    return found


def stored(topic, count):
    for _ in range(200):
        code, out, _ = millrace.run("topic", "describe", topic, "--json")
        if code == 0 and sum(json.loads(line).get("maxOffset", 0) for line in out.splitlines()) >= count:
            return
        time.sleep(0.05)
    check(False, "%s does not show %d messages" % (topic, count))


@case("send --count stores just so many, of just that size")
def _():
    topic = new_topic()
    found = report("send", "--topic", topic, "--count", "300", "--size", "77")
    equal((found["messages"], found["bytes"], found["requests"]), (300, 300 * 77, 300))
    stored(topic, 300)
    code, out, err = millrace.run("consume", "--topic", topic, "--until", "end", "--format", "raw")
    equal((code, [len(line) for line in out.splitlines()]), (0, [77] * 300), err)
    check(all("orderNo" in json.loads(line) for line in out.splitlines()), "bodies are JSON")


@case("send --batch rounds the count up to whole batches")
def _():
    topic = new_topic()
    found = report("send", "--topic", topic, "--count", "95", "--batch", "10", "--size", "16")
    equal((found["messages"], found["requests"]), (100, 10))
    stored(topic, 100)


@case("read counts a topic again and again until the time is up")
def _():
    topic = new_topic(3)
    report("send", "--topic", topic, "--count", "1000", "--batch", "100", "--size", "50")
    stored(topic, 1000)
    found = report("read", "--topic", topic, "--seconds", "500ms", "--warm-up", "50ms", "--threads", "2")
    check(found["messages"] > 2000, "read %d messages" % found["messages"])
    equal(found["bytes"], found["messages"] * 50, "bytes")
    check(0.4 < found["seconds"] < 5, "%f seconds" % found["seconds"])


@case("read --follow sees what is sent meanwhile, once")
def _():
    topic = new_topic()
    report("send", "--topic", topic, "--count", "50")
    reader = millrace.start("bench", "read", "--topic", topic, "--follow", "--warm-up", "0s", "--seconds", "60", "--json")
    # What was there before the reader's start must not be counted; what comes now, must. Its start shows in the broker only,
    # so the sending goes on until it is told to stop.
    for _ in range(40):
        sent = report("send", "--topic", topic, "--rate", "200", "--count", "20")["messages"]
    reader.send_signal(signal.SIGTERM)
    out, err = reader.communicate(timeout=30)
    equal((reader.returncode, sent), (0, 20), err.decode())
    found = json.loads(out)
    check(0 < found["messages"] <= 800, "read %d" % found["messages"])
    check(found["latencyMicros"]["max"] > 0, "a latency")


@case("what can't be measured is said, with the right exit code")
def _():
    topic = new_topic()
    for words, exit_code, text in (
            (("read",), 2, "--topic"),
            (("read", "--topic", topic), 1, "holds no messages"),
            (("read", "--topic", topic + "-none"), 1, topic + "-none"),
            (("read", "--topic", topic, "--threads", "0"), 2, "--threads 0"),
            (("read", "--topic", topic, "--seconds", "soon"), 2, "--seconds soon"),
            (("send", "--topic", topic, "--batch", "1000", "--size", "5000"), 2, "over 4 MiB"),
            (("send", "--topic", topic, "--size", "0"), 2, "--size 0"),
            (("send",), 2, "--topic")):
        code, out, err = millrace.run("bench", *words)
        equal((code, out), (exit_code, ""), " ".join(words))
        check(text in err and err.startswith("millrace: ") and err.count("\n") == 1, err)


@case("bench alone names what it can measure")
def _():
    code, out, err = millrace.run("bench", connect=False)
    equal((code, out), (2, ""))
    check("read" in err and "send" in err, err)


@case("without --json a person's table is printed")
def _():
    topic = new_topic()
    code, out, err = millrace.run("bench", "send", "--topic", topic, "--count", "10")
    equal((code, err), (0, ""))
    for word in ("messages", "rate", "CPU", "memory", "latency"):
        check(word in out, out)


@case("a stop ends the measurement, and what was measured is told")
def _():
    topic = new_topic()
    reader = millrace.start("bench", "send", "--topic", topic, "--seconds", "60", "--warm-up", "0s", "--json")
    stored(topic, 10)
    reader.send_signal(signal.SIGINT)
    out, err = reader.communicate(timeout=30)
    equal(reader.returncode, 0, err.decode())
    check(json.loads(out)["messages"] >= 10, out.decode())


main()
if broker:
    broker.stop()
