"""Looking at the exit of a child without taking it: waitid with WNOWAIT, by ctypes where Python lacks it (PyPy)."""

import os

P_ALL, P_PID = 0, 1
WNOHANG, WEXITED, WNOWAIT = 1, 4, 0x01000000
CLD_EXITED = 1


def peek(pid):
    """(pid, code, signal) of an ended child, which stays a zombie; None while none has ended; `pid` None asks for any.

    One of code and signal is None. Raises ChildProcessError when there is no such child.
    """
    kind = P_ALL if pid is None else P_PID
    look = os.waitid if hasattr(os, "waitid") else _waitid
    found = look(kind, pid or 0, WEXITED | WNOHANG | WNOWAIT)
    if found is None:
        return None
    if found.si_code == CLD_EXITED:
        return found.si_pid, found.si_status, None
    return found.si_pid, None, found.si_status


class _Found:
    def __init__(self, pid, status, code):
        self.si_pid = pid
        self.si_status = status
        self.si_code = code


def _waitid(kind, pid, options):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    info = (ctypes.c_int * 32)()
    if libc.waitid(kind, pid, ctypes.byref(info), options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # siginfo_t: signo, errno, code, then a union that is aligned like a pointer.
    at = 4 if ctypes.sizeof(ctypes.c_void_p) == 8 else 3
    return _Found(info[at], info[at + 2], info[2]) if info[at] else None
