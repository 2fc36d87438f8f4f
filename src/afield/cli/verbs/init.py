"""`afield init`: look at the folder, say what was found, write a small afield.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afield.cli import context, show

if TYPE_CHECKING:
    from afield.sdk.older import Older
    from afield.sdk.survey import Survey

MOST_PROGRAMS = 5
MOST_PACKAGES = 8


@click.command(name="init", short_help="look at the folder and write a small afield.toml")
@click.option("--from", "source", metavar="FILE", help="Take over an older tool's file: asic.yaml, ~/.recompute.conf.")
@click.option("--force", is_flag=True, help="Replace an afield.toml that is there.")
@click.option("--dry-run", is_flag=True, help="Show what was found and what would be written; write nothing.")
@context.json_option
def command(source: str | None, force: bool, dry_run: bool, as_json: str | None) -> None:
    """Look at this project, show what was found, and write a small afield.toml. `afield run` works without it, too.

    \b
      afield init
      afield init --dry-run
      afield init --from asic.yaml

    Nothing else is written: requirements files, .gitignore and code stay as they are.
    """
    from afield.sdk import older, project_file, survey

    taken = older.read(Path(source)) if source else None
    found = survey.survey()
    content = project_file.text(taken.values if taken else {}, _notes(found))
    if not dry_run:
        survey.check_free(found, force=force)
        project_file.write(found.root / "afield.toml", content)
    if as_json:
        show.as_json(_data(found, taken, content, dry_run), context.fields(as_json))
        return
    _screen(found)
    if taken:
        _taken(taken)
    _end(found, taken, content if dry_run else "")


def _notes(found: Survey) -> dict[str, str]:
    return {"environment": f"found: {found.environment.environment.kind}; or none, plain, imports, a file"}


def _screen(found: Survey) -> None:
    where = f", here {found.folder}/" if found.folder else ""
    print(show.paint(show.safe(found.root.name), show.BOLD, sys.stdout) + show.safe(f" · {found.root}{where}"))
    code = f"{show.files(len(found.look.names))}, {show.size(sum(found.look.names.values()))}"
    without = "no commit yet" if found.checkout else "no git checkout"
    _row("code", f"{code}, {f'on commit {found.look.commit[:7]}' if found.look.commit else without}")
    shown = found.programs[:MOST_PROGRAMS]
    room = max((len(program.command) for program in shown), default=0)
    for head, program in _headed("run", shown):
        _row(head, f"{program.command:<{room}}  {program.why}")
    if len(found.programs) > MOST_PROGRAMS:
        _row("", f"and {len(found.programs) - MOST_PROGRAMS} more")
    if not found.programs:
        _row("run", "no program found: any command will do")
    _row("packages", found.environment.line)
    for note in found.environment.notes:
        _row("", show.paint("! ", show.YELLOW, sys.stdout) + show.safe(note), safe=True)
    _imports(found)
    for head, data in _headed("data", found.data):
        some = f"{show.size(data.bytes)}{'' if data.counted else ' or more'}, {show.files(data.files)}"
        stays = "stays here; `afield push` brings it to a node"
        fate = "goes with the code: leave it out in .afieldignore" if data.sent else stays
        _row(head, f"{data.name:<12} {some}: {fate}")


def _imports(found: Survey) -> None:
    """Packages that the code imports and that the file which defines the environment does not name."""
    from afield.sdk.survey import unnamed

    lines = unnamed(found)
    if lines:
        more = f" and {len(lines) - MOST_PACKAGES} more" if len(lines) > MOST_PACKAGES else ""
        sign = show.paint("! ", show.YELLOW, sys.stdout)
        where = found.environment.environment.files[0]
        text = f"imported, and no word of it in {where}: {', '.join(lines[:MOST_PACKAGES])}{more}"
        _row("", sign + show.safe(text), safe=True)


def _headed(head: str, items: Any) -> Any:
    return [(head if index == 0 else "", item) for index, item in enumerate(items)]


def _row(head: str, text: str, *, safe: bool = False) -> None:
    print(f"  {show.paint(head.ljust(9), show.DIM, sys.stdout)} {text if safe else show.safe(text)}".rstrip())


def _taken(taken: Older) -> None:
    print(f"from {show.safe(taken.file)}")
    for sign, colour, rows in (("✓", show.GREEN, taken.mapped), ("-", show.YELLOW, taken.unmapped)):
        for key, words in rows:
            kind = "" if sign == "✓" else "not taken over: "
            print(f"  {show.paint(sign, colour, sys.stdout)} {show.safe(f'{key}: {kind}{words}')}")


def _end(found: Survey, taken: Older | None, planned: str) -> None:
    if planned:
        forced = f" with --force only, for {found.settings} has settings already" if found.settings else ""
        print(f"\nwould write {show.safe(str(found.root / 'afield.toml'))}{forced}:\n")
        print(show.safe_lines(planned))
        return
    print(f"{show.paint('✓', show.GREEN, sys.stdout)} wrote {show.safe(str(found.root / 'afield.toml'))}")
    first = found.programs[0].command if found.programs else "train.py"
    commands = taken.commands if taken else []
    for line in commands or [f"afield run {first}"]:
        show.hint(f"  next: {show.safe(line)}")


def _data(found: Survey, taken: Older | None, content: str, dry_run: bool) -> dict[str, Any]:
    from afield.sdk.survey import packages, unnamed

    return {
        "schema": 1,
        "root": str(found.root),
        "folder": found.folder,
        "files": len(found.look.names),
        "bytes": sum(found.look.names.values()),
        "commit": found.look.commit,
        "programs": [{"command": p.command, "why": p.why} for p in found.programs],
        "environment": {"line": found.environment.line, "kind": str(found.environment.environment.kind)},
        "notes": list(found.environment.notes),
        "packages": packages(found),
        "unnamed": unnamed(found),
        "missing": sorted(found.needs.missing) if found.needs else [],
        "data": [{"name": d.name, "bytes": d.bytes, "files": d.files, "sent": d.sent} for d in found.data],
        "taken": None
        if taken is None
        else {"mapped": dict(taken.mapped), "unmapped": dict(taken.unmapped), "commands": taken.commands},
        "wrote": "" if dry_run else str(found.root / "afield.toml"),
        "text": content,
    }
