"""Peers that misbehave: raw frames, servers that lie, and a TLS front for a plain broker."""
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

ROUTE = 105
CLUSTER = 106


def frame(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack(">II", 4 + len(text) + len(body), len(text)) + text + body


def read_exactly(link, count):
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return data


def read_frame(link):
    """(header, body) or None at the end."""
    start = read_exactly(link, 8)
    if start is None:
        return None
    length, header_length = struct.unpack(">II", start)
    rest = read_exactly(link, length - 4)
    if rest is None:
        return None
    header_length &= 0xFFFFFF
    return json.loads(rest[:header_length]), rest[header_length:]


def send_raw(broker, topic, queue_id, body, sys_flag=0):
    """Stores bytes as they are, whatever `sys_flag` claims of them. Source: SendMessageRequestHeaderV2 5.4.0."""
    fields = {"a": "raw", "b": topic, "c": "TBW102", "d": "4", "e": str(queue_id), "f": str(sys_flag),
              "g": str(int(time.time() * 1000)), "h": "0", "i": "", "j": "0", "k": "false", "m": "false"}
    host, port = broker.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as link:
        link.sendall(frame({"code": 310, "language": "JAVA", "version": 493, "opaque": 1, "flag": 0,
                            "serializeTypeCurrentRPC": "JSON", "extFields": fields}, body))
        answer = read_frame(link)
    if answer is None or answer[0]["code"] != 0:
        raise RuntimeError("the broker did not store it: %r" % (answer,))
    return int(answer[0]["extFields"]["queueOffset"])


class Server:
    """A server on a free port; self.serve(link) is called on a thread for each connection."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(link,), daemon=True).start()

    def guarded(self, link):
        try:
            with link:
                self.serve(link)
        except OSError:
            pass


def forever(link, data):
    while True:
        link.sendall(data)


# What a server may do instead of answering a request.
LIES = {
    "a length of 2 GiB": lambda link: forever(link, struct.pack(">II", 0x7FFFFFFF, 16) + b"x" * 65536),
    "a negative length": lambda link: link.sendall(struct.pack(">II", 0xFFFFFFFF, 16) + b"x" * 64),
    "a length too small for a header": lambda link: link.sendall(struct.pack(">II", 1, 5) + b"x" * 64),
    "a header longer than its frame": lambda link: link.sendall(struct.pack(">II", 10, 5000) + b"x" * 64),
    "half a frame, then silence": lambda link: link.sendall(struct.pack(">II", 100, 50) + b"x" * 16) or link.recv(1),
    "half a frame, then the end": lambda link: link.sendall(struct.pack(">II", 100, 50) + b"x" * 16),
    "another protocol": lambda link: link.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "the end": lambda link: None,
    "silence": lambda link: link.recv(1),
    "endless garbage": lambda link: forever(link, b"\xde\xad\xbe\xef" * 4096),
    "endless zeros": lambda link: forever(link, bytes(65536)),
    "a header that is no JSON": lambda link: link.sendall(struct.pack(">II", 8, 4) + b"nope") or link.recv(1),
    "an empty header": lambda link: link.sendall(struct.pack(">II", 6, 2) + b"{}") or link.recv(1),
    "an answer to nobody, again and again": lambda link: forever(link, frame({"code": 0, "flag": 1, "opaque": -7})),
}


class Liar(Server):
    """Reads one request of a connection, then lies."""

    def __init__(self, lie):
        self.lie = lie
        super().__init__()

    def serve(self, link):
        if read_frame(link) is not None:
            self.lie(link)


class Directory(Server):
    """A name server that sends everybody to one broker."""

    def __init__(self, broker, queues=2):
        self.broker, self.queues = broker, queues
        super().__init__()

    def serve(self, link):
        data = {"brokerAddrs": {"0": self.broker}, "brokerName": "broker-a", "cluster": "DefaultCluster"}
        route = {"brokerDatas": [data],
                 "queueDatas": [{"brokerName": "broker-a", "perm": 6, "readQueueNums": self.queues, "topicSysFlag": 0,
                                 "writeQueueNums": self.queues}], "filterServerTable": {}}
        cluster = {"brokerAddrTable": {"broker-a": data}, "clusterAddrTable": {"DefaultCluster": ["broker-a"]}}
        answers = {ROUTE: route, CLUSTER: cluster}
        while True:
            request = read_frame(link)
            if request is None:
                return
            answer = answers.get(request[0]["code"])
            link.sendall(frame({"code": 3 if answer is None else 0, "flag": 1, "opaque": request[0]["opaque"], "language": "JAVA",
                                "version": 493}, b"" if answer is None else json.dumps(answer).encode()))


def make_certificate(directory, name, alternative, issuer=None, days=2):
    """NAME.pem and NAME.key, signed by `issuer` of the same directory or by itself."""
    path = lambda end: os.path.join(directory, end)  # noqa: E731

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    if issuer is None:
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", "/CN=" + name,
                "-addext", "subjectAltName=" + alternative, "-keyout", path(name + ".key"), "-out", path(name + ".pem"))
        return
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name, "-keyout", path(name + ".key"),
            "-out", path(name + ".csr"))
    with open(path(name + ".ext"), "w") as out:
        out.write("subjectAltName=%s\n" % alternative)
    openssl("x509", "-req", "-in", path(name + ".csr"), "-CA", path(issuer + ".pem"), "-CAkey", path(issuer + ".key"),
            "-CAcreateserial", "-days", str(days), "-extfile", path(name + ".ext"), "-out", path(name + ".pem"))


class TlsFront(Server):
    """TLS in front of a plain server."""

    def __init__(self, behind, certificate):
        self.behind = behind
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate + ".pem", certificate + ".key")
        super().__init__()

    def serve(self, link):
        host, port = self.behind.rsplit(":", 1)
        with self.context.wrap_socket(link, server_side=True) as front, socket.create_connection((host, int(port)), 10) as back:
            threading.Thread(target=self.copy, args=(back, front), daemon=True).start()
            self.copy(front, back)

    @staticmethod
    def copy(source, target):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
