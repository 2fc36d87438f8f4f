"""Which files of a workspace belong to its snapshot: what the user's git lists, less and plus what the user says.

`.afieldignore` takes away, `.afieldinclude` adds, `outputs/` never belongs, `data/` only when included. Patterns are
git's, matched by git. Names are bytes, relative to the root.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from afield.errors import UsageError
from afield.snapshot.git import NO_CONFIG, Git
from afield.snapshot.roots import checkout_of, is_checkout

IGNORE, INCLUDE = b".afieldignore", b".afieldinclude"
OUTPUTS, DATA = b"outputs", b"data"
ENVIRONMENT_MARK = b"/pyvenv.cfg"

Skipped = tuple[tuple[str, str], ...]
"""(name, reason) of each thing that was left out and that git would not have left out."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The names, sorted; the same `key` means the same names. `folders` were listed, but are checkouts inside."""

    names: list[bytes]
    key: bytes
    folders: tuple[bytes, ...]
    skipped: Skipped


class Lister:
    """Lists one workspace; the user's git starts with `__init__` and works while the caller does something else."""

    def __init__(self, root: bytes, shadow: str) -> None:
        self._root = root
        self._shadow = shadow
        self._rules = {name: _content(os.path.join(root, name)) for name in (IGNORE, INCLUDE)}
        top = checkout_of(root)
        if top not in (None, root) and self._ignored(root, top):
            top = None
        self._listing = self._start(b"", top)
        head: list[str | bytes] = ["-C", top or root, "rev-parse", "-q", "--verify", "HEAD"]
        self._head = Git(head, scratch=shadow) if top is not None else None

    def commit(self) -> str:
        """The commit that the user has checked out; "" when there is none."""
        if self._head is None:
            return ""
        status, out, _ = self._head.finish()
        return out.decode("ascii").strip() if status == 0 else ""

    def listing(self, known: Listing | None) -> Listing:
        """The files now; `known` is given back when nothing about the names has changed."""
        raw = _Raw([], [], [])
        self._read(raw, b"", self._listing)
        self._descend(raw, known.folders if known is not None else ())
        included = self._walked() if self._rules[INCLUDE] else b""
        key = self._key(raw, included)
        if known is not None and known.key == key:
            return known
        before = -1
        while before != len(raw.folders):
            before = len(raw.folders)
            self._descend(raw, tuple(name for name in raw.names if os.path.isdir(self._at(name))))
        return self._chosen(raw, included.split(b"\0")[:-1], self._key(raw, included))

    def _at(self, name: bytes) -> bytes:
        return os.path.join(self._root, name)

    def _ignored(self, root: bytes, top: bytes) -> bool:
        arguments: list[str | bytes] = ["-C", top, "check-ignore", "-q", os.path.relpath(root, top)]
        return Git(arguments, scratch=self._shadow).finish()[0] == 0

    def _start(self, prefix: bytes, top: bytes | None) -> Git:
        """Start listing the root or a checkout below it; without a checkout, by the same rules from the shadow."""
        place = self._at(prefix).rstrip(b"/")
        arguments: list[str | bytes] = ["-C", place, "ls-files", "-co", "--exclude-standard", "-z"]
        variables = {}
        if top is None:
            nothing = os.path.join(self._shadow, "no-index")
            variables = {"GIT_DIR": self._shadow, "GIT_WORK_TREE": os.fsdecode(place), "GIT_INDEX_FILE": nothing}
        if not prefix:
            # Only so that git need not walk what is taken away below anyway. Patterns here count from git's own top.
            above = b"" if top in (None, place) else _escaped(os.path.relpath(place, top)) + b"/"
            arguments += [b"--exclude=/" + above + name + b"/" for name in (OUTPUTS, DATA)]
            if not above and self._rules[IGNORE] and not _has_exceptions(self._rules[IGNORE]):
                arguments.append(b"--exclude-from=" + self._at(IGNORE))
        return Git(arguments, scratch=self._shadow, variables=variables)

    def _read(self, raw: _Raw, prefix: bytes, git: Git) -> None:
        """Add what one git lists, and the checkouts below that it names with a "/" at the end."""
        out, errors = git.output()
        _check_folders(errors)
        raw.outputs.extend((prefix, out))
        names = out.split(b"\0")[:-1]
        if prefix:
            names = [prefix + name for name in names]
        inside = [name for name in names if name.endswith(b"/")]
        raw.names.extend([name for name in names if not name.endswith(b"/")] if inside else names)
        for name in inside:
            self._read(raw, name, self._inside(name))

    def _inside(self, name: bytes) -> Git:
        place = self._at(name).rstrip(b"/")
        return self._start(name, place if is_checkout(place) else None)

    def _descend(self, raw: _Raw, folders: tuple[bytes, ...]) -> None:
        """List inside folders that git names like files: checkouts that the user's index holds."""
        for name in folders:
            if name in raw.folders or not os.path.isdir(self._at(name)) or os.path.islink(self._at(name)):
                continue
            raw.folders.append(name)
            if is_checkout(self._at(name)) or not any(n.startswith(name + b"/") for n in raw.names):
                self._read(raw, name + b"/", self._inside(name + b"/"))

    def _walked(self) -> bytes:
        """What `.afieldinclude` matches of all files below the root."""
        names = []
        for place, folders, files in os.walk(self._root, onerror=None):
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            # A pattern such as data/ would fit hundreds of folders of an environment.
            within = [] if b"pyvenv.cfg" in files else [name for name in folders if name not in links]
            folders[:] = sorted(name for name in within if name.lower() != b".git")
            files = [] if b"pyvenv.cfg" in files else files
            names += [os.path.relpath(os.path.join(place, name), self._root) for name in sorted(files + links)]
        return b"".join(name + b"\0" for name in self._matched(INCLUDE, names))

    def _matched(self, rules: bytes, names: list[bytes]) -> list[bytes]:
        """Those names that the patterns of a file match. Git does it, in an empty folder where nothing else applies."""
        empty = os.path.join(self._shadow, "empty")
        os.makedirs(empty, exist_ok=True)
        arguments: list[str | bytes] = ["-C", empty, "-c", b"core.excludesFile=" + self._at(rules)]
        arguments += ["check-ignore", "--no-index", "-z", "--stdin"]
        variables = {**NO_CONFIG, "GIT_DIR": self._shadow, "GIT_WORK_TREE": empty}
        given = b"".join(name + b"\0" for name in names)
        status, out, errors = Git(arguments, scratch=self._shadow, variables=variables, stdin=given).finish()
        if status not in (0, 1):
            why = errors.decode("utf-8", "backslashreplace").strip()
            raise UsageError(f"{rules.decode()} cannot be used", why=why, code="git-failed")
        return out.split(b"\0")[:-1]

    def _key(self, raw: _Raw, included: bytes) -> bytes:
        digest = hashlib.sha1(usedforsecurity=False)
        for part in (*self._rules.values(), *raw.outputs, *sorted(raw.folders), included):
            digest.update(b"%d\0" % len(part) + part)
        return digest.digest()

    def _chosen(self, raw: _Raw, included: list[bytes], key: bytes) -> Listing:
        skipped: list[tuple[str, str]] = []
        names = set(raw.names) - set(raw.folders)
        if self._rules[IGNORE]:
            names -= set(self._matched(IGNORE, sorted(names)))
        for environment in [n[: -len(ENVIRONMENT_MARK)] for n in names if n.endswith(ENVIRONMENT_MARK)]:
            names = {name for name in names if not name.startswith(environment + b"/")}
            skipped.append((_text(environment) + "/", "a Python environment; the node builds its own"))
        if self._is_folder(DATA):
            names = {name for name in names if not _below(name, DATA)}
            if not any(_below(name, DATA) for name in included):
                skipped.append(("data/", "`afield push` brings it to a node, .afieldinclude sends it along"))
        names |= set(included)
        if self._is_folder(OUTPUTS):
            names = {name for name in names if not _below(name, OUTPUTS)}
        hidden = {name for name in names if b".git" in name.lower() and b".git" in name.lower().split(b"/")}
        skipped += self._special({os.path.dirname(name) for name in names} | {b""})
        return Listing(sorted(names - hidden), key, tuple(raw.folders), tuple(sorted(skipped)))

    def _special(self, folders: set[bytes]) -> list[tuple[str, str]]:
        """Sockets, pipes and devices beside the files; git does not list them."""
        found = []
        for folder in folders:
            try:
                entries = os.scandir(self._at(folder))
            except OSError:
                continue
            with entries:
                for entry in entries:
                    if not (entry.is_symlink() or entry.is_file() or entry.is_dir()):
                        found.append((_text(os.path.join(folder, entry.name)), "not a file, a folder or a link"))
        return found

    def _is_folder(self, name: bytes) -> bool:
        # A link to a folder elsewhere counts: that is how data folders are shared.
        return os.path.isdir(self._at(name)) or os.path.islink(self._at(name))


@dataclass(frozen=True, slots=True)
class _Raw:
    """What the gits said, word for word, and the names in it."""

    outputs: list[bytes]
    names: list[bytes]
    folders: list[bytes]


def _below(name: bytes, folder: bytes) -> bool:
    return name == folder or name.startswith(folder + b"/")


def _check_folders(errors: bytes) -> None:
    """Git passes over folders that it cannot open with a warning; we do not."""
    lines = [line for line in errors.splitlines() if b"could not open directory" in line]
    if lines:
        raise UsageError(
            "a folder of the workspace cannot be read",
            why="; ".join(_text(line.removeprefix(b"warning: ")) for line in lines[:5]),
            hints=["change its permissions", "leave it out in .afieldignore"],
            code="unreadable",
        )


def _escaped(path: bytes) -> bytes:
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\" else bytes([c]) for c in path)


def _has_exceptions(rules: bytes) -> bool:
    return any(line.lstrip().startswith(b"!") for line in rules.splitlines())


def _content(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
