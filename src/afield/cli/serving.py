"""What `notebook` and `tensorboard` share: a job with a web page, followed until it answers here, ended with Ctrl-C."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afield.cli import context, keys, show
from afield.cli.follow import Printer, end_line, exit_status, quoted
from afield.cli.forwarding import Talk, link, refusal
from afield.cli.home import home
from afield.cli.streams import Choice
from afield.errors import AfieldError, Exit, Unreachable

if TYPE_CHECKING:
    from afield.sdk.client import Client
    from afield.sdk.forward import Forward, Way
    from afield.sdk.offer import Offer

View = dict[str, Any]

ANSWER_S = 90.0
"""How long a page may take to answer after its program said where it is."""

LOOK_S = 0.2
LAST_LINES = 15


def serve(
    client: Client, view: View, texts: Mapping[str, str], local: tuple[int, bool] | None, as_json: str | None
) -> int:
    """Follow a job with a page, bring the page here, hold it until Ctrl-C, which stops the job; the exit status.

    That is 130 for a Ctrl-C before the program said where its page is, 0 for one that ends the page.

    `local` is the wanted port here, and whether exactly that one; left out, the usual one of the program.
    """
    number = view["number"]
    offered = False
    try:
        with keys.leaving():
            view, found = _offered(client, number, texts)
            if found is None:
                return _ended(client, view)
            offered = True
            _hold(client, number, found, _way(found, local), as_json)
            return _ended(client, client.wait(number))
    except keys.Leave:
        show.say(f"left; job {number} goes on")
        show.hint(f"come back: afield forward {number}    end it: afield stop {number}")
        return 0
    except KeyboardInterrupt:
        # To end a page is how it is used; whoever gave up before there was one has nothing that was done.
        return _stop(client, number) or (0 if offered else int(Exit.STOPPED))


def _way(found: Offer, local: tuple[int, bool] | None) -> Way:
    from dataclasses import replace

    return found.way if local is None else replace(found.way, local=local[0], exactly=local[1])


def _offered(client: Client, number: int, texts: Mapping[str, str]) -> tuple[View, Offer | None]:
    """The job once its program says where its page is; None for one that has ended before."""
    from afield.sdk.offer import offer

    printer = Printer(Choice(ranks=frozenset()), texts=texts)
    view: View = {}
    try:
        for head, data in client.follow(number):
            printer.frame(head, data)
            if head["on"] in ("job", "end"):
                view = head["job"]
            if view["phase"] == "running" or head["on"] == "end":
                break
    finally:
        printer.close()
    while view["outcome"] is None:
        found = offer(client, number)
        if found is not None:
            return view, found
        time.sleep(LOOK_S)
        view = client.job(number)
    return view, None


def _hold(client: Client, number: int, found: Offer, way: Way, as_json: str | None) -> None:
    """Hold the forward until the job ends. The address is said when the page answers."""
    from afield.sdk.forward import Forward
    from afield.sdk.offer import renewed

    talk = Talk(None, {})
    at: Offer | None = found
    with Forward(client, {"job": number, "process": 0}, [way], found.attempt) as forward:
        while at is not None:
            port = _answering(forward, number, at)
            if port:
                _address(number, at, port, as_json)
                talk.begun(forward.node)
            if not _until_moved(forward, talk):
                return
            at = renewed(client, number)
            if at is not None:
                forward.move(at.way, at.attempt)


def _address(number: int, found: Offer, port: int, as_json: str | None) -> None:
    if as_json:
        show.as_json({"schema": 1, "job": number, "url": found.url(port), "port": port}, context.fields(as_json))
    else:
        print(f"{found.name}: {link(found.url(port))}", flush=True)
    if keys.person():
        show.hint("Ctrl-C stops it, d leaves it running")


def _until_moved(forward: Forward, talk: Talk) -> bool:
    """Tell what happens until another attempt of the job runs (yes), or the job has ended."""
    while not forward.moved:
        event = forward.next()
        if event is None:
            return False
        if event["on"] != "end":
            talk.tell(event)
    return True


def _answering(forward: Forward, number: int, found: Offer) -> int:
    """The port here, when the page answers at it; 0 when its attempt ended first. Raises Unreachable when neither."""
    from afield.sdk.offer import answers

    deadline = time.monotonic() + ANSWER_S
    port = 0
    while time.monotonic() < deadline:
        try:
            event = forward.next(LOOK_S)
        except queue.Empty:
            event = {}
        if event is None or event.get("on") in ("waiting", "moved", "end"):
            return 0
        if event.get("on") == "refused":
            break
        if event.get("on") == "open":
            port = event["ports"][found.way.place]
        if port and answers(found, port):
            return port
    raise Unreachable(
        f"{found.name} does not answer",
        why=refusal(forward.node),
        hints=[f"afield logs {number}    what the program itself says", f"afield stop {number}    it still runs"],
    )


def _stop(client: Client, number: int) -> int:
    show.say("stopping; Ctrl-C again leaves at once")
    try:
        for node in client.stop(number)["silent"]:
            show.say(f"{node} does not answer; the job is stopped when it does")
            return int(Exit.STOPPED)
        return _ended(client, client.wait(number))
    except KeyboardInterrupt:
        show.say(f"left; the job is still stopping: afield logs {number} -f")
        return int(Exit.STOPPED)


def _ended(client: Client, view: View) -> int:
    """Bring home what it left. One that failed by itself said why; for one that was stopped all is well."""
    home(client, view, quiet=False)
    code = view["snapshot"]
    if code and os.path.isdir(saved := os.path.join(code["root"], "outputs", str(view["number"]))):
        show.say(f"{show.paint('✓', show.GREEN, sys.stderr)} what was saved is in {show.safe(os.path.relpath(saved))}/")
    if view["outcome"] == "stopped":
        show.say(
            f"{show.paint('✓', show.GREEN, sys.stderr)} job {view['number']} is stopped, and nothing of it runs on"
        )
        return 0
    if view["outcome"] == "failed":
        try:
            said = b"".join(client.output(view["number"], "err")).decode("utf-8", "replace")
        except AfieldError:
            said = ""
        for line in said.splitlines()[-LAST_LINES:]:
            show.say(f"  {show.safe(line)}")
    show.say("\n".join([*quoted(view), end_line(view)]))
    sys.stdout.flush()
    return exit_status(view)
