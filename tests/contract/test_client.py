"""What a client may rely on, against a real server: answers, errors, streams, and their going on after a kill."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from afield.errors import Conflict, Exit, NotAllowed, NotFound, NothingFits, UsageError
from afield.runner import wire
from afield.sdk.client import submit_key
from afield.sdk.http import Connection
from tests.unit.server.fixtures import place as place
from tests.unit.server.memory import output
from tests.unit.server.place import Place, job, until

MANY = 400_000
"""Lines of output that no socket buffer holds."""


def test_submit_gives_views_in_order(place: Place) -> None:
    views = place.client.submit([job("lines", str(n), name=f"n{n}") for n in range(3)])
    assert [v["name"] for v in views] == ["n0", "n1", "n2"]
    assert [v["number"] for v in place.client.jobs(all=True)] == [3, 2, 1]
    assert place.client.job(2)["command"] == ["lines", "1"]
    assert place.client.why(2)["job"] == 2


def test_bytes_that_are_no_text_arrive_as_they_are(place: Place) -> None:
    view = place.client.submit([job("cat", "caf\udce9")])[0]
    assert os.fsencode(view["command"][1]) == b"caf\xe9"


def test_the_same_key_is_the_same_job_and_never_another(place: Place) -> None:
    asked = job("lines", "1", key=submit_key())
    first = place.client.submit([asked])[0]["number"]
    assert place.client.submit([asked])[0]["number"] == first
    with pytest.raises(Conflict, match="was used for another job"):
        place.client.submit([{**asked, "name": "other"}])


def test_a_submission_survives_the_death_of_the_server_in_the_middle(place: Place) -> None:
    before = place.client.hello()["pid"]
    view = place.client.submit([job("die")])[0]
    assert view["number"] == 1
    assert [v["number"] for v in place.client.jobs(all=True)] == [1]
    assert place.client.hello()["pid"] != before


def test_rerun_submits_the_same_task_under_a_new_key(place: Place) -> None:
    place.client.submit([job("lines", "7", name="seven", nodes=["box1"])])
    again = place.client.rerun(1)
    assert (again["number"], again["name"], again["command"]) == (2, "seven", ["lines", "7"])


def test_errors_come_as_the_class_they_were_with_all_they_said(place: Place) -> None:
    with pytest.raises(NotFound) as missing:
        place.client.job(99)
    assert missing.value.hints == ("afield ps --all",)
    assert missing.value.exit is Exit.NOT_FOUND
    with pytest.raises(NothingFits, match="no node fits"):
        place.client.submit([job("true", nodes=["nowhere"])])
    with pytest.raises(NotFound, match="nothing at GET /v1/nothing"):
        place.client._view("GET", "/v1/nothing")
    with pytest.raises(NotFound, match="no job 5"):
        list(place.client.follow(5))
    with pytest.raises(NotFound, match="no node nowhere"):
        list(place.client.execute(["box1", "nowhere"], ["true"]))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"colour": "red"}, r"jobs\.0\.colour"),
        ({"task": {"argv": ["a"], "shape": 1}}, r"jobs\.0\.task\.shape"),
        ({"task": {"argv": []}}, r"jobs\.0\.task\.argv"),
        ({"task": {"argv": ["a\0b"]}}, r"jobs\.0\.task"),
        ({"task": {"argv": ["a"], "variables": [["A=B", "c"]]}}, r"jobs\.0\.task\.variables"),
        ({"task": {"argv": ["a"], "grace_s": float("nan")}}, r"jobs\.0\.task\.grace_s"),
        ({"request": {"groups": [{"count": "many"}]}}, r"jobs\.0\.request\.groups\.0\.count"),
        ({"policy": "perhaps"}, r"jobs\.0\.policy"),
        ({"priority": 10**9}, r"jobs\.0\.priority"),
        ({"key": ""}, r"jobs\.0\.key"),
    ],
)
def test_a_bad_submission_is_refused_with_its_place(place: Place, change: dict[str, object], path: str) -> None:
    with pytest.raises(UsageError, match=path):
        place.client.submit([{**job("true"), **change}])
    assert place.client.jobs(all=True) == []


def test_numbers_out_of_range_are_usage_and_no_fault(place: Place) -> None:
    with pytest.raises(UsageError, match="number"):
        place.client.job(10**30)
    place.client.submit([job("true")])
    with pytest.raises(UsageError, match="cursors"):
        list(place.client._fresh().frames("GET", "/v1/jobs/1/follow?cursors=[]"))


def test_a_wrong_token_is_refused_and_hello_needs_none(place: Place) -> None:
    place.client.hello()
    connection = Connection(place.folders.socket, "wrong")
    connection.connect()
    assert connection.hello()["store"] == "memory"
    with pytest.raises(NotAllowed, match="token"):
        connection.call("GET", "/v1/jobs")
    with pytest.raises(NotAllowed, match="token"):
        connection.call("POST", "/v1/leave")
    connection.close()


def test_nodes(place: Place) -> None:
    client = place.client
    client.add_node({"name": "box1", "target": "me@box1"})
    with pytest.raises(Conflict):
        client.add_node({"name": "box1", "target": "me@box1"})
    assert client.set_node("box1", {"drained": True})["drained"] is True
    assert client.probe_node("box1")["probed"] is True
    assert client.node("box1") == client.nodes()[0]
    assert client.remove_node("box1", force=True)["force"] is True
    with pytest.raises(NotFound, match="no node box1"):
        client.node("box1")


def test_each_request_brings_the_callers_agent(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent.1")
    assert place.client.shell("box1")["agent"] == "/run/agent.1"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert place.client.shell("box1")["agent"] == "/run/agent.1"


def test_follow_gives_every_byte_once_and_ends(place: Place) -> None:
    place.client.submit([job("lines", str(MANY))])
    cursors: dict[str, int] = {}
    frames = list(place.client.follow(1, cursors))
    assert b"".join(data for _, data in frames) == output(MANY)
    assert [h["on"] for h, _ in frames][:2] == ["job", "stage"]
    assert frames[-1][0]["on"] == "end"
    assert cursors == {"1.1/p0/out": len(output(MANY))}


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


def test_cursors_say_where_to_go_on(place: Place) -> None:
    place.client.submit([job("lines", "100000")])
    cursors: dict[str, int] = {}
    frames = place.client.follow(1, cursors)
    taken = b"".join(data for _, data in islice(frames, 4))
    frames.close()  # type: ignore[attr-defined]
    assert 0 < cursors["1.1/p0/out"] <= len(taken)
    rest = b"".join(data for _, data in place.client.follow(1, cursors))
    assert (taken + rest)[: len(taken)] == output(100000)[: len(taken)]
    assert rest == output(100000)[-len(rest) :]


def test_a_reader_that_hangs_up_ends_the_stream_in_the_controller(place: Place) -> None:
    place.client.submit([job("forever")])
    frames = place.client._fresh().frames("GET", "/v1/jobs/1/follow")
    next(frames)
    frames.close()
    until((place.state / "let-go-1").exists, "letting go of the follower")


def test_a_slow_reader_holds_the_controller_back(place: Place) -> None:
    place.client.submit([job("lines", "2000000")])
    frames = place.client._fresh().frames("GET", "/v1/jobs/1/follow")
    next(frames)
    seen = [-1, 0]

    def still() -> bool:
        seen.append(place.client.overview()["given"])
        return 0 < seen[-1] == seen[-2]

    until(still, "the stream's standing still")
    assert seen[-1] < 8 * wire.CHUNK
    frames.close()


def test_output_is_cut_as_asked(place: Place) -> None:
    place.client.submit([job("lines", "20000")])
    whole = output(20000)
    assert b"".join(place.client.output(1)) == whole
    assert b"".join(place.client._fresh().pieces("GET", "/v1/jobs/1/output?from=100&to=300000")) == whole[100:300000]
    assert b"".join(place.client.output(1, "err")) == b""
    with pytest.raises(UsageError, match="stream"):
        list(place.client.output(1, "both"))


def test_execute_gives_frames_by_node(place: Place) -> None:
    frames = list(place.client.execute(["box1", "box2"], ["echo", "a b"], {"K": "v"}))
    assert [(h["on"], h.get("node"), d) for h, d in frames] == [
        ("out", "box1", b"echo a b v"),
        ("exit", "box1", b""),
        ("out", "box2", b"echo a b v"),
        ("exit", "box2", b""),
        ("done", None, b""),
    ]
    with pytest.raises(UsageError, match="argv"):
        list(place.client.execute(None, []))


def test_events_go_on_from_their_cursor_after_a_kill(place: Place) -> None:
    place.client.submit([job("true"), job("true")])
    events = place.client.events()
    assert [e["seq"] for e in islice(events, 2)] == [1, 2]
    place.kill()
    place.client.submit([job("true")])
    third = next(events)
    assert (third["seq"], third["kind"], third["body"]) == (3, "GoalSet", {"job": 3, "goal": "run", "by": "me"})


def test_wait_ends_with_the_job_or_the_time(place: Place) -> None:
    place.client.submit([job("lines", "1"), job("forever")])
    assert place.client.wait(1)["outcome"] == "succeeded"
    with pytest.raises(TimeoutError, match="job 2 is running"):
        place.client.wait(2, timeout=0.05)
