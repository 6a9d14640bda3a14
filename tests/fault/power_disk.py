"""A disk that forgets: what may be left of recorded file operations after the power failed.

A log of power_shim.c is read into operations; `Disk` follows them up to some point and knows what is durable by then and what is
not. `lose` makes one legal remainder of it:

  content   a file's writes since its last sync: each 512-byte piece of each is there or not, whatever the others are (so a write is
            torn, and a later one may be there without an earlier one); its length is any that it had since; what the length covers
            and no write filled is zeros or, if `garbage`, anything
  names     creations, links, renames, removals in a directory since its last sync: each there or not. A file's sync makes its
            bytes durable, not its name; a name may be there before the bytes. A rename is there as a whole or not at all, and
            the sync of either directory makes it durable

So no order is kept but by syncs: less than ext4, xfs or btrfs promise. A 512-byte piece is written whole or not at all, and
writing it does not harm its neighbours, which is what SQLite assumes too.
"""
import collections
import os
import struct

HEAD = struct.Struct("<c7xQQQQQ")
SECTOR = 512
STYLES = ("none", "all", "prefix", "torn", "few", "half", "most", "one lost", "one kept")

Operation = collections.namedtuple("Operation", "kind file offset name second data")


def read_log(path):
    with open(path, "rb") as file:
        text = file.read()
    operations, at = [], 0
    while at < len(text):
        kind, number, offset, name_len, second_len, data_len = HEAD.unpack_from(text, at)
        at += HEAD.size
        name = text[at:at + name_len].decode()
        second = text[at + name_len:at + name_len + second_len].decode()
        at += name_len + second_len
        operations.append(Operation(kind.decode(), number, offset, name, second, text[at:at + data_len]))
        at += data_len
    return operations


def parent(path):
    return os.path.dirname(path) or "."


class File:
    def __init__(self, content=b""):
        self.durable = bytes(content)
        self.now = bytearray(content)
        self.pending = []  # ("W", offset, data) or ("T", size, b"")

    def apply(self, kind, offset, data):
        self.pending.append((kind, offset, data))
        change(self.now, kind, offset, data)

    def sync(self):
        self.durable = bytes(self.now)
        self.pending = []


def change(content, kind, offset, data):
    if kind == "T":
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    else:
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset:offset + len(data)] = data


def keep(rng, style, count):
    """For each of `count` things in order whether it has reached the disk."""
    if style in ("none", "all"):
        return [style == "all"] * count
    if style in ("prefix", "torn"):
        upto = rng.randint(0, count)
        return [i < upto for i in range(count)]
    if style in ("one lost", "one kept"):
        which = rng.randrange(count) if count else 0
        return [(i == which) == (style == "one kept") for i in range(count)]
    share = {"few": 0.1, "half": 0.5, "most": 0.9}[style]
    return [rng.random() < share for _ in range(count)]


class Disk:
    """`before`: {path: content, None for a directory} of what was there, durable, when the recording began. `deaf(operation)`
    is true for syncs that do nothing."""

    def __init__(self, before, deaf=None):
        self.files = {}
        self.names = {}  # path: number of a file, "dir"; what is durable
        self.before = dict(before)
        self.deaf = deaf or (lambda operation: False)
        for path, content in before.items():
            if content is None:
                self.names[path] = "dir"
            else:
                self.files[path] = File(content)  # until its number is known
                self.names[path] = path
        self.pending_names = []  # (operation, directories that it waits for)

    def follow(self, operation):
        kind, number = operation.kind, operation.file
        if kind == "K":
            self.files[number] = self.files.pop(operation.name, None) or self.files.get(number)
            self.names = {path: number if target == operation.name else target for path, target in self.names.items()}
        elif kind == "C":
            self.files[number] = File()
            self.pending_names.append(operation)
        elif kind in "WT":
            self.files[number].apply(kind, operation.offset, operation.data)
        elif kind == "S" and not self.deaf(operation):
            self.files[number].sync()
        elif kind == "D" and not self.deaf(operation):
            self.sync_directory(operation.name)
        elif kind in "LRUMX":
            self.pending_names.append(operation)

    def sync_directory(self, path):
        left = []
        for operation in self.pending_names:
            if path in (parent(operation.name), parent(operation.second) if operation.second else None):
                self.name(self.names, operation)
                if operation.kind == "R":  # what was done to the old name before is over with it
                    left = [earlier for earlier in left if earlier.name != operation.name]
            else:
                left.append(operation)
        self.pending_names = left

    @staticmethod
    def name(names, operation):
        kind = operation.kind
        if kind in "CL":
            names[operation.name] = operation.file
        elif kind == "R":
            names.pop(operation.name, None)
            names[operation.second] = operation.file
        elif kind == "M":
            names[operation.name] = "dir"
        else:
            names.pop(operation.name, None)

    # ---- after the loss ----

    def content(self, file, rng, style, garbage):
        pieces, sizes = [], [len(file.durable)]
        running = bytearray(file.durable)
        for kind, offset, data in file.pending:
            change(running, kind, offset, data)
            sizes.append(len(running))
            if kind == "T":
                pieces.append((kind, offset, data))
                continue
            at = offset
            while at < offset + len(data):
                end = min(offset + len(data), (at // SECTOR + 1) * SECTOR)
                pieces.append((kind, at, data[at - offset:end - offset]))
                at = end
        if style == "all":
            return bytes(file.now)
        content, filled = bytearray(file.durable), []
        for kept, piece in zip(keep(rng, style, len(pieces)), pieces):
            if kept:
                change(content, *piece)
                filled.append(piece)
        size = sizes[0] if style == "none" else len(content) if style in ("prefix", "torn") else rng.choice(sizes)
        del content[size:]
        content.extend(bytes(size - len(content)))
        if garbage:
            self.litter(content, len(file.durable), filled, rng)
        return bytes(content)

    @staticmethod
    def litter(content, durable, filled, rng):
        """Where nothing was written there is anything."""
        for at in range((durable + SECTOR - 1) // SECTOR * SECTOR, len(content), SECTOR):
            if not any(kind == "W" and offset < at + SECTOR and offset + len(data) > at for kind, offset, data in filled):
                end = min(len(content), at + SECTOR)
                content[at:end] = rng.randbytes(end - at)

    def lose(self, rng):
        """({path: content, None for a directory}, how) of what may be found after the power failed now."""
        name_style, content_style, garbage = rng.choice(STYLES), rng.choice(STYLES), rng.random() < 0.3
        names = dict(self.names)
        for kept, operation in zip(keep(rng, name_style, len(self.pending_names)), self.pending_names):
            if kept:
                self.name(names, operation)
        found, contents = {}, {}
        for path, target in sorted(names.items()):
            if target == "dir":
                found[path] = None
                continue
            if target not in contents:
                style = rng.choice(STYLES) if content_style == "half" else content_style
                contents[target] = self.content(self.files[target], rng, style, garbage)
            found[path] = contents[target]
        reachable = {path: content for path, content in found.items() if self.is_reachable(path, found)}
        return reachable, (name_style, content_style, garbage)

    @staticmethod
    def is_reachable(path, found):
        while parent(path) != ".":
            path = parent(path)
            if found.get(path, b"") is not None:
                return False
        return True

    def is_quiet(self):
        """Nothing can be lost now."""
        return not self.pending_names and not any(file is not None and file.pending for file in self.files.values())


def snapshot(root):
    found = {}
    for directory, names, files in os.walk(root):
        for name in names:
            found[os.path.relpath(os.path.join(directory, name), root)] = None
        for name in files:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def materialise(tree, root):
    for path, content in sorted(tree.items()):
        full = os.path.join(root, path)
        if content is None:
            os.makedirs(full, 0o700, exist_ok=True)
    for path, content in tree.items():
        if content is not None:
            with open(os.path.join(root, path), "wb") as file:
                file.write(content)
            os.chmod(os.path.join(root, path), 0o600)
