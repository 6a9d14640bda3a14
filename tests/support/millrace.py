"""The program under test, and a development broker of its own run by it."""
import os
import re
import shutil
import signal
import subprocess
import tempfile

from tap import run


class Millrace:
    """`millrace` with a name server: self.run("consume", "--topic", "T")."""

    def __init__(self, program, namesrv=None, options=()):
        self.program = program
        self.namesrv = namesrv
        self.options = list(options)

    def run(self, *words, **more):
        connection = ["--namesrv", self.namesrv] if self.namesrv and more.pop("connect", True) else []
        return run([self.program, *words, *connection, *self.options], **more)

    def start(self, *words, **more):
        environment = {name: value for name, value in os.environ.items() if name != "MILLRACE_NAMESRV"}
        environment.update(more.pop("environment", {}))
        return subprocess.Popen([self.program, *words, "--namesrv", self.namesrv, *self.options], stdin=subprocess.DEVNULL,
                                stdout=more.pop("stdout", subprocess.PIPE), stderr=more.pop("stderr", subprocess.PIPE),
                                env=environment, **more)


def outside_options():
    """The connection options for the broker that RMQ_TEST_NAMESRV names; the keys are on the command line, since tests end soon."""
    found = []
    for variable, option in (("RMQ_TEST_ACCESS_KEY", "--access-key"), ("RMQ_TEST_SECRET_KEY", "--secret-key"),
                             ("RMQ_TEST_TLS_CA", "--tls-ca"), ("RMQ_TEST_TLS_CERT", "--tls-cert"),
                             ("RMQ_TEST_TLS_KEY", "--tls-key")):
        if os.environ.get(variable):
            found += [option, os.environ[variable]]
    return found


class Broker:
    """`millrace broker` on free ports; use it as a context manager."""

    def __init__(self, program, *options):
        self.process = subprocess.Popen([program, "broker", "--port", "0", "--broker-port", "0", *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        found = re.match(r"name server (\S+), broker (\S+)", line)
        if not found:
            self.process.kill()
            raise RuntimeError("the broker did not start: " + line + self.process.stderr.read().decode())
        self.namesrv, self.address = found.groups()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


class Directory:
    """A temporary directory; self("name") is a path in it."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="millrace-test-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def __call__(self, name):
        return os.path.join(self.path, name)
