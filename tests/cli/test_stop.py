#!/usr/bin/env python3
"""TAP: Ctrl-C and SIGTERM end every command at once, whatever it waits for.   usage: test_stop.py MILLRACE"""
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import peers  # noqa: E402
from millrace import Broker, Directory, Millrace  # noqa: E402
from orders import Job, Orders, contents  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

program = sys.argv[1]
AT_ONCE = 3  # seconds, on a busy machine; what they wait for takes longer
COMMANDS = [["topic", "list"], ["topic", "create", "T"], ["topic", "describe", "T"], ["topic", "delete", "T"],
            ["consume", "--topic", "T"], ["consume", "--topic", "T", "--group", "G", "--until", "end"],
            ["produce", "--topic", "T"], ["demo", "--orders", "1000"],
            ["demo", "job", "--topic", "T", "--db", "{}orders.db", "--checkpoint", "{}checkpoint"]]


class Silent(peers.Server):
    """Takes connections and says nothing; `asked` is set with the first byte of a request."""

    def __init__(self):
        self.asked = threading.Event()
        super().__init__()

    def serve(self, link):
        link.recv(1)
        self.asked.set()
        while link.recv(65536):
            pass


def ended_at_once(namesrv, words, asked, number, options=()):
    """Starts a command, waits until it asks `asked`, sends the signal: (stdout, stderr, files that are left)."""
    with Directory() as directory:
        words = [word.replace("{}", directory.path + "/") for word in words]
        reading, writing = os.pipe()  # a stdin that stays open and has one line
        os.write(writing, b"line\n")
        process = subprocess.Popen([program, *words, "--namesrv", namesrv, "--connect-timeout", "50s", *options],
                                   stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(reading)
        try:
            what = "%s, %s" % (" ".join(words), signal.Signals(number).name)
            check(asked.wait(20), what + ": it asked nothing")
            process.send_signal(number)
            try:
                out, err = process.communicate(timeout=AT_ONCE)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                check(False, what + ": it did not end")
            equal(process.returncode, 0, what + ": " + err.decode())
            equal(out, b"", what)
            return err.decode(), os.listdir(directory.path)
        finally:
            os.close(writing)


@case("while a name server does not answer: each command ends at once, with 0")
def _():
    for words in COMMANDS:
        for number in (signal.SIGINT, signal.SIGTERM):
            with Silent() as server:
                err, left = ended_at_once(server.address, words, server.asked, number)
                check("orders.db" not in left, "the database is made")
                check(len(err.splitlines()) <= 1, err)


@case("while a broker does not answer: the same")
def _():
    for words in COMMANDS:
        if words == ["topic", "list"] or words[0] == "produce":  # the one asks no broker, the other is below
            continue
        with Silent() as server, peers.Directory(server.address) as directory:
            err, _ = ended_at_once(directory.address, words, server.asked, signal.SIGINT)
            said = [line for line in err.splitlines() if line.startswith("millrace: ")]
            check(len(said) <= (2 if "is left behind: stopped" in err else 1), err)  # the demo names its topic, too


def stopped(process, number, seconds):
    """Sends the signal: (exit code, sentences) of what ends within `seconds`."""
    process.send_signal(number)
    try:
        err = process.communicate(timeout=seconds)[1].decode()
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, [line for line in err.splitlines() if line.startswith("millrace: ")]


@case("produce waits until it knows of what it sent, or says that it doesn't; a second Ctrl-C ends it with 130")
def _():
    for n_signals in (1, 2):
        with Silent() as server, peers.Directory(server.address) as directory:
            process = subprocess.Popen([program, "produce", "--topic", "T", "--namesrv", directory.address],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdin.write(b"line\n")
            process.stdin.flush()
            check(server.asked.wait(20), "nothing was sent")
            if n_signals == 2:
                process.send_signal(signal.SIGINT)
                deadline = time.time() + 20
                while process.poll() is None and time.time() < deadline:
                    process.send_signal(signal.SIGINT)
                    time.sleep(0.01)
                equal(process.communicate()[1], b"")
                equal(process.returncode, 130, "the second one")
            else:
                code, said = stopped(process, signal.SIGINT, 40)
                equal((code, len(said)), (1, 1), said)
                check("line 1" in said[0] and "0 messages before were stored" in said[0], said)


@case("consume --group whose broker is gone: one sentence for all queues, exit 1, soon")
def _():
    with Broker(program, "--topic", "T:16") as broker, Directory() as directory:
        millrace = Millrace(program, broker.namesrv)
        equal(millrace.run("produce", "--topic", "T", input="x\n" * 160)[0], 0)
        with open(directory("out"), "wb") as out:
            process = millrace.start("consume", "--topic", "T", "--group", "g", "--format", "raw", stdout=out)
        deadline = time.time() + 20
        while os.path.getsize(directory("out")) < 320:
            check(time.time() < deadline, "160 messages")
            time.sleep(0.01)
        broker.process.kill()
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=12)[1].decode()
        said = [line for line in err.splitlines() if line.startswith("millrace: ")]
        equal((process.returncode, len(said)), (1, 1), err)
        check("group g: offsets of" in said[0] and "come again" in said[0], said)
        check(" WARN reader: " not in err, "an outage is told once a link, not once a queue: " + err)


@case("demo job: a stop at any moment of its life; the next one goes on, and the books balance")
def _():
    with Broker(program, "--topic", "T:2") as broker, Directory() as directory:
        millrace = Millrace(program, broker.namesrv)
        orders, job = Orders(millrace, "T"), Job(millrace, "T", directory)
        seen = set()
        for moment in range(40):
            orders.send(20)
            process = job.start()
            time.sleep(0.003 * moment)  # what is being done then is another thing on each machine
            process.send_signal((signal.SIGINT, signal.SIGTERM)[moment % 2])
            out, err = process.communicate(timeout=20)
            # before the program has set up its signals it is ended by them
            check(process.returncode in (0, -signal.SIGINT, -signal.SIGTERM), "exit %d: %s" % (process.returncode, err))
            seen.add(process.returncode == 0)
        check(True in seen, "none of them was stopped by itself")
        job.balance(orders)
        check(contents(job.database)["applied"], "orders")


main()
