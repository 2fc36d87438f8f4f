"""Performs the effects of the runner's logic on this machine, and dies at kill points when a test says so.

`perform(generator)` runs logic to its end and gives its value. Effects that touch files and locks need no state and may
be performed in any thread; `Wait` and the socket belong to the one `World` of a keeper or shepherd.
"""

from . import effects, points, real_door, real_files, real_process
from .real_files import roots

__all__ = ["World", "perform", "roots"]


class World:
    """What one keeper or shepherd process holds besides its generator; `actors` maps roles to generator functions."""

    def __init__(self, actors=None):
        self.actors = actors or {}
        self.ears = None  # made by the first Wait
        self.door = None  # made by Listen
        self.told = {}  # descriptor -> pid of the actor that may speak by it
        self.mouth = -1  # where Tell writes
        self.seen = set()  # ended children that were reported and not reaped
        self.subreaper = False

    def act(self, role, arguments, mouth):
        """Runs an actor in a fork of this process: all that it has of this world is the way to speak to it."""
        own = World(self.actors)
        own.mouth = mouth
        perform(self.actors[role](*arguments), own)


def perform(generator, world=None):
    """Runs logic on the real world; its value. An OSError of an effect is raised inside the logic."""
    world = world or World()
    answer, error = None, None
    while True:
        try:
            effect = generator.send(answer) if error is None else generator.throw(error)
        except StopIteration as stop:
            return stop.value
        answer, error = None, None
        if effect.label:
            points.passes(effect.label)
        try:
            answer = _TABLE[type(effect)](world, effect)
        except OSError as trouble:
            error = trouble
        if effect.label:
            points.passes(effect.label + "+")


_TABLE = {
    effects.Read: real_files.read,
    effects.Size: real_files.size,
    effects.List: real_files.names,
    effects.Mkdir: real_files.mkdir,
    effects.Write: real_files.write,
    effects.Put: real_files.put,
    effects.Append: real_files.append,
    effects.Unlink: real_files.unlink,
    effects.Lock: real_files.lock,
    effects.Drop: real_files.drop,
    effects.Peek: real_files.peek,
    effects.Program: real_process.program,
    effects.Open: real_process.open_gate,
    effects.Shut: real_process.shut_gate,
    effects.Spawn: real_process.spawn,
    effects.Tell: real_process.tell,
    effects.Identity: real_process.identity,
    effects.Signal: real_process.send_signal,
    effects.Processes: real_process.processes,
    effects.Opened: real_process.opened,
    effects.Children: real_process.children,
    effects.Ended: real_process.ended,
    effects.Reap: real_process.reap,
    effects.Wait: real_door.wait,
    effects.Sleep: real_door.sleep,
    effects.Now: real_process.now,
    effects.Self: real_process.this,
    effects.Environment: real_process.environment_of,
    effects.Subreaper: real_process.subreaper,
    effects.Port: real_door.port,
    effects.Listen: real_door.listen,
    effects.Answer: real_door.answer,
}
