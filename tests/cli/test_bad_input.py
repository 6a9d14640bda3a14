#!/usr/bin/env python3
"""TAP: peers that are wrong, refuse, or lie: one sentence, the right exit code, and nothing lost or half written.

usage: test_bad_input.py MILLRACE

Each case ends with the cure: the same job, run again where all is well, balances against this script's own ledger.
"""
import concurrent.futures
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import peers  # noqa: E402
from millrace import Broker, Directory, Millrace  # noqa: E402
from orders import Job, Orders, complaint, contents  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

program = sys.argv[1]
COMMANDS = (["consume", "--topic", "T", "--until", "end"], ["produce", "--topic", "T"], ["topic", "list"],
            ["topic", "create", "T"], ["topic", "describe", "T"], ["topic", "delete", "T"],
            ["demo", "job", "--topic", "T", "--until", "end"])
topics = 0


def new_topic(millrace, queues=2):
    global topics
    topics += 1
    name = "Bad%d" % topics
    equal(millrace.run("topic", "create", name, "--queues", str(queues)), (0, "", ""), "topic create")
    return name


def with_places(words, directory):
    return words + ["--db", directory("t.db"), "--checkpoint", directory("t")] if words[0] == "demo" else words


def every_command(namesrv, directory, *parts, options=(), code=1):
    for words in COMMANDS:
        seen = Millrace(program, namesrv).run(*with_places(words, directory), *options, "--connect-timeout", "4s", input="x\n")
        complaint(seen, code, *parts)
    equal(sorted(os.listdir(directory.path)), ["t"], "what the job left")
    equal(os.listdir(directory("t")), ["lock"], "what the job left in its checkpoint")


def side_by_side(function, names):
    """Most of them only wait."""
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        for done in [pool.submit(function, name) for name in names]:
            done.result()


# ---- addresses ----


@case("a wrong address: every command names it, why, and the option")
def _():
    with Directory() as directory:
        every_command("127.0.0.1:1", directory, "127.0.0.1:1", "refused", "--namesrv")
        every_command("no-such-host.invalid:9876", directory, "no-such-host.invalid", "--namesrv")
    with Directory() as directory:
        for words in COMMANDS:
            complaint(Millrace(program, "nonsense").run(*with_places(words, directory)), 2, "nonsense")
        equal(os.listdir(directory.path), [], "what the job left")


@case("after a wrong address the same job runs with the right one")
def _():
    with Broker(program) as broker, Directory() as directory:
        millrace = Millrace(program, broker.namesrv)
        topic = new_topic(millrace)
        orders, job = Orders(millrace, topic), Job(millrace, topic, directory)
        orders.send(300)
        complaint(Job(Millrace(program, "127.0.0.1:1"), topic, directory).run(), 1, "127.0.0.1:1")
        job.balance(orders)
        complaint(Job(Millrace(program, "127.0.0.1:1"), topic, directory).run(), 1, "127.0.0.1:1")
        orders.send(300)
        job.balance(orders)


# ---- TLS ----


@case("TLS to a broker that speaks none; none to one that wants it")
def _():
    with Broker(program) as broker, Directory() as directory:
        every_command(broker.namesrv, directory, "TLS handshake", "--tls", options=["--tls"])
        peers.make_certificate(directory.path, "own", "DNS:localhost,IP:127.0.0.1")
        with peers.TlsFront(broker.namesrv, directory("own")) as front:
            complaint(Millrace(program, front.address).run("topic", "list"), 1, front.address, "--tls")


@case("refused certificates: self-signed, unknown issuer, another name; and each one's cure")
def _():
    with Broker(program, "--topic", "T") as broker, Directory() as directory, Directory() as places:
        peers.make_certificate(directory.path, "ca", "DNS:ca")
        peers.make_certificate(directory.path, "own", "IP:127.0.0.1")
        peers.make_certificate(directory.path, "issued", "IP:127.0.0.1", "ca")
        peers.make_certificate(directory.path, "other", "DNS:broker.example", "ca")
        ca, own = ["--tls-ca", directory("ca.pem")], ["--tls-ca", directory("own.pem")]
        for name, options, what, option, cure in (
                ("own", ["--tls"], "self-signed", "--tls-ca", own),
                ("own", ca, "self-signed", "--tls-ca", own),
                ("issued", ["--tls"], "certificate refused", "--tls-ca", ca),
                ("other", ca, "mismatch", "--tls-server-name", [*ca, "--tls-server-name", "broker.example"])):
            with peers.TlsFront(broker.namesrv, directory(name)) as front:
                every_command(front.address, places, front.address, what, option, options=options)
                code, out, err = Millrace(program, front.address, cure).run("topic", "list")
                equal((code, err), (0, ""), "the cure")
                check("T" in out.split(), out)
                code, out, err = Millrace(program, front.address).run("topic", "list", "--tls-insecure")
                equal(code, 0, err)
                check(err.count("\n") == 1 and "tls_insecure" in err, "it warns: " + err)


# ---- topics ----


@case("a missing topic is named, and what to do")
def _():
    with Broker(program, "--no-auto-create") as broker, Directory() as directory:
        millrace = Millrace(program, broker.namesrv)
        for words in (["consume", "--topic", "Nope"], ["topic", "describe", "Nope"], ["topic", "delete", "Nope"],
                      ["produce", "--topic", "Nope"]):
            complaint(millrace.run(*words, input="x\n"), 1, '"Nope" does not exist', "create it")
        wrong, topic = Job(millrace, "Nope", directory), new_topic(millrace)
        complaint(wrong.run(), 1, '"Nope" does not exist', "create it")
        orders = Orders(millrace, topic)
        orders.send(100)
        Job(millrace, topic, directory).balance(orders)  # the same checkpoint: the name was only mistyped


# ---- rights ----


@case("no permission: which request was refused and where rights come from; then nothing is lost or twice")
def _():
    refused = "action=code,answer=16"
    for code, words in ((105, ["consume"]), (30, ["consume", "--until", "end"]), (11, ["consume"]),
                        (14, ["consume", "--group", "g"]), (310, ["produce"]), (17, ["topic", "create"])):
        with Broker(program, "--topic", "T", "--fault", "code=%d,topic=T,%s" % (code, refused)) as broker:
            topic = ["T"] if words[0] == "topic" else ["--topic", "T"]
            complaint(Millrace(program, broker.namesrv).run(*words, *topic, input="x\n"), 1, "NO_PERMISSION", "--credentials")
    with Broker(program, "--topic", "T", "--fault", "code=11,topic=T," + refused, "--fault", "code=15," + refused) as broker:
        complaint(Millrace(program, broker.namesrv).run("consume", "--topic", "T", "--group", "g", "--from", "latest"), 1,
                  "PULL_MESSAGE")  # nothing was printed, so nothing is to be committed
    for code, times in ((31, 1), (30, 2), (11, 1)):  # ends (30) are asked for twice, to hear the reason
        with Broker(program, "--topic", "T:1", "--fault", "code=%d,topic=T,times=%d,%s" % (code, times, refused)) as broker, \
                Directory() as directory:
            millrace = Millrace(program, broker.namesrv)
            orders, job = Orders(millrace, "T"), Job(millrace, "T", directory)
            orders.send(200)
            complaint(job.run(), 1, "NO_PERMISSION", "--credentials")
            equal(contents(job.database)["applied"], {}, "half written")
            job.balance(orders)


# ---- frames ----


@case("a name server that lies about lengths, sends halves, garbage, or nothing")
def _():
    def lied_to(name):
        with peers.Liar(peers.LIES[name]) as liar, Directory() as directory:
            started = time.time()
            millrace = Millrace(program, liar.address, ["--connect-timeout", "1s"])
            for words in (["consume", "--topic", "T"], ["demo", "job", "--topic", "T", "--db", directory("d"),
                                                        "--checkpoint", directory("c")]):
                complaint(millrace.run(*words), 1, liar.address, "--namesrv")
            check(time.time() - started < 15, "%s: %.1f s" % (name, time.time() - started))
            equal(os.listdir(directory.path), ["c"], name)

    side_by_side(lied_to, peers.LIES)


@case("a broker that does: the command ends, the job ends, and a right broker cures it")
def _():
    with Broker(program, "--topic", "T:2") as broker, Directory() as directory:
        good = Millrace(program, broker.namesrv)
        orders, job = Orders(good, "T"), Job(good, "T", directory)
        orders.send(200)

        def lied_to(name):
            with peers.Liar(peers.LIES[name]) as liar, peers.Directory(liar.address) as namesrv, Directory() as other:
                bad = Millrace(program, namesrv.address)
                complaint(bad.run("consume", "--topic", "T", "--until", "end"), 1, liar.address)
                complaint(Job(bad, "T", other).run(), 1, liar.address)
                complaint(bad.run("produce", "--topic", "T", input="x\n"), 1, "line 1", "0 messages before were stored")

        side_by_side(lied_to, peers.LIES)
        job.balance(orders)


@case("frames broken on the way: the link is made anew and all arrives once")
def _():
    for bit in (5, 40, 100, 900, 2000):
        with Broker(program, "--topic", "T:2", "--fault", "code=11,action=corrupt,bit=%d,times=3" % bit, "--fault",
                    "code=11,action=cut,bytes=99,times=3") as broker, Directory() as directory:
            millrace = Millrace(program, broker.namesrv)
            orders, job = Orders(millrace, "T"), Job(millrace, "T", directory)
            orders.send(150)
            code, out, err = millrace.run("consume", "--topic", "T", "--until", "end")
            equal((code, len(out.splitlines())), (0, 150), err)
            code, out, err = job.run()
            equal((code, out), (0, ""), err)
            orders.check(job.database)


# ---- messages ----

COMPRESSED = 1  # with the type bits 0, a body is zlib's


@case("a body that doesn't decompress: consume prints what is stored and says where; the job stops there")
def _():
    with Broker(program, "--topic", "T:1") as broker, Directory() as directory:
        millrace = Millrace(program, broker.namesrv)
        orders, job = Orders(millrace, "T"), Job(millrace, "T", directory)
        orders.send(50)
        bodies = [b"this is not zlib", b"\x78\x9c\xff\xff\xff", b"\x78\x9c" + bytes(100)]
        places = [peers.send_raw(broker.address, "T", 0, body, COMPRESSED | kind << 8)
                  for kind, body in zip((0, 3, 1), bodies)]
        orders.send(50)
        code, out, err = millrace.run("consume", "--topic", "T", "--until", "end", "--format", "raw")
        equal(code, 0, err)
        lines = err.splitlines()
        equal(len(lines), 3, err)
        for line, place in zip(lines, places):
            check(line.startswith("millrace: consume: T ") and "queue 0 offset %d:" % place in line and "stored" in line, line)
        code, out, err = millrace.run("consume", "--topic", "T", "--until", "end")
        equal(len(out.splitlines()), 103, "lines")
        check('"body":"this is not zlib"' in out, out)
        for _ in range(2):
            complaint(job.run(), 1, "T broker-a queue 0 offset %d" % places[0], "decompressed", "--on-bad-order skip")
            equal(contents(job.database)["applied"], {}, "half written")
        code, out, err = job.run("--on-bad-order", "skip")
        equal((code, out), (0, ""), err)
        check("3 messages were no orders" in err, err)
        orders.check(job.database)


@case("many such bodies: the first are named, then counted")
def _():
    with Broker(program, "--topic", "T:1") as broker:
        for _ in range(12):
            peers.send_raw(broker.address, "T", 0, b"no", COMPRESSED)
        code, out, err = Millrace(program, broker.namesrv).run("consume", "--topic", "T", "--until", "end")
        equal((code, len(out.splitlines()), len(err.splitlines())), (0, 12, 6), err)
        check("12 bodies" in err, err)


@case("an order that is none: queue and offset, nothing half written, earlier batches kept, later ones wait")
def _():
    for body in ("not an order", "[1,2]", '{"orderNo":"x","customer":"c","cost":"much"}', '{"customer":"c","cost":1}',
                 '{"orderNo":"x","cost":1}', '{"orderNo":"x","customer":"c"}', '{"orderNo":"x","customer":"c","cost":1'):
        with Broker(program, "--topic", "T:1") as broker, Directory() as directory:
            millrace = Millrace(program, broker.namesrv)
            orders, job = Orders(millrace, "T"), Job(millrace, "T", directory)
            orders.send(40)
            job.balance(orders)
            before = contents(job.database)
            equal(millrace.run("produce", "--topic", "T", input=body + "\n")[0], 0)
            orders.send(40)
            complaint(job.run(), 1, "try 4 of 4", "T broker-a queue 0 offset 40 is no order", "--on-bad-order skip")
            equal(contents(job.database), before, "what was there before")
            job.balance(orders, "--on-bad-order", "skip")
            orders.send(40)
            job.balance(orders)


# ---- output and usage ----


@case("a full disk behind stdout: one sentence, exit 1, and no offset is committed")
def _():
    with Broker(program, "--topic", "T:1") as broker:
        millrace = Millrace(program, broker.namesrv)
        equal(millrace.run("produce", "--topic", "T", input="a\nb\n")[0], 0)
        for words in (["consume", "--topic", "T", "--until", "end", "--group", "g"], ["topic", "list"],
                      ["topic", "describe", "T"]):
            with open("/dev/full", "w") as full:
                code, _, err = millrace.run(*words, stdout=full)
            equal((code, len(err.splitlines())), (1, 1), err)
            check("stdout" in err and "No space" in err, err)
        for words in (["--help"], ["--version"], ["consume", "--help"]):
            with open("/dev/full", "w") as full:
                code, _, err = millrace.run(*words, stdout=full, connect=False)
            equal((code, len(err.splitlines())), (1, 1), err)
            check("stdout" in err and "No space" in err, err)
        code, out, err = millrace.run("consume", "--topic", "T", "--until", "end", "--group", "g")
        equal((code, len(out.splitlines())), (0, 2), err)


@case("an unknown option of every command is named, exit 2, before anything is done")
def _():
    with Directory() as directory:
        for words in (*COMMANDS, ["demo"], ["broker"], ["checkpoint", "show", directory("t")]):
            seen = Millrace(program).run(*with_places(words, directory) if len(words) > 1 else words, "--no-such-option")
            complaint(seen, 2, "--no-such-option", "--help")
        equal(os.listdir(directory.path), [], "what was left")


assert ssl.HAS_TLSv1_2
main()
