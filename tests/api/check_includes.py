#!/usr/bin/env python3
"""TAP: #include lines keep the layers: proto <- lib <- engine <- cli, broker on proto.

usage: check_includes.py SOURCE

A layer includes only the public headers of the layers below it; lib and broker may also include proto's private ones.
Inside engine: core <- stream, with store and sink beside them behind their vtables.
"""
import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
# which layer's public headers (by the folder that holds them) each layer may use
PUBLIC = {"proto": {"proto"}, "lib": {"proto", "lib"}, "engine": {"proto", "lib", "engine"},
          "broker": {"proto", "broker"}, "cli": {"proto", "lib", "engine", "broker", "cli"}}
PRIVATE = {"proto": {"proto"}, "lib": {"proto", "lib"}, "engine": {"engine"}, "broker": {"proto", "broker"}, "cli": {"cli"}}
# inside engine, which sibling's private headers each folder may use
ENGINE = {"core": {"core"}, "stream": {"core", "stream", "sink", "store"}, "sink": {"core", "sink"},
          "store": {"core", "store"}, "include": set()}


def public_headers(source):
    owner = {}
    for layer in PUBLIC:
        root = os.path.join(source, layer, "include")
        for folder, _, names in os.walk(root):
            for name in names:
                owner[os.path.relpath(os.path.join(folder, name), root)] = layer
    return owner


def problems_of(source, path, owner):
    layer = path.split(os.sep)[0]
    with open(os.path.join(source, path)) as text:
        for quote, name in INCLUDE.findall(text.read()):
            if name in owner:
                if owner[name] not in PUBLIC[layer]:
                    yield "%s includes <%s> of %s" % (path, name, owner[name])
            elif quote == '"':
                target = os.path.normpath(os.path.join(os.path.dirname(path), name))
                if not os.path.exists(os.path.join(source, target)):
                    continue  # generated
                parts = target.split(os.sep)
                if parts[0] not in PRIVATE[layer]:
                    yield "%s includes %s" % (path, target)
                elif layer == "engine" and parts[1] not in ENGINE.get(path.split(os.sep)[1], set()):
                    yield "%s includes %s" % (path, target)
            elif name.startswith(("rmq/", "mill/")):
                yield "%s includes <%s>, which is no public header" % (path, name)


def main():
    source = sys.argv[1]
    owner = public_headers(source)
    layers = sorted(PUBLIC)
    print("1..%d" % len(layers))
    for number, layer in enumerate(layers, 1):
        found = []
        for folder, _, names in os.walk(os.path.join(source, layer)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    found += problems_of(source, os.path.relpath(os.path.join(folder, name), source), owner)
        print("%s %d - %s keeps to its layers" % ("not ok" if found else "ok", number, layer))
        for line in found:
            print("# " + line)


if __name__ == "__main__":
    main()
