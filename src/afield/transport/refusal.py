"""Why an ssh did not become a link: its words and status turned into an error that says what would help."""

from __future__ import annotations

import re

from afield.errors import AfieldError, Unreachable
from afield.transport import host_keys
from afield.transport.start import Failed

__all__ = ["AfieldError", "Failed", "explain", "no_client"]

SSH_FAILED = 255

_NETWORK = {
    "could not resolve hostname": "its name is not known",
    "connection refused": "it refused the connection",
    "connection timed out": "it did not answer in time",
    "operation timed out": "it did not answer in time",
    "no route to host": "there is no route to it",
    "network is unreachable": "its network cannot be reached",
    "connection reset": "it cut the connection during login",
    "connection closed": "it closed the connection during login",
}
_ASKS = ("password", "keyboard-interactive")


async def explain(target: str, config: str | None, failed: Failed) -> AfieldError:
    """The error for a login that failed."""
    words = failed.stderr
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in words:
        return _changed(target, words)
    if "Host key verification failed" in words or "requested strict checking" in words:
        return await _unknown(target, config)
    if denied := re.search(r"Permission denied \(([^)]*)\)", words):
        return _denied(target, denied[1].split(","))
    last = _last(words)
    if "Bad configuration option" in words or "Bad owner or permissions" in words or "terminating," in words:
        what, hints = f"ssh does not accept its configuration for {target}", (f"ssh -G {target} shows what it reads",)
        return Unreachable(what, why=last, hints=hints, code="ssh-config")
    for sign, why in _NETWORK.items():
        if sign in words.lower():
            hints = (f"ssh {target} true",)
            return Unreachable(f"{target} cannot be reached", why=f"{why} ({last})", hints=hints)
    return _other(target, failed, last)


def no_client() -> AfieldError:
    """This machine has no ssh."""
    return Unreachable(
        "no ssh client was found", hints=("install OpenSSH: apt-get install openssh-client",), code="no-ssh"
    )


def _denied(target: str, methods: list[str]) -> AfieldError:
    if any(method in methods for method in _ASKS):
        return Unreachable(
            f"{target} needs a login by a person",
            why=f"it asks for {' or '.join(method for method in methods if method in _ASKS)}",
            hints=("afield node login NAME", f"or a key that needs no question: ssh-copy-id {target}"),
            code="needs-login",
        )
    return Unreachable(
        f"{target} refused the login",
        why=f"no key was accepted; it takes {', '.join(methods)}",
        hints=(f"ssh-copy-id {target}", "a key with a passphrase: ssh-add, or afield node login NAME"),
        code="login-refused",
    )


async def _unknown(target: str, config: str | None) -> AfieldError:
    shown = "its key could not be read"
    try:
        keys = await host_keys.fingerprints(target, config)
        shown = ", ".join(f"{key.kind} {key.fingerprint}" for key in keys)
    except AfieldError:
        # The key of a machine on the way there may be the unknown one: then only ssh itself can ask.
        pass
    return Unreachable(
        f"the host key of {target} is not known",
        why=shown,
        hints=(f"compare it with the machine's, then: ssh {target}", "or afield node add, which asks"),
        code="host-key-unknown",
    )


def _changed(target: str, words: str) -> AfieldError:
    now = re.search(r"SHA256:[A-Za-z0-9+/]+", words)
    place = re.search(r"Offending \S+ key in (.+):(\d+)", words)
    before = host_keys.recorded(place[1], int(place[2])) if place else ""
    return Unreachable(
        f"the host key of {target} changed",
        why=f"it was {before or 'another one'}, now it is {now[0] if now else 'unknown'}; somebody may be in between",
        hints=(
            "ask who runs the machine whether its key was replaced",
            f"if so, remove the old one ({place[1]} line {place[2]}) and: ssh {target}"
            if place
            else f"then: ssh {target}",
        ),
        code="host-key-changed",
    )


def _other(target: str, failed: Failed, last: str) -> AfieldError:
    if failed.status == SSH_FAILED:
        return Unreachable(
            f"{target} cannot be reached", why=last or "ssh gave no reason", hints=(f"ssh {target} true",)
        )
    said = last or _last(failed.output) or f"status {failed.status}"
    return Unreachable(
        f"the login on {target} does not run commands",
        why=said,
        hints=(f"this must print hello: ssh {target} echo hello",),
        code="no-shell",
    )


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
