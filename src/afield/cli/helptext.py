"""The shape of every help page: what the command does, examples, usage, options."""

from __future__ import annotations

from contextlib import _GeneratorContextManager

import click


class Formatter(click.HelpFormatter):
    """Writes the usage behind the text that says what the command is for."""

    _usage: tuple[str, str] | None = None

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Remember it until the text is written."""
        self._usage = (prog, args)

    def section(self, name: str) -> _GeneratorContextManager[None]:
        """A section; the usage comes before the first one."""
        self._say_usage()
        return super().section(name)

    def getvalue(self) -> str:
        """The whole page."""
        self._say_usage()
        return super().getvalue().lstrip("\n")

    def _say_usage(self) -> None:
        if self._usage is not None:
            usage, self._usage = self._usage, None
            self.write("\n")
            super().write_usage(*usage)
