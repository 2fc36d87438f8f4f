"""How often the kernel has killed for want of memory: the counter nearest to a program, as generators of effects.

A control group's own counter has every such kill of its processes, whatever the cause. Without one there is the count
of the whole node, which tells of others' processes too.
"""

from .effects import Read

GROUP, NODE = "group", "node"


def kills():
    """{"of": "group" or "node", "count"} of the group that we, and what we start, are in; None where nothing counts."""
    place = _counter(((yield from _text("/proc/self/cgroup")) or ""))
    for of, path in ((GROUP, place), (NODE, "/proc/vmstat")):
        count = _count((yield from _text(path)) or "") if path else None
        if count is not None:
            return {"of": of, "count": count}
    return None


def since(before):
    """The same since an earlier look; None when the two do not tell the same thing."""
    now = yield from kills()
    if before is None or now is None or now["of"] != before.get("of") or now["count"] < before.get("count", 0):
        return None
    return {"of": now["of"], "count": now["count"] - before["count"]}


def _text(path):
    try:
        data = yield Read(path, 1 << 16)
    except OSError:
        return None
    return None if data is None else data.decode("ascii", "replace")


def _counter(groups):
    """The file with the counter, of the text of /proc/self/cgroup."""
    for line in groups.split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if "memory" in controllers.split(","):
            return "/sys/fs/cgroup/memory" + place.rstrip("/") + "/memory.oom_control"
        if number == "0" and place:
            return "/sys/fs/cgroup" + place.rstrip("/") + "/memory.events"
    return ""


def _count(text):
    for line in text.split("\n"):
        words = line.split()
        if len(words) == 2 and words[0] == "oom_kill" and words[1].isdigit():
            return int(words[1])
    return None
