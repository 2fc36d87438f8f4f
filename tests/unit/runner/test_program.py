"""What a program is run with: whose value wins, and what never gets through."""

from __future__ import annotations

from typing import Any

from afield.runner import folder, program
from afield.runner.case import Case

ME = {
    "pid": 1,
    "start": 2,
    "home": "/h",
    "user": "ann",
    "shell": "/bin/sh",
    "environ": {"LANG": "C.UTF-8", "SECRET": "x"},
}
LIVE = {"variables": {"VIRTUAL_ENV": "/e", "PATH_PREPEND": "/e/bin", "PYTHONPATH": "/src"}, "python": "/e/bin/python"}


def _kitchen(**spec: Any) -> program.Kitchen:
    whole = {"store": "st", "node": "n", "nonce": "0123456789", "processes": [{"rank": 0, "argv": ["x"]}]} | spec
    case = Case(folder.Paths("st", "/r", "/r"), "1.2", whole, "shepherd", ME)
    return program.Kitchen(case, "/login/bin")


def test_nothing_of_the_caller_gets_through() -> None:
    found = _kitchen().variables({}, {})
    assert found == {
        "PATH": "/login/bin",
        "HOME": "/h",
        "USER": "ann",
        "LOGNAME": "ann",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "AFIELD_MARK": "st.1.2.n.01234567",
    }


def test_the_environment_comes_first_in_paths_and_last_in_imports() -> None:
    kitchen = _kitchen()
    kitchen.environment = LIVE
    assert kitchen.variables({}, {})["PATH"] == "/e/bin:/login/bin"
    found = kitchen.variables({"variables": {"PATH": "/mine", "PYTHONPATH": "/lib", "HOME": "/other"}}, {})
    assert (found["PATH"], found["PYTHONPATH"], found["HOME"]) == ("/e/bin:/mine", "/lib:/src", "/other")
    assert (found["VIRTUAL_ENV"], "PATH_PREPEND" in found) == ("/e", False)


def test_marks_devices_and_the_gang_are_not_the_users_to_choose() -> None:
    own = {"AFIELD_MARK": "no", "CUDA_VISIBLE_DEVICES": "0,1", "MASTER_PORT": "1", "PYTHONUNBUFFERED": "0"}
    found = _kitchen().variables({"variables": own, "devices": ["GPU-a", "GPU-b"]}, {"MASTER_PORT": "77"})
    assert found["AFIELD_MARK"] == "st.1.2.n.01234567"
    assert (found["CUDA_VISIBLE_DEVICES"], found["MASTER_PORT"], found["PYTHONUNBUFFERED"]) == (
        "GPU-a,GPU-b",
        "77",
        "0",
    )


def test_stages_see_all_devices_of_the_attempt() -> None:
    processes = [{"rank": 0, "argv": ["x"], "devices": ["a"]}, {"rank": 1, "argv": ["x"], "devices": ["b"]}]
    found = _kitchen(processes=processes).shared({"UV_INDEX": "i"})
    assert (found["CUDA_VISIBLE_DEVICES"], found["UV_INDEX"]) == ("a,b", "i")


def test_a_python_file_gets_its_interpreter() -> None:
    kitchen = _kitchen()
    assert kitchen.argv({"argv": ["a.py", 3], "python": True}) == ["python3", "a.py", "3"]
    kitchen.environment = LIVE
    assert kitchen.argv({"argv": ["a.py"], "python": True}) == ["/e/bin/python", "a.py"]
    assert kitchen.argv({"argv": ["a.py"]}) == ["a.py"]


def test_secrets_are_for_the_program_and_its_stages_and_not_for_a_build() -> None:
    kitchen = _kitchen()
    kitchen.case.secrets = {"KEY": "v", "HOME": "/mine", "AFIELD_MARK": "no"}
    own = kitchen.variables({"variables": {"KEY": "shown"}}, {})
    assert (own["KEY"], own["HOME"], own["AFIELD_MARK"]) == ("v", "/mine", "st.1.2.n.01234567")
    assert kitchen.shared({})["KEY"] == "v"
    built = kitchen.building({"UV_X": "1"})
    assert ("KEY" in built, built["HOME"], built["UV_X"]) == (False, "/h", "1")
