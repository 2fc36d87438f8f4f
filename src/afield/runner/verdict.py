"""What the facts of a run folder prove: a pure function, the same on the node, in the controller and in a simulator."""

ABSENT = "absent"
PREPARING = "preparing"
READY = "ready"
LIVE = "live"
ENDING = "ending"
ENDED = "ended"
SETUP_FAILED = "setup_failed"
NEVER_STARTED = "never_started"
ORPHAN = "orphan"
NEEDS_SEAL = "needs_seal"
DEAD = "dead"

WORDS = (ABSENT, PREPARING, READY, LIVE, ENDING, ENDED, SETUP_FAILED, NEVER_STARTED, ORPHAN, NEEDS_SEAL, DEAD)

# Nobody changes a folder of these any more.
CLOSED = (ENDED, SETUP_FAILED, NEVER_STARTED, DEAD)


def verdict(facts):
    """The word for these facts, one of WORDS."""
    final = facts["final"]
    if final is not None:
        return SETUP_FAILED if final.get("stage") else ENDED
    if facts["lock"] == "held":
        return _watched(facts)
    if any(p["alive"] for p in _all(facts)):
        return ORPHAN
    if facts["sealed"] is None:
        return ABSENT if facts["lock"] == "none" and not began(facts) else NEEDS_SEAL
    if _complete(facts):
        return ENDED
    return DEAD if began(facts) else NEVER_STARTED


def reason(facts):
    """Why it is so, in a few words for people; "" when the word says it all."""
    word = verdict(facts)
    if word == SETUP_FAILED:
        return "%s failed" % facts["final"]["stage"]
    if word == NEVER_STARTED:
        return (facts["sealed"] or {}).get("reason", "")
    if word == DEAD:
        boots = {p["started"].get("boot") for p in facts["processes"].values() if p["started"]}
        return "both watchers were killed" if facts["boot"] in boots else "reboot"
    return ""


def waits_for_way(facts):
    """What the build of the environment asks: {"id", "lost", "most"} while it waits for a way, else None."""
    asks = (facts.get("stages", {}).get("environment") or {}).get("asks") or {}
    return asks if asks.get("waits") and verdict(facts) == PREPARING else None


def exits(facts):
    """The known ends of the processes: [{"rank", "code", "signal", and "oom" where it says something}], by rank."""
    found = []
    for rank, process in facts["processes"].items():
        leave = process["exit"]
        if _real(leave):
            found.append(dict(_how(leave), rank=int(rank)))
    return sorted(found, key=lambda end: end["rank"])


def _how(leave):
    """The end itself, and what the node knows of a SIGKILL that nobody of us sent (`oom`: see memory.since)."""
    kept = {"code": leave.get("code"), "signal": leave.get("signal")}
    return dict(kept, oom=leave["oom"]) if "oom" in leave else kept


def began(facts):
    """Whether a program may have run: started, and not proven to have left behind its closed gate."""
    return any(p["started"] is not None and not _unopened(p["exit"]) for p in facts["processes"].values())


def _watched(facts):
    if _complete(facts):
        return ENDING
    if began(facts):
        return LIVE
    return READY if facts["ready"] is not None else PREPARING


def _complete(facts):
    ends = [_real(p["exit"]) for p in facts["processes"].values()]
    return bool(ends) and all(ends)


def _real(leave):
    return leave is not None and (leave.get("code") is not None or leave.get("signal") is not None)


def _unopened(leave):
    return leave is not None and leave.get("by") == "gate"


def _all(facts):
    return list(facts["processes"].values()) + list(facts["stages"].values())
