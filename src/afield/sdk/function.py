"""`afield.function`: a function that can run in a job. Calling it runs it here, always.

Every module with a decorated function pays for these imports, also in a job: what submits is loaded when it is used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, overload

from afield.config.keys import BY_NAME
from afield.config.values import unknown
from afield.inside.plain import Plain
from afield.sdk.options import Options

if TYPE_CHECKING:
    from pathlib import Path

    from afield.sdk.call import Call
    from afield.sdk.calls import Arguments

P = ParamSpec("P")
R = TypeVar("R")


class Function(Generic[P, R]):
    """A function with the options of its jobs (`chosen`). Sent to a job as an argument it is called there as it is."""

    def __init__(self, given: Callable[P, R], options: Mapping[str, Any], folder: str | Path | None = None) -> None:
        check(options)
        self.function = given
        self.chosen = dict(options)
        self._folder = folder
        functools.update_wrapper(self, given)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function gives, here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.chosen.items())
        return f"<afield.function {self.function.__qualname__}{options}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Plain, (self.function,)

    def options(self, *, folder: str | Path | None = None, **options: Unpack[Options]) -> Function[P, R]:
        """The same function with other options; those that are not named stay."""
        return Function(self.function, {**self.chosen, **options}, folder or self._folder)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """The call in a job, which starts at once. Raises UsageError, NothingFits, SetupFailed."""
        return self._submit([(args, kwargs)])[0]

    async def submit_async(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the call in a job gives, for asyncio; the job goes on when this is cancelled."""
        import asyncio  # noqa: PLC0415

        call = await asyncio.to_thread(functools.partial(self.submit, *args, **kwargs))
        return await call.result_async()

    def map(self, given: Iterable[Any], *, as_completed: bool = False) -> Iterator[R]:
        """What the function gives for each argument, a job each: in their order, or as they are done.

        All are submitted before this returns. What has not begun is stopped when the iterator is closed or one fails.
        """
        return self.starmap([(value,) for value in given], as_completed=as_completed)

    def starmap(self, given: Iterable[Sequence[Any]], *, as_completed: bool = False) -> Iterator[R]:
        """As `map`, for functions of several arguments."""
        return results(self._submit([(tuple(row), {}) for row in given]), as_completed=as_completed)

    def _submit(self, arguments: Sequence[Arguments]) -> list[Call[R]]:
        from afield.sdk import calls  # noqa: PLC0415

        return calls.submit(self.function, arguments, self.chosen, self._folder)


def check(options: Mapping[str, Any]) -> None:
    """Raises UsageError for an option that does not exist."""
    for name in options:
        if name not in BY_NAME and name not in Options.__annotations__:
            raise unknown(name)


def results(made: Sequence[Call[R]], *, as_completed: bool = False) -> Iterator[R]:
    """The results of calls; those that have not begun are stopped when nobody wants them any more."""
    from concurrent import futures  # noqa: PLC0415

    try:
        for call in futures.as_completed(made) if as_completed else made:
            yield call.result()
    finally:
        for call in made:
            call.cancel()


@overload
def function(given: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(
    *, folder: str | Path | None = None, **options: Unpack[Options]
) -> Callable[[Callable[P, R]], Function[P, R]]: ...


def function(
    given: Callable[P, R] | None = None, /, *, folder: str | Path | None = None, **options: Unpack[Options]
) -> Function[P, R] | Callable[[Callable[P, R]], Function[P, R]]:
    """The decorator, with or without options: `@afield.function(gpus=1, time="2h")`.

    The options are those of `afield run`; `folder` is where jobs start (default: where one is at submission).
    """
    if given is not None:
        return Function(given, {})
    return lambda decorated: Function(decorated, options, folder)
