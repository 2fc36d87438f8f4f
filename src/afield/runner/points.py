"""Kill points: named steps at which a test may kill a process of ours, on the node and on the controller's side alike.

    AFIELD_KILL=LABEL[:N],LABEL2...   the N-th pass of a label kills the process that passes
    AFIELD_KILL=@FOLDER               a file FOLDER/LABEL kills whoever passes first, and becomes FOLDER/LABEL=PID
    AFIELD_KILL_LOG=FILE              every pass is noted there, one label a line

`label` is passed right before an act and `label+` right after it. Unset, a pass costs one call and one look.
"""

import os
import signal


class KillPoints:
    """What the variables ask for."""

    def __init__(self, environ):
        self.log = environ.get("AFIELD_KILL_LOG", "")
        asked = environ.get("AFIELD_KILL", "")
        self.folder = asked[1:] if asked.startswith("@") else ""
        self.left = {}
        for part in filter(None, "" if self.folder else asked.split(",")):
            label, _, number = part.partition(":")
            self.left[label] = int(number or 1)
        self.armed = bool(self.log or asked)

    def passes(self, label):
        """Notes one pass; may not return."""
        if self.log and not label.endswith("+"):
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(descriptor, label.encode("ascii") + b"\n")
            os.close(descriptor)
        if self.folder:
            self._take(label)
        if label in self.left:
            self.left[label] -= 1
            if self.left[label] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _take(self, label):
        """Of all who pass at once, the rename lets one die."""
        armed = os.path.join(self.folder, label)
        try:
            os.rename(armed, "%s=%d" % (armed, os.getpid()))
        except OSError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


_points = KillPoints(os.environ)


def passes(label):
    """The process is at this step; it may end here."""
    if _points.armed:
        _points.passes(label)


def arm(environ):
    """Read the variables again: for a fork that is given others than its parent had."""
    global _points  # noqa: PLW0603 one process has one set of kill points, as it has one environment
    _points = KillPoints(environ)


class around:
    """Passes `label` when the block begins and `label+` when it has ended well."""

    __slots__ = ("_label",)

    def __init__(self, label):
        self._label = label

    def __enter__(self):
        passes(self._label)

    def __exit__(self, kind, error, trace):
        if kind is None:
            passes(self._label + "+")
