"""`afield doctor`: one line per check of this machine, the project and nodes, each with what fixes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from afield.cli import context, show
from afield.errors import AfieldError, UsageError

if TYPE_CHECKING:
    from afield.sdk.doctor import Check

SIGNS = {"ok": ("✓", show.GREEN), "warn": ("!", show.YELLOW), "bad": ("✗", show.RED)}


@click.command(name="doctor", short_help="check this machine, the project and nodes")
@click.option("--fix", is_flag=True, help="Do the harmless repairs, each after a question.")
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@context.json_option
@click.argument("nodes", nargs=-1)
def command(nodes: tuple[str, ...], as_json: str | None, fix: bool, yes: bool) -> int:
    """Check this machine, the project here, and nodes (all when none is named). Exit 1 when something is wrong.

    \b
      afield doctor
      afield doctor box1
      afield doctor --fix
    """
    client = context.client()
    checks: list[Check] = []
    for check in _all(client, nodes):
        checks.append(check)
        if not as_json:
            _line(check)
    done = _fixed(client, checks, ask=not yes) if fix else {}
    if as_json:
        found = [{**c._asdict(), "fixed": done.get(c.repair, "") if c.repair else ""} for c in checks]
        show.as_json({"schema": 1, "checks": found}, context.fields(as_json))
    elif not fix and any(c.repair for c in checks):
        show.hint("afield doctor --fix    does the harmless repairs, each after a question")
    return 1 if any(c.state == "bad" and c.repair not in done for c in checks) else 0


def _all(client: Any, names: tuple[str, ...]) -> Iterator[Check]:
    from afield.sdk import doctor, doctor_nodes

    yield from doctor.machine()
    yield from doctor.project()
    yield from doctor_nodes.nodes(client, names)


def _line(check: Check) -> None:
    sign, colour = SIGNS[check.state]
    print(f"{show.paint(sign, colour, sys.stdout)} {check.where:<10} {show.safe(check.text)}")
    if check.fix:
        print(f"             try: {show.safe(check.fix)}")


def _fixed(client: Any, checks: list[Check], *, ask: bool) -> dict[str, str]:
    """What was done, by repair; one that fails is told and the others go on."""
    from afield.sdk import repairs

    wanted = list(dict.fromkeys(c.repair for c in checks if c.repair))
    if wanted and ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "repairs are not done unasked",
            why="; ".join(repairs.question(repair) for repair in wanted),
            hints=["afield doctor --fix -y"],
        )
    done = {}
    for repair in wanted:
        text = repairs.question(repair)
        if ask and not click.confirm(f"{text[:1].upper()}{text[1:]}?", err=True):
            continue
        try:
            done[repair] = repairs.mend(repair, client)
        except (AfieldError, OSError) as error:
            show.say(f"{text}: {show.safe(str(error))}")
            continue
        show.say(f"{show.paint('✓', show.GREEN, sys.stderr)} {show.safe(done[repair])}")
    return done
