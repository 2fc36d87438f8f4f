"""Reads run folders: what nodes tell of attempts, and the bytes their programs write, mirrored as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from afield.errors import StoreRefused
from afield.model.attempt import Attempt
from afield.model.ids import AttemptId, NodeName
from afield.model.ports import Clock
from afield.runner import verdict
from afield.store.output import Mirror

Facts = dict[str, Any]

QUOTE_BYTES = 8192
QUOTE_LINES = 15


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of progress: machine, sync, env, launch, setup, preflight, running. Shown, never stored."""

    stage: str
    state: str
    text: str = ""
    seconds: float | None = None


@dataclass(slots=True)
class Tracker:
    """What we know of one attempt beyond the world: its folders and its progress lines."""

    known: dict[NodeName, Facts] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Watch:
    """Trackers of all attempts that are not acknowledged, and the mirror of their output."""

    def __init__(
        self,
        mirror: Mirror,
        changed: Callable[[AttemptId], None],
        output: Callable[[AttemptId], None],
        clock: Clock,
    ) -> None:
        self.mirror = mirror
        self._changed = changed
        self._output = output
        self._clock = clock
        self._trackers: dict[AttemptId, Tracker] = {}
        self._behind: set[tuple[str, str]] = set()
        self.refused = 0
        """How often bytes could not be kept."""

    def tracker(self, attempt: AttemptId) -> Tracker:
        """The tracker of an attempt, made when first asked for."""
        return self._trackers.setdefault(attempt, Tracker())

    def follows(self, attempt: AttemptId) -> bool:
        """Whether something is known of an attempt."""
        return attempt in self._trackers

    async def news(self, attempt: AttemptId, within_s: float) -> None:
        """Returns when a node has told something new of an attempt, or after a time."""
        changed = self.tracker(attempt).changed
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), within_s)
        except TimeoutError:
            return

    def forget(self, attempt: AttemptId) -> None:
        """Drop what is known of an attempt whose end is acknowledged."""
        gone = self._trackers.pop(attempt, None)
        if gone is not None:
            gone.changed.set()

    def pushed(self, node: NodeName, head: Mapping[str, Any], data: bytes) -> None:
        """Take in one push of a node. Raises StoreRefused; the folder is to be followed again from its cursors then."""
        attempt = AttemptId.parse(head["attempt"])
        if head["on"] == "facts":
            self.heard(attempt, node, head["facts"])
        elif head["on"] == "out":
            self._keep(str(attempt), _stream_here(node, head["stream"]), head, data)
            self._output(attempt)
        elif head["on"] == "progress":
            known = self.tracker(attempt).known
            if node in known:
                known[node] = {**known[node], "progress": head["progress"]}

    def progress(self, attempt: AttemptId) -> Facts | None:
        """How far the program said last that it is: `done`, `total`, `at`; None for nothing."""
        tracker = self._trackers.get(attempt)
        said = (facts.get("progress") for facts in tracker.known.values()) if tracker else ()
        return next((word for word in said if word), None)

    def _keep(self, attempt: str, stream: str, head: Mapping[str, Any], data: bytes) -> None:
        """Mirror what was pushed. Behind bytes that could not be kept nothing is, until the node sends those again."""
        gap = head.get("gap")
        begin = head["offset"] if gap is None else gap["from"]
        if (attempt, stream) in self._behind and begin > self.mirror.cursor(attempt, stream)[0]:
            return
        try:
            if gap is not None:
                self.mirror.gap(attempt, stream, gap["from"], gap["to"], gap["why"])
            self.mirror.append(attempt, stream, head["offset"], data)
        except StoreRefused:
            self._behind.add((attempt, stream))
            self.refused += 1
            raise
        self._behind.discard((attempt, stream))

    def heard(self, attempt: AttemptId, node: NodeName, facts: Facts) -> None:
        """Take in what a node says of its run folder."""
        tracker = self.tracker(attempt)
        tracker.known[node] = facts
        tracker.changed.set()
        self._tell_stages(tracker, facts)
        self._changed(attempt)

    def answered(self, attempt: AttemptId, node: NodeName, facts: Facts) -> None:
        """Take in facts that came with the answer to an order: what the node pushed meanwhile may be newer.

        Only where nothing was pushed yet, or where they are the last word, do they count.
        """
        if node not in self.tracker(attempt).known or verdict.verdict(facts) in verdict.CLOSED:
            self.heard(attempt, node, facts)

    def cursors(self, attempt: AttemptId, node: NodeName) -> dict[str, list[Any]]:
        """Where to go on reading each stream of a node: offset and the bytes before it."""
        cursors = {}
        for stream in self.mirror.streams(str(attempt)):
            name = _stream_there(node, stream)
            if name is not None:
                offset, tail = self.mirror.cursor(str(attempt), stream)
                cursors[name] = [offset, tail.decode("latin-1")]
        return cursors

    def complete(self, attempt: Attempt, answers: Callable[[NodeName], bool]) -> bool:
        """Whether the mirror holds every byte of an ended attempt.

        `answers` says which nodes can still tell: one of those whose folder was not looked at yet may hold more.
        """
        if attempt.acked:
            return True
        known = self.tracker(attempt.id).known
        if any(node not in known and answers(node) for node in attempt.nodes):
            return False
        for node, facts in known.items():
            if not answers(node):
                continue
            for stream, size in _sizes(facts):
                if size and self.mirror.cursor(str(attempt.id), _stream_here(node, stream))[0] < size:
                    return False
        return True

    def stage(self, attempt: AttemptId, line: Stage) -> None:
        """Show a line of progress; the latest of each stage stays for late followers."""
        tracker = self.tracker(attempt)
        tracker.stages = [s for s in tracker.stages if s.stage != line.stage] + [line]
        self._output(attempt)

    def stages(self, attempt: AttemptId) -> list[Stage]:
        """The progress lines so far."""
        tracker = self._trackers.get(attempt)
        return list(tracker.stages) if tracker else []

    def last_lines(self, attempt: AttemptId, stage: str) -> list[str]:
        """The end of what a failed stage wrote, its error stream before its output."""
        for end in ("err", "out"):
            for stream in self.mirror.streams(str(attempt)):
                if stream.startswith(f"stage.{stage}@") and stream.endswith(f"/{end}"):
                    size = self.mirror.size(str(attempt), stream)
                    data, _ = self.mirror.read(str(attempt), stream, max(0, size - QUOTE_BYTES), QUOTE_BYTES)
                    if data.strip():
                        return data.decode("utf-8", "replace").splitlines()[-QUOTE_LINES:]
        return []

    def quoted(self, attempt: Attempt) -> str:
        """Why an attempt could not be prepared, with the last lines that are here now.

        After a cut the folder's story is known before its last bytes: what was quoted in the event may lack the error.
        """
        said = attempt.detail.partition("\n")[0]
        lines = self.last_lines(attempt.id, said.partition(":")[0])
        return "\n".join([said, *lines]) if lines else attempt.detail

    def _tell_stages(self, tracker: Tracker, facts: Facts) -> None:
        now = self._clock.mono()
        for name, stage in facts.get("stages", {}).items():
            word = {"environment": "env"}.get(name, name)
            ended = stage.get("exit")
            began = tracker.begun.setdefault(word, now)
            if ended is None:
                line = _under_way(word, stage.get("asks") or {})
            else:
                line = Stage(word, "failed" if ended.get("code") else "done", seconds=now - began)
            if not any(s.stage == word and (s.state, s.text) == (line.state, line.text) for s in tracker.stages):
                tracker.stages = [s for s in tracker.stages if s.stage != word] + [line]


def _under_way(word: str, asks: Mapping[str, Any]) -> Stage:
    """A stage that has not ended: it may wait for another way to the package index, or go on with one."""
    if not asks.get("lost"):
        return Stage(word, "start")
    again = f"try {asks['lost'] + 1} of {asks['most'] + 1}"
    if asks["waits"]:
        return Stage(
            word, "waits", f"the node's way to the package index broke; the build begins again with the next, {again}"
        )
    return Stage(word, "start", again)


def _sizes(facts: Facts) -> list[tuple[str, int]]:
    sizes = []
    for rank, process in facts.get("processes", {}).items():
        sizes += [(f"p{rank}/out", process.get("out") or 0), (f"p{rank}/err", process.get("err") or 0)]
    for name, stage in facts.get("stages", {}).items():
        sizes += [(f"stage/{name}/out", stage.get("size_out") or 0), (f"stage/{name}/err", stage.get("size_err") or 0)]
    return sizes


def _stream_here(node: NodeName, stream: str) -> str:
    """Stages run on every node of an attempt, so their streams carry the node's name here."""
    if stream.startswith("stage/"):
        _, name, end = stream.split("/")
        return f"stage.{name}@{node}/{end}"
    return stream


def _stream_there(node: NodeName, stream: str) -> str | None:
    if not stream.startswith("stage."):
        return stream
    folder, _, end = stream.rpartition("/")
    name, _, owner = folder.removeprefix("stage.").partition("@")
    return f"stage/{name}/{end}" if owner == node else None
