#!/usr/bin/env python3
"""TAP: produce and consume as pipes, topics, on a development broker or RMQ_TEST_NAMESRV.   usage: test_pipe.py MILLRACE"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Directory, Millrace, outside_options  # noqa: E402
from tap import case, check, equal, main, run  # noqa: E402

outside = os.environ.get("RMQ_TEST_NAMESRV")
options = outside_options()
broker = None if outside else Broker(sys.argv[1])
millrace = Millrace(sys.argv[1], outside or broker.namesrv, options)
counter = 0


def new_topic(queues=2):
    global counter
    counter += 1
    topic = "Pipe-%d-%d-%d" % (os.getpid(), int(time.time() * 1000), counter)
    code, out, err = millrace.run("topic", "create", topic, "--queues", str(queues))
    equal((code, out, err), (0, "", ""), "topic create")
    return topic


def produce(topic, text, *more):
    code, out, err = millrace.run("produce", "--topic", topic, *more, input=text)
    equal((code, out), (0, ""), "produce: " + err)


def consume(topic, *more, **options_of_run):
    code, out, err = millrace.run("consume", "--topic", topic, "--until", "end", *more, **options_of_run)
    equal(code, 0, "consume: " + err)
    return out


def wait_until(test, complaint):
    """A process of its own does it, some time; half a minute is for ever."""
    for _ in range(600):
        if test():
            return
        time.sleep(0.05)
    check(False, complaint)


def lines(file):
    """Of a file that a process is still writing, by a position of our own."""
    with open(file.name, "rb") as mine:
        return mine.read().decode().splitlines()


def last_line(file, part):
    found = [line for line in lines(file) if part in line]
    return found[-1] if found else ""


def wait_stored(topic, count):
    """A stored message becomes visible a little later (asynchronous index)."""
    for _ in range(200):
        code, out, _ = millrace.run("topic", "describe", topic, "--json")
        if code == 0 and sum(json.loads(line)["maxOffset"] for line in out.splitlines() if "maxOffset" in line) >= count:
            return
        time.sleep(0.05)
    check(False, "%s does not show %d messages" % (topic, count))


@case("what goes in comes out, every line once")
def _():
    topic = new_topic(4)
    lines = ["line %d äöü 中文 \"quoted\" \\ \t." % number for number in range(5000)]
    produce(topic, "\n".join(lines) + "\n")
    wait_stored(topic, 5000)
    messages = [json.loads(line) for line in consume(topic).splitlines()]
    equal(sorted(message["body"] for message in messages), sorted(lines), "bodies")
    equal(len({(m["brokerName"], m["queueId"], m["queueOffset"]) for m in messages}), 5000, "places")
    for name, kind in (("topic", str), ("brokerName", str), ("queueId", int), ("queueOffset", int), ("bornTimestamp", int),
                       ("storeTimestamp", int), ("msgId", str), ("offsetMsgId", str), ("reconsumeTimes", int)):
        check(isinstance(messages[0][name], kind), "%s of %r" % (name, messages[0]))
    check("keys" not in messages[0] and "tags" not in messages[0], "absent fields are left out")


@case("tags, keys, properties; and json in, json out")
def _():
    topic, copy = new_topic(), new_topic()
    produce(topic, "hello\n", "--tags", "TagA", "--keys", "k1 k2", "--property", "colour=blue", "--property", "size=3")
    wait_stored(topic, 1)
    text = consume(topic)
    message = json.loads(text)
    equal((message["tags"], message["keys"], message["body"]), ("TagA", "k1 k2", "hello"))
    equal((message["properties"]["colour"], message["properties"]["size"]), ("blue", "3"))
    check("TAGS" not in message["properties"] and "KEYS" not in message["properties"], message)
    produce(copy, text, "--json")
    wait_stored(copy, 1)
    again = json.loads(consume(copy))
    for name in ("tags", "keys", "body"):
        equal(again[name], message[name], name)
    equal({k: v for k, v in again["properties"].items() if k in ("colour", "size")}, {"colour": "blue", "size": "3"})


@case("bytes that are not UTF-8 survive a round trip")
def _():
    topic, copy = new_topic(), new_topic()
    produce(topic, b"\xff\xfe\x00\x01abc\n")
    wait_stored(topic, 1)
    text = consume(topic)
    message = json.loads(text)
    check("body" not in message, message)
    equal(message["bodyBase64"], "//4AAWFiYw==")
    produce(copy, text, "--json")
    wait_stored(copy, 1)
    equal(json.loads(consume(copy))["bodyBase64"], "//4AAWFiYw==")


@case("batches and the three compressions")
def _():
    topic = new_topic()
    produce(topic, "".join("b%d\n" % number for number in range(250)), "--batch", "100")
    for name in ("zlib", "lz4", "zstd"):
        produce(topic, name * 2000 + "\n", "--compress", name)
    wait_stored(topic, 253)
    bodies = [json.loads(line)["body"] for line in consume(topic).splitlines()]
    equal(sorted(bodies), sorted(["b%d" % number for number in range(250)] + [n * 2000 for n in ("zlib", "lz4", "zstd")]))


@case("formats")
def _():
    topic = new_topic(1)
    produce(topic, "payload\n", "--tags", "G", "--keys", "K")
    wait_stored(topic, 1)
    equal(consume(topic, "--format", "raw"), "payload\n")
    equal(consume(topic, "--format", "%k|%g|%s|%q|%o|%t|%%"), "K|G|payload|0|0|%s|%%\n" % topic)


@case("from, until, count, queue")
def _():
    topic = new_topic(1)
    produce(topic, "".join("%d\n" % number for number in range(100)))
    wait_stored(topic, 100)
    raw = ("--format", "raw")
    equal(consume(topic, "--from", "90", *raw).split(), [str(n) for n in range(90, 100)])
    equal(consume(topic, "--from", "latest", *raw), "")
    equal(consume(topic, "--count", "7", *raw).split(), [str(n) for n in range(7)])
    code, out, err = millrace.run("consume", "--topic", topic, "--from", "3", "--until", "5", *raw)
    equal((code, out.split()), (0, ["3", "4"]), err)
    equal(len(consume(topic, "--from", "-10m", *raw).split()), 100, "from ten minutes ago")
    equal(consume(topic, "--from", "2100-01-01T00:00:00Z", *raw), "", "from the future")
    equal(len(consume(topic, "--queue", "0", *raw).split()), 100)
    code, out, err = millrace.run("consume", "--topic", topic, "--until", "end", "--queue", "7")
    equal((code, out), (1, ""), err)


@case("tags filter by string, not by hash")
def _():
    topic = new_topic(1)
    for tag in ("Aa", "BB", "TagC"):
        produce(topic, tag + "\n", "--tags", tag)
    wait_stored(topic, 3)
    equal(consume(topic, "--tags", "BB", "--format", "raw"), "BB\n")
    equal(consume(topic, "--tags", "Aa || TagC", "--format", "raw").split(), ["Aa", "TagC"])


@case("a group goes on where it was")
def _():
    topic = new_topic(1)
    group = "pipe_group_%d_%d" % (os.getpid(), int(time.time()))
    produce(topic, "".join("%d\n" % number for number in range(10)))
    wait_stored(topic, 10)
    raw = ("--format", "raw", "--group", group)
    equal(consume(topic, "--count", "4", *raw).split(), ["0", "1", "2", "3"])
    equal(consume(topic, "--count", "3", *raw).split(), ["4", "5", "6"])
    equal(consume(topic, *raw).split(), ["7", "8", "9"])
    equal(consume(topic, *raw), "")


@case("members of a group share the queues; a killed one's go to the others, and no line is missing")
def _():
    topic = new_topic(4)
    group = "pipe_join_%d_%d" % (os.getpid(), int(time.time()))
    words = ("consume", "--topic", topic, "--group", group, "--join", "--format", "%q %s", "-v")
    with tempfile.TemporaryDirectory() as directory:
        logs = [open(os.path.join(directory, "member%d" % number), "ab") for number in range(2)]
        outs = [open(os.path.join(directory, "lines%d" % number), "ab") for number in range(2)]

        def reads(number, queues):
            text = "this member reads %d of the 4 queues" % queues
            wait_until(lambda: last_line(logs[number], "this member reads").endswith("%s of %s" % (text, topic)),
                       "member %d never said: %s" % (number, text))

        members = []
        for number in range(2):
            members.append(millrace.start(*words, stdout=outs[number], stderr=logs[number]))
            reads(0, 4 if number == 0 else 2)
        reads(1, 2)
        produce(topic, "".join("%d\n" % number for number in range(1000)))
        wait_until(lambda: sum(len(lines(out)) for out in outs) >= 1000, "1000 lines never came")
        queues = [{line.split()[0] for line in lines(out)} for out in outs]
        equal((len(queues[0]), len(queues[1]), queues[0] & queues[1]), (2, 2, set()), "queues of each")
        equal(sorted(int(line.split()[1]) for out in outs for line in lines(out)), list(range(1000)), "each once")
        members[1].kill()
        members[1].wait()
        produce(topic, "".join("%d\n" % number for number in range(1000, 1100)))
        wait_until(lambda: {int(line.split()[1]) for line in lines(outs[0])} >= set(range(1000, 1100)), "the rest never came")
        members[0].send_signal(signal.SIGTERM)
        equal(members[0].wait(timeout=30), 0)
        for file in logs + outs:
            file.close()
    equal(consume(topic, "--group", group), "", "it was committed")


@case("a member that leaves at the end leaves the rest to those who stay")
def _():
    topic = new_topic(4)
    group = "pipe_leave_%d_%d" % (os.getpid(), int(time.time()))
    produce(topic, "".join("%d\n" % number for number in range(400)))
    wait_stored(topic, 400)
    words = ("--group", group, "--join", "--format", "raw")
    equal(sorted(int(line) for line in consume(topic, *words).split()), list(range(400)))
    equal(consume(topic, *words), "")
    code, out, err = millrace.run("consume", "--topic", topic, "--join")
    equal((code, out), (2, ""), err)
    check("--join needs --group" in err, err)


@case("a closed pipe ends quietly with 0")
def _():
    topic = new_topic(1)
    produce(topic, "".join("%d\n" % number for number in range(20000)), "--batch", "500")
    wait_stored(topic, 20000)
    process = millrace.start("consume", "--topic", topic)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    equal((process.wait(timeout=30), err), (0, b""))


@case("a full disk is said, and no offset is committed for what was not written")
def _():
    topic = new_topic(1)
    group = "pipe_full_%d_%d" % (os.getpid(), int(time.time()))
    produce(topic, "x\n")
    wait_stored(topic, 1)
    with open("/dev/full", "w") as full:
        code, _, err = millrace.run("consume", "--topic", topic, "--until", "end", "--group", group, stdout=full)
    equal(code, 1, err)
    check("No space left" in err, err)
    equal(consume(topic, "--group", group, "--format", "raw"), "x\n")


@case("Ctrl-C and SIGTERM stop with 0, and commit")
def _():
    topic = new_topic(1)
    produce(topic, "x\n")
    wait_stored(topic, 1)
    for number in (signal.SIGINT, signal.SIGTERM):
        group = "pipe_stop_%d_%d_%d" % (os.getpid(), int(time.time()), number)
        process = millrace.start("consume", "--topic", topic, "--group", group, "--format", "raw")
        equal(process.stdout.readline(), b"x\n")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        equal((process.returncode, out), (0, b""), err.decode())
        equal(consume(topic, "--group", group), "", "it was committed")


@case("waits for what comes")
def _():
    topic = new_topic(1)
    process = millrace.start("consume", "--topic", topic, "--format", "raw", "--count", "2")
    produce(topic, "one\n")
    equal(process.stdout.readline(), b"one\n")
    produce(topic, "two\n")
    out, err = process.communicate(timeout=30)
    equal((process.returncode, out), (0, b"two\n"), err.decode())


@case("input that is no message is named by its line; what came before is stored")
def _():
    topic = new_topic(1)
    code, out, err = millrace.run("produce", "--topic", topic, "--json", input='{"body":"good"}\n{"nobody":1}\n')
    equal((code, out), (1, ""), err)
    check("line 2" in err, err)
    wait_stored(topic, 1)
    equal(consume(topic, "--format", "raw"), "good\n")


@case("a topic that is not there: one sentence, exit 1")
def _():
    name = "NoSuchTopic%d" % os.getpid()
    for words in (["consume", "--topic", name], ["topic", "describe", name], ["topic", "delete", name]):
        code, out, err = millrace.run(*words)
        equal((code, out), (1, ""), "%s: %s" % (words, err))
        check(name in err and err.count("\n") == 1, err)


@case("topics: list, describe, grow, delete")
def _():
    topic = new_topic(2)
    check(topic in millrace.run("topic", "list")[1].split(), "listed")
    equal(len(millrace.run("topic", "describe", topic, "--json")[1].splitlines()), 2)
    equal(millrace.run("topic", "create", topic, "--queues", "5")[0], 0)
    equal(len(millrace.run("topic", "describe", topic, "--json")[1].splitlines()), 5)
    code, out, err = millrace.run("topic", "delete", topic)
    equal((code, out, err), (0, "", ""))
    check(topic not in millrace.run("topic", "list")[1].split(), "gone")


main()
if broker is not None:
    broker.stop()
