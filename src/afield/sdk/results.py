"""Brings a job's results home: nothing that lies there is lost, nothing is written outside the folder."""

from __future__ import annotations

import errno
import os
import stat
from _thread import get_ident
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afield.errors import AfieldError, NotFound
from afield.sdk.client import Client, Patience
from afield.sdk.http import Gone

View = dict[str, Any]

OUTPUTS = "outputs"
LATEST = "latest"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Brought:
    """What came home: `files` and `bytes` now, `kept` were here already, `refused` would have left the folder."""

    folder: Path
    files: int = 0
    bytes: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The folder as people see it from where they are."""
        return min(os.path.relpath(self.folder), str(self.folder), key=len) + "/"


def pull(client: Client, view: View, destination: str | Path | None = None) -> Brought:
    """Bring what a job left in its outputs folder to `outputs/JOB/` in its workspace, or to `destination`.

    A file that is here with the same size and time is kept; another one of that name is moved aside as `NAME.~1~`.
    Raises NotFound when the job has no results, Unreachable when a node that holds them does not answer.
    """
    folder = Path(destination).absolute() if destination is not None else home(view)
    brought = Brought(folder)
    patience = Patience()
    while True:
        try:
            _once(client, view["number"], brought)
            break
        except Gone as error:
            patience.wait(error)
        except OSError as error:
            raise AfieldError(f"the results cannot be written to {folder}", why=str(error)) from error
    if destination is None and brought.files + brought.kept:
        _point_latest(folder)
    return brought


def home(view: View) -> Path:
    """Where a job's results belong. Raises NotFound when its workspace is no longer there."""
    code = view["snapshot"]
    root = Path(code["root"]) if code else Path.cwd()
    if not root.is_dir():
        raise NotFound(f"the workspace {root} of job {view['number']} is not here", hints=["afield pull -o FOLDER"])
    return root / OUTPUTS / str(view["number"])


def _once(client: Client, number: int, brought: Brought) -> None:
    have = dict(_present(brought.folder))
    before = brought.files
    with Landing(brought) as landing, closing(client.results(number, have)) as frames:
        for head, data in frames:
            if head["on"] == "file":
                landing.begin(head)
            elif head["on"] == "data":
                landing.write(head["offset"], data)
            elif head["on"] == "done":
                landing.finish()
                brought.kept = brought.kept + int(head["kept"]) - before


class Landing:
    """Writes files one after the other under a temporary name, and gives each its own when it is complete."""

    def __init__(self, brought: Brought) -> None:
        self._brought = brought
        self._head: dict[str, Any] | None = None
        self._folder = -1
        self._file = -1
        self._name = b""
        self._part = b""

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def begin(self, head: dict[str, Any]) -> None:
        """The next file or link; the one before is complete."""
        self.finish()
        parts = os.fsencode(head["path"]).split(b"/")
        if not safe(parts) or (head["link"] is not None and not inside(parts, os.fsencode(head["link"]))):
            self._brought.refused.append(head["path"])
            return
        self._folder = _descend(self._brought.folder, parts[:-1])
        self._name = parts[-1]
        self._part = b".%s.%s.part" % (self._name[:200], os.urandom(4).hex().encode())
        self._head = head
        if head["link"] is None:
            self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._folder)

    def write(self, offset: int, data: bytes) -> None:
        """Bytes of the file that was begun."""
        if self._file >= 0:
            view = memoryview(data)
            while view:
                written = os.pwrite(self._file, view, offset)
                view, offset = view[written:], offset + written

    def finish(self) -> None:
        """Give what was begun its name."""
        head = self._head
        if head is None:
            return
        if self._file >= 0:
            self._brought.bytes += self._mark(head)
            self._give_name()
        elif _link(self._folder, self._name) != os.fsencode(head["link"]):
            os.symlink(os.fsencode(head["link"]), self._part, dir_fd=self._folder)
            self._give_name()
        else:
            self._brought.kept += 1
        self._head = None
        self._close()

    def _give_name(self) -> None:
        _move_aside(self._folder, self._name)
        os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._brought.files += 1

    def _mark(self, head: dict[str, Any]) -> int:
        """Mode and time as on the node; a file that changed while it was read keeps our time, to be asked for again."""
        size = os.fstat(self._file).st_size
        os.fchmod(self._file, head["mode"] & 0o777 | 0o600)
        if size == head["size"]:
            os.utime(self._file, ns=(head["mtime_ns"], head["mtime_ns"]))
        return size

    def _drop(self) -> None:
        if self._head is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._part, dir_fd=self._folder)
            self._head = None
        self._close()

    def _close(self) -> None:
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1


def safe(parts: list[bytes]) -> bool:
    """Whether a path stays in its folder: no empty part, no `.`, no `..`, so not absolute either."""
    return all(part not in (b"", b".", b"..") and b"\0" not in part for part in parts)


def inside(parts: list[bytes], target: bytes) -> bool:
    """Whether a link at `parts` leads to a place in the folder, whatever other links there are.

    `..` is taken only at the beginning, where real folders are left; a name before it may be a link itself.
    """
    words = [word for word in target.split(b"/") if word not in (b"", b".")]
    ups = next((i for i, word in enumerate(words) if word != b".."), len(words))
    return not target.startswith(b"/") and b"\0" not in target and ups < len(parts) and b".." not in words[ups:]


def _descend(root: Path, parts: list[bytes]) -> int:
    """A descriptor of the folder, made where it is missing; what is in the way and no folder is moved aside."""
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            below = _enter(folder, part)
        finally:
            os.close(folder)
        folder = below
    return folder


def _enter(folder: int, part: bytes) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
    _move_aside(folder, part)
    os.mkdir(part, dir_fd=folder)
    return os.open(part, _FOLDER, dir_fd=folder)


def _move_aside(folder: int, name: bytes) -> None:
    """Free a name without losing what has it: `NAME.~1~` and so on."""
    if not _there(folder, name):
        return
    count = 1
    while _there(folder, aside := b"%s.~%d~" % (name, count)):
        count += 1
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)


def _link(folder: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _there(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _present(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """What is here: path to size and mtime in nanoseconds."""
    top = os.fsencode(folder)
    for place, _, names in os.walk(top):
        for name in names:
            path = os.path.join(place, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                yield os.fsdecode(os.path.relpath(path, top)), [status.st_size, status.st_mtime_ns]


def _point_latest(folder: Path) -> None:
    """Let `outputs/latest` lead to the newest job that came home; something else of that name is left alone."""
    link = folder.parent / LATEST
    if link.is_symlink():
        now = os.readlink(link)
        if now.isdigit() and int(now) >= int(folder.name):
            return
    elif link.exists():
        return
    made = folder.parent / f".{LATEST}.{os.getpid()}.{get_ident()}"
    made.unlink(missing_ok=True)
    made.symlink_to(folder.name)
    made.replace(link)
