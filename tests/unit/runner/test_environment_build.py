"""What a build that failed advises: by what uv said, and by whether the index was reached through the controller."""

from __future__ import annotations

from afield.environment.proxy import USER
from afield.runner import environment_build

REFUSED = (
    "error: Failed to download `pear==1.0`\n  cause: error sending request for url\n"
    "  cause: tunnel error: failed to create underlying connection\n  cause: tcp connect error\n"
    "  cause: Connection refused (os error 111)\n"
)


def test_a_way_that_broke_is_not_told_as_a_node_without_internet() -> None:
    lent = environment_build._advice(REFUSED, f"http://{USER}:token@127.0.0.1:40001")
    assert lent == environment_build.LOST_WAY
    for own in ("", "http://proxy.lab:3128"):
        assert "let this node reach the package index" in environment_build._advice(REFUSED, own)


def test_other_failures_through_a_way_keep_their_advice() -> None:
    said = "  x No solution found when resolving dependencies"
    assert "exclude each other" in environment_build._advice(said, f"http://{USER}:token@127.0.0.1:40001")
