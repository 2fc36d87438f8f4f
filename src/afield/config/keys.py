"""The list of all settings: one word each, in files, as a flag, as a keyword of the SDK. Data."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Kind(StrEnum):
    """How a value is written."""

    TEXT = "a text"
    NUMBER = "a whole number"
    SWITCH = "true or false"
    TIME = "a length of time such as 90m"
    WORDS = "a text or a list of texts"
    NAMES = "a text or a list of texts, several as a,b"
    PATTERNS = "a pattern or a list of patterns of files"
    COMMAND = "a shell command, or a list of words"
    VARIABLES = "a table of texts, or a list of K=V and K"


class Key(NamedTuple):
    """One setting: the same word in the file, as a flag and as a keyword. `choices` empty means anything."""

    name: str
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()


KEYS = (
    Key("node", Kind.NAMES, "Where: a node, or several to choose from."),
    Key("request", Kind.TEXT, "Process groups and what each process needs, as '2:[4:a100,mem=40G]'."),
    Key("need", Kind.TEXT, "What one process needs at least, as 'gpu_mem=1.5G,disk=3G'; the node with least to spare."),
    Key("gpus", Kind.NUMBER, "How many devices for the one process."),
    Key("time", Kind.TIME, "Time limit: 90m, 2h, 1d."),
    Key("policy", Kind.TEXT, "After a fault.", ("pass", "resume", "rerun", "reapply", "pre")),
    Key("priority", Kind.NUMBER, "Higher goes first."),
    Key("name", Kind.TEXT, "A name for people."),
    Key("environment", Kind.TEXT, "auto, none, plain, imports, or the file that defines the packages."),
    Key("python", Kind.TEXT, "Python version, such as 3.12."),
    Key("dirs", Kind.WORDS, "Other folders whose code comes too, as FOLDER or NAME=FOLDER, each below its name."),
    Key("setup", Kind.COMMAND, "Run once per node and content."),
    Key("preflight", Kind.COMMAND, "Run before every attempt; its failure ends it."),
    Key("env", Kind.VARIABLES, "Variables for the job; K alone passes the caller's."),
    Key("secrets", Kind.WORDS, "Secrets that the job gets as variables, by name; see `afield secret set`."),
    Key("outputs", Kind.PATTERNS, "Files of the job's folder that come home too, as '*.pt', each when it is finished."),
    Key("continues", Kind.NUMBER, "Begin with the keep folder of this job."),
    Key("merge", Kind.SWITCH, "One log: errors go where output goes."),
    Key("end", Kind.TEXT, "When the job is over.", ("all", "first")),
    Key("grace", Kind.TIME, "Time between asking a program to stop and killing it."),
)

VARIABLES = (
    ("AFIELD_STATE_DIR", "the store and its log"),
    ("AFIELD_CACHE_DIR", "shadow repositories and what can be made again"),
    ("AFIELD_RUNTIME_DIR", "sockets and tokens"),
    ("AFIELD_CONFIG_DIR", "the user's config.toml and secrets.json"),
    ("AFIELD_SSH_CONFIG", "the configuration file for ssh"),
    ("AFIELD_COLOR", "colour: always, never or auto"),
    ("AFIELD_DEBUG", "tracebacks of afield's own faults"),
)
"""The variables of the caller that afield itself obeys, and what each names."""

BY_NAME = MappingProxyType({key.name: key for key in KEYS})
