#!/usr/bin/env python3
"""TAP: rights that an official broker refuses: one sentence that says which and where they come from; nothing half done.

usage: test_rights.py MILLRACE        (with RMQ_TEST_NAMESRV, RMQ_TEST_VERSION, RMQ_TEST_ACCESS_KEY and _SECRET_KEY)

`readonly` may read topic Readable as group readers, and nothing else. On 4.x the broker's plain_acl.yml says so (official.py),
on 5.x requests do (CREATE_USER and CREATE_ACL; source: RequestCode, UserInfo, AclInfo, AclUtils 5.4.0).
"""
import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import peers  # noqa: E402
from millrace import Directory, Millrace, outside_options  # noqa: E402
from orders import Job, Orders, complaint, contents  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

program, namesrv = sys.argv[1], os.environ["RMQ_TEST_NAMESRV"]
CREATE_USER, CREATE_ACL = 3001, 3006
admin = Millrace(program, namesrv, outside_options())
reader = Millrace(program, namesrv, ["--access-key", "readonly", "--secret-key", "12345678"])
wrong = Millrace(program, namesrv, ["--access-key", os.environ["RMQ_TEST_ACCESS_KEY"], "--secret-key", "wrong"])
stranger = Millrace(program, namesrv, ["--access-key", "stranger", "--secret-key", "12345678"])
nobody = Millrace(program, namesrv)
REFUSED = ("--credentials", "access key")


def broker_address():
    code, out, err = admin.run("topic", "describe", "Readable", "--json")
    equal(code, 0, err)
    return json.loads(out.splitlines()[0])["brokerAddress"]


def ask(code, fields, body):
    """A request that the administrator signs."""
    fields = dict(fields, AccessKey=os.environ["RMQ_TEST_ACCESS_KEY"])
    text = json.dumps(body).encode()
    content = "".join(fields[name] for name in sorted(fields)).encode() + text
    fields["Signature"] = base64.b64encode(
        hmac.new(os.environ["RMQ_TEST_SECRET_KEY"].encode(), content, hashlib.sha1).digest()).decode()
    host, port = broker_address().rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as link:
        link.sendall(peers.frame({"code": code, "language": "JAVA", "version": 493, "opaque": 1, "flag": 0,
                                  "serializeTypeCurrentRPC": "JSON", "extFields": fields}, text))
        answer = peers.read_frame(link)
    check(answer is not None and answer[0]["code"] == 0, answer)


def prepare():
    equal(admin.run("topic", "create", "Readable", "--queues", "1"), (0, "", ""))
    equal(admin.run("topic", "create", "Locked", "--queues", "1"), (0, "", ""))
    if os.environ["RMQ_TEST_VERSION"].startswith("4."):
        return
    ask(CREATE_USER, {"username": "readonly"}, {"username": "readonly", "password": "12345678", "userType": "Normal"})
    entries = [{"resource": "Topic:Readable", "actions": ["Sub", "Get"], "decision": "Allow"},
               {"resource": "Group:readers", "actions": ["Sub", "Get"], "decision": "Allow"}]
    ask(CREATE_ACL, {"subject": "User:readonly"},
        {"subject": "User:readonly", "policies": [{"policyType": "CUSTOM", "entries": entries}]})


def refused(seen, *parts):
    code, out, err = seen
    # a producer's heartbeat is refused too, which is logged
    said = "".join(line + "\n" for line in err.splitlines() if " WARN heartbeat: " not in line)
    line = complaint((code, out, said), 1, *parts, *REFUSED)
    check("NO_PERMISSION (code 16)" in line or "SYSTEM_ERROR (code 1): org.apache.rocketmq.acl" in line, line)


@case("what is allowed works: reading one topic as one group")
def _():
    prepare()
    equal(admin.run("produce", "--topic", "Readable", input="a\nb\n"), (0, "", ""))
    deadline = time.time() + 20
    while True:  # rights are cached for a moment, and what is stored is indexed a little later
        code, out, err = reader.run("consume", "--topic", "Readable", "--group", "readers", "--until", "end", "--format", "raw")
        if (code, out) == (0, "a\nb\n"):
            break
        check(time.time() < deadline, "%d %r %s" % (code, out, err))
        time.sleep(0.2)


@case("what is not: sending, reading another topic or as another group, making, changing and deleting topics")
def _():
    refused(reader.run("produce", "--topic", "Readable", input="c\n"), "produce: line 1", "0 messages before were stored")
    refused(reader.run("produce", "--topic", "Locked", input="c\n"), "produce: line 1")
    refused(reader.run("consume", "--topic", "Locked", "--group", "readers", "--from", "latest", "--count", "1"), "consume")
    refused(reader.run("consume", "--topic", "Readable", "--group", "others", "--count", "1"), "consume")
    refused(reader.run("topic", "create", "Other"), "topic create")
    refused(reader.run("topic", "create", "Readable", "--queues", "8"), "topic create")
    refused(reader.run("topic", "delete", "Readable"), "topic delete")
    refused(reader.run("demo", "--orders", "1000", "--crashes", "0"), "demo")
    code, out, err = admin.run("consume", "--topic", "Readable", "--until", "end", "--format", "raw")
    equal((code, out), (0, "a\nb\n"), err)
    equal(admin.run("consume", "--topic", "Locked", "--until", "end")[:2], (0, ""), "nothing was stored")


@case("no key, a wrong one, somebody unknown")
def _():
    for who in (nobody, wrong, stranger):
        for words in (["consume", "--topic", "Readable", "--from", "0", "--count", "1"], ["produce", "--topic", "Readable"],
                      ["topic", "create", "Readable"], ["topic", "delete", "Readable"]):
            refused(who.run(*words, input="c\n"), words[0])


@case("the job: refused, it writes nothing; with rights it goes on from the same checkpoint")
def _():
    with Directory() as directory:
        orders, job = Orders(admin, "Locked"), Job(reader, "Locked", directory)
        orders.send(50)
        refused(job.run(), "demo job")
        equal(contents(job.database)["applied"], {}, "half written")
        job.millrace = admin
        deadline = time.time() + 20
        while len(contents(job.database)["applied"]) < 50:
            equal(job.run()[0], 0, "with rights")
            check(time.time() < deadline, "all orders")
        job.balance(orders)


main()
