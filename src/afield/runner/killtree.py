"""Who belongs to an attempt: picks processes from a table of all, by descent, session and mark. Pure.

A process is (pid, start ticks) of this boot, never a bare pid. The one who looks and its ancestors are never picked.
"""


class Row:
    """One process of the machine; `words` are its AFIELD_MARK (or "") and its command line for people."""

    __slots__ = ("command", "mark", "parent", "pid", "session", "start", "state")

    def __init__(self, identity, parent, session, state, words=("", "")):
        self.pid, self.start = identity
        self.parent = parent
        self.session = session
        self.state = state
        self.mark, self.command = words

    @property
    def identity(self):
        """(pid, start)."""
        return (self.pid, self.start)

    @property
    def dead(self):
        """Whether only its exit status is left of it."""
        return self.state in "ZX"


def members(table, me, roots, mark):
    """The living rows of an attempt.

    `roots` are (pid, start) of its programs: they, their descendants and, while the leader is there, their sessions
    belong to it, and so does each process with its mark. `me` is the pid of the one who looks.
    """
    rows = {row.pid: row for row in table}
    picked = {pid for pid, start in roots if pid in rows and rows[pid].start == start}
    sessions = set(picked)
    picked |= {row.pid for row in table if row.session in sessions or (mark and row.mark == mark)}
    picked = _descendants(table, picked) - _ancestors(rows, me)
    return [rows[pid] for pid in sorted(picked) if not rows[pid].dead]


def children(table, pid):
    """The rows, zombies too, whose parent is `pid`."""
    return [row for row in table if row.parent == pid]


def named(row):
    """A process as people read it: `python3 train.py (pid 123)`."""
    return "%s (pid %d)" % (row.command or "?", row.pid)


def _descendants(table, picked):
    kids = {}
    for row in table:
        kids.setdefault(row.parent, []).append(row.pid)
    found, todo = set(picked), list(picked)
    while todo:
        fresh = [pid for pid in kids.get(todo.pop(), ()) if pid not in found]
        found.update(fresh)
        todo.extend(fresh)
    return found


def _ancestors(rows, pid):
    found = {0, 1}
    while pid not in found:
        found.add(pid)
        pid = rows[pid].parent if pid in rows else 0
    return found
