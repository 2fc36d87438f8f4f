"""The last steps of a forked child before it is the user's program; a failure is one line in `err`, as in a shell."""

import errno
import fcntl
import os

NOT_FOUND, NOT_RUNNABLE = 127, 126
OOM_SCORE = 500


def open_streams(out, err):
    """Descriptors for output and errors, at the ends of two files, which may be the same one. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    first = os.open(out, flags, 0o600)
    try:
        return first, os.dup(first) if err == out else os.open(err, flags, 0o600)
    except OSError:
        os.close(first)
        raise


def take_streams(first, second):
    """Standard input is empty; output and errors go to these descriptors."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(first, 1)
    os.dup2(second, 2)


def lift(descriptor, above):
    """An inheritable copy of a descriptor, above the numbers that scripts use; else itself, made inheritable."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD, above)
    except OSError:
        os.set_inheritable(descriptor, True)
        return descriptor


def run(argv, env, cwd):
    """Becomes the program, or says why not and exits with 127 (not found) or 126, as a shell does."""
    _raise_oom_score()
    try:
        os.chdir(_bytes(cwd))
    except (OSError, ValueError) as error:
        _leave("cannot enter %s: %s" % (cwd, _why(error)), NOT_RUNNABLE)
    words = [_bytes(word) for word in argv]
    table = {_bytes(name): _bytes(value) for name, value in env.items()}
    if not words or not words[0]:
        _leave("no command", NOT_FOUND)
    refused = None
    for path in _candidates(words[0], table):
        try:
            _execute(path, words, table)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) not in (errno.ENOENT, errno.ENOTDIR):
                refused = refused or error
            elif os.path.exists(path):
                _leave("%s: its interpreter is missing" % argv[0], NOT_RUNNABLE)
    if refused is not None:
        _leave("%s: %s" % (argv[0], _why(refused)), NOT_RUNNABLE)
    _leave("%s: %s" % (argv[0], "No such file or directory" if "/" in argv[0] else "command not found"), NOT_FOUND)


def _candidates(name, table):
    if b"/" in name:
        return [name]
    return [(part or b".") + b"/" + name for part in table.get(b"PATH", b"/usr/bin:/bin").split(b":")]


def _execute(path, words, table):
    try:
        os.execve(path, words, table)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without a first line for the kernel: what a shell does with it.
        os.execve(b"/bin/sh", [b"/bin/sh", path] + words[1:], table)


def _raise_oom_score():
    """The program goes before the shepherd when memory runs out."""
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        if int(os.read(descriptor, 32)) < OOM_SCORE:
            os.pwrite(descriptor, b"%d" % OOM_SCORE, 0)
    except (OSError, ValueError):
        pass  # a wish, not a need


def _bytes(text):
    return text.encode("utf-8", "surrogateescape")


def _why(error):
    return getattr(error, "strerror", None) or str(error)


def _leave(text, status):
    os.write(2, _bytes("afield: %s\n" % text))
    os._exit(status)
