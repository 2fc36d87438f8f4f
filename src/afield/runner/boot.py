"""First code on a node: finds or unpacks the runner's bundle and becomes the link. Sent as one line, run by `exec`.

The only module of the runner that works without the others. It speaks lines, not frames: no runner is there yet.


    node    afield-ready 3.11.7            printed by the fixed command, after any noise of the login shell
    we      this file's text, as one line of Python
    we      DIGEST SIZE STORE
    node    have | need                    `need` is followed by SIZE bytes from us, then by `have`
    node    afield-nofolder ERRNO text     or afield-badbundle text; ends with status 92 or 93
"""

import errno
import os
import sys

NO_FOLDER = 92
BAD_BUNDLE = 93


class Refused(Exception):
    """The end of the start: a line for the other side and the status to leave with."""

    def __init__(self, line, status):
        Exception.__init__(self, line)
        self.line = line
        self.status = status


def start(read_line, read, say):
    """The store's id, once the runner's code is on this node and importable. Raises Refused."""
    order = read_line()
    if not order.endswith(b"\n"):
        raise Refused("afield-badbundle no order came", BAD_BUNDLE)
    digest, size, store = order.decode("ascii").split()
    if not all(c.isalnum() or c in "-_" for c in digest + store):
        raise Refused("afield-badbundle names", BAD_BUNDLE)
    home = os.path.join(os.path.expanduser("~"), ".afield")
    try:
        folder = os.path.join(home, "r", digest)
        for path in (os.path.join(home, "r"), os.path.join(home, "s", store)):
            os.makedirs(path, 0o700, exist_ok=True)
        if not complete(folder):
            say("need")
            unpack(read(int(size)), digest, folder)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "EIO")
        raise Refused("afield-nofolder %s %s: %s" % (name, error.filename or home, error.strerror), NO_FOLDER)
    say("have")
    sys.path.insert(0, folder)
    return store


def complete(folder):
    """Whether each file of an unpacked bundle is there with its size: a cleaner may have taken some."""
    try:
        with open(os.path.join(folder, "files")) as listing:
            wanted = [line.split() for line in listing]
        return all(os.stat(os.path.join(folder, "afield_runner", name)).st_size == int(size) for name, size in wanted)
    except (OSError, ValueError):
        return False


def unpack(bundle, digest, folder):
    """Put a bundle (compressed JSON: name to source) in its place, whole or not at all. Raises Refused, OSError."""
    import hashlib
    import json
    import zlib

    if hashlib.sha256(bundle).hexdigest() != digest:
        raise Refused("afield-badbundle digest differs after %d bytes" % len(bundle), BAD_BUNDLE)
    sources = json.loads(zlib.decompress(bundle).decode("utf-8"))
    temporary = "%s.%d.new" % (folder, os.getpid())
    remove(temporary)
    try:
        top = os.path.join(temporary, "afield_runner")
        sizes = []
        for name in sorted(sources):
            data = sources[name].encode("utf-8")
            sizes.append("%s %d\n" % (name, len(data)))
            os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
            write(os.path.join(top, name), data)
        for below, _, _ in os.walk(top):
            sync(below)
        write(os.path.join(temporary, "files"), "".join(sizes).encode("utf-8"))
        settle(temporary, folder)
    finally:
        remove(temporary)


def write(path, data):
    """A new file with these bytes, on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def settle(temporary, folder):
    """Give the finished folder its name. Another link that was faster is fine; a broken one is moved away first."""
    sync(temporary)
    try:
        os.rename(temporary, folder)
    except OSError:
        if complete(folder):
            return
        broken = "%s.%d.old" % (folder, os.getpid())
        os.rename(folder, broken)
        os.rename(temporary, folder)
        remove(broken)
    sync(os.path.dirname(folder))


def sync(folder):
    """Entries of a folder, on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(folder):
    """Take a folder of ours away, with what is in it; nothing happens when it is not there."""
    for base, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(base, name))
        for name in folders:
            os.rmdir(os.path.join(base, name))
    if os.path.isdir(folder):
        os.rmdir(folder)


def main():
    """Start on the standard streams and turn into the link; leaves with 92 or 93 when it cannot."""
    stdin = sys.stdin.buffer.raw

    def say(line):
        os.write(1, line.encode("utf-8", "backslashreplace") + b"\n")

    def read(size):
        parts = []
        while size:
            part = stdin.read(min(size, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    # What the account's own programs are to get; ours write for the owner only.
    os.environ["AFIELD_UMASK"] = "%03o" % os.umask(0o077)
    try:
        store = start(stdin.readline, read, say)
    except Refused as refused:
        say(refused.line)
        sys.exit(refused.status)
    # The package exists under this name only on a node, after the lines above.
    sys.exit(__import__("afield_runner.link", fromlist=["main"]).main(store))
