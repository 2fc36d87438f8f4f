"""A command beside a process of an attempt gets that process's variables and folder. Logic only; nothing is kept."""

from . import folder, program
from .case import Case
from .effects import Self
from .refusal import Refusal

MARK = "AFIELD_MARK"


def surroundings(paths, attempt, rank):
    """(variables, folder) of one process. Raises Refusal where the attempt is not, or no longer, on the node."""
    folder.split(attempt)
    spec = yield from folder.read_spec(paths, attempt)
    process = next((p for p in spec["processes"] if p["rank"] == rank), None) if spec is not None else None
    if process is None:
        raise Refusal("not-found", "job %s is not on the node" % attempt.partition(".")[0], "not yet, or no longer")
    me = yield Self()
    known = (yield from folder.load(paths.login)) or {}
    kitchen = program.Kitchen(Case(paths, attempt, spec, "link", me), known.get("path"))
    yield from kitchen.prepare()
    yield from kitchen.look()
    go = (yield from folder.load(paths.run(attempt) + "/" + folder.GO, spec["nonce"])) or {}
    variables = kitchen.variables(process, go.get("variables") or {})
    # It is no part of the job: a stop of the job does not end it, and it is not one of its survivors.
    del variables[MARK]
    return variables, kitchen.cwd


def script(variables, place):
    """The text for /bin/sh that becomes a person's shell in these surroundings; it removes itself first."""
    lines = ['rm -f -- "$0"']
    lines += ["export %s=%s" % (name, _quoted(value)) for name, value in sorted(variables.items()) if _plain(name)]
    lines += ["cd %s || exit" % _quoted(place), 'exec "${SHELL:-/bin/sh}" -i']
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _plain(name):
    """Whether a shell can have a variable of this name."""
    return name.isidentifier() and name.isascii()


def _quoted(text):
    return "'" + text.replace("'", "'\"'\"'") + "'"
