#!/usr/bin/env python3
"""Fetches the jars of the official brokers named in tests/versions, by Maven, once; prints nothing if all is there.

They go to $MILLRACE_CACHE, or ~/.cache/millrace: rocketmq-5.4.0/*.jar and so on.
"""
import os
import shutil
import subprocess
import sys
import tempfile

POM = """<project><modelVersion>4.0.0</modelVersion><groupId>millrace</groupId><artifactId>jars</artifactId><version>1</version>
<dependencies>%s</dependencies></project>"""
DEPENDENCY = "<dependency><groupId>org.apache.rocketmq</groupId><artifactId>%s</artifactId><version>%s</version></dependency>"
ARTIFACTS = ("rocketmq-namesrv", "rocketmq-broker", "rocketmq-tools", "rocketmq-client")


def versions():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "versions")) as lines:
        return [line.split()[1] for line in lines if line.startswith("rocketmq ")]


def cache():
    return os.environ.get("MILLRACE_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "millrace")


def jars(version):
    return os.path.join(cache(), "rocketmq-" + version)


def fetch(version):
    target = jars(version)
    if os.path.isdir(target):
        return
    print("dev: fetching RocketMQ %s (Maven)" % version, file=sys.stderr)
    os.makedirs(cache(), exist_ok=True)
    work = tempfile.mkdtemp(prefix="fetch-", dir=cache())
    try:
        with open(os.path.join(work, "pom.xml"), "w") as pom:
            pom.write(POM % "".join(DEPENDENCY % (artifact, version) for artifact in ARTIFACTS))
        for attempt in (1, 2, 3):
            done = subprocess.run(["mvn", "-q", "-B", "-f", os.path.join(work, "pom.xml"), "dependency:copy-dependencies",
                                   "-DoutputDirectory=" + os.path.join(work, "lib")], stdin=subprocess.DEVNULL)
            if done.returncode == 0:
                break
        else:
            sys.exit("dev: Maven could not fetch RocketMQ %s" % version)
        os.rename(os.path.join(work, "lib"), target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    for each in versions():
        fetch(each)
