"""What the runner's logic may ask of the world, as values that generators yield.

Logic says `answer = yield Read(path)`; `real.perform` does it on a node, a simulator may do it in memory. An effect
that fails raises OSError inside the generator. Each visible or durable act carries a label: a test may kill the runner
before (`label`) or after (`label+`) it.
"""


class Effect:
    """One wish: positional `fields`, and the `label` of its kill point ("" = none)."""

    __slots__ = ("label",)
    fields = tuple("")
    defaults = dict("")

    def __init__(self, *values, **named):
        self.label = named.pop("label", "")
        for name, value in zip(self.fields, values):
            setattr(self, name, value)
        for name in self.fields[len(values) :]:
            setattr(self, name, named[name] if name in named else self.defaults[name])

    def __repr__(self):
        shown = ", ".join("%s=%.60r" % (name, getattr(self, name)) for name in self.fields)
        return "%s(%s)" % (type(self).__name__, shown)


# ---- files -----------------------------------------------------------------------------------------------------------


class Read(Effect):
    """The bytes of a file, at most `limit`; None when there is no such file, or a link in its place."""

    __slots__ = fields = ("path", "limit")
    defaults = {"limit": 64 * 1024 * 1024}


class Size(Effect):
    """The size of a file in bytes; None when there is no such file."""

    __slots__ = fields = ("path",)


class List(Effect):
    """The sorted names in a folder; None when there is no such folder."""

    __slots__ = fields = ("path",)


class Mkdir(Effect):
    """Makes a folder and its parents (0700); it may be there. Unless `synced` is off, it survives a power cut."""

    __slots__ = fields = ("path", "synced")
    defaults = {"synced": True}


class Write(Effect):
    """Puts a whole file in place at once: temporary name, fsync, rename, fsync of the folder."""

    __slots__ = fields = ("path", "data", "nonce")


class Put(Effect):
    """Overwrites a file in place without syncing: for what is only displayed or need not outlive a power cut."""

    __slots__ = fields = ("path", "data")


class Append(Effect):
    """Adds bytes to the end of a file and syncs it and its name: what was made just before outlives a power cut."""

    __slots__ = fields = ("path", "data")


class Unlink(Effect):
    """Removes a file; it may be gone already."""

    __slots__ = fields = ("path",)


# ---- locks -----------------------------------------------------------------------------------------------------------


class Lock(Effect):
    """Takes a kernel lock on a file, trying for `wait_s`; a handle, or None when somebody else holds it.

    The lock ends with the last process that has it open: close-on-exec, unless a Program names it in `inherit`.
    """

    __slots__ = fields = ("path", "wait_s")
    defaults = {"wait_s": 1.0}


class Drop(Effect):
    """Closes our copy of a lock; programs that inherited it still hold it."""

    __slots__ = fields = ("handle",)


class Peek(Effect):
    """Whether a lock file is "none", "free" or "held"; disturbs a taker for microseconds only."""

    __slots__ = fields = ("path",)


# ---- processes -------------------------------------------------------------------------------------------------------


class Program(Effect):
    """Forks a program that waits behind a gate, in a session of its own; the dict {"pid", "start", "gate"}.

    `argv`, `env` (dict), `cwd`; `out` and `err` are paths opened for append; `inherit` lists lock handles it keeps;
    `unopened` is (path, data), put in place by the child when its gate closes without having been opened.
    """

    __slots__ = fields = ("argv", "env", "cwd", "out", "err", "inherit", "unopened")
    defaults = {"inherit": (), "unopened": None}


class Open(Effect):
    """Opens the gate of a program: it runs from here on."""

    __slots__ = fields = ("gate",)


class Shut(Effect):
    """Closes the gate for ever: the program leaves without having run."""

    __slots__ = fields = ("gate",)


class Spawn(Effect):
    """Forks one of our own actors ("shepherd") with arguments; the dict {"pid", "start"}. It may Tell us one word."""

    __slots__ = fields = ("role", "arguments")


class Tell(Effect):
    """Says one short text to the process that spawned us; nobody may be listening any more."""

    __slots__ = fields = ("text",)


class Identity(Effect):
    """(start ticks, state letter, parent) of a process, zombies included; None when there is no such pid."""

    __slots__ = fields = ("pid",)


class Signal(Effect):
    """Signals a process if it still is (pid, start); whether it was."""

    __slots__ = fields = ("pid", "start", "signum")


class Processes(Effect):
    """All processes of the machine, as a list of killtree.Row."""

    __slots__ = fields = ()


class Opened(Effect):
    """The paths of the files that a process has open; none where they cannot be seen."""

    __slots__ = fields = ("pid",)


class Children(Effect):
    """Whether we have any child left, zombies included. For a subreaper "no" proves that no descendant is left."""

    __slots__ = fields = ()


class Ended(Effect):
    """(code, signal) of a child that has ended and was not reaped; None while it runs. It stays a zombie."""

    __slots__ = fields = ("pid",)


class Reap(Effect):
    """Removes the zombie of a child that ended; its usage {"cpu_s", "rss_bytes"}."""

    __slots__ = fields = ("pid",)


class Wait(Effect):
    """Sleeps until monotonic time `until` (None = for ever) or until something happened; the list of happenings.

    ("exit", pid, code, signal): a child ended and is still a zombie; told once.
    ("poke",): SIGUSR1.  ("term",): SIGTERM.  ("told", pid, text): a spawned actor spoke, or left ("").
    ("request", client, head): a message on the listening socket.
    """

    __slots__ = fields = ("until",)


class Sleep(Effect):
    """Sleeps for so many seconds, whatever happens."""

    __slots__ = fields = ("seconds",)


# ---- this machine and this process -----------------------------------------------------------------------------------


class Now(Effect):
    """(wall, mono, boot): UTC seconds, monotonic seconds, the kernel's boot id."""

    __slots__ = fields = ()


class Self(Effect):
    """This process and its account: {"pid", "start", "uid", "user", "home", "shell", "environ": {...}}."""

    __slots__ = fields = ()


class Environment(Effect):
    """What the attempt's Python environment asks for: {"needed", "argv", "extra", "python", "variables"}.

    `needed` says whether `argv` has to run first, with `extra` variables; the rest is as in environment.py.
    """

    __slots__ = fields = ("paths", "spec")


class Subreaper(Effect):
    """Makes orphaned descendants our children; whether the kernel agreed."""

    __slots__ = fields = ()


class Port(Effect):
    """A TCP port that was free a moment ago."""

    __slots__ = fields = ()


class Listen(Effect):
    """Opens the Unix socket that requests come in by, replacing a dead one; whether it worked."""

    __slots__ = fields = ("path",)


class Answer(Effect):
    """Sends one reply to a client of the socket; it may be gone."""

    __slots__ = fields = ("client", "head")
