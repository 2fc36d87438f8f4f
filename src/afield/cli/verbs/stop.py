"""`afield stop`: stop jobs with everything they started; "stopped" is said when nothing is left."""

from __future__ import annotations

import click

from afield.cli import context, show


@click.command(name="stop", short_help="stop jobs")
@click.option("--no-wait", is_flag=True, help="Ask only; do not wait until nothing is left of them.")
@context.json_option
@click.argument("jobs", type=context.JOB, nargs=-1, required=True)
def command(jobs: tuple[int | str, ...], no_wait: bool, as_json: str | None) -> int:
    """Stop jobs: TERM, the grace time, KILL, then a look that nothing is left.

    \b
      afield stop 3
      afield stop 3 4 5
    """
    client = context.client()
    numbers = [context.number(client, j) for j in jobs]
    views = [client.stop(number) for number in numbers]
    if not no_wait:
        views = [_ended(client, view) for view in views]
    if as_json:
        show.as_json({"schema": 1, "jobs": views}, context.fields(as_json))
        return 0
    for view in views:
        print(f"job {view['number']}: {view['phase'].replace('_', ' ')}")
    return 0


def _ended(client: object, view: dict[str, object]) -> dict[str, object]:
    if view["outcome"] is not None:
        return view
    if view["silent"]:
        show.say(f"job {view['number']}: its node does not answer; the stop is carried out when it does")
        return view
    for head, _ in client.follow(view["number"], {}):  # type: ignore[attr-defined]
        if head["on"] in ("job", "end"):
            view = head["job"]
            if view["silent"]:
                show.say(f"job {view['number']}: its node does not answer; the stop is carried out when it does")
                return view
    return view
