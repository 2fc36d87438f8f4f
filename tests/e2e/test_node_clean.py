"""Room back on a node, and no trace left there; doctor's repairs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.testing.hosts import Host, Hosts
from afield.testing.sandbox import Sandbox
from afield.testing.waiting import wait_until


@pytest.fixture
def own(needs_sshd: None) -> Iterator[Hosts]:
    """A host that the test here may leave as it likes."""
    with Hosts(count=1, users=os.geteuid() == 0) as made:
        yield made


@pytest.fixture
def told(own: Hosts) -> Iterator[Sandbox]:
    """An afield with that host as a node."""
    with Sandbox(ssh_config=own.ssh_config) as made:
        done = made.afield("node", "add", "box1")
        assert done.returncode == 0, done.stderr
        yield made


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def gone(host: Host) -> list[str]:
    """What of ours runs on a host or lies in its home."""
    return [*below(host.home), *(f"process {p.pid} {p.name}" for p in host.processes())]


def test_no_trace_is_left(own: Hosts, told: Sandbox) -> None:
    (told.project / "train.py").write_text("import os\nopen(os.environ['OUTPUT_DIR'] + '/r', 'w').write('x')\n")
    own[0].home.joinpath("mine").write_text("stays")
    for _ in range(2):
        assert told.afield("run", "-n", "box1", "train.py").returncode == 0, told.story()
    told.afield("exec", "-n", "box1", "--", "mkdir", "-p", ".afield/s")

    refused = told.afield("node", "clean", "box1", "--all")
    assert refused.returncode == 2
    assert b"2 run folders" in refused.stderr
    looked = told.afield("node", "clean", "box1", "--all", "--dry-run")
    assert looked.returncode == 0
    assert (own[0].home / ".afield").is_dir()

    done = told.afield("node", "clean", "box1", "--all", "-y")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("box1: removed 2 run folders, 1 copy of code, ")
    wait_until(lambda: gone(own[0]) == ["mine"], within_s=20)
    assert not Path(f"/var/tmp/afield-{own[0].user.pw_uid}").exists()
    assert "box1" not in told.afield("node", "ls").stdout.decode()
    assert (told.project / "outputs/2/r").read_text() == "x"

    assert told.afield("node", "add", "box1").returncode == 0
    assert told.afield("run", "-n", "box1", "train.py").returncode == 0


def test_a_folder_on_another_disk_that_home_has_a_link_to(own: Hosts, told: Sandbox) -> None:
    """Small homes are common: `~/.afield` may be a link; cleaning takes what is ours there, not the person's link."""
    assert told.afield("node", "clean", "box1", "--all", "-y").returncode == 0
    made = 'mkdir -m 700 "$HOME/scratch" && touch "$HOME/scratch/mine" && ln -s scratch "$HOME/.afield"'
    subprocess.run(own[0].command(made), check=True)
    assert told.afield("node", "add", "box1").returncode == 0
    done = told.afield("run", "-n", "box1", "--", "pwd", "-P")
    assert f"{own[0].home}/scratch/s/" in done.stdout.decode(), done.stderr

    assert told.afield("node", "clean", "box1", "--all", "-y").returncode == 0
    wait_until(lambda: below(own[0].home) == [".afield", "scratch", "scratch/mine"], show=lambda: below(own[0].home))


def test_nothing_is_cleaned_while_a_job_runs(own: Hosts, told: Sandbox) -> None:
    told.afield("run", "-d", "-n", "box1", "--", "sleep", "600")
    wait_until(lambda: json.loads(told.afield("show", "1", "--json").stdout)["job"]["phase"] == "running")
    for words in (["box1"], ["box1", "--all", "-y"], ["box1", "--all", "--force", "-y"]):
        done = told.afield("node", "clean", *words)
        assert done.returncode == 4
        assert b"runs jobs 1" in done.stderr
        assert b"afield stop 1" in done.stderr
    assert json.loads(told.afield("show", "1", "--json").stdout)["job"]["phase"] == "running"
    told.afield("stop", "1")


def test_what_is_kept_for_speed_goes_and_jobs_bring_it_again(own: Hosts, told: Sandbox) -> None:
    (told.project / "big.bin").write_bytes(os.urandom(1_000_000))
    run = ("run", "-n", "box1", "--", "true")
    assert told.afield(*run).returncode == 0
    wait_until(lambda: b'"waiting": []' in told.afield("node", "clean", "box1", "--dry-run", "--json").stdout)
    done = told.afield("node", "clean", "box1", "--json")
    assert done.returncode == 0, done.stderr
    told_what = json.loads(done.stdout)
    assert (told_what["runs"], told_what["trees"]) == (1, 1)
    assert told_what["bytes"] >= 1_000_000
    assert not any("big.bin" in name for name in below(own[0].home))
    assert told.afield(*run).returncode == 0


def test_what_another_store_keeps_there_stays(own: Hosts, told: Sandbox) -> None:
    with Sandbox(ssh_config=own.ssh_config) as other:
        assert other.afield("node", "add", "box1").returncode == 0
        assert other.afield("run", "-n", "box1", "--", "true").returncode == 0
        assert told.afield("run", "-n", "box1", "--", "true").returncode == 0
        done = told.afield("node", "clean", "box1", "--all", "-y")
        assert done.returncode == 0, done.stderr
        assert b"1 other store" in done.stderr
        assert len(list((own[0].home / ".afield/s").iterdir())) == 1
        assert other.afield("run", "-n", "box1", "--", "echo", "still").stdout == b"still\n"


def test_local_is_not_forgotten(told: Sandbox) -> None:
    done = told.afield("node", "clean", "local", "--all", "-y")
    assert done.returncode == 4
    assert b"stays" in done.stderr


def test_doctor_mends_what_is_harmless_when_told_to(own: Hosts, told: Sandbox) -> None:
    subprocess.run(["git", "init", "-q", str(told.project)], check=True)
    (told.project / ".gitignore").write_text("*.pyc")
    told.afield("secret", "set", "KEY", given=b"value")
    kept = told.home / ".config/afield/secrets.json"
    kept.chmod(0o644)
    before = told.afield("doctor", "box1")
    assert before.returncode == 1
    assert "can be read by others" in before.stdout.decode()
    assert told.afield("doctor", "--fix").returncode == 2
    assert (told.project / ".gitignore").read_text() == "*.pyc"
    done = told.afield("doctor", "box1", "--fix", "-y", "--json")
    assert done.returncode == 0, done.stdout
    fixed = {c["repair"]: c["fixed"] for c in json.loads(done.stdout)["checks"] if c["repair"]}
    assert set(fixed) == {"secrets", "ignore"}
    assert all(fixed.values())
    assert (told.project / ".gitignore").read_text() == "*.pyc\noutputs/\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    after = told.afield("doctor", "box1")
    assert after.returncode == 0, after.stdout


def test_doctor_says_all_that_is_wrong_with_the_project(told: Sandbox) -> None:
    (told.project / "afield.toml").write_text("gpu = 1\nneed = 3\n")
    done = told.afield("doctor", "local")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "afield.toml:1: there is no setting 'gpu'" in text
    assert "afield.toml:2: need = 3 is wrong" in text
    assert "did you mean gpus?" in text


def test_a_folder_that_cannot_be_written_any_more_is_told_and_the_job_waits(own: Hosts, told: Sandbox) -> None:
    host = own[0]
    if host.user.pw_uid == 0:
        pytest.skip("root writes everywhere; the hosts have no users of their own here")
    assert told.afield("run", "-n", "box1", "--", "true").returncode == 0
    runs = next(host.home.glob(".afield/s/*/runs"))
    runs.chmod(0o500)
    with told.start("run", "-n", "box1", "--", "echo", "at last") as job:
        try:
            why = wait_until(lambda: _why(told, "refuses it"), within_s=60, show=told.story)
            assert f"launch waits: box1 refuses it: Permission denied: {runs}" in why
            done = told.afield("doctor", "box1")
            assert (done.returncode, f"{runs} cannot be written" in done.stdout.decode()) == (1, True), done
        finally:
            runs.chmod(0o700)
        out, err = job.communicate(timeout=120)
    assert (job.returncode, out) == (0, b"at last\n"), err
    said = err.decode()
    assert re.search(r"! launch +box1 refuses it: Permission denied: .*/runs/2\.1", said), said
    assert re.search(r"✓ launch +box1 takes it now", said), said


def _why(sandbox: Sandbox, word: str) -> str:
    """What `why` says of the newest job, once it has that word."""
    said = sandbox.afield("why", "@last").stdout.decode()
    return said if word in said else ""
