"""The live screen: nodes with their devices, jobs, the log of the selected one; keys ask for more."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from afield.cli import show
from afield.cli.jobs import answer, row, summary
from afield.cli.top import draw, errand
from afield.cli.top.errand import Errand
from afield.cli.top.feed import Feed, Look, Source, View
from afield.cli.top.sheets import Ask, Jobs, LastLines, Log, Told, Words
from afield.cli.top.tail import Tail
from afield.errors import AfieldError

WIDE = 120
"""From so many cells on the nodes stand beside the jobs."""

KEYS = """\
up, down, page up, page down, home, end   select a job
l, enter   its log on the whole screen
w          why it waits, or how it ended
s          a shell in its folder, on its node
f          ports of its node on this machine, until Ctrl-C
r          run it again, as a new job (asks)
c          stop it (asks)
e          hide ended jobs, or show them again
/          only jobs with this text; escape shows all again
q          leave; no job is touched

□ a free device   ■ a job of ours holds it   ▣ others use it
"""


LOOKING = "looking…"
PORTS = "as 6006, or 8080:6006 for another number here"


class Looked(Message):
    """There is a new look, or an error instead of one."""

    def __init__(self, told: Look | AfieldError) -> None:
        self.told = told
        super().__init__()


class Printed(Message):
    """A job has other last lines now."""

    def __init__(self, number: int, lines: list[str]) -> None:
        self.number = number
        self.lines = lines
        super().__init__()


class Answered(Message):
    """An answer to a key."""

    def __init__(self, title: str, lines: list[str]) -> None:
        self.title = title
        self.lines = lines
        super().__init__()


class Submitted(Message):
    """A job was submitted from here."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()


class Begun(Message):
    """There is an errand to run."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        super().__init__()


class Top(App[None]):
    """Shows what `source` has. `now` is the clock for how long things have run, `run` is who runs errands."""

    CSS_PATH = "top.tcss"
    TITLE = "afield top"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012 Textual reads it so
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "log"),
        Binding("w", "why", "why"),
        Binding("s", "shell", "shell"),
        Binding("f", "forward", "forward"),
        Binding("r", "rerun", "rerun"),
        Binding("c", "stop", "stop"),
        Binding("e", "ended", "ended"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("question_mark", "keys", "keys", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
        Binding("escape", "all", "all", show=False),
    ]

    def __init__(
        self, source: Source, now: Callable[[], float] = time.time, run: Callable[[Errand], None] = errand.run
    ) -> None:
        super().__init__(ansi_color=True)
        self._source = source
        self._now = now
        self._run_errand = run
        self._away: dict[type[Message], Message] | None = None
        """While the terminal is another program's: the last message of each kind, for afterwards."""
        self._look = Look()
        self._stale = ""
        self._under_way = ""
        """What was asked for and is waited for."""
        self._ended = True
        self._lines: list[str] = []
        self._selected = 0
        self._main: Screen[object] = Screen()
        """The one with the jobs; others may lie over it."""
        self._feed = Feed(source, lambda told: self._post(Looked(told)), now)
        self._tail = Tail(source, lambda number, lines: self._post(Printed(number, lines)))

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static(LOOKING, id="head")
        with Horizontal(id="body"):
            yield Static(id="nodes")
            with Vertical(id="right"):
                yield Static(id="heads")
                yield Jobs(id="jobs", markup=False, compact=True)
                yield LastLines(id="log")
        yield Input(placeholder="only jobs with this text; enter keeps it, escape shows all again", id="filter")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look; a polite kill leaves the terminal as it was."""
        self.theme = "ansi-dark"
        self._main = self.screen
        self._main.query_one("#jobs").focus()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if threading.current_thread() is threading.main_thread():
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self._feed.start()
        self._tail.start()
        self.set_interval(1.0, self._draw)

    def on_unmount(self) -> None:
        """Let the threads go."""
        self._feed.close()
        self._tail.close()

    def on_looked(self, message: Looked) -> None:
        """Show it; after an error the last look stays, marked as old."""
        if isinstance(message.told, Look):
            self._look, self._stale = message.told, ""
        elif not self._stale:
            since = time.strftime("%H:%M:%S", time.localtime(self._now()))
            self._stale = f"old since {since}: {message.told.what}"
        self._draw()

    def on_printed(self, message: Printed) -> None:
        """Show the lines if they are still wanted."""
        if message.number == self._selected and self._made:
            self._lines = message.lines
            self._draw_log()
            if isinstance(self.screen, Log):
                self.screen.show(self._lines)

    def on_answered(self, message: Answered) -> None:
        """Show what was asked for, if there is anything to say."""
        self._under_way = ""
        self._draw()
        if message.lines:
            self.push_screen(Told(message.title, message.lines))

    def on_submitted(self, message: Submitted) -> None:
        """Select the new job; it is shown as soon as there is a look with it."""
        self._select(message.number)

    def on_begun(self, message: Begun) -> None:
        """Give the terminal to another program; what happens meanwhile is shown afterwards."""
        self._away, self._under_way = {}, ""
        try:
            with self.suspend():
                self._run_errand(message.errand)
        finally:
            missed, self._away = self._away, None
        for last in missed.values():
            self._post(last)

    def on_resize(self, _: Resize) -> None:
        """Fit the nodes to the new size; the other parts say themselves when they have theirs."""
        self.call_after_refresh(self._draw)

    def on_jobs_fitted(self, _: Jobs.Fitted) -> None:
        """Fit the jobs."""
        self._draw()

    def on_option_list_option_highlighted(self, message: OptionList.OptionHighlighted) -> None:
        """Another job is selected."""
        number = int(message.option.id or 0)
        if number != self._selected:
            self._select(number)

    def _select(self, number: int) -> None:
        self._selected = number
        self._lines = []
        self._tail.show(number)
        self._draw_log()

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        """Enter is the log."""
        self.action_log()

    def on_input_changed(self, _: Input.Changed) -> None:
        """Filter while it is typed."""
        self._draw()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Keep the filter, and go back to the jobs."""
        self._main.query_one("#jobs").focus()

    def action_filter(self) -> None:
        """Ask for a text."""
        field = self._main.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_all(self) -> None:
        """No filter."""
        field = self._main.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self._main.query_one("#jobs").focus()
        self._draw()

    def action_ended(self) -> None:
        """Hide ended jobs, or show them again."""
        self._ended = not self._ended
        self._draw()

    def action_keys(self) -> None:
        """What the keys do."""
        self.push_screen(Told("keys", KEYS.splitlines()))

    def action_log(self) -> None:
        """The log of the selected job on the whole screen."""
        if self._job is not None:
            self.push_screen(Log(self._title(self._job), self._lines))

    def action_why(self) -> None:
        """Why the selected job is where it is."""
        if self._job is not None:
            number = self._selected
            self._ask(lambda: Answered(f"why job {number}", answer(self._source.why(number))))

    def action_shell(self) -> None:
        """A shell beside the selected job."""
        job = self._job
        if job is not None:
            number, title = self._selected, self._title(job)
            self._ask(lambda: Begun(errand.shell(self._source.job_shell(number), title)), f"{title}: opening a shell…")

    def action_forward(self) -> None:
        """Ask which ports of the selected job's node, and hold them here."""
        number = self._selected

        def typed(words: tuple[str, ...] | None) -> None:
            if words is not None:
                self._post(Begun(errand.forward(number, words)))

        if self._job is not None:
            self.push_screen(Words(f"forward {self._title(self._job)}", PORTS, "none: what the job offers"), typed)

    def action_rerun(self) -> None:
        """Ask whether the selected job shall run again, and submit it."""
        number = self._selected

        def decided(yes: bool | None) -> None:
            if yes:
                self._ask(lambda: Submitted(int(self._source.rerun(number)["number"])))

        if self._job is not None:
            self.push_screen(Ask(f"Run {self._title(self._job)} again, as a new job?", "runs it"), decided)

    def action_stop(self) -> None:
        """Ask whether the selected job shall stop, and have it stopped."""
        job = self._job
        if job is None or job["outcome"] is not None or job["goal"] == "stop":
            return
        where = f" on {', '.join(job['nodes'])}" if job["nodes"] else ""
        question = f"Stop {self._title(job)}, {job['phase']}{where}?"
        self.push_screen(Ask(question, "stops it"), self._stop(self._selected))

    def _stop(self, number: int) -> Callable[[bool | None], None]:
        def decided(yes: bool | None) -> None:
            if yes:
                self._ask(lambda: Answered("", [*map(_silent, self._source.stop(number)["silent"])]))

        return decided

    def _ask(self, work: Callable[[], Message], under_way: str = "") -> None:
        """Do something that takes a while in a thread, and post its answer or its error; the head says what is done."""
        self._under_way = under_way
        self._draw()

        def run() -> None:
            try:
                self._post(work())
            except AfieldError as error:
                self._post(Answered("error", [error.what, error.why, *error.hints]))

        threading.Thread(target=run, name="afield top ask", daemon=True).start()

    def _post(self, message: Message) -> None:
        away = self._away
        if away is not None:
            away[type(message)] = message
        elif self.is_running:
            self.post_message(message)

    @property
    def _made(self) -> bool:
        """Whether all parts are there: the deepest comes last, and at the end they go in an order of their own."""
        return self.is_running and bool(self._main.query("#log"))

    @property
    def _job(self) -> View | None:
        return next((job for job in self._look.jobs if job["number"] == self._selected), None)

    def _title(self, job: View) -> str:
        return f"job {job['number']}" + (f" {show.safe(job['name'])}" if job["name"] else "")

    def _wanted(self) -> list[View]:
        """The jobs that pass the filter."""
        text = self._main.query_one("#filter", Input).value.casefold()
        jobs = [job for job in self._look.jobs if self._ended or job["outcome"] is None]
        return [job for job in jobs if text in " ".join(row(job, self._now())).casefold()] if text else jobs

    def _draw(self) -> None:
        if not self._made:
            return
        head = self._stale or self._under_way
        head = head or (summary(self._look.nodes, self._look.jobs) if self._look.nodes else LOOKING)
        self._main.query_one("#head", Static).update(Text(head, style="red" if self._stale else "bold", no_wrap=True))
        nodes = self._main.query_one("#nodes", Static)
        nodes.update(Text("\n").join(draw.node_lines(self._look.nodes, self._node_room)))
        self._draw_jobs()
        self._draw_log()

    @property
    def _node_room(self) -> int:
        whole = self.size.width
        return whole if whole < WIDE else min(48, whole // 3)

    def _draw_jobs(self) -> None:
        jobs = self._main.query_one("#jobs", OptionList)
        shown = self._wanted()
        heads, lines = draw.job_table(shown, jobs.content_size.width or 80, self._now())
        nothing = "no jobs" if self._look.nodes else ""
        self._main.query_one("#heads", Static).update(Text(heads if shown else nothing, style="bold", no_wrap=True))
        numbers = [str(job["number"]) for job in shown]
        if numbers == [option.id for option in jobs.options]:
            for index, line in enumerate(lines):
                if jobs.get_option_at_index(index).prompt != line:
                    jobs.replace_option_prompt_at_index(index, line)
            return
        jobs.set_options([Option(line, id=number) for number, line in zip(numbers, lines, strict=True)])
        at = numbers.index(str(self._selected)) if str(self._selected) in numbers else 0
        jobs.highlighted = at if numbers else None

    def _draw_log(self) -> None:
        log = self._main.query_one("#log", LastLines)
        log.show(self._lines)
        job = self._job
        log.border_title = f"{self._title(job)}: {show.safe(' '.join(job['command']))}" if job else ""


def _silent(node: Any) -> str:
    return f"{node} does not answer; the stop is carried out when it does"
