"""A job as an object: its phase, its output, its end, its results."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from afield.errors import AfieldError
from afield.sdk.client import Client
from afield.sdk.notebook import shown
from afield.sdk.outcome import Outcome, outcome
from afield.sdk.results import pull
from afield.sdk.said import said
from afield.transport.landing import Brought

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

TAIL_LINES = 20
FIRST_LOOK_S, LAST_LOOK_S = 0.02, 1.0


class JobFailed(AfieldError):
    """A job ended in another way than success; `tail` holds its last lines."""

    code = "job-failed"

    def __init__(self, job: Job, tail: str) -> None:
        view = job.view
        outcome = str(view["outcome"]).replace("_", " ")
        why = view["reason"] or (f"exit status {view['exit_status']}" if view["exit_status"] is not None else "")
        super().__init__(f"job {job.number} {outcome}", why=why, hints=[f"afield logs {job.number}"])
        self.job = job
        self.exit_status: int | None = view["exit_status"]
        self.tail = tail


class Job:
    """One job of this user's controller. `view` is what was last heard of it."""

    def __init__(self, client: Client, view: dict[str, Any]) -> None:
        self._client = client
        self.view = view

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<Job {self.number}{name} {self.view['phase']}>"

    @property
    def number(self) -> int:
        """Its number, unique within the store."""
        return int(self.view["number"])

    @property
    def name(self) -> str:
        """The name that was given, or ""."""
        return str(self.view["name"])

    @property
    def ended(self) -> bool:
        """Whether it had ended when last heard of."""
        return self.view["outcome"] is not None

    @property
    def phase(self) -> str:
        """Where it stands now: queued, starting, running, stopping, or its outcome."""
        return str(self.refresh().view["phase"])

    @property
    def exit_status(self) -> int | None:
        """The exit status of the process that decided the outcome; None before the end, and where there is none."""
        status: int | None = self.refresh().view["exit_status"]
        return status

    def refresh(self) -> Job:
        """Ask how it is; what has ended does not change any more."""
        if not self.ended:
            self.view = self._client.job(self.number)
        return self

    def logs(self, *, follow: bool = False, stream: str = "", rank: int | None = None) -> Iterator[str]:
        """Its lines as they were written; with `follow` until its end. `stream` is "out", "err" or both."""
        for keeper, data in self._bytes(follow=follow, stream=stream, rank=rank):
            yield from keeper.feed(data)

    def output(self, *, follow: bool = False, stream: str = "", rank: int | None = None) -> Iterator[bytes]:
        """The same as bytes, in pieces of any size."""
        for _, data in self._bytes(follow=follow, stream=stream, rank=rank):
            if data:
                yield data

    def wait(self, timeout: float | None = None, *, check: bool = False) -> Job:
        """Wait for its end. Raises TimeoutError after so many seconds; with `check`, JobFailed unless it succeeded."""
        if not self.ended:
            self.view = self._client.wait(self.number, timeout)
        if check and self.view["outcome"] != "succeeded":
            raise self._failed()
        return self

    def stop(self) -> Job:
        """Ask it to stop; gives itself, `wait()` waits until it has."""
        self.view = self._client.stop(self.number)
        return self

    def result(self, timeout: float | None = None) -> Any:
        """What the function of this job gave, once it has ended; its exception is raised, with the remote traceback.

        Raises TimeoutError after so many seconds, JobFailed for a job that left no exception, Unreachable while its
        node does not answer: ask again.
        """
        self.wait(timeout)
        value, error = self._outcome()
        if error is not None:
            raise error
        return value

    def metrics(self, *, rank: int = 0) -> list[dict[str, Any]]:
        """What the program said by `afield.current().metric`, in order: `at` (UTC seconds), `step`, and the `values`.

        Read from the node of that process as it is now. Raises Unreachable.
        """
        return said(self._client, self.number, f"metrics/{rank}", rank)

    def progress(self, *, rank: int = 0) -> dict[str, Any] | None:
        """What the program last said by `afield.current().progress`: `done`, `total`, `at`; None for nothing."""
        found = said(self._client, self.number, f"progress/{rank}", rank)
        return found[-1] if found else None

    async def wait_async(self, timeout: float | None = None, *, check: bool = False) -> Job:
        """`wait` for asyncio; cancelling it leaves the job alone."""
        import asyncio  # noqa: PLC0415 who has no event loop need not load it

        pause = FIRST_LOOK_S
        async with asyncio.timeout(timeout):
            while not (await asyncio.to_thread(self.refresh)).ended:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, LAST_LOOK_S)
        return await _elsewhere(self.wait, check=check)

    async def result_async(self, timeout: float | None = None) -> Any:
        """`result` for asyncio; cancelling it leaves the job alone."""
        await self.wait_async(timeout)
        return await _elsewhere(self.result)

    async def pull_async(self, destination: str | Path | None = None) -> Brought:
        """`pull` for asyncio."""
        return await _elsewhere(self.pull, destination)

    def _repr_html_(self) -> str:
        return shown(self.view)

    def _outcome(self) -> Outcome:
        return outcome(self._client, self.view, self._failed)

    def _failed(self) -> JobFailed:
        return JobFailed(self, "\n".join(deque(self.logs(), TAIL_LINES)))

    def pull(self, destination: str | Path | None = None) -> Brought:
        """Bring its results to `outputs/JOB/` in its workspace, or to `destination`."""
        return pull(self._client, self.refresh().view, destination)

    def _bytes(self, *, follow: bool, stream: str, rank: int | None) -> Iterator[tuple[_Lines, bytes]]:
        keepers: dict[str, _Lines] = {}
        for head, data in self._client.follow(self.number, stay=follow):
            if head["on"] in ("job", "end"):
                self.view = head["job"]
            elif head["on"] == "out" and _wanted(head, stream, rank):
                yield keepers.setdefault(head["key"], _Lines()), data
        for keeper in keepers.values():
            yield keeper, b""


async def _elsewhere(function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    import asyncio  # noqa: PLC0415 who has no event loop need not load it

    return await asyncio.to_thread(function, *given, **named)


def _wanted(head: dict[str, Any], stream: str, rank: int | None) -> bool:
    """Whether these are bytes of a process, and of the one asked for."""
    return head["rank"] is not None and rank in (None, head["rank"]) and stream in ("", head["stream"])


class _Lines:
    """Bytes in, whole lines out; feeding nothing gives what has no end yet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        text = self._rest + self._decoder.decode(data, final=not data)
        *lines, self._rest = text.split("\n")
        if not data and self._rest:
            lines.append(self._rest)
            self._rest = ""
        return lines
