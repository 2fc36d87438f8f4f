"""The facts of a node: recorded outputs of nvidia-smi, and what this machine's kernel says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from afield.runner import devices, folder, probe
from afield.testing.waiting import wait_until

FACTS = Path(__file__).resolve().parents[2] / "facts" / "nvidia_smi"
CASES = sorted(path.stem for path in FACTS.glob("*.json") if path.stem != "names")


@pytest.mark.parametrize("name", CASES)
def test_recorded_output_gives_the_devices(name):
    case = json.loads((FACTS / f"{name}.json").read_text())
    gpus, apps, listing = ("\n".join(case[key]) + "\n" for key in ("gpus", "apps", "list"))
    found, trouble = devices.parse(gpus, apps, listing, lambda pid: case["owners"][str(pid)])
    assert found == case["devices"]
    assert trouble == case["trouble"]


@pytest.mark.parametrize(("long", "short"), json.loads((FACTS / "names.json").read_text()).items())
def test_device_names_become_short(long, short):
    assert devices.model(long) == short


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A program named nvidia-smi that answers as recorded; each call is noted."""
    calls = tmp_path / "calls"

    def make(script: str) -> Path:
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return calls

    return make


def test_no_nvidia_smi_means_no_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.gpus("st") == ([], "")


def test_an_old_driver_is_asked_again_without_mig(smi):
    uuid = "GPU-6a8b3c1e-0f54-2d11-9b3a-51c0a7e9d200"
    calls = smi(
        'case "$*" in *mig.mode*) echo "Field \\"mig.mode.current\\" is not a valid field to query."; exit 2;; '
        f'*query-gpu*) echo "0, {uuid}, Tesla V100-SXM2-16GB, 16160, 0";; esac'
    )
    found, trouble = probe.gpus("st")
    assert [(device["id"], device["model"]) for device in found] == [(uuid, "v100")]
    assert trouble == ""
    assert "-L" not in calls.read_text().split()


def test_a_hanging_driver_is_named_and_not_waited_for(smi, monkeypatch):
    smi("exec sleep 60")
    monkeypatch.setattr(probe, "PATIENCE_S", 0.05)
    assert probe.gpus("st") == ([], "nvidia-smi gave no answer in 0 s")


def test_only_processes_of_this_store_are_no_strangers():
    name = probe.user_name(os.getuid())
    assert probe.stranger(os.getpid(), "st") == name
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {"AFIELD_MARK": "st.1.1.local.abc"})
    try:
        wait_until(lambda: Path(f"/proc/{pid}/environ").read_bytes())
        assert (probe.stranger(pid, "st"), probe.stranger(pid, "other")) == ("", name)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert probe.stranger(pid, "st") == "?"


def test_a_probe_of_this_machine_has_every_fact(tmp_path):
    (tmp_path / ".afield").mkdir()
    facts = probe.probe(folder.paths("st", str(tmp_path)))
    assert 0 < facts["memory_free_bytes"] <= facts["memory_bytes"]
    assert 0 < facts["disk_free_bytes"] <= facts["disk_bytes"]
    assert 0 < facts["cpu"] <= (os.cpu_count() or 0)
    assert facts["os"]
    json.dumps(facts)


def test_texts_of_the_kernel_are_read():
    assert probe.meminfo("MemTotal:  16 kB\nHugePages_Total:       0\nMemAvailable:   3 kB\n") == {
        "MemTotal": 16384,
        "MemAvailable": 3072,
    }
    assert probe.os_name('NAME="X"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n') == "Debian GNU/Linux 12 (bookworm)"


def test_python_versions_are_those_on_the_search_path(tmp_path):
    for name in ("python3.9", "python3.12", "python3.7", "python3"):
        (tmp_path / name).touch(mode=0o755)
    (tmp_path / "python3.11").touch(mode=0o644)
    assert probe.python_versions(f"{tmp_path}:/nowhere:") == ["3.9", "3.12"]
