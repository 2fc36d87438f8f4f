"""Runs a notebook without a page: `-m afield_execute NOTEBOOK`. What its cells print is shown as it comes.

The notebook with its results is written to the job's OUTPUT_DIR after every cell, so that it comes home also when a
cell fails; the first cell that does ends the run, and its error is the last thing that is said.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import import_module

from afield_serve import sockets

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main(words):
    """Run the notebook; the exit status: 0, or 1 when a cell fails."""
    try:
        nbclient, nbformat = import_module("nbclient"), import_module("nbformat")
    except ImportError as error:
        sys.stderr.write(
            "afield: %s is not installed in %s\n"
            "  try: pip install nbclient ipykernel there, or run without --environment none\n"
            % (error.name, sys.executable)
        )
        return 1
    path = words[0]
    book = nbformat.read(path, as_version=4)
    folder = sockets()
    client = nbclient.NotebookClient(book, timeout=None, kernel_name=kernel(book))
    client.config.KernelManager.transport = "ipc"
    run = Run(nbformat, book, os.path.join(os.environ.get("OUTPUT_DIR") or ".", os.path.basename(path)))
    run.watch(client)
    try:
        client.execute(cwd=os.path.dirname(os.path.abspath(path)))
    except nbclient.exceptions.CellExecutionError as error:
        return failed(error, run.current)
    except nbclient.exceptions.DeadKernelError:
        sys.stderr.write("afield: the kernel died in cell %d\n" % run.current)
        return 1
    finally:
        run.save()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def failed(error, cell):
    """Show what a cell raised; the exit status."""
    text = error.traceback if sys.stderr.isatty() else COLOUR.sub("", error.traceback)
    sys.stderr.write("%s\nafield: cell %d failed: %s: %s\n" % (text.rstrip(), cell, error.ename, error.evalue))
    return 1


def kernel(book):
    """The kernel for a notebook: that of this environment for Python, the one that it names for another language."""
    spec = book.metadata.get("kernelspec") or {}
    language = spec.get("language") or (book.metadata.get("language_info") or {}).get("name") or "python"
    return "python3" if language.lower() == "python" else spec.get("name")


class Run:
    """One run of a notebook into a file; `current` is the cell that runs, counted from 1 among those with code."""

    def __init__(self, nbformat, book, target):
        self.current = 0
        self._nbformat = nbformat
        self._book = book
        self._target = target
        self._total = sum(1 for cell in book.cells if self._counts(cell))

    def watch(self, client):
        """See what a client of nbclient does: which cell begins and ends, and each message of the kernel."""
        keeps = client.process_message

        def seen(msg, cell, cell_index):
            self._show(msg)
            return keeps(msg, cell, cell_index)

        client.process_message = seen
        client.on_cell_execute = self._begin
        client.on_cell_executed = lambda **_: self.save()

    def save(self):
        """Write the notebook as it is now, whole."""
        part = self._target + ".part"
        with open(part, "w", encoding="utf-8") as file:
            self._nbformat.write(self._book, file)
        os.replace(part, self._target)

    def _begin(self, cell, cell_index):
        if self._counts(cell):
            self.current += 1
            first = cell.source.strip().splitlines()[0]
            sys.stderr.write("[%d/%d] %s\n" % (self.current, self._total, first[:70]))
            sys.stderr.flush()

    @staticmethod
    def _counts(cell):
        return cell.cell_type == "code" and bool(cell.source.strip())

    @staticmethod
    def _show(msg):
        content = msg["content"]
        if msg["msg_type"] == "stream":
            stream = sys.stderr if content["name"] == "stderr" else sys.stdout
            stream.write(content["text"])
            stream.flush()
        elif msg["msg_type"] in ("execute_result", "display_data"):
            text = content["data"].get("text/plain", "")
            sys.stdout.write(text + "\n" if text else "")
            sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
