"""What the node answers when it does not do what it was asked."""

import errno
import os


class Refusal(Exception):
    """An order that cannot be followed, with a stable code; `hints` are ways on."""

    def __init__(self, code, what, why="", hints=()):
        Exception.__init__(self, what)
        self.code = code
        self.what = what
        self.why = why
        self.hints = hints


def trouble(error):
    """The reply that tells of an exception."""
    code, what, why = getattr(error, "code", ""), getattr(error, "what", ""), getattr(error, "why", "")
    hints = list(getattr(error, "hints", ()))
    if isinstance(error, FileNotFoundError):
        code, what, why = "not-found", "it is not on the node", _name(error)
    elif isinstance(error, PermissionError):
        code, what, why = "not-allowed", "the account on the node may not do this", _said(error)
    elif isinstance(error, OSError):
        code, what, why = "node-trouble", "the node's system refused", _said(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hints = ["afield node clean NODE    removes what is kept there for speed only"]
    elif isinstance(error, (ValueError, KeyError, TypeError)) and not what:
        code, what, why = "bad-request", "the node does not understand the request", repr(error)
    elif not what:
        code, what, why = "fault", "the runner on the node has a fault", repr(error)
    return {"error": {"code": code or "fault", "what": what, "why": why, "hints": hints}}


def _said(error):
    name = _name(error)
    return "%s: %s" % (error.strerror, name) if error.strerror and name else str(error)


def _name(error):
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
