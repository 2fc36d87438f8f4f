"""What follows an end: budgets, backoff, poison, and that the same history gives the same answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.model.attempt import Outcome
from afield.model.event import JobReleased
from afield.model.ids import AttemptId, JobNumber
from afield.model.policy import Policy
from afield.plan import retry
from afield.plan.retry import Again, Held, Over, judge, preferred
from tests.unit.plan.worlds import Story


def told_of(policy: Policy) -> Story:
    told = Story()
    told.node("box1")
    told.node("box2")
    told.submit("[]", policy=policy)
    return told


def cycle(told: Story, how: str, *, ran: float = 3600.0) -> None:
    """One more attempt that ends so, after its backoff; a held job is left held."""
    job = told.job(1)
    told.now = max(told.now, job.not_before) + 1
    told.step()
    if how == "never_start":
        told.never_start(1)
    else:
        told.start(1)
        told.now += ran
        told.lose(1, preempted=how == "preempt")
    told.step()


def test_before_the_first_attempt_nothing_follows() -> None:
    told = told_of(Policy.PASS)
    assert judge(told.job(1)) is None
    told.stop(1)
    assert judge(told.job(1)) == Over(Outcome.STOPPED)


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize(("code", "outcome"), [(0, Outcome.SUCCEEDED), (3, Outcome.FAILED)])
def test_what_the_program_did_is_final(policy: Policy, code: int, outcome: Outcome) -> None:
    told = told_of(policy)
    told.start(1)
    told.exit(1, code)
    assert judge(told.job(1)) == Over(outcome)


def test_pass_ends_with_a_loss_and_resume_goes_on() -> None:
    for policy, over in ((Policy.PASS, True), (Policy.RESUME, False), (Policy.RERUN, False)):
        told = told_of(policy)
        told.start(1)
        told.now += 3600
        told.lose(1)
        assert isinstance(judge(told.job(1)), Over) == over


def test_a_wish_to_stop_ends_what_would_go_on() -> None:
    told = told_of(Policy.RESUME)
    told.start(1)
    told.now += 3600
    told.lose(1)
    told.stop(1)
    assert judge(told.job(1)) == Over(Outcome.STOPPED)


@pytest.mark.parametrize("policy", list(Policy))
def test_never_started_is_placed_again_under_any_policy_and_held_after_five(policy: Policy) -> None:
    told = told_of(policy)
    waits = []
    for n in range(1, 6):
        assert told.job(1).hold == ""
        cycle(told, "never_start")
        assert len(told.job(1).attempts) == n
        waits.append(told.job(1).not_before - told.now)
    assert "5 attempts in a row never started; the last: device gpu0 is held by job 9" in told.job(1).hold
    assert all(0 < wait < 60 for wait in waits[:4])
    assert waits[:4] == sorted(waits[:4])


def test_never_started_costs_no_budget_and_a_start_between_clears_it() -> None:
    told = told_of(Policy.RESUME)
    for how in ["never_start"] * 4 + ["lose"] + ["never_start"] * 4:
        cycle(told, how)
        assert told.job(1).hold == ""
    for _ in range(4):
        cycle(told, "lose")
    assert told.job(1).hold == ""


def test_faults_have_a_budget_of_five_in_a_day() -> None:
    told = told_of(Policy.RESUME)
    waits = []
    for _ in range(5):
        cycle(told, "lose")
        assert told.job(1).hold == ""
        waits.append(told.job(1).not_before - told.now)
    assert waits == sorted(waits)
    assert all(30 <= wait <= 600 * 1.25 for wait in waits)
    cycle(told, "lose")
    assert "lost 6 times within 24 h, 5 is the budget" in told.job(1).hold


def test_old_faults_are_forgotten() -> None:
    told = told_of(Policy.RESUME)
    for _ in range(12):
        cycle(told, "lose", ran=6 * 3600.0)
        assert told.job(1).hold == ""


def test_preemptions_have_no_budget() -> None:
    told = told_of(Policy.PRE)
    for _ in range(12):
        cycle(told, "preempt")
        assert told.job(1).hold == ""
        assert 60 <= told.job(1).not_before - told.now <= 75


@pytest.mark.parametrize(("ran", "held"), [(59.0, True), (61.0, False)])
def test_three_short_lives_are_poison(ran: float, held: bool) -> None:
    told = told_of(Policy.RESUME)
    for _ in range(3):
        assert told.job(1).hold == ""
        cycle(told, "lose", ran=ran)
    assert ("ended within 60 s" in told.job(1).hold) == held


def test_a_release_forgives_and_starts_at_once() -> None:
    told = told_of(Policy.RERUN)
    for _ in range(3):
        cycle(told, "lose", ran=1.0)
    assert told.job(1).hold
    told.tell(JobReleased(JobNumber(1), "ana"))
    assert judge(told.job(1)) == Again(0.0, "released")
    told.step()
    assert told.job(1).live is not None
    told.start(1)
    told.lose(1)
    assert isinstance(judge(told.job(1)), Again), "the count begins again"


def test_a_release_ends_a_backoff() -> None:
    told = told_of(Policy.RESUME)
    cycle(told, "lose")
    assert told.job(1).not_before > told.now
    told.tell(JobReleased(JobNumber(1), "ana"))
    told.step()
    assert told.job(1).live is not None


def test_who_resumes_goes_back_and_who_never_started_goes_elsewhere() -> None:
    told = told_of(Policy.RESUME)
    assert preferred(told.job(1)) == (frozenset(), frozenset())
    told.start(1)
    told.now += 3600
    told.lose(1)
    assert preferred(told.job(1)) == (frozenset({"box1"}), frozenset())
    told = told_of(Policy.RESUME)
    told.step()
    told.never_start(1)
    assert preferred(told.job(1)) == (frozenset(), frozenset({"box1"}))
    told.now += 60
    told.step()
    assert told.where(1) == [("box2", ())]


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_jitter_is_a_fraction_and_always_the_same(job: int, number: int) -> None:
    name = AttemptId(JobNumber(job), number)
    assert 0 <= retry.jitter(name) < 1
    assert retry.jitter(name) == retry.jitter(AttemptId(JobNumber(job), number))


def test_jitter_spreads() -> None:
    values = {round(retry.jitter(AttemptId(JobNumber(job), 1)), 2) for job in range(1, 200)}
    assert len(values) > 60


def test_a_held_verdict_says_why() -> None:
    told = told_of(Policy.RESUME)
    verdicts = []
    for _ in range(3):
        told.now = max(told.now, told.job(1).not_before) + 1
        told.start(1)
        told.lose(1)
        verdicts.append(judge(told.job(1)))
        told.step()
    assert [type(v) for v in verdicts] == [Again, Again, Held]
    assert "reboot" in verdicts[-1].reason
