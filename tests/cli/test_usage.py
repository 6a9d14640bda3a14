#!/usr/bin/env python3
"""TAP: wrong usage gives one sentence and exit 2; help and version; no broker; secrets.   usage: test_usage.py MILLRACE"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Directory, Millrace  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

program = Millrace(sys.argv[1])
COMMANDS = ["demo", "demo job", "consume", "produce", "topic list", "topic create", "topic describe", "topic delete",
            "checkpoint show", "broker", "bench read", "bench send"]


def wrong(words, *parts):
    code, out, err = program.run(*words)
    equal(code, 2, "exit code of %s (stderr: %s)" % (" ".join(words), err))
    equal(out, "", "stdout")
    equal(err.count("\n"), 1, "lines on stderr: " + err)
    check(err.startswith("millrace: "), err)
    for part in parts:
        check(part in err, "%r is not in %r" % (part, err))


def fails(words, *parts, **more):
    code, out, err = program.run(*words, **more)
    equal(code, 1, "exit code of %s (stderr: %s)" % (" ".join(words), err))
    equal(out, "", "stdout")
    check(err.startswith("millrace: "), err)
    for part in parts:
        check(part in err, "%r is not in %r" % (part, err))


@case("no command prints the usage to stderr, exit 2")
def _():
    code, out, err = program.run()
    equal((code, out), (2, ""), err)
    check("usage: millrace" in err, err)


@case("--help prints the usage to stdout, exit 0, and names every command")
def _():
    code, out, err = program.run("--help")
    equal((code, err), (0, ""))
    for command in COMMANDS:
        check("  %s " % command in out, command)


@case("every command has help on stdout")
def _():
    for command in COMMANDS:
        code, out, err = program.run(*command.split(), "--help")
        equal((code, err), (0, ""), command)
        check(out.startswith("usage: millrace " + command), out)


def options_of(text):
    return set(re.findall(r"--[a-z][a-z0-9-]*", text))


@case("the README shows each command with all its options, and no other")
def _():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "README.md")) as file:
        section = file.read().split("## The command line")[1].split("\n## ")[0]
    shown, name = {}, None
    for line in section.splitlines():
        if line.startswith("    millrace "):
            words = line.split()[1:]
            name = max((command for command in COMMANDS if words[:len(command.split())] == command.split()), key=len)
        if name and line.startswith("    "):
            shown[name] = shown.get(name, "") + line + "\n"
        elif not line:
            name = None
    every = section[section.index("take\n"):]
    equal(sorted(shown), sorted(COMMANDS))
    for command in COMMANDS:
        text = program.run(*command.split(), "--help")[1]
        parts = re.split(r"\n(options|connection|common):\n", text)
        named = {part: set(re.findall(r"^  (--[a-z0-9-]+)", body, re.MULTILINE)) for part, body in zip(parts[1::2], parts[2::2])}
        equal(options_of(shown[command]), named.get("options", set()), command)
        for part in ("connection", "common"):
            missing = named.get(part, set()) - options_of(every) - {"--help"}
            check(not missing, "%s: %s" % (command, missing))


@case("--version tells version and features")
def _():
    code, out, err = program.run("--version")
    equal((code, err), (0, ""))
    check(out.startswith("millrace 0.") and "features:" in out, out)


@case("an unknown command is named")
def _():
    wrong(["consumee"], "consumee")


@case("half a command names its other half")
def _():
    wrong(["topic"], "list", "create", "describe", "delete")
    wrong(["checkpoint"], "show")


@case("an unknown option is named, and the nearest one")
def _():
    wrong(["consume", "--topik", "T"], "--topik", "did you mean --topic")
    wrong(["consume", "-x"], "-x")


@case("a missing value, a value too much, an option twice")
def _():
    wrong(["consume", "--topic"], "--topic needs a value")
    wrong(["consume", "--topic", "T", "--tls=yes"], "--tls takes no value")
    wrong(["consume", "--topic", "T", "--topic", "U"], "given twice")


@case("a needed option or argument that is missing is named")
def _():
    wrong(["consume"], "--topic is needed")
    wrong(["topic", "describe"], "TOPIC is missing")
    wrong(["topic", "describe", "A", "B"], "unexpected argument B")
    wrong(["demo", "job"], "--topic is needed")


@case("values that make no sense")
def _():
    wrong(["consume", "--topic", "T", "--from", "yesterday"], "--from yesterday")
    wrong(["consume", "--topic", "T", "--from", "2026-02-31T00:00:00Z"], "--from")
    wrong(["consume", "--topic", "T", "--until", "-10"], "--until -10")
    wrong(["consume", "--topic", "T", "--count", "many"], "--count many")
    wrong(["consume", "--topic", "T", "--queue", "x"], "--queue x")
    wrong(["consume", "--topic", "T", "--format", "%z"], "%z")
    wrong(["consume", "--topic", "T", "--tags", "A", "--sql92", "a=1"], "exclude")
    wrong(["produce", "--topic", "T", "--delay-level", "19"], "--delay-level 19")
    wrong(["produce", "--topic", "T", "--property", "novalue"], "NAME=VALUE")
    wrong(["produce", "--topic", "T", "--compress", "rar"], "rar")
    wrong(["produce", "--topic", "T", "--batch", "8", "--compress", "zlib"], "--batch")
    wrong(["topic", "create", "T", "--perm", "x"], "--perm x")
    job = ["demo", "job", "--topic", "T", "--db", "d", "--checkpoint", "c"]
    wrong([*job, "--batch-orders", "0"], "--batch-orders 0")
    wrong([*job, "--keep-batches", "few"], "--keep-batches few")
    wrong(["consume", "--topic", "T", "--log-format", "xml"], "xml")
    wrong(["consume", "--topic", "T", "--connect-timeout", "soon"], "soon")
    wrong(["broker", "--port", "70000"], "--port 70000")
    wrong(["broker", "--port", "0", "--broker-port", "0", "--fault", "action=explode"], "explode")


@case("no broker: exit 1 within the connect timeout, with the address tried and why")
def _():
    for words in (["consume", "--topic", "T"], ["produce", "--topic", "T"], ["topic", "list"]):
        fails([*words, "--namesrv", "127.0.0.1:1;127.0.0.1:2", "--connect-timeout", "3s"], "127.0.0.1:1", "127.0.0.1:2",
              "refused")


@case("an address that is none is wrong usage")
def _():
    wrong(["topic", "list", "--namesrv", "nonsense"], "nonsense")
    wrong(["topic", "list", "--namesrv", "localhost:99999"], "99999")


@case("a host that does not exist: exit 1, named")
def _():
    fails(["topic", "list", "--namesrv", "no-such-host.invalid:9876", "--connect-timeout", "5s"], "no-such-host.invalid")


@case("a credentials file that others can read is refused")
def _():
    with Directory() as directory:
        path = directory("keys")
        with open(path, "w") as out:
            out.write("accessKey=a\nsecretKey=b\n")
        os.chmod(path, 0o644)
        fails(["topic", "list", "--credentials", path], path, "others can read it", "chmod 600")
        os.chmod(path, 0o600)
        fails(["topic", "list", "--credentials", path, "--namesrv", "127.0.0.1:1"], "127.0.0.1:1")
        with open(path, "w") as out:
            out.write("accesskey=a\n")
        fails(["topic", "list", "--credentials", path], "accesskey")
    fails(["topic", "list", "--credentials", "/nonexistent/keys"], "/nonexistent/keys")


@case("TLS files that are not there are named")
def _():
    code, out, err = program.run("topic", "list", "--tls-ca", "/nonexistent/ca.pem")
    check(code in (1, 2) and "/nonexistent/ca.pem" in err, "%d %s" % (code, err))


@case("checkpoint show of nothing, of a file, of rubbish")
def _():
    with Directory() as directory:
        fails(["checkpoint", "show", directory("none")], "none")
        with open(directory("file"), "w") as out:
            out.write("x")
        fails(["checkpoint", "show", directory("file")], "file")
        os.mkdir(directory("rubbish"))
        with open(directory("rubbish") + "/meta.json", "w") as out:
            out.write("{}")
        fails(["checkpoint", "show", directory("rubbish")], "meta.json")


main()
