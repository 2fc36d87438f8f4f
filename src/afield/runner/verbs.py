"""What a controller may ask of a node: a table from verb to answer.

Quick verbs answer at once. Verbs that may wait for a disk, a lock, the keeper or a driver run in forks of the link
(`SLOW`, by clerks); commands and folders that are followed answer in their own time.
"""

import os
import sys

from . import files, folder, orders, said
from .bootid import boot_id
from .child import Exec
from .clerks import Clerks
from .real import perform
from .refusal import Refusal, trouble

LOW = 15
"""How much clerks give way that work for later; such an order is a clerk's last, which cannot undo it."""

RUNS = 200


class Verbs:
    """The verbs of one link. A method gives the reply, or None when replies come later."""

    def __init__(self, link):
        self._link = link
        self._paths = link.paths
        self._inner = 0
        self._filled = {}
        self._again = set()
        self._landing = None
        self.clerks = Clerks(link, self._work)
        self._quick = {
            "ping": lambda head, data: {},
            "hello": lambda head, data: self.hello(),
            "facts": lambda head, data: self._facts(head["attempt"]),
            "watch": self._watch,
            "unwatch": self._unwatch,
            "read": self._read,
            "exec": self._exec,
            "cancel": self._cancel,
            "took": self._took,
            "tree.apply": self._apply,
            "uv.put": self._put_uv,
            "data.put": self._put_data,
            "attach": self._attach,
        }

    def answer(self, head, data):
        """The reply to one request, or None when it comes later. Raises what the verb meets."""
        verb = head.get("do")
        if verb in self._quick:
            return self._quick[verb](head, data)
        if verb not in SLOW:
            raise Refusal("unknown-verb", "the node does not know the verb %r" % verb)
        if verb == "launch" and head.get("watch") is not None:
            attempt = orders.name(head["spec"])
            # A launch that is repeated must not begin anew: what was seen last would count as told, and is not.
            if not self._link.follower.follows(attempt):
                self._link.follower.watch(attempt, head["watch"], self._link.now())
        self._give(head["id"], head, last=verb == "tidy")
        return None

    def finished(self, child):
        """A child of the link is done."""
        head = child.head
        if head.get("do") == "launch":
            self._link.follower.poke(orders.name(head["spec"]))
            if head["spec"].get("code") and child.reply.get("state") == "launched":
                self._refill(head["spec"]["code"]["workspace"])
        elif head.get("do") == "refill" and head["workspace"] in self._again:
            self._again.discard(head["workspace"])
            self._refill(head["workspace"])

    def read_facts(self, attempt):
        """The facts of a run folder, and how far the program says that it is."""
        return dict(perform(folder.facts(self._paths, attempt)), progress=said.progress(self._paths, attempt))

    def hello(self):
        """What does not change while this link lives."""
        from .probe import user_name

        return {
            "version": _version(),
            "python": "%d.%d.%d" % sys.version_info[:3],
            "boot": boot_id(),
            "machine": _line("/etc/machine-id"),
            "uid": os.getuid(),
            "user": user_name(os.getuid()),
            "home": os.path.expanduser("~"),
            "host": os.uname().nodename,
            "root": self._paths.root,
            "runroot": self._paths.runroot,
            "fs": "local" if self._paths.root == self._paths.runroot else "network",
        }

    def _facts(self, attempt):
        folder.split(attempt)
        return {"facts": self.read_facts(attempt)}

    def _watch(self, head, _):
        folder.split(head["attempt"])
        facts = self._link.follower.watch(head["attempt"], head.get("cursors") or {}, self._link.now())
        # A push, like all facts after them: who waits for a reply may see it after a push that came behind it.
        self._link.outlet.send({"on": "facts", "attempt": head["attempt"], "facts": facts})
        return {}

    def _unwatch(self, head, _):
        self._link.follower.unwatch(head["attempt"])
        return {}

    def _read(self, head, _):
        folder.split(head["attempt"])
        base = self._paths.run(head["attempt"]) if head["kind"] == "run" else self._paths.job(head["attempt"])
        size, data = files.read(base, head["path"], head["offset"], head["length"])
        return {"size": size, "data": data}

    def _exec(self, head, data):
        self._link.running[head["id"]] = Exec(self._link, head, data)

    def _cancel(self, head, _):
        child = self._link.running.get(head["request"])
        if child is not None:
            child.cancel(self._link.now())
        return {}

    def _took(self, head, _):
        child = self._link.running.get(head["request"])
        if isinstance(child, Exec):
            child.took(head["stream"], head["size"])

    def _apply(self, head, data):
        from . import tree

        return tree.apply_piece(self._paths.here(), head, data)

    def _put_uv(self, head, data):
        files.take_uv(self._paths.root + "/bin", head, data)
        return {}

    def _put_data(self, head, data):
        if self._landing is None:
            from .landing import Landing

            self._landing = Landing(head["base"])
        self._landing.take(head["item"], data)
        return {}

    def _attach(self, head, data):
        folder.split(head["attempt"])
        files.take_attached(self._paths.job(head["attempt"]) + "/call", head, data)
        return {}

    def _give(self, number, head, last=False):
        # Loaded here once, and not again in each clerk.
        from . import door, tree  # noqa: F401

        self._link.running[number] = self.clerks.give(number, head, last)

    def _work(self, head):
        """In a clerk: the replies to a request."""
        try:
            yield from DESK[head["do"]](self._paths, head)
        except Exception as error:  # noqa: BLE001 whatever a verb meets answers that request
            yield trouble(error), b""

    def _refill(self, workspace):
        """Has spares made where they pay; a small tree gets none, and is then looked after once per version only."""
        from . import tree

        busy = any(
            c.head.get("do") == "refill" and c.head["workspace"] == workspace for c in self._link.running.values()
        )
        if busy:
            self._again.add(workspace)  # what a launch took meanwhile, that one may have passed already
            return
        version = tree.small(self._paths.here(), workspace)
        if version is not None and self._filled.get(workspace) == version:
            return
        self._filled[workspace] = version
        self._inner -= 1
        self._give(self._inner, {"do": "refill", "workspace": workspace}, last=True)


def _one(function):
    def replies(paths, head):
        yield function(paths, head), b""

    return replies


def _probe(paths, head):
    from .probe import probe

    return probe(paths, head.get("hosts") or ())


def _launch(paths, head):
    spec = head["spec"]
    reply = perform(orders.launch(paths, spec, _staging(paths), _asking(paths), head.get("secrets")))
    if head.get("watch") is not None:
        reply["facts"] = perform(folder.facts(paths, orders.name(spec)))
    return reply


def _beside(paths, head):
    """What a command beside a process is given; with `script` the path of a script that becomes a shell there."""
    from . import beside

    variables, place = perform(beside.surroundings(paths, head["attempt"], head["rank"]))
    if not head.get("script"):
        return {"variables": variables, "cwd": place}
    path = "%s/shell.%d.%d" % (paths.run(head["attempt"]), head["rank"], os.getpid())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(beside.script(variables, place))
    return {"script": path}


def _staging(paths):
    def stage(code, place):
        from . import tree

        return tree.stage(paths.here(), code, place)
        yield

    return stage


def _asking(paths):
    def ask(head):
        from .door import connect

        if not _keeper:
            _keeper.append(connect(paths, _version()))
        return _keeper[0].request(head)
        yield

    return ask


_keeper = []  # a clerk's connection; a request over one that broke makes a new one


def _give_way(paths, head):
    from . import environment, environment_way

    folder.split(head["attempt"])
    place = environment.stage(paths, head["attempt"])
    return {"waits": environment_way.give(place, head["asked"], head["way"])}


def _seal(paths, head):
    reason = head.get("reason") or "sealed by the controller"
    return {"facts": perform(folder.seal(paths, head["attempt"], reason, head.get("by") or "controller"))}


def _go(paths, head):
    return {"facts": perform(orders.go(paths, head["attempt"], head["variables"], _asking(paths)))}


def _stop(paths, head):
    return {"facts": perform(orders.stop(paths, head, _asking(paths)))}


def _ack(paths, head):
    perform(folder.write_ack(paths, head["attempt"]))
    return {}


def _runs(paths, _head):
    batch = []
    for attempt in sorted(os.listdir(paths.runs)) if os.path.isdir(paths.runs) else ():
        if not os.path.exists(paths.run(attempt) + "/" + folder.ACKED):
            batch.append({"attempt": attempt, "facts": perform(folder.facts(paths, attempt))})
        if len(batch) == RUNS:
            yield {"runs": batch, "more": True}, b""
            batch = []
    yield {"runs": batch}, b""


def _clean(paths, head):
    from . import tidy

    for attempt in head["attempts"]:
        folder.split(attempt)
    return {"removed": [attempt for attempt in head["attempts"] if tidy.forget(paths, attempt)]}


def _leave(paths, head):
    from . import leave

    return leave.clean(paths, head["every"]) if head["act"] else leave.look(paths)


def _tidy(paths, head):
    from . import tidy

    os.nice(LOW)
    return tidy.tidy(paths, head["limits"])


def _find(paths, head):
    from . import data

    return data.find(paths, head)


def _list(paths, head):
    from . import data

    return data.listing(paths, head)


def _ready(paths, head):
    from . import data

    return data.ready(paths, head)


def _take_keep(paths, head):
    from . import keep

    return keep.take(paths, head)


def _fetch(paths, head):
    from . import download

    return download.fetch(paths, head)


def _get(paths, head):
    from . import data

    return data.get(paths, head)


def _listens(_paths, head):
    from . import listening

    return {"listens": [listening.listens(place) for place in head["places"]]}


def _refill(paths, head):
    from . import tree

    os.nice(LOW)
    tree.refill(paths.here(), head["workspace"])
    return ()


def _version():
    # On a node the code lies in r/DIGEST/afield_runner.
    return os.path.basename(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _line(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


SLOW = {
    "probe": _one(_probe),
    "launch": _one(_launch),
    "environment.way": _one(_give_way),
    "beside": _one(_beside),
    "seal": _one(_seal),
    "go": _one(_go),
    "stop": _one(_stop),
    "ack": _one(_ack),
    "runs": _runs,
    "clean": _one(_clean),
    "leave": _one(_leave),
    "tidy": _one(_tidy),
    "data.find": _one(_find),
    "data.list": _list,
    "data.get": _get,
    "data.fetch": _fetch,
    "keep.take": _one(_take_keep),
    "data.ready": _one(_ready),
    "listens": _one(_listens),
}

DESK = dict(SLOW, refill=_refill)
