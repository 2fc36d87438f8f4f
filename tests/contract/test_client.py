"""What a client may rely on, against a real server: answers, errors, streams, and their going on after a kill."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from afield.errors import Conflict, Exit, NotAllowed, NotFound, NothingFits, UsageError
from afield.runner import wire
from afield.sdk.client import submit_key
from afield.sdk.http import Connection
from afield.testing.waiting import wait_until
from tests.unit.server.fixtures import place as place
from tests.unit.server.fixtures import shared as shared
from tests.unit.server.memory import output
from tests.unit.server.place import Place, job

MANY = 400_000
"""Lines of output that no socket buffer holds."""


def submit(place: Place, *argv: str, **more: object) -> int:
    return int(place.client.submit([job(*argv, **more)])[0]["number"])


def test_submit_gives_views_in_order(place: Place) -> None:
    views = place.client.submit([job("lines", str(n), name=f"n{n}") for n in range(3)])
    assert [v["name"] for v in views] == ["n0", "n1", "n2"]
    assert [v["number"] for v in place.client.jobs(all=True)] == [3, 2, 1]
    assert place.client.job(2)["command"] == ["lines", "1"]
    assert place.client.why(2)["job"] == 2


def test_bytes_that_are_no_text_arrive_as_they_are(shared: Place) -> None:
    view = shared.client.submit([job("cat", "caf\udce9")])[0]
    assert os.fsencode(view["command"][1]) == b"caf\xe9"


def test_the_same_key_is_the_same_job_and_never_another(shared: Place) -> None:
    asked = job("lines", "1", key=submit_key())
    first = shared.client.submit([asked])[0]["number"]
    assert shared.client.submit([asked])[0]["number"] == first
    with pytest.raises(Conflict, match="was used for another job"):
        shared.client.submit([{**asked, "name": "other"}])


def test_a_submission_survives_the_death_of_the_server_in_the_middle(place: Place) -> None:
    before = place.client.hello()["pid"]
    view = place.client.submit([job("die")])[0]
    assert view["number"] == 1
    assert [v["number"] for v in place.client.jobs(all=True)] == [1]
    assert place.client.hello()["pid"] != before


def test_rerun_submits_the_same_task_under_a_new_key(shared: Place) -> None:
    first = submit(shared, "lines", "7", name="seven", nodes=["box1"])
    again = shared.client.rerun(first)
    assert (again["number"], again["name"], again["command"]) == (first + 1, "seven", ["lines", "7"])


def test_errors_come_as_the_class_they_were_with_all_they_said(shared: Place) -> None:
    with pytest.raises(NotFound) as missing:
        shared.client.job(99999)
    assert missing.value.hints == ("afield ps --all",)
    assert missing.value.exit is Exit.NOT_FOUND
    with pytest.raises(NothingFits, match="no node fits"):
        shared.client.submit([job("true", nodes=["nowhere"])])
    with pytest.raises(NotFound, match="nothing at GET /v1/nothing"):
        shared.client._view("GET", "/v1/nothing")
    with pytest.raises(NotFound, match="no job 55555"):
        list(shared.client.follow(55555))
    with pytest.raises(NotFound, match="no node nowhere"):
        list(shared.client.execute(["box1", "nowhere"], ["true"]))


def attached(name: str, blob: str) -> dict[str, object]:
    """A change that lets a file come with the job."""
    code = {"workspace": "w", "tree": "t", "root": "/r"}
    return {"task": {"argv": ["a"], "code": code, "attached": [{"name": name, "blob": blob, "size": 1}]}}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"colour": "red"}, r"jobs\.1\.colour"),
        ({"task": {"argv": ["a"], "shape": 1}}, r"jobs\.1\.task\.shape"),
        ({"task": {"argv": []}}, r"jobs\.1\.task\.argv"),
        ({"task": {"argv": ["a\0b"]}}, r"jobs\.1\.task"),
        ({"task": {"argv": ["a"], "variables": [["A=B", "c"]]}}, r"jobs\.1\.task\.variables"),
        ({"task": {"argv": ["a"], "grace_s": float("nan")}}, r"jobs\.1\.task\.grace_s"),
        (attached("../up", "ab" * 20), r"jobs\.1\.task\.attached"),
        (attached("function", "no hash"), r"jobs\.1\.task\.attached"),
        ({"request": {"groups": [{"count": "many"}]}}, r"jobs\.1\.request\.groups\.0\.count"),
        ({"policy": "perhaps"}, r"jobs\.1\.policy"),
        ({"priority": 10**9}, r"jobs\.1\.priority"),
        ({"key": ""}, r"jobs\.1\.key"),
    ],
)
def test_a_bad_submission_is_refused_with_its_place(shared: Place, change: dict[str, object], path: str) -> None:
    before = len(shared.client.jobs(all=True))
    with pytest.raises(UsageError, match=path):
        shared.client.submit([job("true"), {**job("true"), **change}])
    assert len(shared.client.jobs(all=True)) == before


def test_numbers_out_of_range_are_usage_and_no_fault(shared: Place) -> None:
    with pytest.raises(UsageError, match="number"):
        shared.client.job(10**30)
    number = submit(shared, "true")
    with pytest.raises(UsageError, match="cursors"):
        list(shared.client._fresh().frames("GET", f"/v1/jobs/{number}/follow?cursors=[]"))


def test_a_wrong_token_is_refused_and_hello_needs_none(shared: Place) -> None:
    shared.client.hello()
    connection = Connection(shared.folders.socket, "wrong")
    connection.connect()
    assert connection.hello()["store"] == "memory"
    with pytest.raises(NotAllowed, match="token"):
        connection.call("GET", "/v1/jobs")
    with pytest.raises(NotAllowed, match="token"):
        connection.call("POST", "/v1/leave")
    connection.close()


def test_nodes(shared: Place) -> None:
    client = shared.client
    client.add_node({"name": "box1", "target": "me@box1"})
    with pytest.raises(Conflict):
        client.add_node({"name": "box1", "target": "me@box1"})
    assert client.set_node("box1", {"drained": True})["drained"] is True
    assert client.probe_node("box1")["probed"] is True
    assert client.node("box1") == client.nodes()[0]
    assert client.remove_node("box1", force=True)["force"] is True
    with pytest.raises(NotFound, match="no node box1"):
        client.node("box1")


def test_each_request_brings_the_callers_agent(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent.1")
    assert shared.client.shell("box1")["agent"] == "/run/agent.1"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert shared.client.shell("box1")["agent"] == "/run/agent.1"


def test_follow_gives_every_byte_once_and_ends(shared: Place) -> None:
    number = submit(shared, "lines", str(MANY))
    cursors: dict[str, int] = {}
    frames = list(shared.client.follow(number, cursors))
    assert b"".join(data for _, data in frames) == output(MANY)
    assert [h["on"] for h, _ in frames][:2] == ["job", "stage"]
    assert frames[-1][0]["on"] == "end"
    assert cursors == {f"{number}.1/p0/out": len(output(MANY))}


def test_follow_goes_on_after_the_server_was_killed(place: Place) -> None:
    place.client.submit([job("lines", str(MANY))])
    frames = place.client.follow(1)
    first = list(islice(frames, 4))
    killed = place.kill()
    rest = list(frames)
    assert b"".join(data for _, data in first + rest) == output(MANY)
    told = [h["on"] for h, _ in first + rest if h["on"] != "out"]
    assert told == ["job", "stage", "end"]
    assert place.pid != killed


def test_follow_goes_on_when_the_server_was_asked_to_leave(place: Place) -> None:
    place.client.submit([job("forever")])
    frames = place.client.follow(1)
    list(islice(frames, 2))
    before = place.pid
    assert place.client.leave()
    place.client.stop(1)
    assert next(iter(frames))[0]["job"]["outcome"] == "stopped"
    assert next(iter(frames))[0]["on"] == "end"
    assert place.pid != before


def test_cursors_say_where_to_go_on(shared: Place) -> None:
    number = submit(shared, "lines", "100000")
    cursors: dict[str, int] = {}
    frames = shared.client.follow(number, cursors)
    taken = b"".join(data for _, data in islice(frames, 4))
    frames.close()  # type: ignore[attr-defined]
    assert 0 < cursors[f"{number}.1/p0/out"] <= len(taken)
    rest = b"".join(data for _, data in shared.client.follow(number, cursors))
    assert (taken + rest)[: len(taken)] == output(100000)[: len(taken)]
    assert rest == output(100000)[-len(rest) :]


def test_a_tail_is_the_end_of_what_there_is(shared: Place) -> None:
    number = submit(shared, "lines", "100000")
    cursors: dict[str, int] = {}
    tail = b"".join(data for _, data in shared.client.follow(number, cursors, tail=1000))
    assert tail == output(100000)[-1000:]
    assert b"".join(data for _, data in shared.client.follow(number, cursors, tail=1000)) == b"", "cursors go first"


def test_a_reader_that_hangs_up_ends_the_stream_in_the_controller(shared: Place) -> None:
    number = submit(shared, "forever")
    frames = shared.client._fresh().frames("GET", f"/v1/jobs/{number}/follow")
    next(frames)
    frames.close()
    wait_until((shared.state / f"let-go-{number}").exists)


def test_a_slow_reader_holds_the_controller_back(place: Place) -> None:
    number = submit(place, "lines", "1000000")
    frames = place.client._fresh().frames("GET", f"/v1/jobs/{number}/follow")
    next(frames)
    seen = [-1, 0]

    def still() -> bool:
        seen.append(place.client.overview()["given"])
        return 0 < seen[-1] == seen[-2]

    wait_until(still)
    assert seen[-1] < 8 * wire.CHUNK
    frames.close()


def test_output_is_cut_as_asked(shared: Place) -> None:
    number = submit(shared, "lines", "20000")
    whole = output(20000)
    assert b"".join(shared.client.output(number)) == whole
    assert (
        b"".join(shared.client._fresh().pieces("GET", f"/v1/jobs/{number}/output?from=100&to=300000"))
        == whole[100:300000]
    )
    assert b"".join(shared.client.output(number, "err")) == b""
    with pytest.raises(UsageError, match="stream"):
        list(shared.client.output(number, "both"))


def test_a_file_comes_whole_or_not_at_all(shared: Place) -> None:
    number = submit(shared, "true")
    assert shared.client.file(number, "outputs/result") == b"\0\xff" * 300_000
    with pytest.raises(NotFound, match="has no file outputs/other"):
        shared.client.file(number, "outputs/other")
    with pytest.raises(UsageError, match="rank"):
        shared.client.file(number, "outputs/result", rank=-1)


def test_hello_has_the_cursor_after_which_all_is_news(shared: Place) -> None:
    since = shared.client.hello()["seq"]
    number = submit(shared, "true")
    assert next(shared.client.events(since))["body"]["job"] == number


def test_execute_gives_frames_by_node(shared: Place) -> None:
    frames = list(shared.client.execute(["box1", "box2"], ["echo", "a b"], {"K": "v"}))
    assert [(h["on"], h.get("node"), d) for h, d in frames] == [
        ("out", "box1", b"echo a b v"),
        ("exit", "box1", b""),
        ("out", "box2", b"echo a b v"),
        ("exit", "box2", b""),
        ("done", None, b""),
    ]
    with pytest.raises(UsageError, match="argv"):
        list(shared.client.execute(None, []))


def test_a_forward_is_held_as_long_as_it_is_read_and_across_a_kill(place: Place) -> None:
    used: list[Connection] = []
    frames = place.client.forward({"node": "box1", "places": ["6006", "/run/x.sock"]}, used.append)
    assert next(frames)[0]["ways"] == {"6006": "6006", "/run/x.sock": "/run/x.sock"}
    place.kill()
    assert [next(frames)[0]["on"] for _ in range(2)] == ["cut", "open"]
    assert len(used) == 2
    used[-1].hang_up()
    assert next(frames)[0]["on"] == "cut"
    frames.close()
    assert [h["on"] for h, _ in place.client.forward({"job": 1, "places": ["1"]}, used.append)] == ["open", "end"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"places": ["1"]}, "leads to a node or to a job"),
        ({"node": "a", "job": 1, "places": ["1"]}, "leads to a node or to a job"),
        ({"node": "a", "places": []}, "places"),
        ({"node": "a", "places": ["0"]}, "places"),
        ({"node": "a", "places": ["x.sock"]}, "places"),
        ({"node": "a", "places": ["/a:b"]}, "places"),
    ],
)
def test_a_forward_that_leads_nowhere_is_refused(wanted: dict[str, object], why: str, shared: Place) -> None:
    with pytest.raises(UsageError, match=why):
        next(shared.client.forward(wanted, lambda _: None))


def test_events_go_on_from_their_cursor_after_a_kill(place: Place) -> None:
    place.client.submit([job("true"), job("true")])
    events = place.client.events()
    assert [e["seq"] for e in islice(events, 2)] == [1, 2]
    place.kill()
    place.client.submit([job("true")])
    third = next(events)
    assert (third["seq"], third["kind"], third["body"]) == (3, "goal_set", {"job": 3, "goal": "run", "by": "me"})


def test_data_goes_in_and_an_early_refusal_is_told(shared: Place) -> None:
    many = (({"on": "data", "offset": n}, bytes(1 << 20)) for n in range(64))
    assert shared.client.put("box1", "/x\udcff", many) == 64 * ((1 << 20) + 1)
    refused = (({"on": "refuse" if n == 0 else "data", "offset": n}, bytes(1 << 20)) for n in range(64))
    with pytest.raises(Conflict, match="does not want this"):
        shared.client.put("box1", "/x", refused)
    with pytest.raises(UsageError, match="begin with a frame"):
        shared.client._fresh().tell("/v1/data/put", [({"on": "data"}, b"")])
    with pytest.raises(UsageError, match="must be frames"):
        shared.client._call("POST", "/v1/data/put", {})


def test_places_and_what_lies_there(shared: Place) -> None:
    place = shared.client.places({"nodes": ["box1"], "path": "d\udce9"})[0]
    assert place["path"].endswith("/d\udce9")
    assert [row[0] for row in shared.client.entries("box1", place["path"])][2] == "bad\udcff.txt"
    with pytest.raises(NotFound):
        shared.client.places({"path": "nowhere"})
    with pytest.raises(UsageError, match="colour"):
        shared.client.places({"colour": "red"})
    got = list(shared.client.get("box1", "/x", [("bad\udcff.txt", 0)]))
    assert [head["on"] for head, _ in got] == ["file", "sum", "done"]


def test_wait_ends_with_the_job_or_the_time(shared: Place) -> None:
    assert shared.client.wait(submit(shared, "lines", "1"))["outcome"] == "succeeded"
    number = submit(shared, "forever")
    with pytest.raises(TimeoutError, match=f"job {number} is running"):
        shared.client.wait(number, timeout=0.05)
