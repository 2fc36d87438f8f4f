"""`afield sync`: keep a folder of nodes as a folder is here."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afield.cli import context, keys, show
from afield.cli.places import Progress, Where, each, resolve, where_options
from afield.errors import AfieldError, Unreachable, UsageError

if TYPE_CHECKING:
    from afield.sdk.mirror import Mirror, Seen

POLL_S = 0.5
SHARE = 10
"""Between two looks at least so many times what a look takes: watching costs a tenth of a core at most."""

AGAIN = ("damaged", "node-trouble", "changed-while-read")
"""What may be right at the next try, beside a node that does not answer."""


@click.command(name="sync", short_help="keep a folder of a node as it is here")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
@where_options
@click.argument("words", nargs=-1, required=True, metavar="[DIR] [NODE:]PLACE")
def command(words: tuple[str, ...], watch: bool, where: Where) -> int:
    """Mirror a folder (default: this one) to a node: the files that `afield run` would send, with what changed since.

    \b
      afield sync box1:proj               this folder, once, into your area there
      afield sync src box1:~/src --watch  each change at once, until Ctrl-C
      afield sync 12:src -w all --watch   into the folders of a running job

    What goes away here goes away there, if a mirror has brought it; what else lies there stays. The place cannot be a
    home folder. A cut connection is waited for.
    """
    from afield.sdk.mirror import Mirror, see
    from afield.sdk.places import is_place, parse

    if len(words) > 2 or not is_place(words[-1]):
        command = [f"to run a command: afield run -- {words[-1]}"] if " " in words[-1] else []
        raise UsageError("say where it goes", hints=["afield sync . box1:proj", *command, "afield help places"])
    folder = _folder(words[0] if len(words) == 2 else ".")
    wanted = parse(words[-1])
    if not wanted.path.strip("/."):
        raise UsageError(f"{words[-1]} is a whole area", hints=[f"{words[-1].rstrip('/')}{folder.name}"])
    client = context.client()
    mirrors = [Mirror(client, folder, place) for place in resolve(client, wanted, where, tools=True)]
    watching = _Watch(mirrors, str(wanted.path))
    seen = see(folder)
    for name in seen.left_out:
        show.say(f"left out: {show.safe(name)} (it leads out of the folder)")
    status = watching.once(seen)
    if watch and not status:
        watching.follow(folder, seen)
    return status


def _folder(word: str) -> Path:
    folder = Path(word).resolve()
    if not folder.is_dir():
        raise UsageError(f"there is no folder {word} here")
    if folder in (Path("/"), Path.home().resolve()):
        raise UsageError(
            f"{folder} is not mirrored", why="it would take everything below it", hints=["cd to a project"]
        )
    return folder


class _Watch:
    """The mirrors of one folder, and what was said of them."""

    def __init__(self, mirrors: Sequence[Mirror], place: str) -> None:
        self._mirrors = mirrors
        self._place = place
        self._silent: dict[str, str] = {}

    def once(self, seen: Seen) -> int:
        """Bring everything now; the exit status."""
        return each([{"node": mirror.node} for mirror in self._mirrors], lambda at: self._bring(at, seen, always=True))

    def follow(self, folder: Path, seen: Seen) -> None:
        """Bring what changes, until Ctrl-C."""
        from afield.sdk.mirror import see

        if keys.person():
            show.hint("Ctrl-C ends the mirror; what is there stays")
        try:
            while True:
                began = time.monotonic()
                now = self._look(folder, seen, see)
                for mirror in self._mirrors:
                    if now != seen or mirror.node in self._silent:
                        self._try({"node": mirror.node}, now)
                seen = now
                time.sleep(max(POLL_S, SHARE * (time.monotonic() - began)) if not self._silent else 2 * POLL_S)
        except KeyboardInterrupt:
            show.say("the mirror has ended")

    def _look(self, folder: Path, seen: Seen, see: Any) -> Seen:
        try:
            found: Seen = see(folder)
        except UsageError as error:  # a folder on its way; said once, looked at again
            self._said("here", error)
            return seen
        self._silent.pop("here", None)
        return found

    def _try(self, at: dict[str, Any], seen: Seen) -> None:
        try:
            self._bring(at, seen, always=False)
        except AfieldError as error:
            if not isinstance(error, Unreachable) and error.code not in AGAIN:
                raise
            self._said(at["node"], error)
            return
        if self._silent.pop(at["node"], None) is not None:
            show.say(f"{show.paint('✓', show.GREEN, sys.stderr)} {at['node']} answers again")

    def _said(self, who: str, error: AfieldError) -> None:
        if self._silent.get(who) != error.what:
            self._silent[who] = error.what
            show.say(f"{show.paint('!', show.YELLOW, sys.stderr)} {who}: {show.safe(error.what)}; trying again")

    def _bring(self, at: dict[str, Any], seen: Seen, *, always: bool) -> None:
        mirror = next(mirror for mirror in self._mirrors if mirror.node == at["node"])
        progress = Progress("sync")
        try:
            pushed, gone = mirror.bring(seen, progress.meter)
        finally:
            progress.close()
        if not (always or pushed.files or pushed.modes or gone):
            return
        parts = [f"{show.files(pushed.files)}, {show.size(pushed.bytes)}"] if pushed.files else []
        parts += [f"mode of {show.files(pushed.modes)}"] if pushed.modes else []
        parts += [f"{gone} removed"] if gone else []
        told = ", ".join(parts) or "nothing new"
        show.say(f"✓ sync {told} → {mirror.node}:{show.safe(self._place)}, {show.duration(progress.seconds)}")
