"""File systems of a test's own: small, or read-only.

Root may mount them; others may in a user namespace of their own (enter_namespace), which most systems allow. Where
neither is possible the case is skipped visibly.
"""
import os
import subprocess
import sys

from tap import skip

ENTERED = "MILLRACE_TEST_NAMESPACE"


def _mount(*words):
    return subprocess.run(["mount", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _allows(command):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def enter_namespace():
    """Runs the calling program again as root of user and mount namespaces of its own, if it may not mount otherwise."""
    trial = ["sh", "-c", "mount -t tmpfs -o size=4k tmpfs /mnt"]
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if ENTERED in os.environ or _allows(["unshare", "--mount", *trial]) or not _allows([*unshare, *trial]):
        return
    os.environ[ENTERED] = "1"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


class Room:
    """A tmpfs of `size` (such as "64k") at `path`."""

    def __init__(self, path, size):
        self.path = path
        os.makedirs(path, exist_ok=True)
        if os.geteuid() != 0 or not _mount("-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", path):
            skip("a small file system can't be mounted here: it needs root, or a user namespace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)

    def resize(self, size):
        subprocess.run(["mount", "-o", "remount,size=" + size, self.path], check=True)

    def writable(self, yes):
        subprocess.run(["mount", "-o", "remount,bind,rw" if yes else "remount,bind,ro", self.path], check=True)

    def used(self):
        """The share that is taken, 0 to 1."""
        seen = os.statvfs(self.path)
        return 1 - seen.f_bavail / seen.f_blocks

    def fill(self):
        """Takes all the room that is left; returns the file that holds it."""
        path = os.path.join(self.path, "filler")
        with open(path, "wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4096))
            except OSError:
                return path
