#!/usr/bin/env python3
"""TAP: compose.yaml parses, and starts the same thing as official.py does: same version, same settings file, same memory."""
import os
import re

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))


def read(name):
    with open(os.path.join(HERE, name)) as text:
        return text.read()


def main():
    compose = yaml.safe_load(read("compose.yaml"))
    services = compose["services"]
    broker, namesrv = services["broker"], services["namesrv"]
    newest = [line.split()[1] for line in read("../versions").splitlines() if line.startswith("rocketmq ")][0]
    program = read("official.py")
    memory = {name: size for size, name in re.findall(r'java\(state, "(\w+)", "[\w.]*\.(\w+)Startup"', program)}
    checks = [
        ("it has a name server and a broker, and nothing else", set(services) == {"broker", "namesrv"}),
        ("both run the newest tested version", {broker["image"], namesrv["image"]} == {"apache/rocketmq:" + newest}),
        ("the broker uses broker.conf", "./broker.conf:/etc/rocketmq/broker.conf:ro" in broker["volumes"]
         and "-c /etc/rocketmq/broker.conf" in broker["command"] and os.path.exists(os.path.join(HERE, "broker.conf"))),
        ("official.py uses broker.conf", 'os.path.join(HERE, "broker.conf")' in program),
        ("the broker finds the name server on the loopback", "-n 127.0.0.1:9876" in broker["command"]
         and broker["network_mode"] == namesrv["network_mode"] == "host"),
        ("the broker's memory is the same", "-Xmx" + memory.get("Broker", "?") in broker["environment"]["JAVA_OPT_EXT"].split()),
        ("the name server's memory is the same",
         "-Xmx" + memory.get("Namesrv", "?") in namesrv["environment"]["JAVA_OPT_EXT"].split()),
    ]
    print("1..%d" % len(checks))
    for number, (name, passed) in enumerate(checks, 1):
        print("%s %d - %s" % ("ok" if passed else "not ok", number, name))


if __name__ == "__main__":
    main()
