"""Official brokers for the benchmarks of reading: started, filled once, stopped.

The broker shares the machine's cores with what is measured, as the figures that we compare with did. A topic is filled
by our own producer, in batches, and is in the page cache afterwards; the broker is warmed up by the first rounds of a
probe that nobody counts (its JVM compiles what is hot).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from measure import PROGRAMS, ROOT, SECONDS

sys.path.insert(0, os.path.join(ROOT, "tests", "live"))
import fetch  # noqa: E402
import official  # noqa: E402

VERSION = os.environ.get("BENCH_ROCKETMQ", "5.4.0")
MILLRACE = os.path.join(ROOT, "build-release", "cli", "millrace")
MESSAGES = int(float(os.environ.get("BENCH_MESSAGES", "2000000")))
# A loaded machine must not make the broker refuse what fills a topic; reading is untouched by it.
PATIENCE = ("waitTimeMillsInSendQueue=20000",)
LIMITS = {
    "default limits, 32 a pull": (),
    "raised limits, 1,024 a pull": tuple("maxTransfer%s=%d" % (name, value) for name, value in (
        ("CountOnMessageInMemory", 1024), ("CountOnMessageInDisk", 1024),
        ("BytesOnMessageInMemory", 4 << 20), ("BytesOnMessageInDisk", 4 << 20))),
}


def json_of(command, **more):
    """Runs a program; gives its last line of JSON, with the whole command on failure."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False,
                          timeout=600, **more)
    if done.returncode != 0:
        sys.exit("bench: %s ended with %d" % (" ".join(str(word) for word in command), done.returncode))
    return json.loads(done.stdout.splitlines()[-1])


class Broker:
    """A name server and broker in a directory of their own, for a `with`."""

    def __init__(self, settings=()):
        fetch.fetch(VERSION)
        self.directory = tempfile.mkdtemp(prefix="bench-broker-",
                                          dir=os.environ.get("BENCH_DIR", os.path.join(ROOT, "build-release")))
        try:
            self.state = official.start(self.directory, VERSION, settings=tuple(settings) + PATIENCE)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self.namesrv = "127.0.0.1:%d" % self.state["namesrv_port"]
        self.address = "127.0.0.1:%d" % self.state["broker_port"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        official.stop(self.state)
        shutil.rmtree(self.directory, ignore_errors=True)

    def millrace(self, *words):
        return [MILLRACE, *words, "--namesrv", self.namesrv]

    def max_offsets(self, topic):
        done = subprocess.run(self.millrace("topic", "describe", topic, "--json"), stdout=subprocess.PIPE, check=True)
        return sum(json.loads(line).get("maxOffset", 0) for line in done.stdout.splitlines())

    def fill(self, topic, queues=4, count=MESSAGES, size=128):
        """Makes the topic and stores `count` messages of `size` bytes in it; they are indexed when this returns."""
        subprocess.run(self.millrace("topic", "create", topic, "--queues", str(queues)), check=True)
        batch = max(1, min(500, count // (2 * queues), (1 << 20) // (size + 200)))
        # Whole batches to each queue in turn: the queues are of one length when the count allows it.
        sent = json_of(self.millrace("bench", "send", "--topic", topic, "--size", size, "--batch", batch, "--count", count,
                                     "--in-flight", 8, "--json"))["messages"]
        deadline = time.time() + 120
        while self.max_offsets(topic) < sent:
            if time.time() > deadline:
                sys.exit("bench: the broker did not index %d messages of %s" % (sent, topic))
            time.sleep(0.2)

    # What is measured: each gives a command for `json_of`.

    def probe(self, topic, depth, queues=4, links=1, seconds=SECONDS):
        return [os.path.join(PROGRAMS, "bench_probe"), "--broker", self.address, "--topic", topic, "--queues", queues,
                "--depth", depth, "--links", links, "--seconds", seconds]

    def read(self, topic, *more, seconds=SECONDS):
        return self.millrace("bench", "read", "--topic", topic, "--seconds", "%gs" % seconds, "--json", *more)

    def warm_up(self, topic, queues=4, seconds=5):
        json_of(self.probe(topic, 4, queues=queues, seconds=seconds))
