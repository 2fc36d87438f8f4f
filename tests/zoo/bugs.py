"""The planted bugs: each is one that other tools had, or that a tired person could write here."""

from __future__ import annotations

from tests.zoo.bug import Bug
from tests.zoo.bugs_controller import BUGS as CONTROLLER
from tests.zoo.bugs_folder import BUGS as FOLDER
from tests.zoo.bugs_real import BUGS as REAL
from tests.zoo.bugs_runner import BUGS as RUNNER

BUGS: tuple[Bug, ...] = (*RUNNER, *FOLDER, *CONTROLLER, *REAL)
