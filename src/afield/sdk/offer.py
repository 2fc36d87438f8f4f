"""What a job offers by itself to those who forward to it, such as a notebook: it says so in a file of its folder."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from afield.errors import NotFound, Unreachable, UsageError
from afield.sdk.client import Client
from afield.sdk.forward import Way

FILE = "offer.json"
ANSWER_S = 5.0
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Offer:
    """One program with a web page: its place on the node, the port that people know it by, the path of its page.

    `path` may hold its token: it is for the terminal of the one who asked, and for nothing else. Another `attempt` of
    the job has another place and token.
    """

    name: str
    way: Way
    path: str
    ready: str
    attempt: int = 0

    def url(self, port: int) -> str:
        """The address of its page, where it is reached at this port here."""
        return f"http://127.0.0.1:{port}/{self.path}"


def offers(client: Client, target: dict[str, Any], shown: str) -> dict[str, Offer]:
    """What a target offers, by place. Raises UsageError where nothing is offered."""
    found = offer(client, int(target["job"]), int(target["process"])) if target.get("job") else None
    if found is None:
        raise UsageError(
            f"say which port of {shown}",
            why="it offers none by itself (notebooks and TensorBoard of afield do)",
            hints=[f"afield forward {shown} 6006"],
        )
    return {found.way.place: found}


def offer(client: Client, job: int, process: int = 0) -> Offer | None:
    """What a job offers now; None when that is nothing, or nothing yet. Raises NotFound for a job that is not there."""
    try:
        told = json.loads(client.file(job, FILE, rank=process))
    except NotFound:
        client.job(job)
        return None
    way = Way(told["place"], told["port"])
    return Offer(told["name"], way, told["path"], told["ready"], told.get("attempt", 0))


def renewed(client: Client, job: int, process: int = 0) -> Offer | None:
    """What a job offers as soon as it does; None for one that has ended instead."""
    while client.job(job)["outcome"] is None:
        try:
            found = offer(client, job, process)
        except Unreachable:
            found = None  # the node may be on its way back
        if found is not None:
            return found
        time.sleep(LOOK_S)
    return None


def answers(found: Offer, port: int) -> bool:
    """Whether its page answers at this port here, whatever it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", f"/{found.ready}")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
