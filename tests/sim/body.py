"""Programs of simulated jobs: they wait at gates, write output and a ledger of their own, and end as they like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afield.testing.ledger import Run
from tests.sim.kernel import CONT, KILL, TERM
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.machine import Machine


class Gate:
    """The pipe before which a forked program waits."""

    def __init__(self) -> None:
        self.word = ""
        self.body: Body | None = None

    def open(self) -> None:
        """The program may run."""
        self._decide("open")

    def close(self) -> None:
        """It will never; told as well when the other end dies."""
        self._decide("closed")

    def _decide(self, word: str) -> None:
        if not self.word:
            self.word = word
            if self.body is not None:
                self.body.look_at_gate()


class Body:
    """What one forked process does, from its gate to its end. Its doings are drawn when it runs."""

    def __init__(self, machine: Machine, process: Process, effect: Any, gate: Gate) -> None:
        self.machine = machine
        self.process = process
        self.world = machine.world
        self.dice = machine.dice
        self.effect = effect
        self.gate = gate
        self.run: Run | None = None
        self.at_gate = False
        self.plan: Any = None
        self.on_term: tuple[str, int] = ("die", 0)
        self._after(self._begin)

    def _after(self, call: Any, *args: Any) -> None:
        self.machine.scheduler.after(self.world.moment(), self.process, call, *args)

    # ---- the gate

    def _begin(self) -> None:
        self.at_gate = True
        self.gate.body = self
        self.look_at_gate()

    def look_at_gate(self) -> None:
        """The gate was opened or closed, perhaps before we came."""
        if self.at_gate and self.gate.word:
            self.at_gate = False
            self._after(self._execute if self.gate.word == "open" else self._leave)

    def _leave(self) -> None:
        record = self.effect.unopened
        self._write(self.machine.writing(record[0], record[1], f"gate.{self.process.pid}") if record else [])

    def _write(self, stages: list[Any]) -> None:
        try:
            if stages:
                stages[0]()
        except OSError:
            self.machine.exit(self.process, None, KILL)
            return
        if len(stages) > 1:
            self._after(self._write, stages[1:])
        else:
            self.machine.exit(self.process, 0, None)

    # ---- running

    def _execute(self) -> None:
        process, env = self.process, self.effect.env
        process.role = "program"
        process.mark = env.get("AFIELD_MARK", "")
        argv = self.effect.argv
        if argv[0] == "body":
            self._program(self.world.scenario.bodies[argv[1]])
        elif argv[0] == "stage":
            self._stage(argv)
        else:
            self._shell()

    def _shell(self) -> None:
        """A login shell that is asked for its PATH; some hang."""
        self.process.role = "login"
        self._write_out("out", b"welcome\nPATH=/opt/bin:/bin\n")
        if self.dice.random() < 0.9:
            self._end_after(self.dice.uniform(0.01, 0.5), 0)

    def _stage(self, argv: list[str]) -> None:
        self.run = self.world.began(self.machine, self.process, -1, "stage")
        self._write_out("err", b"stage says\n")
        self._end_after(self.dice.uniform(0.01, 2.0), int(argv[1]))

    def _program(self, plan: Any) -> None:
        dice = self.dice
        self.plan = plan
        rank = int(self.effect.env["RANK"])
        self.run = self.world.began(self.machine, self.process, rank, "program")
        lasts = plan.lasts * dice.uniform(0.5, 1.5)
        self.on_term = dice.choice(plan.on_term)
        for _ in range(dice.randrange(plan.chunks + 1)):
            data = b"%d.%d said %d\n" % (self.run.job, self.run.attempt, dice.randrange(10**6))
            stream = dice.choice(("out", "err"))
            self.machine.scheduler.after(dice.uniform(0, lasts), self.process, self._write_out, stream, data)
        if dice.random() < plan.daemons:
            self.machine.scheduler.after(dice.uniform(0, lasts), self.process, self._daemon)
        self._end_after(lasts, dice.choice(plan.codes))

    def _write_out(self, stream: str, data: bytes) -> None:
        path = self.effect.out if stream == "out" else self.effect.err
        try:
            written = self.machine.disk.append(path, data)
        except OSError:
            return
        if self.run is not None and written:
            name = path.rpartition("/")[2]
            self.run.wrote[name] = self.run.wrote.get(name, b"") + data[:written]

    def _daemon(self) -> None:
        """A child that may leave the session, close what it inherited and outlive its parent."""
        dice, machine = self.dice, self.machine
        child = machine.fork(self.process, "daemon")
        unmarked = self.plan is not None and self.plan.unmarked and self.world.faults.subreapers
        if unmarked:
            child.mark = ""
        elif dice.random() < 0.5:
            child.session = self.process.session
        if unmarked or dice.random() < 0.5:
            machine.inherit(self.process.handles, child)
        body = Body.__new__(Body)
        body.machine, body.process, body.world, body.dice = machine, child, self.world, dice
        body.effect, body.gate, body.plan = self.effect, self.gate, None
        body.on_term = dice.choice((("die", 0), ("ignore", 0)))
        body.run = self.world.began(machine, self.process, self.run.rank if self.run else 0, "daemon")
        child.body = body
        body._end_after(dice.uniform(0.05, 20.0), 0)

    def _end_after(self, seconds: float, code: int) -> None:
        self.machine.scheduler.after(seconds, self.process, self.machine.exit, self.process, code, None)

    # ---- ends

    def signalled(self, number: int) -> None:
        """A signal but KILL."""
        if number == CONT:
            return
        how, code = self.on_term if number == TERM and self.run is not None else ("die", 0)
        if how == "die":
            self.machine.exit(self.process, None, number)
        elif how == "exit":
            self._end_after(self.dice.uniform(0.0, 1.0), code)

    def ended(self) -> None:
        """The process is no more."""
        if self.run is not None:
            self.world.over(self.run, self.process.code, self.process.signal)
