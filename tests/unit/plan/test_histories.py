"""Generated lives of a small fleet: whatever happens in whatever order, the invariants hold and every job ends."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from afield.model import event as ev
from afield.model.action import Ack, Decide, Hold, Launch, OrderStop, Place, Stop, Wake
from afield.model.attempt import Attempt, Exited, State, Why
from afield.model.ids import JobNumber, NodeName
from afield.model.job import Goal, Job
from afield.model.machine import fold, forget
from afield.model.node import Health
from afield.model.policy import Policy
from afield.model.request import ANY_MODEL
from afield.model.world import World
from afield.plan.order import line
from afield.plan.place import impossible
from afield.plan.step import step
from tests.unit.plan.worlds import Story

REQUESTS = ["[]", "[a]", "[2:a]", "2:[a]", "[cpu=2,mem=10G]", "2:[2:a],[]", "[gpu]", "4:[b]", "[4:b]"]
NODES = ["box1", "box2", "pod-0", "pod-1"]


def fleet() -> Story:
    told = Story()
    told.node("box1", "a", "a", cpu=4.0)
    told.node("box2", "a", "a", "b", cpu=4.0)
    told.node("pod-0", "b", "b", slice="pod")
    told.node("pod-1", "b", "b", slice="pod")
    return told


def submit(told: Story, data: st.DrawFn) -> None:
    told.submit(
        data(st.sampled_from(REQUESTS)), policy=data(st.sampled_from(list(Policy))), priority=data(st.integers(0, 2))
    )


def progress(told: Story, data: st.DrawFn) -> None:
    """Something happens to a live attempt."""
    live = [j.live for j in told.world.jobs.values() if j.live is not None]
    if live:
        attempt = data(st.sampled_from(live))
        told.tell(data(st.sampled_from(happenings(attempt))))


def happenings(attempt: Attempt) -> list[ev.Event]:
    """What the table allows next."""
    name = attempt.id
    ranks = [p.rank for p in attempt.placements]
    news: list[ev.Event] = [ev.AttemptGone(name, False, "reboot"), ev.AttemptGone(name, True, "taken back")]
    if attempt.state in (State.PLACED, State.PREPARING):
        news += [ev.PrepareStarted(name), ev.AttemptStarted(name), ev.NeverStarted(name, "sealed")]
        news += [ev.PrepareFailed(name, "setup", "exit code 1")]
    if attempt.state is State.RUNNING:
        news += [ev.StopOrdered(name, why) for why in Why]
    if attempt.state is State.STOPPING:
        news += [ev.AttemptExited(name, tuple(Exited(r, 0) for r in ranks), by_us=True)]
    if attempt.state is not State.PLACED:
        news += [ev.AttemptExited(name, tuple(Exited(r, code) for r in ranks)) for code in (0, 1)]
    return news


def person(told: Story, data: st.DrawFn) -> None:
    """Somebody stops, wishes again or releases a job."""
    if told.world.jobs:
        number = data(st.sampled_from(sorted(told.world.jobs)))
        wishes: list[ev.Event] = [ev.GoalSet(number, goal, "ana") for goal in Goal]
        told.tell(data(st.sampled_from([*wishes, ev.JobReleased(number, "ana")])))


def weather(told: Story, data: st.DrawFn) -> None:
    """News of a node."""
    node = NodeName(data(st.sampled_from(NODES)))
    health = data(st.sampled_from([Health.READY, Health.READY, Health.UNREACHABLE, Health.GONE]))
    told.tell(ev.NodeObserved(node, health), ev.NodeSet(node, drained=data(st.booleans())))


def think(told: Story, data: st.DrawFn) -> None:
    """A step; some of the nodes hear of the ends that they are told."""
    for action in told.step():
        if isinstance(action, Ack) and data(st.booleans()):
            told.tell(ev.AttemptAcked(action.attempt))
            forget(told.world, told.world.jobs[action.attempt.job])


def wait(told: Story, data: st.DrawFn) -> None:
    told.now += data(st.sampled_from([1.0, 50.0, 5000.0]))


@st.composite
def histories(draw: st.DrawFn) -> Story:
    told = fleet()
    moves = st.sampled_from([submit, submit, progress, progress, progress, think, think, person, weather, wait])
    for move in draw(st.lists(moves, max_size=40)):
        move(told, draw)
    return told


@settings(max_examples=150, deadline=None)
@given(histories())
def test_the_invariants_hold_and_a_plan_is_lawful(told: Story) -> None:
    actions = step(told.world, told.now)
    assert actions == step(told.world, told.now)
    for action in actions:
        if isinstance(action, Place):
            job = told.job(action.attempt.job)
            assert (job.waiting, job.hold, job.goal) == (True, "", Goal.RUN)
            assert all(told.world.nodes[p.node].health is Health.READY for p in action.placements)
        if isinstance(action, Wake):
            assert action.at > told.now
        if isinstance(action, Launch | Stop):
            live = told.job(action.attempt.job).live
            assert live is not None
            assert (live.state is State.STOPPING) == isinstance(action, Stop)
    told.step()
    again = step(told.world, told.now)
    recorded = [a for a in again if isinstance(a, Place | OrderStop | Decide | Hold)]
    assert not recorded, "one step grants, orders, decides and holds all that can be"
    if not [a for a in actions if isinstance(a, Place | OrderStop | Decide | Hold)]:
        assert again == actions, "where nothing was recorded the plan is the same"


@settings(max_examples=100)
@given(histories())
def test_what_is_told_as_done_is_not_asked_for_again(told: Story) -> None:
    for action in told.step():
        before = step(told.world, told.now)
        match action:
            case Ack(attempt):
                told.tell(ev.AttemptAcked(attempt))
            case Launch(attempt):
                told.tell(ev.AttemptStarted(attempt))
            case Stop(attempt):
                told.tell(ev.AttemptExited(attempt, (), by_us=True))
            case _:
                continue
        assert action in before
        assert action not in step(told.world, told.now)


@settings(max_examples=100)
@given(histories())
def test_a_gang_is_placed_whole_on_what_is_free_and_in_order_of_the_line(told: Story) -> None:
    before = {(p.node, d) for a in told.world.live() for p in a.placements for d in p.devices}
    waiting = [j.number for j in line(told.world, told.now)]
    placed = [a for a in told.step() if isinstance(a, Place)]
    order = [waiting.index(a.attempt.job) for a in placed]
    assert order == sorted(order)
    for action in placed:
        request = told.job(action.attempt.job).request
        assert [p.rank for p in action.placements] == list(range(request.processes))
        for p in action.placements:
            asked = request.groups[p.group].devices
            models = Counter(d.partition("#")[0] for d in p.devices)
            assert sum(models.values()) == sum(ask.count for ask in asked)
            assert all(models[ask.model] >= ask.count for ask in asked if ask.model != ANY_MODEL)
            fresh = {(p.node, d) for d in p.devices}
            assert len(fresh) == len(p.devices)
            assert not fresh & before, "a device is granted twice"
            before |= fresh


@settings(max_examples=60, deadline=None)
@given(histories())
def test_the_log_told_again_gives_the_same_world(told: Story) -> None:
    again = World()
    for record in told.records:
        fold(again, record)
    assert again.nodes == told.world.nodes
    assert {n: again.jobs[n] for n in told.world.jobs} == told.world.jobs


def settled(job: Job, world: World) -> bool:
    """Over, or held for a person, or asking for what is not there."""
    never = impossible(job.request, job.nodes, world) is not None
    return job.decided is not None or bool(job.hold) or never


@settings(max_examples=100, deadline=None)
@given(histories())
def test_when_nothing_breaks_any_more_everybody_reaches_an_end(told: Story) -> None:
    for node in NODES:
        told.tell(ev.NodeObserved(NodeName(node), Health.READY), ev.NodeSet(NodeName(node), drained=False))
    for _ in range(200):
        waking = [a.at for a in told.step() if isinstance(a, Wake)]
        live = [j.live for j in told.world.jobs.values() if j.live is not None]
        if live:
            first = live[0]
            told.tell(ev.PrepareStarted(first.id), ev.AttemptStarted(first.id))
            told.now += 100
            told.exit(first.id.job, by_us=first.state is State.STOPPING)
        elif waking:
            told.now = min(waking)
        else:
            break
    told.step()
    left = {n: (j.phase, j.hold) for n, j in told.world.jobs.items() if not settled(j, told.world)}
    assert not left, left


def test_a_story_needs_a_job() -> None:
    assert fleet().submit() == JobNumber(1)
