"""`afield.function` in a job: what is decorated is called as it is."""

from __future__ import annotations

import functools


class Plain:
    """A decorated function in a job. It can be called; it cannot be sent on from there."""

    def __init__(self, function):
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args, **named):
        """What the function gives."""
        return self.function(*args, **named)

    def __get__(self, owner, kind=None):
        return self if owner is None else functools.partial(self, owner)

    def options(self, **_options):
        """The same function."""
        return self

    def submit(self, *_args, **_named):
        """Raises RuntimeError."""
        raise RuntimeError(_MESSAGE % ("submit", self.function))

    def map(self, *_args, **_named):
        """Raises RuntimeError."""
        raise RuntimeError(_MESSAGE % ("map", self.function))


_MESSAGE = "%s of %s: a job cannot submit jobs; call the function itself, or submit from where afield is installed"


def function(given=None, **_options):
    """The decorator; options mean nothing in a job."""
    return Plain if given is None else Plain(given)
