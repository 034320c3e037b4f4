"""Tables and progress of the commands about galleries."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

MOST = 50
"""Rows of a table of problems; JSON has all."""


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines, whose cells are broken over lines and never cut."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold", justify="right" if column in right else "left")
    return made


def facts(rows: list[tuple[str, str]]) -> Table:
    """Names and values, one a row."""
    from rich.table import Table

    made = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def show(what: Any, *, style: str | None = None) -> None:
    """A table or a sentence on standard output; what stands in it is never read as markup."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(what, style=style, soft_wrap=isinstance(what, str))


def values_text(values: Mapping[str, Any] | None) -> str:
    """Metadata on one line."""
    return ", ".join(f"{name}={'' if value is None else value}" for name, value in (values or {}).items())


def count(number: int, what: str) -> str:
    """`1 sample`, `2,000 samples`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


@contextmanager
def counted(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar on standard error where a person watches; yields a function of (done, total or 0)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


@contextmanager
def added(what: str) -> Generator[Callable[[int], None]]:
    """As `counted`, for work that tells how much more was done each time."""
    done = 0
    with counted(what) as update:

        def advance(more: int) -> None:
            nonlocal done
            done += more
            update(done, 0)

        yield advance
