#!/usr/bin/env python3
"""TAP: the README's first program is examples/count.c, and under thirty lines.   usage: check_readme.py SOURCE"""
import os
import re
import sys


def read(*names):
    with open(os.path.join(sys.argv[1], *names)) as text:
        return text.read()


def main():
    blocks = re.findall(r"```c\n(.*?)```", read("README.md"), re.DOTALL)
    program = read("examples", "count.c")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", read("README.md")) if "://" not in link]
    missing = [link for link in links if not os.path.exists(os.path.join(sys.argv[1], link))]
    checks = [("the README shows examples/count.c", blocks == [program], ""),
              ("it is under thirty lines", program.count("\n") < 30, "%d lines" % program.count("\n")),
              ("what the README links to is there", not missing, " ".join(missing))]
    print("1..%d" % len(checks))
    for number, (name, good, detail) in enumerate(checks, 1):
        print("%s %d - %s%s" % ("ok" if good else "not ok", number, name, "" if good else "\n# " + detail))


if __name__ == "__main__":
    main()
