"""The live screen, driven as a person would: what it shows at two sizes, what keys do, what a silent server does."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual.message import Message
from textual.pilot import Pilot

from afield.cli.top.app import Looked, Printed, Top
from afield.cli.top.errand import Errand
from afield.cli.top.feed import Look, View
from afield.cli.top.tail import POLL_S, Lines
from afield.errors import Unreachable
from tests.unit.cli.fleet import NOW, Fleet, job
from tests.unit.cli.screens import compare, known

SMALL, LARGE = (80, 24), (160, 50)
WITHIN_S = 20.0

Story = Callable[["Screen"], Awaitable[None]]


class Here(Top):
    """The app without a terminal that it could give away."""

    CSS_PATH = str(Path(inspect.getfile(Top)).with_name("top.tcss"))

    @contextmanager
    def suspend(self) -> Iterator[None]:
        yield


class Screen:
    """One run of the app on a fleet; `errands` are those that it would have run."""

    def __init__(self, fleet: Fleet, pilot: Pilot[None], errands: list[Errand]) -> None:
        self.fleet = fleet
        self.pilot = pilot
        self.errands = errands

    async def errand(self) -> Errand:
        """The next errand."""
        deadline = time.monotonic() + WITHIN_S
        while not self.errands:
            assert time.monotonic() < deadline, f"no errand; the screen is\n{self.text()}"
            await self.pilot.pause(0.02)
        return self.errands.pop()

    def text(self) -> str:
        strips = self.pilot.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def until(self, *texts: str, gone: str = "") -> str:
        """The screen once it shows the texts, and no longer `gone`."""
        deadline = time.monotonic() + WITHIN_S
        while any(text not in self.text() for text in texts) or (gone and gone in self.text()):
            assert time.monotonic() < deadline, f"never: {texts} without {gone!r}; the screen is\n{self.text()}"
            await self.pilot.pause(0.02)
        return self.text()

    async def shows(self, name: str) -> None:
        """Wait for the screen of that name; fails with both when it does not come."""
        deadline = time.monotonic() + WITHIN_S / 4
        while not known(name, self.text()) and time.monotonic() < deadline:
            await self.pilot.pause(0.02)
        compare(name, self.text())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)


def play(story: Story, size: tuple[int, int] = SMALL, fleet: Fleet | None = None) -> Fleet:
    """Runs a story in the app."""
    fleet = fleet or Fleet()

    async def run() -> None:
        errands: list[Errand] = []
        async with Here(fleet, now=lambda: NOW, run=errands.append).run_test(size=size) as pilot:
            screen = Screen(fleet, pilot, errands)
            await screen.until("JOB")
            await story(screen)

    asyncio.run(run())
    return fleet


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])
def test_the_screen(size: tuple[int, int]) -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down")
        await screen.until("step 39", "50%|#####   |")
        await screen.shows(f"top-{size[0]}x{size[1]}")

    play(story, size)


def test_a_terminal_that_changes_its_size_shows_what_fits() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down")
        await screen.until("step 39")
        await screen.pilot.resize_terminal(*SMALL)
        await screen.until("step 39", gone="COMMAND")
        await screen.shows("top-80x24")

    play(story, LARGE)


def test_what_happens_is_shown() -> None:
    async def story(screen: Screen) -> None:
        screen.fleet.all.insert(0, job(124, "running", name="brand-new", nodes=["box2"]))
        screen.fleet.happen()
        await screen.until("brand-new", "3 running")
        screen.fleet.all[0] = job(124, "succeeded", name="brand-new")
        screen.fleet.happen()
        await screen.until("2 running")

    play(story)


def test_a_selection_stays_with_its_job() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down", "down")
        await screen.until("job 120: train.py")
        screen.fleet.all.insert(0, job(124, "running", name="brand-new"))
        screen.fleet.happen()
        await screen.until("brand-new", "job 120: train.py")

    play(story)


def test_why() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("end", "up", "up")
        await screen.until("job 123: torchrun train.py")
        await screen.press("w")
        await screen.until("why job 123", "would start it: the end of job 121")
        await screen.shows("top-why-80x24")
        await screen.press("escape")
        await screen.until("JOB", gone="would start it")

    play(story)


def test_stop_asks() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down")
        await screen.until("job 121 vit-base")
        await screen.press("c")
        await screen.until("Stop job 121", "on box2?")
        await screen.shows("top-stop-80x24")
        await screen.press("n")
        await screen.until("JOB", gone="Stop job 121")
        assert screen.fleet.stopped == []
        await screen.press("c")
        await screen.until("Stop job 121")
        await screen.press("y")
        await screen.until("JOB", gone="Stop job 121")
        deadline = time.monotonic() + WITHIN_S
        while not screen.fleet.stopped:
            assert time.monotonic() < deadline
            await screen.pilot.pause(0.02)

    assert play(story).stopped == [121]


def test_a_silent_node_is_said_when_its_job_is_stopped() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down", "down")
        await screen.until("job 120: train.py")
        await screen.press("c")
        await screen.until("Stop job 120")
        await screen.press("y")
        await screen.until("lab-server-in-the-cellar does not answer; the stop is")

    play(story)


def test_a_shell_beside_the_selected_job() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down", "s")
        errand = await screen.errand()
        assert errand.argv == ("ssh", "-t", "box2", "shell")
        assert "job 121" in errand.title
        assert [errand.read(status, False) for status in (0, 1, 130, 255)] == [False, False, False, True]
        await screen.until("2 running")
        await screen.press("end", "up", "up")
        await screen.until("job 123: torchrun train.py")
        await screen.press("s")
        await screen.until("job 123 is on no node yet", "afield why 123", gone="opening a shell")
        assert screen.errands == []

    play(story)


def test_what_happens_while_the_terminal_is_away_is_shown_afterwards() -> None:
    async def story(screen: Screen) -> None:
        found = screen.pilot.app
        assert isinstance(found, Top)
        app: Top = found

        def meanwhile(_: Errand) -> None:
            screen.fleet.all.insert(0, job(124, "running", name="meanwhile"))
            screen.fleet.happen()
            deadline = time.monotonic() + WITHIN_S
            while not any(job["number"] == 124 for job in _seen(app._away)):
                assert time.monotonic() < deadline, app._away
                time.sleep(0.02)

        app._run_errand = meanwhile
        await screen.press("down", "s")
        await screen.until("meanwhile", "3 running")

    play(story)


def _seen(told: dict[type[Message], Message] | None) -> tuple[View, ...]:
    looked = (told or {}).get(Looked)
    return looked.told.jobs if isinstance(looked, Looked) and isinstance(looked.told, Look) else ()


def test_ports_of_the_selected_job() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down", "f")
        await screen.until("forward job 121", "none: what the job offers")
        await screen.shows("top-forward-80x24")
        await screen.press("escape")
        await screen.until("JOB", gone="forward job 121")
        await screen.press("f")
        await screen.until("forward job 121")
        await screen.press(*"6006 0:80", "enter")
        errand = await screen.errand()
        assert errand.argv[-4:] == ("forward", "job:121", "6006", "0:80")
        assert errand.read(1, False), "why it could not be is read before top hides it"
        assert not errand.read(0, True)
        await screen.until("2 running", gone="forward job 121")

    play(story)


def test_rerun_asks_and_selects_the_new_job() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down")
        await screen.until("job 121 vit-base")
        await screen.press("r")
        await screen.until("Run job 121", "y runs it, n does not")
        await screen.press("n")
        await screen.until("JOB", gone="Run job 121")
        assert screen.fleet.rerun_of == []
        await screen.press("r")
        await screen.until("Run job 121")
        await screen.press("y")
        await screen.until("─job 124 vit-base")
        assert screen.fleet.rerun_of == [121]

    play(story)


def test_the_whole_log_goes_on_while_it_is_shown() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down")
        await screen.until("50%|")
        await screen.press("l")
        await screen.until("step 38", gone="JOB")
        screen.fleet.log += b"\nmore of it\n"
        await screen.until("more of it")
        await screen.press("home")
        await screen.until("step 0 ")
        screen.fleet.log += b"and more\n"
        await screen.pilot.pause(2 * POLL_S)
        assert "step 0 " in screen.text()
        await screen.press("end")
        await screen.until("and more")
        screen.fleet.log += b"and still more\n"
        await screen.until("and still more")
        await screen.press("escape")
        await screen.until("JOB")

    play(story)


def test_lines_that_come_before_the_whole_log_is_made_are_in_it() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("down")
        await screen.until("50%|")
        app = screen.pilot.app
        assert isinstance(app, Top)
        app.action_log()
        app.on_printed(Printed(121, [*(f"line {i}" for i in range(60)), "at once"]))
        await screen.until("at once", gone="JOB")

    play(story)


def test_filter_and_ended() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("slash", *"TOKEN", "enter")
        await screen.until("tokenise", gone="gemma-sft")
        await screen.press("escape")
        await screen.until("gemma-sft")
        await screen.press("e")
        await screen.until("gemma-sft", gone="tokenise")
        await screen.press("slash", *"nothing-has-this")
        await screen.until("no jobs")

    play(story)


def test_an_empty_fleet() -> None:
    empty = Fleet()
    empty.all, empty.nodes = [], empty.nodes[2:]

    async def run() -> None:
        async with Top(empty, now=lambda: NOW).run_test(size=SMALL) as pilot:
            screen = Screen(empty, pilot, [])
            await screen.until("no jobs", "1 node")
            await screen.press("c", "w", "l", "s", "f", "r")
            await screen.until("no jobs")

    asyncio.run(run())


def test_a_server_that_is_gone_leaves_the_last_look_marked_as_old() -> None:
    async def story(screen: Screen) -> None:
        screen.fleet.error = Unreachable("afield's server went away")
        screen.fleet.happen()
        await screen.until("old since", "afield's server went away", "gemma-sft")
        screen.fleet.error = None
        await screen.until("2 running", gone="old since")

    play(story)


def test_the_keys_are_listed() -> None:
    async def story(screen: Screen) -> None:
        await screen.press("question_mark")
        await screen.until("▣ others use it")
        await screen.shows("top-keys-80x24")

    play(story)


def test_lines_of_a_stream_that_begins_in_the_middle_and_is_written_over() -> None:
    lines = Lines(prefixed=True)
    lines.feed("0/out", 0, b"half a line\nwhole\nnot y", middle=True)
    lines.feed("1/err", 1, b"a\rb\r\n\x1b]0;title\x07")
    lines.feed("0/out", 0, b"et\n10%\r20%")
    assert lines.all() == ["0│ whole", "1│ b", "0│ not yet", "^[]0;title^G", "20%"]
