"""File systems of a test's own: small, or read-only. They need root (to mount); without it the case is skipped visibly."""
import os
import subprocess

from tap import skip


def _mount(*words):
    return subprocess.run(["mount", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Room:
    """A tmpfs of `size` (such as "64k") at `path`."""

    def __init__(self, path, size):
        self.path = path
        os.makedirs(path, exist_ok=True)
        if os.geteuid() != 0 or not _mount("-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", path):
            skip("a small file system can't be mounted here: it needs root")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)

    def resize(self, size):
        subprocess.run(["mount", "-o", "remount,size=" + size, self.path], check=True)

    def writable(self, yes):
        subprocess.run(["mount", "-o", "remount,rw" if yes else "remount,ro", self.path], check=True)

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
