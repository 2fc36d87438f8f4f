"""One attempt in somebody's care: what the shepherd, or the keeper that adopted it, needs at every step."""

from . import folder
from .effects import Now, Put, Sleep

RETRY_S = 0.5


class Over(Exception):
    """The attempt ends before its programs ran: `why` we stopped it, or the `stage` that failed."""

    def __init__(self, why=None, by="", stage=None):
        Exception.__init__(self, why or stage)
        self.why = why
        self.by = by
        self.stage = stage


class Case:
    """`who` is "shepherd" or "keeper" and begins the labels; `me` is the process: {"pid", "start", ...} of Self.

    `kin(table)` yields effects and gives identities that belong to the attempt beside its known programs; `proof` says
    that having no child proves that nothing of the attempt is left; `closed`, that a seal is the last word on it.
    """

    def __init__(self, paths, attempt, spec, who, me):
        self.paths = paths
        self.attempt = attempt
        self.spec = spec
        self.who = who
        self.me = me
        self.run = paths.run(attempt)
        self.nonce = spec["nonce"]
        self.mark = folder.mark(spec, attempt)
        self.kin = _nobody
        self.proof = False
        self.closed = False
        self.secrets = {}

    def label(self, name):
        """The kill-point label of one step."""
        return "%s.%s" % (self.who, name)

    def put(self, name, value, label):
        """Writes evidence into the run folder, with the nonce. Raises OSError."""
        yield from folder.put(self.run, name, dict(value, nonce=self.nonce), self.nonce, self.label(label))

    def record(self, name, value, label):
        """Writes evidence that must not be lost: tries again for as long as the disk refuses it."""
        while True:
            try:
                yield from self.put(name, value, label)
                return
            except OSError:
                yield Sleep(RETRY_S)

    def seal(self, reason):
        """Writes that no program will ever start here, unless that stands there; we hold the lock. Raises OSError."""
        if (yield from folder.sealed(self.run)) is None:
            yield from folder.write_seal(self.run, reason, self.who, self.who)

    def final(self, **fields):
        """Writes final.json, the last word on this node, unless that was said."""
        if self.closed:
            return
        wall, mono, _ = yield Now()
        value = {"by_us": fields.get("why") is not None, "why": None, "by": "", "cause": None, "survivors": []}
        value.update({"stage": None, "usage": {}, "at": wall, "mono": mono, "writer": self.who})
        value.update(fields)
        yield from self.record(folder.FINAL, value, "final")

    def done(self):
        """Gives the reserve's space back. The empty file stays: on ext4 each removal makes the next new files slow."""
        try:
            yield Put(self.run + "/" + folder.RESERVE, b"")
        except OSError:
            pass  # a disk that is full, and the reserve was needed


def _nobody(_table):
    yield from ()
    return set()
