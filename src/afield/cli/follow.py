"""Follow a job in a terminal: stages on stderr, the program's bytes on its own streams, the end as exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from afield.cli import show
from afield.cli.pinned import Pinned, Progress
from afield.cli.streams import Choice, Output
from afield.errors import Exit

View = dict[str, Any]

SIGNS = {
    "done": ("✓", show.GREEN),
    "failed": ("✗", show.RED),
    "start": ("●", show.YELLOW),
    "waits": ("!", show.YELLOW),
}
OUTCOME_EXITS = {
    "stopped": Exit.STOPPED,
    "timed_out": Exit.TIMED_OUT,
    "preempted": Exit.PREEMPTED,
    "lost": Exit.UNREACHABLE,
    "setup_failed": Exit.SETUP_FAILED,
}


def exit_status(view: View) -> int:
    """The exit status of a followed job: its own, or the one that names why it has none."""
    if view["outcome"] in OUTCOME_EXITS:
        return int(OUTCOME_EXITS[view["outcome"]])
    return int(view["exit_status"] or 0)


def stage_line(head: Mapping[str, Any]) -> str:
    """One stage as a line: sign, word, what, how long."""
    sign, colour = SIGNS[head["state"]]
    text = show.safe(head.get("text") or "")
    seconds = "" if head.get("seconds") is None else show.duration(head["seconds"])
    mark = show.paint(sign, colour, sys.stderr)
    return f"{mark} {head['stage']:<9} {text:<44} {seconds:>8}".rstrip()


@dataclass(slots=True)
class Printer:
    """Writes frames of one job as they come: our talk, and of the program's output what is chosen."""

    choice: Choice = field(default_factory=Choice)
    stages: bool = True
    texts: Mapping[str, str] = field(default_factory=dict)
    _said: set[tuple[str, str, str]] = field(default_factory=set)
    _waiting: str = ""
    _environment: bool = False
    _assumed: bool = False
    _gives_way: bool = False
    _silent: set[str] = field(default_factory=set)
    output: Output = field(init=False)
    line: Pinned | None = None

    def __post_init__(self) -> None:
        self.output = Output(self.choice, self._erase)

    def frame(self, head: Mapping[str, Any], data: bytes) -> None:
        """Print one frame."""
        if head["on"] in ("job", "end"):
            self.output.view = head["job"]
        if head["on"] == "job" and self.line is not None:
            self.line.job(head["job"])
        if head["on"] == "out":
            self._out(head, data)
        elif head["on"] == "stage" and self.stages:
            self._stage(head)
        elif head["on"] == "job" and self.stages:
            self._job(head["job"])
        elif head["on"] == "end" and head["job"]["started_at"] is not None:
            self._say_environment()
        elif head["on"] == "note" and self.stages:
            self._talk(show.safe(head["text"]))

    def close(self) -> None:
        """Print what waited for the end of its line."""
        if self.line is not None:
            self.line.close()
        self._erase()
        self.output.close()

    def pin(self, progress: Callable[[], Progress | None]) -> None:
        """Have a line below what is printed, with how far the job is."""
        self.line = Pinned(progress, self.output.quiet, lambda: not (self._gives_way or self.output.open_line))

    def _talk(self, text: str) -> None:
        with self.output.quiet():
            self._erase()
            if self.output.open_line:
                show.say()
                self.output.open_line = False
            show.say(text)

    def _begin(self, text: str) -> None:
        """A line that gives way to the next one."""
        with self.output.quiet():
            self._erase()
            print(text, end="", file=sys.stderr, flush=True)
            self._gives_way = True

    def _erase(self) -> None:
        if self.line is not None:
            self.line.erase()
        if self._gives_way:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._gives_way = False

    def _stage(self, head: Mapping[str, Any]) -> None:
        # What a stage waits for may change; that it is done is said once, also where a launch was repeated.
        again = "" if head["state"] in ("done", "failed") else head.get("text") or ""
        key = (head["attempt"], head["stage"], head["state"] + again)
        if key in self._said or (head["state"] == "start" and not self._worth_a_start(head)):
            return
        self._said.add(key)
        if head["stage"] in ("setup", "preflight"):
            self._say_environment()
        if head["stage"] == "env" and head["state"] == "done" and self._assumed:
            return
        self._environment = self._environment or head["stage"] == "env"
        texts = (self.texts.get(head["stage"]) if head["state"] != "waits" else "", head.get("text"))
        line = stage_line({**head, "text": ", ".join(filter(None, texts))})
        if head["state"] == "start":
            self._begin(line)
        else:
            self._talk(line)

    def _worth_a_start(self, head: Mapping[str, Any]) -> bool:
        return head["stage"] in ("env", "setup") and sys.stderr.isatty()

    def _say_environment(self) -> None:
        """The environment's line where nothing had to be built."""
        if self.stages and not self._environment and self.texts.get("env"):
            self._environment = self._assumed = True
            self._talk(stage_line({"stage": "env", "state": "done", "text": self.texts["env"], "seconds": None}))

    def _job(self, view: View) -> None:
        reason = view["reason"] if view["phase"] == "queued" and view["goal"] == "run" else ""
        if reason not in ("", self._waiting):
            self._waiting = reason
            text = show.safe(reason.removeprefix("waits "))
            self._talk(f"{show.paint('●', show.YELLOW, sys.stderr)} waiting   {text}")
        for node in view["silent"].keys() - self._silent:
            runs = "; the job goes on there" if view["phase"] != "starting" else ""
            self._talk(f"{show.paint('!', show.YELLOW, sys.stderr)} {node} does not answer{runs}")
        for node in self._silent - view["silent"].keys():
            self._talk(f"{show.paint('✓', show.GREEN, sys.stderr)} {node} answers again")
        self._silent = set(view["silent"])

    def _out(self, head: Mapping[str, Any], data: bytes) -> None:
        if head["rank"] is None:
            return
        if self.choice.takes(head):
            self._say_environment()
            for gap in head.get("gaps", ()):
                self._talk(f"! {gap['to'] - gap['from']} bytes are missing here: {gap['why']}")
        self.output.frame(head, data)


def follow(frames: Iterable[tuple[dict[str, Any], bytes]], printer: Printer) -> View:
    """Print frames until the job's end; gives its last view."""
    view: View = {}
    try:
        with printer.output.turning():
            for head, data in frames:
                if head["on"] in ("job", "end"):
                    view = head["job"]
                printer.frame(head, data)
    finally:
        printer.close()
    return view


def quoted(view: View) -> list[str]:
    """What a failed setup wrote; the first line of the reason is in `end_line`."""
    return [show.safe(line) for line in view["reason"].splitlines()[1:]]


def end_line(view: View) -> str:
    """How a job ended, in one line."""
    outcome = view["outcome"] or view["phase"]
    sign, colour = ("✓", show.GREEN) if outcome == "succeeded" else ("✗", show.RED)
    took = ""
    started, ended = show.moment(view["started_at"]), show.moment(view["ended_at"])
    if started and ended:
        took = f" after {show.duration(ended - started)}"
    reason = f": {show.safe(view['reason'].splitlines()[0])}" if view["reason"] else ""
    mark = show.paint(sign, colour, sys.stderr)
    return f"{mark} job {view['number']} {outcome.replace('_', ' ')}{took}{reason}"
