"""The program of a job that is a function: loads it, calls it, leaves what it gave. On a node: `-m afield_call`.

Beside it lies the cloudpickle that we pickle with. Files in the `call` folder of the job: `function` (a line of JSON,
then the pickle) and `arguments`. What it leaves is the result file: a line of JSON, then the pickle of the value or of
the exception. Only the first process of a job leaves one.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys

FORMAT = 1
AGAIN = "--this-python"


class Unfit(Exception):
    """This node cannot run the call: `code` is stable, the hints say what would help."""

    def __init__(self, code, what, why="", hints=()):
        Exception.__init__(self, what)
        self.said = {"code": code, "what": what, "why": why, "hints": list(hints)}


def main(words):
    """Run the call of this job; the exit status."""
    place = os.path.join(os.environ["JOB_DIR"], "call")
    with open(os.path.join(place, "function"), "rb") as file:
        head = json.loads(file.readline())
        data = file.read()
    try:
        check_python(head, words)
        pickler = load_pickler(head)
    except Unfit as unfit:
        sys.stderr.write("afield: %(what)s\n  why: %(why)s\n" % unfit.said)
        leave({"kind": "unfit", "error": unfit.said}, b"")
        return 1
    return run(head, data, os.path.join(place, "arguments"), pickler)


def run(head, data, arguments, pickler):
    """Load, call, and leave the result; the exit status."""
    import_from(head)
    try:
        function = pickle.loads(data)  # noqa: S301 what the job's own user sent
        with open(arguments, "rb") as file:
            given, named = pickle.load(file)  # noqa: S301
        value = function(*given, **named)
    except Exception as error:  # noqa: BLE001 whatever the function raises is its result
        failed(error, pickler)
        return 1
    try:
        packed = pickler.dumps(value)
    except Exception as error:  # noqa: BLE001 pickling runs code of the user's classes
        why = "%s: %s" % (type(error).__name__, error)
        what = "what the function gave cannot be sent back: %s" % type(value).__name__
        leave({"kind": "unfit", "error": _said("result-unpicklable", what, why)}, b"")
        return 1
    if len(packed) > head["limit"]:
        what = "what the function gave is too large to be sent back"
        why = "it has %d bytes, and %d are the most" % (len(packed), head["limit"])
        leave({"kind": "unfit", "error": _said("result-too-large", what, why)}, b"")
        return 1
    leave({"kind": "value"}, packed)
    return 0


def _said(code, what, why):
    sys.stderr.write("afield: %s\n  why: %s\n" % (what, why))
    hints = ["write it into afield.current().output_dir and give back the file's name; `pull` brings it home"]
    return {"code": code, "what": what, "why": why, "hints": hints}


def check_python(head, words):
    """Go on as the Python that the function was pickled under. Raises Unfit when there is none."""
    wanted, ours = tuple(head["python"]), tuple(sys.version_info[:2])
    if wanted == ours:
        return
    import shutil

    name = "python%d.%d" % wanted
    other = None if AGAIN in words or os.environ.get("VIRTUAL_ENV") else shutil.which(name)
    if other:
        os.execv(other, [other, "-m", "afield_call", AGAIN, *words])
    raise Unfit(
        "python-differs",
        "the function was sent by Python %d.%d, and runs under %d.%d" % (wanted + ours),
        "a pickled function cannot cross minor versions of Python, and there is no %s in the PATH here" % name,
        ['python="%d.%d" has that Python made ready for the job' % wanted],
    )


def load_pickler(head):
    """The cloudpickle that came with afield, in front of any other: both ends must be the same. Raises Unfit."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pickle")
    if os.path.isdir(place):
        sys.path.insert(0, place)
    pickler = importlib.import_module("cloudpickle")
    if pickler.__version__ != head["cloudpickle"]:
        raise Unfit(
            "cloudpickle-differs",
            "the function was pickled by cloudpickle %s, and would be loaded by %s"
            % (head["cloudpickle"], pickler.__version__),
            "only the same version reads all that it writes",
            ["install the same afield and cloudpickle where you submit and where `afield` runs"],
        )
    return pickler


def import_from(head):
    """Let modules be found where they were found by the sender: folders of the workspace, in the same order."""
    source = os.environ["SRC_DIR"]
    places = [os.path.normpath(os.path.join(source, place)) for place in head["path"]]
    sys.path[:0] = [place for place in places if place not in sys.path]


def failed(error, pickler):
    """Say what the function raised, here and in the result."""
    import traceback

    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, trace))
    sys.stderr.write(text)
    try:
        packed = pickler.dumps(error)
    except Exception:  # noqa: BLE001 then the text has to do
        packed = b""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else kind.__module__ + "." + kind.__qualname__
    )
    leave({"kind": "error", "type": name, "text": str(error), "traceback": text}, packed)


def leave(head, data):
    """Write the result file whole, and on the disk, before the exit status says that it is there."""
    if os.environ.get("RANK", "0") != "0":
        return
    path = os.environ["RESULT_FILE"]
    line = json.dumps(dict(head, format=FORMAT, python=list(sys.version_info[:2]))).encode("ascii") + b"\n"
    with open(path + ".part", "wb") as file:
        file.write(line)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
