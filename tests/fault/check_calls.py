#!/usr/bin/env python3
"""TAP: every outside function that the libraries call is either made to fail (the linker's --wrap list) or listed in
calls_left_out with the reason why not. So a new fallible call does not go untested.

usage: check_calls.py LEFT_OUT WRAPPED,WRAPPED... LIBRARY...
"""
import re
import subprocess
import sys


def called(libraries):
    """Without those that work on bytes and texts, and the compiler's own: which of them depends on the compiler."""
    text = subprocess.run(["nm"] + libraries, check=True, stdout=subprocess.PIPE).stdout.decode()
    lines = [line.split() for line in text.splitlines() if line.strip()]
    wanted = {words[-1] for words in lines if len(words) == 2 and words[0] == "U"}
    defined = {words[-1] for words in lines if len(words) == 3 and words[1] in "TDBRCV"}
    return {name for name in wanted - defined if not re.match("__|_GLOBAL_OFFSET|mem|str|stp|bcmp", name)}


def reasons(path):
    """name: reason. A reason is a comment line; the names below it have it."""
    found, reason = {}, ""
    with open(path) as text:
        for line in text:
            if line.startswith("#"):
                reason = line[1:].strip()
            for name in [] if line.startswith("#") else line.split():
                found[name] = reason
    return found


def report(number, title, names):
    print("%s %d - %s" % ("not ok" if names else "ok", number, title))
    for name in sorted(names):
        print("# " + name)


def main():
    left_out, wrapped = reasons(sys.argv[1]), set(sys.argv[2].split(","))
    names = called(sys.argv[3:])
    print("1..3")
    report(1, "each call is made to fail or left out with a reason", names - wrapped - set(left_out))
    report(2, "what is made to fail is called", wrapped - names)
    report(3, "each that is left out has a reason", {name for name, why in left_out.items() if not why})
    for name in sorted(set(left_out) - names):
        print("# listed, but not called here: " + name)
    print("# %d calls: %d made to fail, %d left out" % (len(names), len(wrapped), len(left_out)))


if __name__ == "__main__":
    main()
