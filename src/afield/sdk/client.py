"""Everything that can be asked of a controller, as methods. Finds or starts its process by itself, and outlives it."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from itertools import chain
from urllib.parse import quote, urlencode

from afield.errors import AfieldError, NotFound, from_dict
from afield.sdk.door import Door
from afield.sdk.http import Gone
from afield.sdk.patience import QUICK_S, SLOW_S, Patience, Told

TYPE_CHECKING = False  # read by type checkers as true; every command would pay for loading typing
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from afield.sdk.http import Connection, Frame

    View = dict[str, Any]

TRIES = 3
"""How often a request that may be repeated is sent when the server goes away."""


def submit_key() -> str:
    """A fresh key, to be made before a submission is first sent."""
    return os.urandom(16).hex()


class Client:
    """A client of this user's controller; may be used by several threads.

    Views are plain dictionaries (docs: the API). Everything raises AfieldError. A server that dies is started again:
    requests that may be repeated are, streams that have a cursor go on from it.
    """

    def __init__(self, door: Door | None = None) -> None:
        self._door = door or Door()
        self._idle: list[Connection] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the server stays."""
        while self._idle:
            self._idle.pop().close()

    # jobs

    def submit(self, submissions: Sequence[Mapping[str, Any]], *, dry_run: bool = False) -> list[View]:
        """Submit jobs, all or none; views in the same order. Sending it again after a break makes no second job."""
        keyed = [{"key": submit_key(), **s} for s in submissions]
        answer = self._call("POST", "/v1/jobs", {"jobs": keyed, "dry_run": dry_run, "cache": self._door.folders.cache})
        return list(answer["jobs"])

    def jobs(self, *, all: bool = False, limit: int = 1000) -> list[View]:
        """The unfinished jobs, or all; newest first."""
        query = urlencode({"all": int(all), "limit": limit})
        return list(self._call("GET", f"/v1/jobs?{query}")["jobs"])

    def job(self, number: int) -> View:
        """One job. Raises NotFound."""
        return self._view("GET", f"/v1/jobs/{number}")

    def why(self, number: int) -> View:
        """Why a job waits: what binds, who holds it, what would start it now."""
        return self._view("GET", f"/v1/jobs/{number}/why")

    def stop(self, number: int) -> View:
        """Ask a job to stop; stopping one that has ended changes nothing."""
        return self._view("POST", f"/v1/jobs/{number}/stop")

    def release(self, number: int) -> View:
        """Lift a hold."""
        return self._view("POST", f"/v1/jobs/{number}/release")

    def submission(self, number: int) -> View:
        """What was asked for when a job was submitted. Raises NotFound."""
        return self._view("GET", f"/v1/jobs/{number}/submission")

    def rerun(self, number: int) -> View:
        """Submit a job once more as a new one: same code, command, environment and request."""
        asked = self.submission(number)
        return self.submit([{**asked, "key": submit_key()}])[0]

    def wait(self, number: int, timeout: float | None = None) -> View:
        """The view of a job once it has ended. Raises TimeoutError after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = QUICK_S
        while (view := self.job(number))["outcome"] is None:
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0:
                    raise TimeoutError(f"job {number} is {view['phase']}")
            time.sleep(pause)
            pause = min(pause * 1.5, SLOW_S)
        return view

    def output(self, number: int, stream: str = "out", *, rank: int = 0, attempt: int | None = None) -> Iterator[bytes]:
        """The bytes that we hold of one stream now, in pieces."""
        query = urlencode({"stream": stream, "rank": rank} | ({} if attempt is None else {"attempt": attempt}))
        return self._fresh().pieces("GET", f"/v1/jobs/{number}/output?{query}")

    def file(self, number: int, path: str, *, rank: int = 0) -> bytes:
        """A file of a job's folder on the node of a process, by its path in there. Raises NotFound, Unreachable."""
        query = urlencode({"path": path, "rank": rank})
        patience = Patience()
        while True:
            try:
                return b"".join(self._fresh().pieces("GET", f"/v1/jobs/{number}/file?{query}"))
            except Gone as error:
                patience.wait(error)

    def follow(
        self, number: int, cursors: dict[str, int] | None = None, *, stay: bool = True, tail: int | None = None
    ) -> Iterator[Frame]:
        """News and output of a job until its end, across restarts of the server; the last frame is `end`.

        `cursors` (stream to next offset) is kept up to date, so that a later call goes on where this one was left.
        With `stay` off it ends when all there is now was told. `tail`: of a stream without a cursor at most so many of
        its last bytes.
        """
        cursors = {} if cursors is None else cursors
        patience = Patience()
        told = Told()
        while True:
            asked = {"cursors": json.dumps(cursors), "follow": int(stay)} | ({} if tail is None else {"tail": tail})
            query = urlencode(asked)
            try:
                with closing(self._fresh().frames("GET", f"/v1/jobs/{number}/follow?{query}")) as frames:
                    for head, data in frames:
                        if head["on"] == "leaving":
                            break
                        patience.tries = 0
                        _raise_error(head)
                        if not told.again(head):
                            yield head, data
                        if head["on"] == "out":
                            cursors[head["key"]] = head["cursor"]
                        if head["on"] == "end":
                            return
                patience.wait(Gone("afield's server left in the middle"))
            except Gone as error:
                patience.wait(error)

    # data

    def places(self, wanted: Mapping[str, Any]) -> list[View]:
        """What a place is on each node that it is on; `wanted` as in the API. A node that is silent has `error`."""
        return list(self._call("POST", "/v1/data/places", dict(wanted))["places"])

    def entries(self, node: str, path: str, *, deep: bool = True) -> list[list[Any]]:
        """What lies in a folder of a node: [path, kind, size, mtime in ns, mode, link target]. Raises NotFound."""
        return list(self._call("POST", "/v1/data/list", {"node": node, "path": path, "deep": deep})["entries"])

    def get(self, node: str, path: str, files: Sequence[tuple[str, int]]) -> Generator[Frame, None, None]:
        """Files below a folder of a node, each from an offset on: `file`, `data`, `sum` or `gone`; last `done`.

        Raises Gone when the server goes away in the middle: ask again with what came.
        """
        for head, data in self._fresh().frames(
            "POST", "/v1/data/get", {"node": node, "path": path, "files": list(files)}
        ):
            _raise_error(head)
            yield head, data
            if head["on"] == "done":
                return
        raise Gone("afield's server left in the middle")

    def fetch(self, node: str, folder: str, url: str, sha256: str = "") -> Generator[Frame, None, None]:
        """Download into a folder of a node: `progress` (done, total), last `fetched`. Goes on across a new server."""
        body = {"node": node, "folder": folder, "url": url, "sha256": sha256}
        patience = Patience()
        while True:
            try:
                for head, data in self._fresh().frames("POST", "/v1/data/fetch", body):
                    _raise_error(head)
                    yield head, data
                    if head["on"] == "fetched":
                        return
                patience.wait(Gone("afield's server left in the middle"))
            except Gone as error:
                patience.wait(error)

    def put(self, node: str, base: str, items: Iterable[Frame]) -> int:
        """Bring files, links and folders into a folder of a node; the frames are the API's. How many it has taken."""
        to: Frame = ({"on": "to", "node": node, "base": base}, b"")
        return int(self._fresh().tell("/v1/data/put", chain([to], items))["items"])

    # nodes

    def nodes(self) -> list[View]:
        """All nodes."""
        return list(self._call("GET", "/v1/nodes")["nodes"])

    def node(self, name: str) -> View:
        """One node. Raises NotFound."""
        return self._view("GET", _node(name))

    def add_node(self, spec: Mapping[str, Any]) -> View:
        """Add a node after reaching it; `target` is what ssh connects to. Raises Conflict, Unreachable."""
        return self._view("POST", "/v1/nodes", dict(spec), tries=1)

    def set_node(self, name: str, changes: Mapping[str, Any]) -> View:
        """Change what a person may say of a node."""
        return self._view("PATCH", _node(name), dict(changes))

    def remove_node(self, name: str, *, force: bool = False) -> View:
        """Forget a node. Raises NotAllowed while a job runs on it, unless forced."""
        return self._view("DELETE", f"{_node(name)}?force={int(force)}", tries=1)

    def probe_node(self, name: str) -> View:
        """Ask a node for its facts now."""
        return self._view("POST", f"{_node(name)}/probe")

    def probe_nodes(self, names: Sequence[str] | None = None) -> list[View]:
        """Ask nodes, None for all, for their facts now and at once; one that does not answer says why in `probe`."""
        body = {"nodes": None if names is None else list(names)}
        return list(self._call("POST", "/v1/nodes/probe", body)["nodes"])

    def clean_node(self, name: str, *, every: bool = False, force: bool = False, act: bool = True) -> View:
        """Remove what is kept on a node for speed, or with `every` all of it and forget the node; what was removed.

        Without `act` what is there. Raises NotAllowed while a job runs there.
        """
        body = {"every": every, "force": force, "act": act}
        return self._view("POST", f"{_node(name)}/clean", body, tries=1)

    def shell(self, name: str) -> View:
        """The commands that give a person a shell on a node (`argv`) and a login to it (`login`)."""
        return self._view("GET", f"{_node(name)}/shell")

    def job_shell(self, number: int, worker: int = 0) -> View:
        """The commands that give a person a shell beside a worker's first process. Raises NotFound, Unreachable."""
        return self._view("GET", f"/v1/jobs/{number}/shell?worker={worker}")

    def execute(
        self, nodes: Sequence[str] | None, argv: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> Iterator[Frame]:
        """Run a command on nodes, None for all; frames come as they are, the last is `done`. Never sent twice."""
        return self._execute({"nodes": None if nodes is None else list(nodes)}, argv, variables)

    def execute_in(
        self,
        number: int,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        workers: Sequence[int] | None = None,
    ) -> Iterator[Frame]:
        """Run a command beside the processes of a job, of all workers or some, with their variables and folder."""
        return self._execute({"job": number, "workers": None if workers is None else list(workers)}, argv, variables)

    def _execute(
        self, where: Mapping[str, Any], argv: Sequence[str], variables: Mapping[str, str] | None
    ) -> Iterator[Frame]:
        body = {**where, "argv": list(argv), "variables": dict(variables or {})}
        for head, data in self._fresh().frames("POST", "/v1/exec", body):
            if head["on"] == "error" and "node" not in head:
                _raise_error(head)
            yield head, data
            if head["on"] == "done":
                return
        raise Gone("afield's server left in the middle")

    def forward(
        self, wanted: Mapping[str, Any], connected: Callable[[Connection], None]
    ) -> Generator[Frame, None, None]:
        """Hold forwards to `places` of a `node`, or of a `job` and its `process`, until the iterator is closed.

        A server that leaves is a `cut` too: the next one is asked. `connected` gets each connection, to hang up.
        """
        patience = Patience()
        while True:
            try:
                connected(connection := self._fresh())
                with closing(connection.frames("POST", "/v1/forward", dict(wanted))) as frames:
                    for head, data in frames:
                        if head["on"] == "leaving":
                            break
                        patience.tries = 0
                        _raise_error(head)
                        yield head, data
                        if head["on"] == "end":
                            return
                patience.wait(Gone("afield's server left in the middle"))
            except Gone as error:
                patience.wait(error)
            yield {"on": "cut", "node": "", "why": "afield's server left, and is started again"}, b""

    # secrets

    def secrets(self) -> list[View]:
        """The names of all secrets, and when each was set; values are never told."""
        return list(self._call("GET", "/v1/secrets")["secrets"])

    def set_secret(self, name: str, value: str) -> None:
        """Keep a value that jobs get as a variable. Raises UsageError."""
        self._call("PUT", f"/v1/secrets/{_part(name)}", {"value": value})

    def remove_secret(self, name: str) -> None:
        """Forget a value. Raises NotFound."""
        self._call("DELETE", f"/v1/secrets/{_part(name)}", tries=1)

    # the server

    def events(self, since: int = 0) -> Generator[View, None, None]:
        """The log after a cursor, then live, across restarts of the server."""
        patience = Patience()
        while True:
            try:
                for event in _events(self._fresh().pieces("GET", f"/v1/events?since={since}")):
                    patience.tries = 0
                    yield event
                    since = int(event["seq"])
                patience.wait(Gone("afield's server left in the middle"))
            except Gone as error:
                patience.wait(error)

    def overview(self) -> View:
        """Everything on one screen."""
        return self._view("GET", "/v1/overview")

    def hello(self) -> View:
        """Who answers."""
        return self._view("GET", "/v1/hello")

    def leave(self) -> bool:
        """Ask the server that runs now, if any, to leave; whether it has. No job is touched."""
        connection = self._door.knock()
        if connection is not None:
            connection.call("POST", "/v1/leave")
            connection.close()
        return self._door.wait_gone()

    # inside

    def _view(self, method: str, path: str, body: Any = None, *, tries: int = TRIES) -> View:
        view: View = self._call(method, path, body, tries=tries)
        return view

    def _call(self, method: str, path: str, body: Any = None, *, tries: int = TRIES) -> Any:
        while True:
            tries -= 1
            connection = self._take()
            try:
                answer = connection.call(method, path, body)
            except Gone:
                if not tries:
                    raise
                continue
            except AfieldError:
                self._idle.append(connection)
                raise
            self._idle.append(connection)
            return answer

    def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.hung_up:
                return connection
            connection.close()
        return self._fresh()

    def _fresh(self) -> Connection:
        return self._door.open()


def _part(name: str) -> str:
    if not name:
        raise NotFound("nothing has an empty name")
    return quote(name, safe="")


def _node(name: str) -> str:
    return f"/v1/nodes/{_part(name)}"


def _raise_error(head: Mapping[str, Any]) -> None:
    if head["on"] == "error":
        raise from_dict(head["error"])


def _events(pieces: Iterator[bytes]) -> Iterator[View]:
    rest = b""
    for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            data = b"\n".join(line[6:] for line in block.split(b"\n") if line.startswith(b"data: "))
            if data:
                yield json.loads(data)
