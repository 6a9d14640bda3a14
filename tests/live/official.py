#!/usr/bin/env python3
"""An official RocketMQ name server and broker on free loopback ports in a directory of their own.

usage: official.py start DIR --version 5.4.0 [--mode plain|acl|tls] [--set key=value ...]
       official.py kill-broker|stop-broker|start-broker|kill-namesrv|start-namesrv DIR
       official.py start-broker DIR --clock FILE     its clock is off by what FILE says ("+1d"), read anew every second
       official.py stop DIR

`start` prints shell assignments (RMQ_TEST_NAMESRV=...); the other forms act on what DIR/state.json names. Processes are
stopped by their ids. Settings that are the same for every broker stand in broker.conf beside this file, which
compose.yaml uses too.
"""
import argparse
import glob
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import fetch  # noqa: E402

JAVA_OPTIONS = """--add-exports java.base/jdk.internal.ref=ALL-UNNAMED --add-exports java.base/sun.nio.ch=ALL-UNNAMED
--add-opens java.base/java.nio=ALL-UNNAMED --add-opens java.base/sun.nio.ch=ALL-UNNAMED
--add-opens java.base/java.lang=ALL-UNNAMED""".split()
LOGBACK = '<configuration><root level="ERROR"/></configuration>\n'
ACCESS_KEY, SECRET_KEY = "rocketmq", "12345678"
PLAIN_ACL = """accounts:
  - accessKey: rocketmq
    secretKey: 12345678
    admin: true
  - accessKey: readonly
    secretKey: 12345678
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: DENY
    topicPerms:
      - Readable=SUB
    groupPerms:
      - readers=SUB
"""
ACL2 = """authenticationEnabled=true
authenticationMetadataProvider=org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider
initAuthenticationUser={"username":"rocketmq","password":"12345678"}
innerClientAuthenticationCredentials={"accessKey":"rocketmq","secretKey":"12345678"}
authorizationEnabled=true
authorizationMetadataProvider=org.apache.rocketmq.auth.authorization.provider.LocalAuthorizationMetadataProvider
"""


def free_port(span):
    """A port p such that p-2 to p+span are free now, below those that the system gives to outgoing connections."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as text:
        first_outgoing = int(text.read().split()[0])
    while True:
        port = random.randrange(10002, max(first_outgoing, 12000) - span)
        try:
            for other in range(port - 2, port + span + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", other))
            return port
        except OSError:
            continue


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        out.write(text)


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(directory):
    """A CA, a server certificate for localhost and 127.0.0.1, a client certificate; keys in PKCS#8."""
    os.makedirs(directory, exist_ok=True)
    path = lambda name: os.path.join(directory, name)  # noqa: E731
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=millrace test CA",
            "-keyout", path("ca.key"), "-out", path("ca.pem"))
    for name, extension in (("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"), ("client", "subjectAltName=DNS:client")):
        write(path(name + ".ext"), extension + "\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + ("localhost" if name == "server" else "client"),
                "-keyout", path(name + ".key"), "-out", path(name + ".csr"))
        openssl("x509", "-req", "-in", path(name + ".csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"),
                "-CAcreateserial", "-days", "30", "-extfile", path(name + ".ext"), "-out", path(name + ".pem"))


def tls_options(directory):
    path = lambda name: os.path.join(directory, "tls", name)  # noqa: E731
    return ["-Dtls.test.mode.enable=false", "-Dtls.server.mode=enforcing", "-Dtls.enable=true",
            "-Dtls.server.keyPath=" + path("server.key"), "-Dtls.server.certPath=" + path("server.pem"),
            "-Dtls.server.need.client.auth=require", "-Dtls.server.authClient=true",
            "-Dtls.server.trustCertPath=" + path("ca.pem"), "-Dtls.client.keyPath=" + path("client.key"),
            "-Dtls.client.certPath=" + path("client.pem"), "-Dtls.client.authServer=true",
            "-Dtls.client.trustCertPath=" + path("ca.pem")]


def faked_clock(path):
    """The environment of a program whose wall clock (never the monotonic one) follows the file at `path`."""
    library = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))
    if not library:
        sys.exit("official.py: libfaketime is missing: apt-get install faketime")
    # Its correction of timed waits, which are on the monotonic clock, would end each of Java's at once.
    return {"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": path, "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def java(state, memory, main, *arguments, more={}):
    directory = state["directory"]
    options = tls_options(directory) if state["mode"] == "tls" else []
    log = open(os.path.join(directory, main.rsplit(".", 1)[1] + ".log"), "ab")
    prefix = state.get("prefix", [])
    return subprocess.Popen(
        [*prefix, "java", *JAVA_OPTIONS, "-Xmx" + memory, "-Duser.home=" + directory, *options,
         "-cp", os.path.join(fetch.jars(state["version"]), "*"), main, *arguments],
        cwd=directory, env=dict(os.environ, ROCKETMQ_HOME=directory, **more), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True).pid


def wait_port(port, pid, what, seconds=180):
    deadline = time.time() + seconds
    while time.time() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            pass
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                break
        except ChildProcessError:
            pass
        time.sleep(0.1)
    sys.exit("official.py: the %s did not come up; its log is in the directory" % what)


def connected(state):
    """A socket to the name server, with TLS where the broker wants it."""
    link = socket.create_connection(("127.0.0.1", state["namesrv_port"]), 5)
    if state["mode"] != "tls":
        return link
    tls = os.path.join(state["directory"], "tls")
    context = ssl.create_default_context(cafile=os.path.join(tls, "ca.pem"))
    context.load_cert_chain(os.path.join(tls, "client.pem"), os.path.join(tls, "client.key"))
    return context.wrap_socket(link, server_hostname="localhost")


def wait_registered(state, seconds=180):
    """Until the name server's cluster information names the broker."""
    header = json.dumps({"code": 106, "language": "CPP", "version": 493, "opaque": 1, "flag": 0}).encode()
    request = (4 + len(header)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header
    deadline = time.time() + seconds
    while time.time() < deadline:
        with connected(state) as link:
            link.sendall(request)
            link.settimeout(5)
            data = b""
            while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
                more = link.recv(65536)
                if not more:
                    break
                data += more
        if b"127.0.0.1:%d" % state["broker_port"] in data:
            return
        time.sleep(0.2)
    sys.exit("official.py: the broker did not register with the name server")


def start_namesrv(state):
    state["namesrv_pid"] = java(state, "256m", "org.apache.rocketmq.namesrv.NamesrvStartup", "-c",
                                os.path.join(state["directory"], "conf", "namesrv.conf"))
    wait_port(state["namesrv_port"], state["namesrv_pid"], "name server")


def start_broker(state):
    state["broker_pid"] = java(state, "1g", "org.apache.rocketmq.broker.BrokerStartup", "-c",
                               os.path.join(state["directory"], "conf", "broker.conf"),
                               more=faked_clock(state["clock"]) if state.get("clock") else {})
    wait_port(state["broker_port"], state["broker_pid"], "broker")


def prepare(state, settings):
    directory = state["directory"]
    for name in ("broker", "namesrv", "tools"):
        write(os.path.join(directory, "conf", "logback_%s.xml" % name), LOGBACK)
    write(os.path.join(directory, "conf", "namesrv.conf"), "listenPort=%d\n" % state["namesrv_port"])
    with open(os.path.join(HERE, "broker.conf")) as common:
        text = common.read()
    text += "brokerIP1=127.0.0.1\nnamesrvAddr=127.0.0.1:%d\nlistenPort=%d\n" % (state["namesrv_port"], state["broker_port"])
    text += "haListenPort=%d\n" % (state["broker_port"] + 1)
    text += "storePathRootDir=%s/store\nstorePathCommitLog=%s/store/commitlog\n" % (directory, directory)
    if state["mode"] == "acl":
        if state["version"].startswith("4."):
            text += "aclEnable=true\n"
            write(os.path.join(directory, "conf", "plain_acl.yml"), PLAIN_ACL)
        else:
            text += ACL2
    if state["mode"] == "tls":
        make_certificates(os.path.join(directory, "tls"))
    text += "".join(setting + "\n" for setting in settings)
    write(os.path.join(directory, "conf", "broker.conf"), text)


def save(state):
    write(os.path.join(state["directory"], "state.json"), json.dumps(state))


def load(directory):
    with open(os.path.join(directory, "state.json")) as text:
        return json.load(text)


def start(directory, version, mode="plain", settings=(), prefix=()):
    directory = os.path.abspath(directory)
    os.makedirs(directory, exist_ok=True)
    state = {"directory": directory, "version": version, "mode": mode, "namesrv_port": free_port(0),
             "broker_port": free_port(1), "prefix": list(prefix), "namesrv_pid": 0, "broker_pid": 0}
    prepare(state, settings)
    try:
        start_namesrv(state)
        save(state)
        start_broker(state)
        save(state)
        wait_registered(state)
    except BaseException:
        stop(state)
        raise
    return state


def end(pid, number):
    """Ends one process by its id, which is that of its own group too, and waits until it is gone."""
    if not pid:
        return
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    for tick in range(200):
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            try:
                os.kill(pid, 0)
                with open("/proc/%d/stat" % pid) as stat:
                    if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except (ProcessLookupError, FileNotFoundError):
                return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)


def stop(state):
    end(state.get("broker_pid"), signal.SIGKILL)
    end(state.get("namesrv_pid"), signal.SIGKILL)


def environment(state):
    """What a test sees of this broker."""
    found = {"RMQ_TEST_NAMESRV": "127.0.0.1:%d" % state["namesrv_port"], "RMQ_TEST_VERSION": state["version"],
             "RMQ_TEST_MODE": state["mode"], "RMQ_TEST_CONTROL": "%s %s" % (sys.executable, os.path.abspath(__file__)),
             "RMQ_TEST_DIRECTORY": state["directory"], "RMQ_TEST_JARS": fetch.jars(state["version"])}
    if state["mode"] == "acl":
        found.update(RMQ_TEST_ACCESS_KEY=ACCESS_KEY, RMQ_TEST_SECRET_KEY=SECRET_KEY)
    if state["mode"] == "tls":
        tls = os.path.join(state["directory"], "tls")
        found.update(RMQ_TEST_TLS_CA=tls + "/ca.pem", RMQ_TEST_TLS_CERT=tls + "/client.pem",
                     RMQ_TEST_TLS_KEY=tls + "/client.key")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "kill-broker", "stop-broker", "start-broker", "kill-namesrv",
                                           "start-namesrv"])
    parser.add_argument("directory")
    parser.add_argument("--version", default="5.4.0")
    parser.add_argument("--mode", choices=["plain", "acl", "tls"], default="plain")
    parser.add_argument("--clock", metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.action == "start":
        state = start(arguments.directory, arguments.version, arguments.mode, arguments.set)
        for name, value in environment(state).items():
            print("%s='%s'" % (name, value))
        return
    state = load(arguments.directory)
    if arguments.action == "stop":
        stop(state)
    elif arguments.action == "kill-broker":
        end(state["broker_pid"], signal.SIGKILL)
    elif arguments.action == "stop-broker":
        end(state["broker_pid"], signal.SIGTERM)
    elif arguments.action == "start-broker":
        state["clock"] = os.path.abspath(arguments.clock) if arguments.clock else None
        start_broker(state)
    elif arguments.action == "kill-namesrv":
        end(state["namesrv_pid"], signal.SIGKILL)
    elif arguments.action == "start-namesrv":
        start_namesrv(state)
    save(state)


if __name__ == "__main__":
    main()
