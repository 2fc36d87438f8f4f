"""Files, folders and kernel locks of the real world. Links are not followed in the last part of a path."""

import errno
import fcntl
import os
import stat
import time

from .mounts import network_filesystem

SMALL, LARGE = 1 << 14, 1 << 20
FALLBACK = "/var/tmp/afield-%d"

_GONE = (errno.ENOENT, errno.ENOTDIR)


def read(_world, effect):
    """See effects.Read."""
    try:
        descriptor = os.open(effect.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _GONE or error.errno == errno.ELOOP:
            return None
        raise
    try:
        return whole(descriptor, effect.limit)
    finally:
        os.close(descriptor)


def whole(descriptor, limit):
    """The bytes of an open file, at most `limit`. Raises OSError."""
    parts = []
    size = SMALL  # most of what we read; the system gives larger buffers and takes them back one by one
    while limit > 0:
        part = os.read(descriptor, min(limit, size))
        if not part:
            break
        parts.append(part)
        limit -= len(part)
        size = LARGE
    return b"".join(parts)


def size(_world, effect):
    """See effects.Size."""
    try:
        return os.lstat(effect.path).st_size
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def names(_world, effect):
    """See effects.List."""
    try:
        return sorted(os.listdir(effect.path))
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def mkdir(_world, effect):
    """See effects.Mkdir."""
    make(effect.path, effect.synced)


def make(path, synced=True):
    """A private folder and its parents."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make(os.path.dirname(path), synced)
        make(path, synced)
        return
    if synced:
        _sync(os.path.dirname(path))


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(_world, effect):
    """See effects.Write. Readers never see the temporary name."""
    folder, name = os.path.split(effect.path)
    temporary = "%s/.tmp-%s.%s.%d" % (folder, name, effect.nonce[:8], os.getpid())
    try:
        _fill(temporary, effect.data, os.O_TRUNC, True)
        os.rename(temporary, effect.path)
    except OSError:
        _remove(temporary)
        raise
    _sync(folder)


def put(_world, effect):
    """See effects.Put."""
    _fill(effect.path, effect.data, os.O_TRUNC, False)


def append(_world, effect):
    """See effects.Append."""
    _fill(effect.path, effect.data, os.O_APPEND, True)
    _sync(os.path.dirname(effect.path))


def _fill(path, data, how, synced):
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how
    descriptor = os.open(path, flags, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink(_world, effect):
    """See effects.Unlink."""
    _remove(effect.path)


def _remove(path):
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno not in _GONE:
            raise


# ---- locks -----------------------------------------------------------------------------------------------------------


def lock(_world, effect):
    """See effects.Lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(effect.path, flags, 0o600)
    deadline = time.monotonic() + effect.wait_s
    while not _take(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            return None
        time.sleep(0.01)
    return descriptor


def _take(descriptor, how):
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def drop(_world, effect):
    """See effects.Drop. Only closes: unlocking would take the lock from programs that inherited it."""
    os.close(effect.handle)


def peek(_world, effect):
    """See effects.Peek. A shared lock, so that two who look do not disturb each other."""
    try:
        descriptor = os.open(effect.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _GONE:
            return "none"
        raise
    try:
        return "free" if _take(descriptor, fcntl.LOCK_SH) else "held"
    finally:
        os.close(descriptor)


# ---- where our folders are -------------------------------------------------------------------------------------------


def roots(home=None):
    """(root, runroot): ~/.afield, and the same or, when the home is on a network file system, a local folder.

    Raises PermissionError when that local folder is somebody else's.
    """
    root = os.path.join(home or os.path.expanduser("~"), ".afield")
    if network_filesystem(root) is None:
        return root, root
    local = FALLBACK % os.getuid()
    try:
        os.mkdir(local, 0o700)
    except FileExistsError:
        found = os.lstat(local)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(errno.EACCES, "not a private folder of this account", local)
    return root, local
