#!/usr/bin/env python3
"""TAP: the demo hands on to its job how to connect, and shows no key to `ps`.   usage: test_demo_connection.py MILLRACE

On a broker with ACL or TLS (RMQ_TEST_*) the job could not run without; on the development broker, which checks neither,
what the job was given is read from /proc.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Directory, Millrace, outside_options  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

program = sys.argv[1]
outside = os.environ.get("RMQ_TEST_NAMESRV")
broker = None if outside else Broker(program)
millrace = Millrace(program, outside or broker.namesrv, outside_options())
SECRET = "s3cret-of-%d" % os.getpid()


def read(pid, what):
    try:
        with open("/proc/%d/%s" % (pid, what), "rb") as file:
            return [word.decode() for word in file.read().split(b"\0") if word]
    except OSError:
        return []


def job_of(process):
    """(command line, environment) of the demo's job, once it runs."""
    deadline = time.time() + 30
    while time.time() < deadline:
        check(process.poll() is None, "the demo ended")
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
            children = [int(pid) for pid in file.read().split()]
        for pid in children:
            words = read(pid, "cmdline")
            if words[1:3] == ["demo", "job"]:
                return words, dict(word.split("=", 1) for word in read(pid, "environ"))
        time.sleep(0.002)
    check(False, "no job was started")


def seen_job(*options, **more):
    """What the job of a demo with these options is given; the demo is killed then."""
    process = subprocess.Popen([program, "demo", "--orders", "5000", "--crashes", "0", "--namesrv", millrace.namesrv, *options],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    try:
        return job_of(process)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@case("the books balance, whatever the broker asks for")
def _():
    code, out, err = millrace.run("demo", "--orders", "20000", "--crashes", "1", timeout=120)
    equal(code, 0, err)
    equal(out, "balanced: 20000 orders, 1000 keys, 0 lost, 0 twice, 1 crashes\n")


@case("keys go through the environment, from wherever they came; other options through the command line")
def _():
    if outside:
        return  # made-up keys are for a broker that doesn't check them
    with Directory() as directory:
        with open(directory("keys"), "w") as file:
            file.write("accessKey=somebody\nsecretKey=%s\nsecurityToken=token-1\n" % SECRET)
        os.chmod(directory("keys"), 0o600)
        environment = dict(os.environ, MILLRACE_ACCESS_KEY="somebody", MILLRACE_SECRET_KEY=SECRET,
                           MILLRACE_SECURITY_TOKEN="token-1")
        for options, more in ((["--credentials", directory("keys")], {}),
                              (["--access-key", "somebody", "--secret-key", SECRET], {}),
                              ([], {"env": environment})):
            words, given = seen_job(*options, "--connect-timeout", "7s", "--log-format", "json", "-vv", **more)
            check(SECRET not in " ".join(words) and "--access-key" not in " ".join(words), words)
            equal((given.get("MILLRACE_ACCESS_KEY"), given.get("MILLRACE_SECRET_KEY")), ("somebody", SECRET), options)
            equal(given.get("MILLRACE_SECURITY_TOKEN"), None if "--secret-key" in options else "token-1", options)
            for word in ("--connect-timeout=7s", "--log-format=json"):
                check(word in words, words)
            equal(words.count("-v"), 2, words)


@case("TLS needs a broker that speaks it")
def _():
    code, out, err = Millrace(program).run("demo", "--tls")
    equal((code, out, err.count("\n")), (2, "", 1), err)
    check("--namesrv" in err, err)


try:
    main()
finally:
    if broker:
        broker.stop()
