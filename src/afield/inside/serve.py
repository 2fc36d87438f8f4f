"""Programs with a web page, as jobs. On a node: `-m afield_serve jupyter [PATH]`, `-m afield_serve tensorboard FOLDER`.

Each says in `offer.json` in the job's folder, which only its owner may read, where it is reached: at a Unix socket for
its owner alone, since a port would be open to everybody on the node. Jupyter wants a random token besides, which is in
no command line and no variable; it talks to its kernels by such sockets too.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from importlib import import_module

OFFER = "offer.json"
CONFIG = "jupyter_afield_config.json"
SHORT = 55
"""The system takes 107 bytes as the path of a Unix socket; Jupyter's own names for those of kernels have up to 52."""


def main(words):
    """Run the program that the first word names; the exit status."""
    known = {"jupyter": jupyter, "tensorboard": tensorboard}
    return known[words[0]](words[1:])


def jupyter(words):
    """Be Jupyter, rooted in the folder where the job runs, until a signal; the exit status."""
    try:
        labapp = import_module("jupyterlab.labapp")
    except ImportError:
        return lacking("jupyterlab")
    folder = sockets()
    token, place = secrets.token_urlsafe(32), folder + "/s"
    server = {"sock": place, "sock_mode": "0600", "open_browser": False, "root_dir": os.getcwd()}
    if os.geteuid() == 0:
        # Whoever runs a job as root does so knowingly, and nobody else reaches the socket.
        server["allow_root"] = True
    config = job_file(CONFIG)
    keep(
        config,
        {
            "ServerApp": server,
            "IdentityProvider": {"token": token},
            "KernelManager": {"transport": "ipc"},
            "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
        },
    )
    page = "lab/tree/" + quoted(words[0]) if words else "lab"
    offer("jupyter", place, 8888, page + "?token=" + token, "api")
    sys.argv[1:] = ["--config=" + config]
    try:
        return labapp.main()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tensorboard(words):
    """Be TensorBoard for a folder, at a socket for its owner alone, until a signal; the exit status."""
    import signal

    try:
        program = import_module("tensorboard.program")
    except ImportError:
        return lacking("tensorboard")
    # Its own address has a port, which a socket has not.
    server = type("Server", (program.WerkzeugServer,), {"get_url": lambda _: ""})
    folder = sockets()
    place = folder + "/s"
    board = program.TensorBoard(server_class=server)
    # Its fast loader is a server of its own, at a port that everybody on the machine reaches.
    argv = ["tensorboard", "--logdir", words[0], "--host", "unix://" + place, "--port", "0", "--load_fast", "false"]
    board.configure(argv=argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        board.launch()
        os.chmod(place, 0o600)
        offer("tensorboard", place, 6006, "", "")
        while True:
            signal.pause()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lacking(package):
    """Say that a package is not there; the exit status."""
    sys.stderr.write(
        "afield: %s is not installed in %s\n"
        "  why: with --environment none the packages are the node's own\n"
        "  try: install it there, or run without --environment none\n" % (package, sys.executable)
    )
    return 1


def job_file(name):
    """The path of a file in the job's folder."""
    return os.path.join(os.environ["JOB_DIR"], name)


def sockets():
    """A folder of our own for sockets: in the job's, or where that has too long a path in a temporary one."""
    place = job_file("j")
    if len(os.fsencode(place)) > SHORT:
        import tempfile

        place = tempfile.mkdtemp(prefix="afield-", dir="/tmp")
    else:
        shutil.rmtree(place, ignore_errors=True)  # what a killed start left
        os.mkdir(place, 0o700)
    os.environ["JUPYTER_RUNTIME_DIR"] = place
    return place


def offer(name, place, port, path, ready):
    """Tell those who forward to this job: where it is, its usual port, the path of its page, one that answers soon."""
    attempt = int(os.environ.get("AFIELD_ATTEMPT", "0"))
    value = {"name": name, "place": place, "port": port, "path": path, "ready": ready, "attempt": attempt}
    keep(job_file(OFFER), value)


def keep(path, value):
    """Write a file that nobody else may read, whole or not at all."""
    part = path + ".part"
    if os.path.lexists(part):
        os.unlink(part)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file)
    os.replace(part, path)


def quoted(path):
    """A path in an address."""
    from urllib.parse import quote

    return quote(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
