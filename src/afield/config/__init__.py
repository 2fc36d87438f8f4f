"""The only reader of settings: merges the layers and remembers where each value comes from.

Layers, high to low: flags (and keywords of the SDK), `afield.local.toml`, the project (`afield.toml`, else
`[tool.afield]` of `pyproject.toml`), the user's `config.toml`, defaults. A higher layer's value replaces a lower one's;
variables (`env`) are merged one by one. No key is read from an AFIELD_ variable: jobs get variables of that form.

Every command pays for these imports: the TOML reader and the words for mistakes are loaded when there is a file or one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from afield.config.files import Origin, config_folder
from afield.config.keys import KEYS, VARIABLES, Key, Kind
from afield.config.layers import Settings, load

if TYPE_CHECKING:
    from afield.folders import Folders

__all__ = ["KEYS", "VARIABLES", "Key", "Kind", "Origin", "Settings", "config_folder", "folders", "load"]


def folders() -> Folders:
    """Where the controller of this user keeps its things."""
    from afield.folders import Folders  # noqa: PLC0415 3 ms that reading settings does not need

    return Folders()
