#!/usr/bin/env python3
"""TAP: the demo balances, the unsafe one doesn't.   usage: test_demo.py MILLRACE"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from millrace import Broker, Directory, Millrace  # noqa: E402
from tap import case, check, equal, main  # noqa: E402

outside = os.environ.get("RMQ_TEST_NAMESRV")
millrace = Millrace(sys.argv[1], outside)
LAST = re.compile(r"^(NOT )?balanced: (\d+) orders, (\d+) keys, (\d+) lost, (\d+) twice, (\d+) crashes$")


def demo(*words):
    code, out, err = millrace.run("demo", *words, timeout=300)
    found = LAST.match(out.splitlines()[-1]) if out else None
    check(found is not None, "exit %d\n%s\n%s" % (code, out, err))
    return code, bool(found.group(1)), [int(number) for number in found.groups()[1:]], err


@case("killed in the middle of batches, the books balance")
def _():
    code, wrong, numbers, err = demo("--orders", "60000", "--crashes", "3")
    equal((code, wrong, numbers), (0, False, [60000, 1000, 0, 0, 3]), err)
    equal(len(re.findall(r"crash \d of 3: SIGKILL in batch \d+ \(.+\)", err)), 3, err)


@case("without crashes too")
def _():
    code, wrong, numbers, err = demo("--orders", "5000", "--keys", "10", "--crashes", "0")
    equal((code, wrong, numbers), (0, False, [5000, 10, 0, 0, 0]), err)


@case("negative control: with offsets outside of the transaction they don't")
def _():
    code, wrong, numbers, err = demo("--orders", "60000", "--crashes", "3", "--unsafe")
    check(code == 1 and wrong and numbers[2] + numbers[3] > 0, "%d %s %s\n%s" % (code, wrong, numbers, err))


@case("a busy broker refuses some batches unread: they are sent again")
def _():
    if outside:
        return  # a broker can't be told to be busy
    with Broker(sys.argv[1], "--fault", "code=320,action=code,answer=2,skip=3,times=40") as broker:
        code, out, err = Millrace(sys.argv[1], broker.namesrv).run("demo", "--orders", "20000", "--crashes", "0")
        equal((code, out), (0, "balanced: 20000 orders, 1000 keys, 0 lost, 0 twice, 0 crashes\n"), err)


@case("a slow job is killed as often as was asked for: the orders wait for it")
def _():
    if outside:
        return
    slow = [word for code in (31, 11) for word in ("--fault", "code=%d,action=delay,ms=700" % code)]
    with Broker(sys.argv[1], *slow) as broker:
        code, out, err = Millrace(sys.argv[1], broker.namesrv).run("demo", "--orders", "10000", "--crashes", "3", timeout=120)
        equal((code, out), (0, "balanced: 10000 orders, 1000 keys, 0 lost, 0 twice, 3 crashes\n"), err)


@case("--db keeps the results, and an existing file is refused")
def _():
    with Directory() as directory:
        path = directory("books.db")
        code, wrong, _, err = demo("--orders", "5000", "--crashes", "0", "--db", path)
        equal((code, wrong), (0, False), err)
        check(os.path.exists(path), "the database is there")
        code, out, err = millrace.run("demo", "--orders", "5000", "--crashes", "0", "--db", path)
        equal((code, out), (1, ""), err)
        check(path in err, err)


main()
