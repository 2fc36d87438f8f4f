"""The server's process: one per store by a lock, on a Unix socket, gone when it has long been idle."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler

import uvicorn

from afield.build import build
from afield.errors import AfieldError
from afield.folders import Folders
from afield.runner import points
from afield.server.app import guarded
from afield.server.desk import Desk
from afield.server.port import ControllerPort

log = logging.getLogger("afield.server")

IDLE_S = 15 * 60.0
LOOK_S = 1.0
"""How often the server asks itself whether it is still wanted and still reachable."""

GRACE_S = 10.0
"""How long open requests may take after the order to leave."""

LOCK_S = 1.0
BACKLOG = 512
LOG_BYTES = 10_000_000

Make = Callable[[Folders], ControllerPort]


def run(folders: Folders, make: Make) -> int:
    """Serve until it is told to leave or idle; the exit status. A second server of one store leaves with 0 at once."""
    os.umask(0o077)
    folders.make()
    _log_to(folders.log)
    with _only_one(folders) as alone:
        if not alone:
            log.info("another server has this store; leaving")
            return 0
        try:
            asyncio.run(_serve(folders, make))
        except AfieldError as error:
            log.error("%s", "; ".join(filter(None, [error.what, error.why, *error.hints])))
            return int(error.exit)
    return 0


async def _serve(folders: Folders, make: Make) -> None:
    controller = make(folders)
    desk = Desk(controller, folders.state, folders.cache)
    await controller.start()
    try:
        with _door(folders, desk) as (listener, still_ours):
            await _listen(desk, listener, still_ours)
    finally:
        await controller.close()
        log.info("left")


async def _listen(desk: Desk, listener: socket.socket, still_ours: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, desk.leaving.set)
    server = _Server(config(desk))
    look = asyncio.create_task(_look(desk, still_ours))
    leave = asyncio.create_task(_leave(desk, server))
    gc.freeze()  # what is loaded stays: each look for garbage would go through all of it
    log.info("serving %s, build %s, pid %d", desk.state, build(), os.getpid())
    try:
        await server.serve(sockets=[listener])
    finally:
        look.cancel()
        leave.cancel()
        await asyncio.gather(look, leave, return_exceptions=True)


def config(desk: Desk) -> uvicorn.Config:
    """How uvicorn serves us."""
    return uvicorn.Config(
        guarded(desk),
        http="auto",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=int(GRACE_S),
    )


class _Server(uvicorn.Server):
    """uvicorn with our signals: leaving by SIGTERM is the same as leaving by request."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _leave(desk: Desk, server: uvicorn.Server) -> None:
    await desk.leaving.wait()
    server.should_exit = True


async def _look(desk: Desk, still_ours: Callable[[], bool]) -> None:
    idle_s = float(os.environ.get("AFIELD_IDLE_S") or IDLE_S)
    while not desk.leaving.is_set():
        await asyncio.sleep(min(LOOK_S, idle_s / 4))
        if desk.idle_s() >= idle_s:
            log.info("idle for %.0f s; leaving", idle_s)
            desk.leaving.set()
        elif not still_ours():
            log.warning("the socket is gone, nobody can reach this server; leaving")
            desk.leaving.set()


@contextlib.contextmanager
def _only_one(folders: Folders) -> Iterator[bool]:
    """Whether this process is the one server of the store, as long as the block runs."""
    deadline = time.monotonic() + LOCK_S
    with open(folders.lock, "a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.02)
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "build": build(), "socket": folders.socket, "token": folders.token}))
        file.flush()
        yield True


@contextlib.contextmanager
def _door(folders: Folders, desk: Desk) -> Iterator[tuple[socket.socket, Callable[[], bool]]]:
    """A listening socket, and whether its path still leads here. The store's lock is held: what lay there is stale."""
    _write_token(folders.token, desk.token)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(folders.socket)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with points.around("controller.door"):
            listener.bind(folders.socket)
            listener.listen(BACKLOG)
        made = _inode(folders.socket)
        try:
            yield listener, lambda: _inode(folders.socket) == made
        finally:
            if _inode(folders.socket) == made:
                os.unlink(folders.socket)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _write_token(path: str, token: str) -> None:
    made = f"{path}.new"
    with open(made, "w", encoding="ascii", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(token)
    with points.around("controller.token"):
        os.replace(made, path)


def _log_to(path: str) -> None:
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
