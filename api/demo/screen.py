"""What people see while a demo runs: a progress bar on a terminal, a line a show elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from api.commands.output import counted
from api.demo.plan import Show

WIDE: Final = 88
"""Columns in which a bar, its figures and all words about a show have room; with fewer the words give way."""

NARROW: Final = 60
"""With fewer columns even the bar gives way, for the figures must be whole."""


@define
class Screen:
    """Shows progress on a console; with ``--json`` that is standard error, for standard output is the document's."""

    console: Console
    _progress: Progress = field(init=False)
    _task: TaskID | None = None
    _title: str = ""

    def __attrs_post_init__(self) -> None:
        """Make the bar; on anything but a terminal it stays invisible."""
        bar = (BarColumn(),) if self.console.width >= NARROW else ()
        columns = SpinnerColumn(), TextColumn("{task.description}"), *bar, MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    def say(self, line: str) -> None:
        """Write a line."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def shows(self) -> Iterator[None]:
        """Have the bar on the screen."""
        with self._progress:
            yield

    def begin(self, number: int, of: int, show: Show) -> None:
        """Announce a show, and count its listings until it sells."""
        orders = len(show.steps)
        title = f"Show {number} of {of}"
        if not self.console.is_terminal or self.console.width >= WIDE:
            title += f": {show.day.day} {show.day:%B %Y}, {show.host.host_id}"
        if not self.console.is_terminal:
            steps = "order or cancellation" if orders == 1 else "orders and cancellations"
            self.say(f"{title}: {counted(len(show.offerings), 'listing')}, {orders:,} {steps}")
        self._count(title, len(show.offerings))

    def sell(self, show: Show) -> None:
        """From now on count its orders: a listing is made at once, an order comes when its time has come."""
        self._count(self._title, len(show.steps))

    def _count(self, title: str, total: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._title, self._task = title, self._progress.add_task(title, total=total)

    def advance(self) -> None:
        """Count one thing done."""
        if self._task is not None:
            self._progress.advance(self._task)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what is waited for, on a terminal with something that moves."""
        if self.console.is_terminal:
            with self.console.status(what):
                yield
        else:
            self.say(f"{what} …")
            yield
