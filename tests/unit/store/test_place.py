"""Where a store may lie."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from afield.errors import StoreRefused
from afield.runner import mounts
from afield.runner.mounts import network_filesystem
from afield.store.place import place
from afield.store.sqlite import SqliteStore

MOUNTS = """\
proc /proc proc rw 0 0
/dev/vda / ext4 rw 0 0
filer:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/ann/scratch xfs rw 0 0
box:/ /mnt/ssh fuse.sshfs rw 0 0
gocryptfs /mnt/vault fuse.gocryptfs rw 0 0
//win/share /mnt/with\\040blank cifs rw 0 0
auto /net autofs rw 0 0
filer:/a /net/a nfs rw 0 0
mds:/ /lustre lustre rw 0 0
share /vm virtiofs rw 0 0
storage /lab fuse.beegfs rw 0 0
auto /home/bob autofs rw 0 0
/dev/vdd /home/bob btrfs rw 0 0
/dev/vdc /twice ext4 rw 0 0
filer:/t /twice nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", None),
        ("/var/lib", None),
        ("/home", "nfs4"),
        ("/home/ann/.local/state/afield", "nfs4"),
        ("/home/ann/scratch/state", None),
        ("/homes/ann", None),
        ("/mnt/ssh/state", "fuse.sshfs"),
        ("/mnt/vault/state", None),
        ("/mnt/with blank/state", "cifs"),
        ("/net/a/state", "nfs"),
        ("/net/b", "autofs"),
        ("/lustre/scratch", "lustre"),
        ("/vm/state", None),
        ("/lab/x", "fuse.beegfs"),
        ("/home/bob/.afield", None),
        ("/twice/state", "nfs"),
    ],
)
def test_the_mount_that_covers_a_path_decides(path: str, kind: str | None) -> None:
    assert network_filesystem(path, MOUNTS) == kind


def test_a_link_into_a_network_folder_counts_as_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/home/ann")
    assert network_filesystem(tmp_path / "link" / "state", MOUNTS) == "nfs4"


def test_no_mounts_is_no_reason_to_refuse() -> None:
    assert network_filesystem("/home", "") is None
    assert network_filesystem("/home", "garbage\n\n") is None


def test_a_local_folder_stays(tmp_path: Path) -> None:
    wanted = tmp_path / "a" / "state"
    assert place(wanted, mounts="/dev/vda / ext4 rw 0 0\n") == wanted
    assert stat.S_IMODE(wanted.stat().st_mode) == 0o700


def test_a_network_folder_gives_way_to_one_of_ours(tmp_path: Path) -> None:
    base, mounts = tmp_path / "var", "/dev/vda / ext4 rw 0 0\nfiler:/ /home nfs rw 0 0\n"
    base.mkdir()
    first = place("/home/ann/a", mounts=mounts, base=base)
    assert first.is_dir()
    assert first.is_relative_to(base / f"afield-{os.getuid()}")
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o700 for p in (first, first.parent, first.parent.parent))
    assert place("/home/ann/a", mounts=mounts, base=base) == first
    assert place("/home/ann/b", mounts=mounts, base=base) != first
    assert not Path("/home/ann").exists()


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / f"afield-{os.getuid()}"
    theirs.mkdir()
    theirs.chmod(0o777)
    with pytest.raises(StoreRefused, match="not a folder of yours alone") as caught:
        place("/home/ann/a", mounts="filer:/ /home nfs rw 0 0\n", base=tmp_path)
    assert "0777" in caught.value.why


def test_a_link_in_place_of_our_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"afield-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreRefused):
        place("/home/ann/a", mounts="filer:/ /home nfs rw 0 0\n", base=tmp_path)


def test_nowhere_local_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="no local disk") as caught:
        place("/home/ann/a", mounts="filer:/ / nfs rw 0 0\n", base=tmp_path)
    assert any("AFIELD_STATE_DIR" in h for h in caught.value.hints)


def test_a_store_does_not_open_on_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "listed", lambda: "filer:/ / nfs4 rw 0 0\n")
    with pytest.raises(StoreRefused, match="network file system") as caught:
        SqliteStore.open(tmp_path / "state")
    assert "nfs4" in caught.value.why
    assert any("AFIELD_STATE_DIR" in h for h in caught.value.hints)
    assert not (tmp_path / "state").exists()
