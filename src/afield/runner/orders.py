"""What a controller orders about attempts: launch, go, stop, and the list of all. Logic only, as generators of effects.

`ask` and `stage` are generator functions that are handed in: one request to the keeper, and the attempt's own copy of
the code. Every order may be given twice.
"""

from . import folder, verdict
from .refusal import Refusal


def name(spec):
    """The attempt of a spec, "JOB.N". Raises ValueError."""
    attempt = "%s.%s" % (spec["job"], spec["attempt"])
    folder.split(attempt)
    return attempt


def launch(paths, spec, stage, ask, secrets=None):
    """Brings an attempt to its start: {"state", "reason", "have"}; the state is launched, already, sealed or need.

    An orphan, whose watchers were killed, gets a watcher again. `secrets`, values by name, go to the shepherd's memory
    and are written nowhere.
    """
    attempt = name(spec)
    known = yield from folder.read_spec(paths, attempt)
    if known is not None and known["nonce"] != spec["nonce"]:
        raise Refusal(
            "conflict", "attempt %s is on the node already, from another launch" % attempt, "its nonce differs"
        )
    facts = yield from folder.facts(paths, attempt)
    word = verdict.verdict(facts)
    if word == verdict.NEVER_STARTED:
        return _state("sealed", verdict.reason(facts))
    if word == verdict.ORPHAN:
        yield from _asked(ask, "poke", attempt)
    if word != verdict.ABSENT:
        return _state("already", word)
    if spec.get("code"):
        need = yield from stage(spec["code"], paths.job(attempt) + "/src")
        if need is not None:
            return _state("need", have=need["need"])
    yield from folder.write_spec(paths, attempt, spec)
    reply = yield from _asked(ask, "start", attempt, **({"secrets": secrets} if secrets else {}))
    if reply["state"] == "sealed":
        return _state("sealed", reply["reason"])
    return _state("launched" if reply["state"] == "started" else "already", reply["state"])


def go(paths, attempt, variables, ask):
    """Opens the gate of a gang's part on this node; the facts after it."""
    yield from folder.write_go(paths, attempt, variables)
    yield from _asked(ask, "poke", attempt)
    return (yield from folder.facts(paths, attempt))


def stop(paths, head, ask):
    """Writes the stop order and wakes who cares for the attempt, the keeper where nobody does; the facts after it."""
    attempt = head["attempt"]
    yield from folder.write_stop(paths, attempt, head)
    yield from _asked(ask, "poke", attempt)
    return (yield from folder.facts(paths, attempt))


def _asked(ask, do, attempt, **more):
    reply = yield from ask(dict(more, do=do, attempt=attempt))
    if "error" in reply:
        error = reply["error"]
        raise Refusal(error.get("code", "keeper"), error.get("what", ""), error.get("why", ""))
    return reply


def _state(state, reason="", have=None):
    return {"state": state, "reason": reason, "have": have}
