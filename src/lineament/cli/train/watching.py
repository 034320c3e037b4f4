"""What a person sees of a run: a table before it, lines and a bar while it goes."""

import math
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click

from lineament.cli.streams import readable


class Watcher:
    """Tells a person how a run goes; on processes other than the first, it is silent.

    Args:
        talks: whether this process tells anything.
        quiet: nothing on standard output but JSON.
        bar: a rich progress bar, or None where nobody watches a terminal.
    """

    def __init__(self, talks: bool, quiet: bool, bar: Any) -> None:
        self.talks, self.quiet, self.bar = talks, quiet, bar
        self.task: Any = None
        self.teaching: Any = None

    def planned(self, what: Any, from_step: int) -> None:
        """The derived numbers, as a table."""
        if self.talks and not self.quiet:
            width = max(len(name) for name, _ in what.rows)
            for name, value in what.rows:
                click.echo(f"{name.rjust(width)}  {readable(value)}")
        if self.bar is not None:
            self.task = self.bar.add_task("steps", total=what.steps, completed=from_step)

    def preparing(self, done: int, total: int) -> None:
        """Templates of a teacher."""
        if self.bar is None:
            if done == total:
                self._line(f"teacher: {total:,} templates")
            return
        if self.teaching is None:
            self.teaching = self.bar.add_task("teacher", total=total)
        self.bar.update(self.teaching, completed=done)

    def stepped(self, step: int, total: int, row: dict[str, Any]) -> None:
        """One line per logged step."""
        if self.bar is not None:
            self.bar.update(self.task, completed=step)
        left = timedelta(seconds=round(row["seconds_left"]))
        # Objectives without classes or cosines have no number there.
        right, own = row["accuracy"], row["own_cosine"]
        learnt = "" if math.isnan(right) else f"accuracy {100 * right:.1f} %  "
        learnt += "" if math.isnan(own) else f"own cosine {own:.3f}  "
        self._line(
            f"step {step:,}/{total:,}  loss {row['loss']:.4f}  {learnt}rate {row['learning_rate']:.2e}  "
            f"{row['samples_per_second']:.0f} pictures/s  {left} left"
        )

    def validated(self, step: int, result: Any, best: bool) -> None:
        """What the held-out persons say."""
        mark = "  best so far" if best else ""
        self._line(
            f"step {step:,}  held out: TAR {100 * result.tar:.2f} % "
            f"({100 * result.tar_low:.2f}–{100 * result.tar_high:.2f}) at FMR 1e-2, AUC {result.auc:.4f}, "
            f"{result.mated:,} mated and {result.nonmated:,} non-mated comparisons{mark}"
        )

    def noted(self, sentence: str) -> None:
        """Something a person should know."""
        self._line(readable(sentence))

    def stopped(self, outcome: Any) -> None:
        """Interrupted, and where it goes on."""
        self._line(f"stopped at step {outcome.step:,}: the same command goes on from {outcome.checkpoint}")

    def done(self, outcome: Any) -> None:
        """The end, and what to do next."""
        if not self.talks:
            return
        skipped = f", {outcome.skipped:,} of them skipped" if outcome.skipped else ""
        click.echo(f"{readable(outcome.best)}: trained for {outcome.step:,} steps{skipped}")
        click.echo(f"next: lineament export {readable(outcome.best)} -o my-pack")

    def answer(self, text: str) -> None:
        """JSON on standard output."""
        if self.talks:
            click.echo(text)

    def _line(self, text: str) -> None:
        if not self.talks:
            return
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text, err=True)


@contextmanager
def watching(quiet: bool) -> Generator[Watcher]:
    """A watcher with a bar where a person looks on."""
    talks = os.environ.get("RANK", "0") == "0"
    if not talks or not sys.stderr.isatty():
        yield Watcher(talks, quiet, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Watcher(talks, quiet, bar)
