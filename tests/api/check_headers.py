#!/usr/bin/env python3
"""TAP: each public header compiles alone, without a warning, in C11 and in C++17.

usage: check_headers.py SOURCE CC CXX
"""
import glob
import os
import subprocess
import sys


def main():
    source, cc, cxx = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
    roots = [os.path.join(source, name) for name in
             ("proto/include", "lib/include", "engine/include", "broker/include")]
    headers = sorted(path for root in roots for path in glob.glob(os.path.join(root, "*", "*.h")))
    includes = [flag for root in roots for flag in ("-I", root)]
    languages = [("C11", [*cc, "-xc", "-std=c11"]), ("C++17", [*cxx, "-xc++", "-std=c++17"])]
    print("1..%d" % (len(headers) * len(languages)))
    number = 0
    for header in headers:
        for language, command in languages:
            number += 1
            done = subprocess.run([*command, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *includes, "-include", header,
                                   "/dev/null"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            good = done.returncode == 0
            print("%s %d - %s in %s" % ("ok" if good else "not ok", number, os.path.relpath(header, source), language))
            if not good:
                print("# " + done.stdout.decode(errors="replace").replace("\n", "\n# "))


if __name__ == "__main__":
    main()
