"""What a job offers by itself to those who forward to it, such as a notebook: it says so in a file of its folder."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from afield.errors import NotFound, UsageError
from afield.sdk.client import Client
from afield.sdk.forward import Way

FILE = "offer.json"
ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Offer:
    """One program with a web page: its place on the node, the port that people know it by, the path of its page.

    `path` may hold its token: it is for the terminal of the one who asked, and for nothing else.
    """

    name: str
    way: Way
    path: str
    ready: str

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
    return Offer(told["name"], Way(told["place"], told["port"]), told["path"], told["ready"])


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
