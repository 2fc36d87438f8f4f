"""`python -m afield.server --state DIR` serves one store; `--openapi` prints the description of the API."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from afield.controller.make import make
from afield.folders import Folders
from afield.server.app import api
from afield.server.desk import Desk
from afield.server.port import ControllerPort
from afield.server.process import run


def main(argv: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m afield.server", description=__doc__)
    parser.add_argument("--state", help="the folder of the store; default: the user's own")
    parser.add_argument("--openapi", action="store_true", help="print the description of the API and exit")
    given = parser.parse_args(argv)
    if given.openapi:
        sys.stdout.write(json.dumps(api(Desk()).openapi(), indent=1) + "\n")
        return 0
    return run(Folders(given.state), _controller)


def _controller(folders: Folders) -> ControllerPort:
    ssh_config = os.environ.get("AFIELD_SSH_CONFIG") or None
    return make(Path(folders.state), Path(folders.cache), Path(folders.runtime), ssh_config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
