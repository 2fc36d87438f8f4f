"""One simulated node: does for the runner's logic what real.perform does, on a simulated disk and kernel."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from afield.runner import effects, folder
from afield.runner.keeper import Keeper
from afield.runner.killtree import Row
from afield.runner.shepherd import shepherd
from tests.sim.body import Body, Gate
from tests.sim.disk import File
from tests.sim.kernel import Kernel
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.world import World

BLOCKED = object()
STEPS = 3000
_CODES = {kind: number * 7919 for number, kind in enumerate(vars(effects).values()) if isinstance(kind, type)}


class Exchange(effects.Effect):
    """One request to the keeper behind a socket: the reply, None when it went away or was never there."""

    __slots__ = fields = ("digest", "head")


class StartKeeper(effects.Effect):
    """Starts a keeper that is nobody's child."""

    __slots__ = fields = ("digest",)


class Machine(Kernel):
    """A node that performs effects. Each process goes on by itself; where it pauses, the others may go first."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        super().__init__(name, world.scheduler, world.dice, world.faults.pids)
        self.paths = folder.Paths(world.store_id, "/n", "/n")
        self.asks: dict[int, Process] = {}
        self.asked = 0
        self._do = self._table()
        self.disk.mkdir(self.paths.runs, True)

    # ---- running logic

    def start(self, process: Process, logic: Generator[Any, Any, Any]) -> None:
        """Lets a process begin."""
        process.generator = logic
        self.scheduler.after(self.world.moment(), process, self.go_on, process)

    def go_on(self, process: Process) -> None:
        """Runs a process until it waits, pauses or ends."""
        world, dice = self.world, self.dice
        steps = 0
        while not process.dead:
            generator = process.generator
            assert generator is not None
            try:
                if process.error is None:
                    effect = generator.send(process.answer)
                else:
                    error, process.error = process.error, None
                    effect = generator.throw(error)
            except StopIteration as stop:
                process.answer = stop.value
                self.exit(process, 0, None)
                return
            except Exception as trouble:  # noqa: BLE001 a fault of our logic ends its process, and is told
                process.answer = trouble
                self._broke(process, trouble)
                return
            self.scheduler.note(_CODES.get(type(effect), 1) + process.pid)
            if not self._one(process, effect):
                return
            steps += 1
            if steps > STEPS or dice.random() < world.faults.pause:
                self.scheduler.after(world.moment(), process, self.go_on, process)
                return

    def _one(self, process: Process, effect: Any) -> bool:
        """Performs an effect, or kills before or after it; whether the process goes on at once."""
        world = self.world
        shot = world.shots.passing(process.role, effect.label) if world.shots.armed else ""
        if shot == "before":
            world.kill(self, process, f"before {effect!r}")
            return False
        try:
            blocked = self._perform(process, effect) is BLOCKED
        except Exception as trouble:  # noqa: BLE001 as real.perform: only an OSError is the logic's to deal with
            self._broke(process, trouble)
            return False
        if shot:
            world.kill(self, process, f"{'in' if blocked else 'after'} {effect!r}")
        return not blocked and not shot

    def _perform(self, process: Process, effect: Any) -> Any:
        if self.world.story is not None:
            self.world.story.effect(self, process, effect)
        process.answer = None
        try:
            answer = self._do[type(effect)](process, effect)
        except OSError as error:
            process.error = error
            return None
        if answer is not BLOCKED:
            process.answer = answer
        return answer

    def now(self, process: Process, logic: Generator[Any, Any, Any]) -> Any:
        """Runs logic that never waits to its end, with nothing in between; its value."""
        answer, error = None, None
        while True:
            try:
                effect = logic.send(answer) if error is None else logic.throw(error)
            except StopIteration as stop:
                return stop.value
            answer, error = None, None
            try:
                answer = self._do[type(effect)](process, effect)
            except OSError as trouble:
                error = trouble

    def _broke(self, process: Process, trouble: Exception) -> None:
        if not isinstance(trouble, OSError) and process.role != "clerk":
            self.world.wrong(f"{process.role} of {process.attempt or self.name} raised {trouble!r}")
        self.exit(process, 70, None)

    def _later(self, process: Process, answer: Any, error: OSError | None = None) -> None:
        """Goes on with an answer, a moment later."""
        process.answer, process.error = answer, error
        self.scheduler.after(self.world.moment(), process, self.go_on, process)

    def _stages(self, process: Process, stages: list[Callable[[], Any]]) -> Any:
        """Steps of one effect, with the world going on in between."""
        if self.dice.random() >= self.world.faults.split:
            for stage in stages:
                stage()
            return None
        self._stage(process, stages)
        return BLOCKED

    def _stage(self, process: Process, stages: list[Callable[[], Any]]) -> None:
        try:
            stages[0]()
        except OSError as error:
            self._later(process, None, error)
            return
        if len(stages) == 1:
            self._later(process, None)
        else:
            self.scheduler.after(self.world.moment(), process, self._stage, process, stages[1:])

    # ---- files

    def _write(self, process: Process, effect: Any) -> Any:
        return self._stages(process, self.writing(effect.path, effect.data, f"{effect.nonce[:8]}.{process.pid}"))

    def writing(self, path: str, data: bytes, word: str) -> list[Callable[[], Any]]:
        """The steps of effects.Write."""
        disk = self.disk
        inside, _, name = path.rpartition("/")
        temporary = f"{inside}/.tmp-{name}.{word}"

        def fill() -> None:
            try:
                disk.fill(temporary, data)
            except OSError:
                disk.unlink(temporary)
                raise

        def sync() -> None:
            found = disk.file(temporary)
            if found is not None:  # it is open: removed meanwhile, it is synced all the same
                disk.sync(found)

        def rename() -> None:
            disk.rename(temporary, path)

        return [fill, sync, rename, lambda: disk.sync_folder(inside)]

    def _put(self, process: Process, effect: Any) -> Any:
        disk = self.disk
        if len(effect.data) > 4096:
            disk.fill(effect.path, effect.data)
            return None
        return self._stages(process, [lambda: disk.fill(effect.path, b""), lambda: disk.fill(effect.path, effect.data)])

    def _append(self, process: Process, effect: Any) -> Any:
        disk = self.disk

        def add() -> None:
            if disk.append(effect.path, effect.data) < len(effect.data):
                raise OSError(errno.ENOSPC, "no space left on device")

        folder = effect.path.rpartition("/")[0]
        safe = [lambda: disk.sync(disk.touch(effect.path)), lambda: disk.sync_folder(folder)]
        return self._stages(process, [add, *safe])

    def _read(self, _: Process, effect: Any) -> bytes | None:
        found = self.disk.file(effect.path)
        return None if found is None else found.data[: effect.limit]

    def _lock(self, process: Process, effect: Any) -> Any:
        return self._try_lock(process, (effect.path, self.disk.touch(effect.path)), self.scheduler.now + effect.wait_s)

    def _try_lock(self, process: Process, place: tuple[str, File], until: float) -> Any:
        handle = self.disk.take(*place, process)
        if handle is not None:
            process.handles.append(handle)
        elif self.scheduler.now < until:
            self.scheduler.after(0.01 + self.world.moment(), process, self._lock_again, process, place, until)
            return BLOCKED
        return handle

    def _lock_again(self, process: Process, place: tuple[str, File], until: float) -> None:
        answer = self._try_lock(process, place, until)
        if answer is not BLOCKED:
            process.answer = answer
            self.go_on(process)

    def _drop(self, process: Process, effect: Any) -> None:
        effect.handle.leave(process)
        process.handles.remove(effect.handle)

    # ---- processes

    def _program(self, process: Process, effect: Any) -> dict[str, Any]:
        for path in (effect.out, effect.err):
            if path != "/dev/null":
                self.disk.touch(path)
        child = self.fork(process, "gate")
        self.inherit(list(effect.inherit), child)
        gate = Gate()
        process.gates.append(gate)
        child.body = Body(self, child, effect, gate)
        return {"pid": child.pid, "start": child.start, "gate": gate}

    def _open(self, process: Process, effect: Any) -> None:
        effect.gate.open()
        process.gates.remove(effect.gate)

    def _shut(self, process: Process, effect: Any) -> None:
        effect.gate.close()
        process.gates.remove(effect.gate)

    def _spawn(self, process: Process, effect: Any) -> dict[str, Any]:
        child = self.fork(process, "shepherd")
        child.attempt = effect.arguments[1]
        self.start(child, shepherd(*effect.arguments))
        return {"pid": child.pid, "start": child.start}

    def _tell_parent(self, process: Process, effect: Any) -> None:
        if not process.told and process.parent is not None:
            process.told = True
            self.tell(process.parent, ("told", process.pid, effect.text))

    def _identity(self, _: Process, effect: Any) -> tuple[int, str, int] | None:
        found = self.table.get(effect.pid)
        return None if found is None else (found.start, found.state, found.parent.pid if found.parent else 0)

    def _signal(self, _: Process, effect: Any) -> bool:
        found = self.find(effect.pid, effect.start)
        if found is not None:
            self.signal(found, effect.signum)
        return found is not None

    def _processes(self, _: Process, _effect: Any) -> list[Row]:
        rows = []
        for p in self.table.values():
            parent = p.parent.pid if p.parent else 0
            rows.append(Row((p.pid, p.start), parent, p.session, p.state, ("" if p.dead else p.mark, p.role)))
        return rows

    def _ended(self, process: Process, effect: Any) -> tuple[int | None, int | None] | None:
        child = process.children.get(effect.pid)
        return (child.code, child.signal) if child is not None and child.dead else None

    def _reap(self, process: Process, effect: Any) -> dict[str, Any]:
        child = process.children.get(effect.pid)
        if child is not None:
            assert child.dead, f"{process.role} waits for pid {effect.pid}, which lives"
            self.reap(child)
        return {"cpu_s": 0.1, "rss_bytes": 4096}

    # ---- waiting

    def _wait(self, process: Process, effect: Any) -> Any:
        process.ears = True
        happened = self._happened(process)
        if happened or (effect.until is not None and effect.until <= self.mono()):
            return happened
        until = self.scheduler.now + 3600.0 if effect.until is None else self.booted + effect.until + 1e-6
        process.waiting = self.scheduler.at(until, process, self._woken, process)
        return BLOCKED

    def wake(self, process: Process) -> None:
        """Something happened to it: if it waits, it hears of it soon."""
        if process.waiting is not None:
            process.waiting.cancel()
            process.waiting = self.scheduler.after(self.world.moment(), process, self._woken, process)

    def _woken(self, process: Process) -> None:
        process.waiting = None
        process.answer = self._happened(process)
        self.go_on(process)

    def _happened(self, process: Process) -> list[tuple[Any, ...]]:
        happened, process.inbox = process.inbox, []
        for child in process.children.values():
            identity = (child.pid, child.start)
            if child.dead and identity not in process.reported:
                process.reported.add(identity)
                happened.append(("exit", child.pid, child.code, child.signal))
        return happened

    def _sleep(self, process: Process, effect: Any) -> Any:
        self.scheduler.after(effect.seconds, process, self.go_on, process)
        return BLOCKED

    # ---- the keeper's door

    def _listen(self, process: Process, effect: Any) -> None:
        self.disk.touch(effect.path)
        process.door = effect.path
        self.doors[effect.path] = process

    def _exchange(self, process: Process, effect: Any) -> Any:
        keeper = self.doors.get(self.paths.keeper_sock(effect.digest))
        if effect.head is None or keeper is None:
            return keeper is not None
        self.asked += 1
        self.asks[self.asked] = process
        self.scheduler.after(30.0, process, self._answered, self.asked, None)
        number = self.asked
        self.scheduler.after(self.world.moment(), process, self._ask, keeper, number, dict(effect.head, id=1))
        return BLOCKED

    def _ask(self, keeper: Process, number: int, head: dict[str, Any]) -> None:
        if keeper.dead:
            self._answered(number, None)
        else:
            keeper.gates.append(_Line(self, number))
            self.tell(keeper, ("request", number, head))

    def _answer(self, process: Process, effect: Any) -> None:
        asker = self.asks.get(effect.client)
        if asker is not None:
            self.scheduler.after(self.world.moment(), asker, self._answered, effect.client, effect.head)

    def _answered(self, number: int, head: dict[str, Any] | None) -> None:
        asker = self.asks.pop(number, None)
        if asker is not None:
            asker.answer = head
            self.go_on(asker)

    def _start_keeper(self, _: Process, effect: Any) -> None:
        keeper = self.fork(self.init, "keeper")
        keeper.mark = ""
        keeper.attempt = ""
        keeper.generator = Keeper(self.paths, effect.digest).run()
        delay = 0.02 + self.world.moment()
        self.scheduler.after(delay, keeper, self.go_on, keeper)

    # ---- the table

    def _table(self) -> dict[type, Callable[[Process, Any], Any]]:
        return {**self._file_table(), **self._process_table()}

    def _file_table(self) -> dict[type, Callable[[Process, Any], Any]]:
        disk = self.disk
        return {
            effects.Read: self._read,
            effects.Size: lambda _, e: disk.size(e.path),
            effects.List: lambda _, e: disk.listing(e.path),
            effects.Mkdir: lambda _, e: disk.mkdir(e.path, e.synced),
            effects.Write: self._write,
            effects.Put: self._put,
            effects.Append: self._append,
            effects.Unlink: lambda _, e: disk.unlink(e.path),
            effects.Lock: self._lock,
            effects.Drop: self._drop,
            effects.Peek: lambda _, e: disk.peek(e.path),
        }

    def _process_table(self) -> dict[type, Callable[[Process, Any], Any]]:
        return {
            effects.Program: self._program,
            effects.Open: self._open,
            effects.Shut: self._shut,
            effects.Spawn: self._spawn,
            effects.Tell: self._tell_parent,
            effects.Identity: self._identity,
            effects.Signal: self._signal,
            effects.Processes: self._processes,
            effects.Opened: lambda _, e: [h.path for h in self.table[e.pid].handles] if e.pid in self.table else [],
            effects.Children: lambda p, _: bool(p.children),
            effects.Ended: self._ended,
            effects.Reap: self._reap,
            effects.Wait: self._wait,
            effects.Sleep: self._sleep,
            effects.Now: lambda _, __: (self.world.wall(self.name), self.mono(), self.boot_id),
            effects.Self: lambda p, _: self._self(p),
            effects.Environment: lambda _, __: {
                "needed": False,
                "argv": [],
                "extra": {},
                "python": "",
                "variables": {},
            },
            effects.Subreaper: self._subreaper,
            effects.Port: lambda _, __: 20000 + self.dice.randrange(20000),
            effects.Listen: self._listen,
            effects.Answer: self._answer,
            Exchange: self._exchange,
            StartKeeper: self._start_keeper,
        }

    def _subreaper(self, process: Process, _: Any) -> bool:
        process.subreaper = self.world.faults.subreapers
        return process.subreaper

    def _self(self, process: Process) -> dict[str, Any]:
        account = {"uid": 1000, "user": "ann", "home": "/h", "shell": "/bin/sh", "environ": {"PATH": "/bin"}}
        return {"pid": process.pid, "start": process.start, **account}


class _Line:
    """A client's connection, which ends with the keeper as a gate does with its shepherd."""

    def __init__(self, machine: Machine, number: int) -> None:
        self._machine = machine
        self._number = number

    def close(self) -> None:
        asker = self._machine.asks.get(self._number)
        if asker is not None:
            machine = self._machine
            machine.scheduler.after(machine.world.moment(), asker, machine._answered, self._number, None)
