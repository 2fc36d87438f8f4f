"""Git's names for folders of files: tree objects read, changed in place, compared. No git is needed for it.

An entry is (mode, hash): the mode as git writes it, the hash as 20 bytes. Paths are bytes with "/" between their parts.
"""

import hashlib
import struct

FILE = b"100644"
PROGRAM = b"100755"
LINK = b"120000"
FOLDER = b"40000"
MODES = (FILE, PROGRAM, LINK)

_LENGTHS = struct.Struct(">II")


def hasher(kind, size):
    """A running hash for an object whose `size` bytes are still to come."""
    return hashlib.sha1(b"%s %d\0" % (kind, size))


def name_of(kind, data):
    """Git's name of an object, 20 bytes."""
    return hashlib.sha1(b"%s %d\0" % (kind, len(data)) + data).digest()


def parse(raw):
    """The entries of one tree object by name."""
    entries = {}
    at = 0
    while at < len(raw):
        space = raw.index(b" ", at)
        end = raw.index(b"\0", space)
        entries[raw[space + 1 : end]] = (raw[at:space], raw[end + 1 : end + 21])
        at = end + 21
    return entries


def build(entries):
    """The tree object with these entries, in git's order: folders sort as if their names ended in "/"."""
    order = sorted((name + b"/" if entry[0] == FOLDER else name, name) for name, entry in entries.items())
    return b"".join(b"%s %s\0%s" % (entries[name][0], name, entries[name][1]) for _, name in order)


EMPTY = name_of(b"tree", b"")


class Tree:
    """All tree objects of one folder of files, by path; "" is the top."""

    def __init__(self, folders=None):
        self.folders = folders if folders is not None else {b"": b""}
        self.top = (FOLDER, name_of(b"tree", self.folders[b""]))

    @property
    def hash(self):
        """The tree's name as git prints it."""
        return self.top[1].hex()

    @property
    def size(self):
        """Bytes of all tree objects: some 35 for each file."""
        return sum(len(raw) for raw in self.folders.values())

    def raw(self, path, _name=None):
        """The tree object of the folder at this path."""
        return self.folders[path]

    def entry(self, path):
        """The entry at a path, or None."""
        folder, _, name = path.rpartition(b"/")
        return parse(self.folders.get(folder, b"")).get(name)

    def update(self, changes):
        """Put or remove (None) files: path -> entry. Gives the new tree objects: name -> bytes.

        Raises ValueError when something would be a file and a folder at once.
        """
        waiting = _by_folder(changes)
        made = {}
        while waiting:
            depth = max(waiting)
            for folder, (own, below) in waiting.pop(depth).items():
                raw = build(_merged(parse(self.folders.get(folder, b"")), own, below, folder))
                self._set(folder, raw)
                name = name_of(b"tree", raw)
                if folder:
                    above, _, last = folder.rpartition(b"/")
                    row = waiting.setdefault(depth - 1, {}).setdefault(above, ({}, {}))
                    row[1][last] = (FOLDER, name) if raw else None
                if raw or not folder:
                    made[name] = raw
        self.top = (FOLDER, name_of(b"tree", self.folders[b""]))
        return made

    def _set(self, folder, raw):
        if raw or not folder:
            self.folders[folder] = raw
        else:
            self.folders.pop(folder, None)

    def dump(self):
        """The tree as bytes for `load`, with a checksum at the end."""
        parts = []
        for path, raw in self.folders.items():
            parts += (_LENGTHS.pack(len(path), len(raw)), path, raw)
        data = b"".join(parts)
        return data + hashlib.sha1(data).digest()


def load(data):
    """The tree that `dump` wrote. Raises ValueError when the bytes are damaged."""
    body = data[:-20]
    if hashlib.sha1(body).digest() != data[-20:]:
        raise ValueError("damaged index of a tree")
    folders = {}
    at = 0
    while at < len(body):
        path, raw = _LENGTHS.unpack_from(body, at)
        at += _LENGTHS.size
        folders[body[at : at + path]] = body[at + path : at + path + raw]
        at += path + raw
    if b"" not in folders:
        raise ValueError("index of a tree without its top")
    return Tree(folders)


def files(tree):
    """(path, entry) of each file and link, in no promised order. `tree` has `top` and `raw(path, name)`."""
    for path, _, entry in differences(Nothing, tree):
        yield path, entry


class Nothing:
    """A tree without files, to compare with."""

    top = None

    @staticmethod
    def raw(_path, _name=None):
        """No entries."""
        return b""


def differences(old, new):
    """(path, old entry or None, new entry or None) of each file and link that differs; equal folders are not opened."""
    waiting = [(b"", old.top, new.top)]
    while waiting:
        path, before, after = waiting.pop()
        left = parse(old.raw(path, before[1])) if _is_folder(before) else {}
        right = parse(new.raw(path, after[1])) if _is_folder(after) else {}
        if _is_file(before) or _is_file(after):
            yield path, before if _is_file(before) else None, after if _is_file(after) else None
        prefix = path + b"/" if path else b""
        for name in sorted(left.keys() | right.keys(), reverse=True):
            if left.get(name) != right.get(name):
                waiting.append((prefix + name, left.get(name), right.get(name)))


def _is_folder(entry):
    return entry is not None and entry[0] == FOLDER


def _is_file(entry):
    return entry is not None and entry[0] != FOLDER


def _by_folder(changes):
    waiting = {}
    for path, entry in changes.items():
        folder, _, name = path.rpartition(b"/")
        depth = folder.count(b"/") + 1 if folder else 0
        waiting.setdefault(depth, {}).setdefault(folder, ({}, {}))[0][name] = entry
    return waiting


def _merged(entries, own, below, folder):
    for name, entry in below.items():
        if entry is None and _is_folder(entries.get(name)):
            del entries[name]
    for name, entry in own.items():
        if entry is None and _is_file(entries.get(name)):
            del entries[name]
    for new, clash in ((own, _is_folder), (below, _is_file)):
        for name, entry in new.items():
            if entry is None:
                continue
            if clash(entries.get(name)):
                raise ValueError("both a file and a folder: %r" % (folder + b"/" + name))
            entries[name] = entry
    return entries
