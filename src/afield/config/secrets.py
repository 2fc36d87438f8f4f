"""Values that jobs need and nobody may read: one file of the user's own, in the configuration folder.

It is read at each launch and at no other time. The names are no secret.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterable

from afield.config.files import config_folder
from afield.errors import NotAllowed, NotFound, UsageError

MOST_BYTES = 65536
"""The kernel takes no variable of more than 128 KB; a key is shorter than this."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Secrets:
    """The file, by default `secrets.json` in the configuration folder, mode 0600."""

    def __init__(self, path: str = "") -> None:
        self.path = path or os.path.join(config_folder(), "secrets.json")

    def listed(self) -> list[tuple[str, float]]:
        """(name, when it was set in UTC seconds) of all, by name."""
        return sorted((name, float(str(entry["at"]))) for name, entry in self._read().items())

    def set(self, name: str, value: str) -> None:
        """Keep a value. Raises UsageError for what cannot be a variable, NotAllowed for a file that others read."""
        if not _NAME.fullmatch(name) or name.startswith("AFIELD_"):
            why = "it becomes a variable: letters, digits and underscores, and AFIELD_ is afield's own"
            raise UsageError(f"{name!r} cannot name a secret", why=why)
        if not value or "\0" in value or len(value.encode("utf-8", "surrogateescape")) > MOST_BYTES:
            why = f"it is between 1 and {MOST_BYTES} bytes, without NUL"
            raise UsageError(f"this cannot be the value of {name}", why=why)
        self._write({**self._read(), name: {"value": value, "at": time.time()}})

    def remove(self, name: str) -> None:
        """Forget a value. Raises NotFound."""
        found = self._read()
        if name not in found:
            raise self._missing([name], found, "afield secret ls")
        self._write({known: entry for known, entry in found.items() if known != name})

    def check(self, names: Iterable[str]) -> None:
        """Raises NotFound unless all of these are kept."""
        self.values(names)

    def values(self, names: Iterable[str]) -> dict[str, str]:
        """The values by name. Raises NotFound."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        found = self._read()
        if missing := [name for name in wanted if name not in found]:
            raise self._missing(missing, found)
        return {name: str(found[name]["value"]) for name in wanted}

    def _missing(self, names: list[str], found: Iterable[str], hint: str = "") -> NotFound:
        import difflib  # noqa: PLC0415 only for mistakes

        near = difflib.get_close_matches(names[0], list(found), n=1)
        hints = [f"did you mean {near[0]}?"] if near else []
        return NotFound(
            f"there is no secret {', '.join(names)}", hints=[*hints, hint or f"afield secret set {names[0]}"]
        )

    def _read(self) -> dict[str, dict[str, object]]:
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise NotAllowed(
                        f"{self.path} can be read by others",
                        why="secrets in it are none any more",
                        hints=[f"chmod 600 {self.path}", "and set them anew, changed"],
                    )
                found = json.load(file)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UsageError(f"{self.path} cannot be read", why="it is not what afield wrote") from error
        return dict(found["secrets"])

    def _write(self, secrets: dict[str, dict[str, object]]) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        part = f"{self.path}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump({"secrets": secrets}, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)
