"""Files of older tools: each key becomes a setting or a command, or is named with the reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from afield.errors import UsageError
from afield.sdk import older

ASIC = """
name: tpu-a
zone: europe-west4-a
accelerator_type: v_3
version: v_1
dist_dir: ./code
entry_point: ./code/main.py
setup: ./code/set up.sh
preflight:
run_env: {X: "1 2", DEBUG: true, N: 3}
rsync_ignore: ./ignore.txt
frobnicate: 1
"""

CONF = """
[general]
instance = 1
remote_home = projects/

[instance 0]
username = ana
host = box0.lab
password = hunter2

[instance 1]
username = ben
host = box1.lab

[instance 2]
host = -oProxyCommand=x
"""

OLD_CONF = "[DEFAULT]\ndefault = 0\nlocaluser = me\nlocalpass = s3cret\ndefaultuser = ana\ndefaulthost = box0.lab\n"


def read(tmp_path: Path, name: str, text: str) -> older.Older:
    (tmp_path / name).write_text(text)
    return older.read(tmp_path / name)


def test_yaml_of_a_pod_runner(tmp_path: Path) -> None:
    found = read(tmp_path, "asic.yaml", ASIC)
    assert found.values == {
        "node": "tpu-a",
        "setup": "sh 'code/set up.sh'",
        "env": {"X": "1 2", "DEBUG": "true", "N": "3"},
    }
    assert found.commands == ["afield node add tpu-a", "afield run code/main.py", "cp ./ignore.txt .afieldignore"]
    assert {key for key, _ in found.unmapped} == {"zone", "accelerator_type", "version", "preflight", "frobnicate"}
    keys = [line.partition(":")[0] for line in ASIC.strip().splitlines()]
    assert sorted(key for key, _ in (*found.mapped, *found.unmapped)) == sorted(keys)


def test_instances_become_nodes_and_passwords_stay_where_they_are(tmp_path: Path) -> None:
    found = read(tmp_path, ".recompute.conf", CONF)
    assert found.values == {"node": "box1.lab"}
    assert found.commands == ["afield node add ana@box0.lab", "afield node add ben@box1.lab"]
    assert {key for key, _ in found.unmapped} == {"instance 0 password", "instance 2", "remote_home"}
    assert "hunter2" not in repr(found)


def test_the_oldest_form_of_that_file(tmp_path: Path) -> None:
    found = read(tmp_path, "recompute.conf", OLD_CONF)
    assert (found.values, found.commands) == ({"node": "box0.lab"}, ["afield node add ana@box0.lab"])
    assert {key for key, _ in found.unmapped} == {"localuser", "localpass"}
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "- a\n"), ("a.yaml", "a: [\n"), ("a.conf", "hello"), ("a.conf", "[x]\ny=1\n"), ("a.conf", "")],
)
def test_other_files_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UsageError):
        read(tmp_path, name, text)
    with pytest.raises(UsageError, match="cannot be read"):
        older.read(tmp_path / "nowhere")
