#!/usr/bin/env python3
"""TAP: what a shared library exports is what its checked-in list says.

usage: check_symbols.py LIST LIBRARY        (with --write: writes the list instead)
"""
import subprocess
import sys


def exported(library):
    text = subprocess.run(["nm", "-D", "--defined-only", library], check=True, stdout=subprocess.PIPE).stdout.decode()
    return sorted({line.split()[-1].split("@")[0] for line in text.splitlines() if line.split()[-2] in "TDBRV"})


def main():
    arguments = [word for word in sys.argv[1:] if word != "--write"]
    symbols = exported(arguments[1])
    if "--write" in sys.argv:
        with open(arguments[0], "w") as out:
            out.write("\n".join(symbols) + "\n")
        return
    with open(arguments[0]) as text:
        wanted = text.read().split()
    print("1..1")
    added, gone = sorted(set(symbols) - set(wanted)), sorted(set(wanted) - set(symbols))
    print("%s 1 - exported symbols are those of %s" % ("ok" if not added and not gone else "not ok", arguments[0]))
    for name in added:
        print("# not in the list: " + name)
    for name in gone:
        print("# no longer exported: " + name)


if __name__ == "__main__":
    main()
