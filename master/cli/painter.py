"""Where progress is drawn: in place on a terminal, a line a change elsewhere, a record an event for programs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from master.cli import live
from master.cli.client import Event
from master.cli.progress import Notice, Progress, Tone
from master.cli.screen import Screen, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

REDRAW: Final = 0.25
"""Seconds between two redraws."""

PATIENCE: Final = 0.3
"""Seconds before anything is drawn: what is over by then needs no progress."""

_STYLES: Final[dict[Tone | None, str]] = {
    None: "", "good": "green", "bad": "bold red", "changed": "cyan", "warn": "yellow", "dim": "dim",
}  # fmt: skip


class Painter(Protocol):
    """Takes what happens and shows it."""

    def event(self, event: Event, notices: Sequence[Notice]) -> None:
        """An event came, and what of it is worth a line."""

    def draw(self, progress: Progress) -> None:
        """Time has passed; called four times a second."""

    def close(self) -> None:
        """Nothing more will come; leave the screen clean."""


def painter(screen: Screen) -> Painter:
    """The painter that fits the output and the terminal."""
    if screen.format == "ndjson":
        return Records(screen)
    if screen.live:
        return Terminal(screen)
    return Plain(screen)


class Records:
    """One JSON object an event on standard output, `schema` stackmaster.event/1."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def event(self, event: Event, notices: Sequence[Notice]) -> None:
        """Write the event."""
        self._screen.record({"schema": "stackmaster.event/1", **event.plain()})

    def draw(self, progress: Progress) -> None:
        """Nothing to redraw."""

    def close(self) -> None:
        """Nothing to clean."""


class Plain:
    """One line a change on standard error; silent with --quiet, and for json and yaml unless -v is given."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._silent = screen.machine and not screen.verbose

    def event(self, event: Event, notices: Sequence[Notice]) -> None:
        """Write what is worth a line."""
        if self._silent:
            return
        for notice in notices:
            if not notice.routine or self._screen.verbose:
                clock = time.strftime("%H:%M:%S", time.localtime(notice.at))
                self._screen.talk(f"{clock} {notice.subject}  {notice.text}", notice.tone)

    def draw(self, progress: Progress) -> None:
        """Nothing to redraw."""

    def close(self) -> None:
        """Nothing to clean."""


class Terminal:
    """Lines redrawn in place on standard error, never more than the terminal has."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun = time.monotonic()
        self._console: Console | None = None
        self._live: Live | None = None

    def event(self, event: Event, notices: Sequence[Notice]) -> None:
        """Drawn with the next redraw."""

    def draw(self, progress: Progress) -> None:
        """Redraw, once there has been something to wait for."""
        if time.monotonic() - self._begun < PATIENCE:
            return
        from rich.console import Group

        height = max(shutil.get_terminal_size((100, 24)).lines - 2, 3)
        lines = live.lines(progress, time.time(), height)
        self._shown().update(Group(*(_text(text, tone) for text, tone in lines)), refresh=True)

    def close(self) -> None:
        """Take the lines off the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _shown(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            plain = self._screen.colour is False
            console = Console(stderr=True, no_color=True if plain else None, highlight=False, markup=False)
            self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stderr=False)
            self._live.start()
        return self._live


def _text(text: str, tone: Tone | None) -> Text:
    from rich.text import Text

    return Text(visible(text), style=_STYLES[tone], no_wrap=True, overflow="ellipsis", end="\n")
