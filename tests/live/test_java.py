#!/usr/bin/env python3
"""TAP: what `millrace consume` prints equals what the official Java producer sent.   usage: test_java.py MILLRACE"""
import base64
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)
import fetch  # noqa: E402
from millrace import Directory, Millrace  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

namesrv = os.environ["RMQ_TEST_NAMESRV"]
jars = os.environ.get("RMQ_TEST_JARS") or fetch.jars(fetch.versions()[0])
millrace = Millrace(sys.argv[1], namesrv)


def body_of(message):
    return base64.b64decode(message["bodyBase64"]) if "bodyBase64" in message else message["body"].encode()


def comparable(message, colour):
    return (message.get("msgId"), body_of(message), message.get("tags"), message.get("keys"), colour)


@case("every message of the Java producer, equal to the byte")
def _():
    topic = "Java%d" % int(time.time() * 1000)
    equal(millrace.run("topic", "create", topic, "--queues", "4")[0], 0)
    with Directory() as directory:
        built = subprocess.run(["javac", "-cp", os.path.join(jars, "*"), "-d", directory.path,
                                os.path.join(HERE, "java", "Produce.java")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        equal(built.returncode, 0, built.stdout.decode())
        sent = subprocess.run(["java", "-cp", directory.path + ":" + os.path.join(jars, "*"), "-Duser.home=" + directory.path,
                               "-Drocketmq.client.logUseSlf4j=true", "Produce", namesrv, topic],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    equal(sent.returncode, 0, sent.stderr.decode()[-2000:])
    expected = [json.loads(line) for line in sent.stdout.decode().splitlines() if line.startswith("{")]
    equal(len(expected), 253, "sent")
    for _ in range(100):
        code, out, err = millrace.run("consume", "--topic", topic, "--until", "end")
        equal(code, 0, err)
        if out.count("\n") >= len(expected):
            break
        time.sleep(0.1)
    got = [json.loads(line) for line in out.splitlines()]
    left = sorted(str(comparable(m, m.get("properties", {}).get("colour"))) for m in got)
    right = sorted(str(comparable(m, m.get("colour"))) for m in expected)
    equal(len(left), len(right), "messages")
    for seen, wanted in zip(left, right):
        check(seen == wanted, "%s\n%s" % (seen[:500], wanted[:500]))


main()
