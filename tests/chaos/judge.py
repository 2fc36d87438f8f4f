"""Pure checkers over histories: what the bodies wrote themselves, what we killed, and what afield says in the end.

The ledger is the truth and afield's store is the accused. Bodies append lines to the ledger, and so does the campaign
once it was told that a job is over; the order of lines in that one file is the order in which they were written.

    begin 3.1 PID    attempt 1 of job 3 really runs; PID is the process that started it, its shepherd
    beat 3.1         it still runs
    end 3.1 7        it ran to its end and is about to leave with 7
    over 3           the campaign was told that job 3 has an outcome
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SLACK_S = 0.5
"""A kill is noted a moment before or after it happens."""

View = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger; `attempt` is 0 in lines about a job."""

    kind: str
    job: int
    attempt: int = 0
    rest: str = ""

    @property
    def name(self) -> str:
        """The attempt as it is called elsewhere."""
        return f"{self.job}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class Kill:
    """A process of ours that was killed between two UTC seconds; the attempt of a shepherd where that could be seen."""

    since: float
    at: float
    role: str
    attempt: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was submitted under a name of its own; `number` is None when no answer came."""

    name: str
    code: int
    first: bytes = b""
    last: bytes = b""
    policy: str = "pass"
    number: int | None = None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try as afield tells it; the times are UTC seconds."""

    number: int
    outcome: str | None
    begin: float
    end: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The last word of afield on one job."""

    number: int
    name: str
    outcome: str | None
    exit_status: int | None
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is judged. `output` maps attempts to mirrored bytes, `gaps` to what is marked as missing."""

    wishes: Sequence[Wish]
    told: Sequence[Told]
    ledger: Sequence[Line]
    kills: Sequence[Kill] = ()
    output: Mapping[str, bytes] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)


def lines(text: str) -> list[Line]:
    """The ledger's lines."""
    return [_line(words) for words in map(str.split, text.splitlines()) if len(words) >= 2]


def _line(words: Sequence[str]) -> Line:
    job, _, attempt = words[1].partition(".")
    return Line(words[0], int(job), int(attempt or 0), " ".join(words[2:]))


def judge(history: History) -> list[str]:
    """Every broken promise, in words; empty when all were kept."""
    by_job: dict[int, list[Line]] = {}
    for line in history.ledger:
        by_job.setdefault(line.job, []).append(line)
    by_name = {wish.name: wish for wish in history.wishes}
    wrong = list(accepted(history))
    for told in history.told:
        mine = by_job.get(told.number, [])
        found = [*starts(mine), *overlap(mine), *silence(mine)]
        wish = by_name.get(told.name)
        if wish is None:
            found.append("nobody submitted it")
        else:
            found += [*ending(wish, told, mine), *attempts(told, mine, history.kills), *bytes_of(wish, mine, history)]
        wrong += [f"job {told.number}: {fault}" for fault in found]
    return wrong


def accepted(history: History) -> Iterator[str]:
    """A job whose number was printed is there; a submission without an answer made one job or none."""
    names = Counter(told.name for told in history.told)
    numbers = {told.number: told.name for told in history.told}
    for wish in history.wishes:
        if names[wish.name] > 1:
            yield f"{wish.name} was submitted once and is {names[wish.name]} jobs"
        if wish.number is not None and numbers.get(wish.number) != wish.name:
            yield f"{wish.name} was accepted as job {wish.number}, which is {numbers.get(wish.number, 'not there')}"
    for number in {line.job for line in history.ledger} - set(numbers):
        yield f"job {number} ran and is not known"


def starts(mine: Iterable[Line]) -> Iterator[str]:
    """An attempt starts its program at most once."""
    begun = Counter(line.name for line in mine if line.kind == "begin")
    yield from (f"attempt {name} began {count} times" for name, count in begun.items() if count > 1)


def overlap(mine: Sequence[Line]) -> Iterator[str]:
    """Once a later attempt has begun, an earlier one never writes again."""
    newest = 0
    for line in mine:
        if line.attempt and line.attempt < newest:
            yield f"attempt {line.attempt} lived when attempt {newest} had begun: {_story(mine)}"
            return
        if line.kind == "begin":
            newest = max(newest, line.attempt)


def silence(mine: Sequence[Line]) -> Iterator[str]:
    """After afield said that a job is over, nothing of it writes."""
    rest = itertools.dropwhile(lambda line: line.kind != "over", mine)
    if any(line.kind != "over" for line in rest):
        yield f"it wrote after its end was told: {_story(mine)}"


def ending(wish: Wish, told: Told, mine: Sequence[Line]) -> Iterator[str]:
    """Every job ends; its exit status is what its body left with, and a stop was ordered by somebody."""
    if told.outcome is None:
        yield f"it has no end: {told.reason} {told.attempts}"
    elif told.outcome in ("succeeded", "failed"):
        if told.exit_status != wish.code or (told.outcome == "succeeded") != (wish.code == 0):
            yield f"it {told.outcome} with {told.exit_status}, its body leaves with {wish.code}: {told.reason}"
        last = told.attempts[-1].number if told.attempts else 0
        if not any(line.kind == "end" and line.attempt == last for line in mine):
            yield f"it {told.outcome} although its body never ended: {_story(mine)}"
    elif told.outcome == "stopped":
        if not wish.stopped:
            yield f"it was stopped and nobody asked for that: {told.reason}"
    elif told.outcome != "lost":
        yield f"it ended as {told.outcome}: {told.reason}"


def attempts(told: Told, mine: Sequence[Line], kills: Sequence[Kill]) -> Iterator[str]:
    """Attempts have numbers without gaps; what they say of their program is so; lost ones lost both watchers."""
    begun = {line.attempt for line in mine if line.kind == "begin"}
    if [a.number for a in told.attempts] != list(range(1, len(told.attempts) + 1)):
        yield f"its attempts are numbered {[a.number for a in told.attempts]}"
    for attempt in told.attempts:
        if attempt.outcome in ("succeeded", "failed") and attempt.number not in begun:
            yield f"attempt {attempt.number} {attempt.outcome} without a body"
        if attempt.outcome in ("never_started", "setup_failed") and attempt.number in begun:
            yield f"attempt {attempt.number} is {attempt.outcome} and its body ran: {attempt.detail}"
        name = f"{told.number}.{attempt.number}"
        if attempt.outcome == "lost" and not honest(name, attempt, kills):
            near = [
                k for k in kills if k.attempt == name or (k.role == "keeper" and attempt.begin <= k.at <= attempt.end)
            ]
            story = f"{attempt.detail}; from {attempt.begin} to {attempt.end}; {near}; {_story(mine)}"
            yield f"attempt {attempt.number} is lost although both watchers were not killed: {story}"


def honest(name: str, attempt: Attempt, kills: Sequence[Kill]) -> bool:
    """Whether both watchers of a lost attempt were killed while it lived: its own shepherd, and a keeper."""
    at = [k for k in kills if attempt.begin - SLACK_S <= k.at and k.since <= attempt.end + SLACK_S]
    shepherd = any(k.role == "shepherd" and k.attempt in ("", name) for k in at)
    return shepherd and any(k.role == "keeper" for k in at)


def bytes_of(wish: Wish, mine: Sequence[Line], history: History) -> Iterator[str]:
    """Every byte that a body wrote is in the mirror, and no other; what is missing is marked."""
    ended = {line.name for line in mine if line.kind == "end"}
    for name in {line.name for line in mine if line.kind == "begin"}:
        have, whole = history.output.get(name, b""), wish.first + wish.last
        if name in history.gaps:
            yield f"attempt {name} has a gap that nothing explains: {history.gaps[name]}"
        elif name in ended and have != whole:
            yield f"attempt {name} wrote {len(whole)} bytes, the mirror has {len(have)}: {have[-80:]!r}"
        elif not whole.startswith(have):
            yield f"attempt {name} cannot have written {have[-80:]!r}"


def lost(told: Iterable[Told]) -> int:
    """Attempts that were lost, honestly or not."""
    return sum(a.outcome == "lost" for t in told for a in t.attempts)


def _story(mine: Iterable[Line]) -> str:
    return " | ".join(f"{line.kind} {line.name} {line.rest}".strip() for line in mine)
