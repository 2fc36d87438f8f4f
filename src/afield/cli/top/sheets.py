"""Parts of the live screen: the last lines of a log, and what lies over it for a while: a question, an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Resize
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input, OptionList, Static

BACK: list[BindingType] = [Binding("escape,q,enter", "back", "back", key_display="esc")]


class LastLines(Static):
    """As many of the last lines as there is room for."""

    lines: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Other lines."""
        self.lines = lines
        last = lines[-max(1, self.content_size.height) :]
        self.update(Text.from_ansi("\n".join(last), no_wrap=True))

    def on_resize(self, _: Resize) -> None:
        """Fill the new room."""
        self.show(self.lines)


class Jobs(OptionList):
    """The jobs to select from; says when it has another width."""

    class Fitted(Message):
        """There is another width."""

    def on_resize(self, _: Resize) -> None:
        """Say so."""
        self.post_message(self.Fitted())


class Ask(ModalScreen[bool]):
    """A question that is answered by y or n."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "yes", "yes"), Binding("n,escape,q", "no", "no")]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._text = f"{question}\n\ny {yes}, n does not"

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical(classes="sheet"):
            yield Static(Text(self._text))

    def action_yes(self) -> None:
        """Yes."""
        self.dismiss(True)

    def action_no(self) -> None:
        """No."""
        self.dismiss(False)


class Words(ModalScreen[tuple[str, ...] | None]):
    """A line to be typed: its words, or None when it was given up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "back")]

    def __init__(self, title: str, about: str, nothing: str) -> None:
        super().__init__()
        self._title = title
        self._about = about
        self._nothing = nothing

    def compose(self) -> ComposeResult:
        """What is wanted, and the line, where stands what nothing means."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = self._title
            sheet.border_subtitle = "esc"
            yield Static(Text(self._about))
            yield Input(placeholder=self._nothing, compact=True)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """It is typed."""
        self.dismiss(tuple(message.value.split()))

    def action_back(self) -> None:
        """Give it up."""
        self.dismiss(None)


class Told(ModalScreen[None]):
    """Some lines, until a key closes them."""

    BINDINGS: ClassVar[list[BindingType]] = BACK

    def __init__(self, title: str, lines: list[str]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The lines."""
        with VerticalScroll(classes="sheet") as sheet:
            sheet.border_title = self._title
            sheet.border_subtitle = "esc"
            yield Static(Text.from_ansi("\n".join(self._lines)))

    def action_back(self) -> None:
        """Close it."""
        self.dismiss()


class Log(Screen[None]):
    """The last lines of a job; follows them until somebody scrolls, and again from the end."""

    BINDINGS: ClassVar[list[BindingType]] = BACK

    def __init__(self, title: str, lines: list[str]) -> None:
        super().__init__()
        self._title = title
        self._text = Static()
        self.show(lines)

    def compose(self) -> ComposeResult:
        """The lines, and how to get back."""
        with VerticalScroll(id="whole") as scroll:
            scroll.border_title = self._title
            yield self._text
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin at the end."""
        self.query_one("#whole").focus().anchor()

    def show(self, lines: list[str]) -> None:
        """Other lines; also before it is made and after it was left."""
        self._text.update(Text.from_ansi("\n".join(lines)))

    def action_back(self) -> None:
        """Close it."""
        self.dismiss()
