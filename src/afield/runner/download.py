"""A download on the node: goes on where it was cut, checked by size and, when it is known, by SHA-256."""

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

from .landing import LandingError
from .points import around

TRIES = 5
PIECE = 1024 * 1024
TELL_S = 0.2
SILENT_S = 60.0
AGENT = "afield"


def fetch(_paths, head):
    """Replies with `progress` (done, total or None) and last `fetched`: path, size, sha256, and whether it was there.

    What is there with the right sum, or without a sum with the server's size, is not fetched again. A try that brings
    something is followed by another. Raises LandingError.
    """
    work = Download(head["url"], head["folder"], head.get("sha256") or "")
    tries = 0
    while True:
        before = work.have()
        try:
            for done, total in work.run():
                yield {"on": "progress", "done": done, "total": total, "more": True}, b""
            break
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "code", 0) == 416:
                work.drop()
            tries = 1 if work.have() > before else tries + 1
            if tries >= TRIES or _final(error):
                raise LandingError("fetch-failed", "%s could not be fetched" % head["url"], _why(error))
            time.sleep(0.1 * 2**tries)
    yield dict(work.result, on="fetched"), b""


class Download:
    """One address into one folder."""

    def __init__(self, url, folder, sha256):
        self._url = url
        self._wanted = sha256.lower()
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise LandingError("bad-request", "not an address to download from", url)
        name = os.path.basename(urllib.parse.unquote(parts.path).rstrip("/")).replace("\0", "") or "download"
        self._path = os.path.join(folder, name)
        mark = hashlib.sha256(os.fsencode(url)).hexdigest()[:16]
        self._part = os.path.join(folder, ".%s.%s.afpart" % (name[:150], mark))
        self._note = self._part[:-7] + ".note.afpart"
        self.result = {}
        os.makedirs(folder, 0o777, exist_ok=True)

    def have(self):
        """How many bytes lie here."""
        try:
            return os.stat(self._part).st_size
        except FileNotFoundError:
            return 0

    def drop(self):
        """Begin again: the server has no bytes behind those that lie here."""
        if os.path.exists(self._part):
            os.unlink(self._part)

    def run(self):
        """Fetch the rest; yields (done, total) now and then."""
        if self._wanted and os.path.isfile(self._path) and _sha256(self._path) == self._wanted:
            self._finish(self._wanted, there=True)
            return
        at, validator = self.have(), self._validator()
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
        if at and validator:
            headers.update({"Range": "bytes=%d-" % at, "If-Range": validator})
        request = urllib.request.Request(self._url, headers=headers)
        with urllib.request.urlopen(request, timeout=SILENT_S) as answer:
            at = at if answer.status == 206 and _begins(answer) == at else 0
            length = answer.headers.get("Content-Length")
            total = at + int(length) if length and length.isdigit() else None
            if not self._wanted and total is not None and self._is_there(total):
                self._finish("", there=True)
                return
            self._remember(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
            yield from self._take(answer, at, total)
        self._check(total)

    def _take(self, answer, at, total):
        told = time.monotonic()
        with open(self._part, "r+b" if os.path.exists(self._part) else "w+b") as file:
            file.truncate(at)
            file.seek(at)
            while True:
                data = answer.read(PIECE)
                if not data:
                    return
                file.write(data)
                at += len(data)
                if time.monotonic() - told > TELL_S:
                    told = time.monotonic()
                    yield at, total

    def _check(self, total):
        size = self.have()
        if total is not None and size != total:
            raise ConnectionError("the answer ended after %d of %d bytes" % (size, total))
        found = _sha256(self._part)
        if self._wanted and found != self._wanted:
            os.unlink(self._part)
            raise LandingError("damaged", "%s has another SHA-256" % self._url, "it is %s" % found)
        with around("data.fetch"):
            os.replace(self._part, self._path)
        self._finish(found, there=False)

    def _finish(self, sha256, there):
        if os.path.exists(self._note):
            os.unlink(self._note)
        size = os.stat(self._path).st_size
        self.result = {"path": self._path, "size": size, "sha256": sha256, "there": there}

    def _is_there(self, total):
        return os.path.isfile(self._path) and os.stat(self._path).st_size == total

    def _validator(self):
        try:
            with open(self._note) as file:
                return json.load(file)["validator"]
        except (OSError, ValueError, KeyError):
            return ""

    def _remember(self, validator):
        # A weak one says nothing of the bytes.
        with open(self._note, "w") as file:
            json.dump({"validator": "" if validator.startswith("W/") else validator}, file)


def _begins(answer):
    """Where a partial answer begins; -1 when it does not say."""
    word = (answer.headers.get("Content-Range") or "").replace("bytes ", "").partition("-")[0]
    return int(word) if word.isdigit() else -1


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            data = file.read(PIECE)
            if not data:
                return digest.hexdigest()
            digest.update(data)


def _final(error):
    return isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 416, 429)


def _why(error):
    if isinstance(error, urllib.error.HTTPError):
        return "the server says %d %s" % (error.code, error.reason)
    return str(getattr(error, "reason", "") or error)
