"""Jobs that were decoded already: a list of a thousand must not decode a thousand each time."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from afield.model.ids import JobNumber
from afield.model.job import Job

KEPT = 2000


class JobCache:
    """The latest jobs by number, each with the event that last changed it. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[JobNumber, tuple[int, Job]] = OrderedDict()

    def get(self, number: JobNumber, seq: int) -> Job | None:
        """The job as it was left by that event, if it is here."""
        found = self._kept.get(number)
        return found[1] if found is not None and found[0] == seq else None

    def put(self, number: JobNumber, seq: int, job: Job) -> None:
        """Keep a job; the ones kept longest give way."""
        with self._lock:
            self._kept[number] = (seq, job)
            self._kept.move_to_end(number)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
