"""What each command prints with `--json`: for scripts, their tests, and the page of the reference that is made of it.

Every answer is one object with `schema`, which grows only when a field changes its meaning: fields are only ever
added. A command that fails prints `Failed` instead, and its exit status is `error.exit`.
"""

from __future__ import annotations

from types import MappingProxyType

from typing_extensions import TypedDict

from afield.server.answers import ErrorBody, Jobs, JobView, Nodes, NodeView, Overview, ProbedNodes, SecretsView, WhyView


class Failed(TypedDict):
    """What every command prints that fails before it has an answer; `source` is afield."""

    schema: int
    error: ErrorBody
    source: str


class OneJob(TypedDict):
    """One job."""

    schema: int
    job: JobView


class Ended(TypedDict):
    """A job that was followed to its end. `source` says whose the exit status is: job or afield."""

    schema: int
    job: JobView
    source: str


class Line(TypedDict):
    """One line that a program wrote; `on` is line."""

    schema: int
    on: str
    attempt: str
    rank: int
    stream: str
    text: str


class End(TypedDict):
    """The last object of `logs`: the job as it is then; `on` is end."""

    schema: int
    on: str
    job: JobView


class OneNode(TypedDict):
    """One node."""

    schema: int
    node: NodeView


class Check(TypedDict):
    """One finding: machine, project or a node's name; ok, warn or bad; what was found; what fixes it.

    `repair` is what `--fix` would do, `fixed` what it did.
    """

    where: str
    state: str
    text: str
    fix: str
    repair: str
    fixed: str


class Checks(TypedDict):
    """All findings; the exit status is 1 when one is bad."""

    schema: int
    checks: list[Check]


class Kept(TypedDict):
    """What `node clean --dry-run` found: runs that live, ended ones that wait to come home, and other stores there."""

    schema: int
    node: str
    closed: list[str]
    live: list[str]
    waiting: list[str]
    runs: int
    bytes: int
    data_bytes: int
    others: list[str]
    places: list[str]


class Cleaned(TypedDict):
    """What was removed on a node, and what was `left` there."""

    schema: int
    node: str
    runs: int
    trees: int
    environments: int
    bytes: int
    others: list[str]
    left: list[str]


class Opened(TypedDict):
    """A forward is open: the port here by the place there; `on` is open, `ways` are the sockets behind them."""

    schema: int
    on: str
    node: str
    attempt: int | None
    ways: dict[str, str]
    ports: dict[str, int]


class Listens(TypedDict):
    """Whether something listens at the place, null when the node cannot say; `on` is listens."""

    schema: int
    on: str
    place: str
    yes: bool | None


class Refused(TypedDict):
    """Connections to the place end at once though something listens there; `on` is refused."""

    schema: int
    on: str
    place: str
    node: str


class Cut(TypedDict):
    """The node does not answer; `on` is cut."""

    schema: int
    on: str
    node: str
    why: str


class Waiting(TypedDict):
    """The job has not begun; `on` is waiting."""

    schema: int
    on: str
    why: str


class Moved(TypedDict):
    """Another attempt of the job runs, whose page is opened when it offers one; `on` is moved."""

    schema: int
    on: str
    node: str
    attempt: int


class Page(TypedDict):
    """Where the page of a job is here."""

    schema: int
    job: int
    url: str
    port: int


class Setting(TypedDict):
    """One setting, as people read it, and the file and line, flag or default that it comes from."""

    key: str
    value: str
    origin: str


class Settings(TypedDict):
    """All settings."""

    schema: int
    settings: list[Setting]


class Folder(TypedDict):
    """Where a place is on a node."""

    node: str
    path: str | None


class Entry(TypedDict):
    """A file, folder or link in a place: `kind` is file, dir or link; `link` is what a link leads to."""

    node: str
    path: str
    kind: str
    size: int
    mtime_ns: int
    mode: int
    link: str | None


class Listing(TypedDict):
    """What lies in a place."""

    schema: int
    places: list[Folder]
    entries: list[Entry]


class Changed(TypedDict):
    """How two states of the code differ: the diff as text, bytes that are no UTF-8 replaced."""

    schema: int
    same: bool
    diff: str


class Closed(TypedDict):
    """A file or folder that could not be read, and why."""

    path: str
    why: str


class Pushed(TypedDict):
    """What came to one node; `kept` were there already, of which `modes` got another mode; `skipped` are no files."""

    node: str
    path: str
    files: int
    bytes: int
    kept: int
    modes: int
    skipped: list[str]
    closed: list[Closed]


class Push(TypedDict):
    """What was brought to nodes."""

    schema: int
    pushed: list[Pushed]


class Pulled(TypedDict):
    """What came into one folder here; `kept` were here already, `refused` were left out."""

    folder: str
    files: int
    bytes: int
    kept: int
    refused: list[str]
    closed: list[Closed]


class Pull(TypedDict):
    """What was brought from places."""

    schema: int
    pulled: list[Pulled]


class Results(TypedDict):
    """What was brought of a job's results: `afield pull JOB`."""

    schema: int
    folder: str
    files: int
    bytes: int
    kept: int
    refused: list[str]
    closed: list[Closed]


class Fetched(TypedDict):
    """One download; `there` says that it was there already."""

    node: str
    url: str
    path: str
    size: int
    sha256: str
    there: bool


class Fetch(TypedDict):
    """What was downloaded."""

    schema: int
    fetched: list[Fetched]


class Program(TypedDict):
    """A command that this project may be run by, and what says so."""

    command: str
    why: str


class Found(TypedDict):
    """Which environment was found."""

    line: str
    kind: str


class Data(TypedDict):
    """Something large; `sent` says whether it goes with the code."""

    name: str
    bytes: int
    files: int
    sent: bool


class Taken(TypedDict):
    """What was taken over of an older tool's file, and what was not."""

    mapped: dict[str, str]
    unmapped: dict[str, str]
    commands: list[str]


class Init(TypedDict):
    """What was found here; `wrote` is "" with --dry-run, `text` is the file."""

    schema: int
    root: str
    folder: str
    files: int
    bytes: int
    commit: str
    programs: list[Program]
    environment: Found
    notes: list[str]
    packages: list[str]
    unnamed: list[str]
    missing: list[str]
    data: list[Data]
    taken: Taken | None
    wrote: str
    text: str


class Bundle(TypedDict):
    """The archive."""

    schema: int
    path: str
    files: int
    bytes: int


ANSWERS: MappingProxyType[str, tuple[type, ...]] = MappingProxyType(
    {
        "run": (OneJob, Ended),
        "rerun": (OneJob, Ended),
        "stop": (Jobs,),
        "wait": (OneJob,),
        "ps": (Jobs,),
        "logs": (Line, End),
        "show": (OneJob,),
        "why": (WhyView,),
        "diff": (Changed,),
        "status": (Overview,),
        "ls": (Listing,),
        "push": (Push,),
        "pull": (Pull, Results),
        "fetch": (Fetch,),
        "node add": (OneNode,),
        "forward": (Opened, Moved, Listens, Refused, Cut, Waiting, End),
        "notebook": (Page, OneJob),
        "tensorboard": (Page, OneJob),
        "secret ls": (SecretsView,),
        "node ls": (Nodes, ProbedNodes),
        "node show": (OneNode,),
        "node set": (OneNode,),
        "node clean": (Kept, Cleaned),
        "init": (Init,),
        "doctor": (Checks,),
        "config": (Settings,),
        "bundle": (Bundle,),
    }
)
"""By command: the shapes that it may print. `run -d` and `run --dry-run` print a job, `run` a job that has ended."""
