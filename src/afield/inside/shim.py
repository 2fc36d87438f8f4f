"""What `import afield` finds in a job whose environment has no afield of its own; there it is the package itself.

A job's path begins with ours, so the name is looked up once more behind it: an afield that is installed there wins.
"""

from __future__ import annotations

import os
import sys
from importlib import util
from importlib.machinery import PathFinder


def installed():
    """The spec of the afield that the environment has itself; None when ours is the only one."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    others = [place for place in sys.path if os.path.abspath(place) != ours]
    found = PathFinder.find_spec("afield", others)
    return found if found is not None and found.loader is not None and found.has_location else None


def replace(found):
    """Load an afield in the place of this one."""
    module = util.module_from_spec(found)
    sys.modules["afield"] = module
    found.loader.exec_module(module)


_INSTALLED = installed() if __name__ == "afield" else None
if _INSTALLED is not None:
    replace(_INSTALLED)
else:
    from afield.inside.current import Current, current
    from afield.inside.plain import function

    __all__ = ["Current", "current", "function"]


def __getattr__(name):
    raise AttributeError(
        "afield.%s is not there in a job: the job has afield.current and afield.function; to use all of afield, "
        "add it to the packages of the job's environment" % name
    )
