"""Options that the evaluating commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from lineament.cli.options import PHOTO, Finite
from lineament.core.errors import InvalidArgument
from lineament.core.threshold import Threshold
from lineament.evaluate.bordered import LARGEST_BORDER
from lineament.evaluate.verification import REPLICATES, SEED, TARGETS

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is computed, kept and judged.

    Attributes:
        output: JSON to write, or None.
        html: page to write, or None.
        as_json: the record on standard output instead of tables.
        at: rates asked for; empty for the usual ones.
        failures: what a comparison with a failed sample counts as.
        replicates, seed: of the bootstrap.
        gates: demands.
        allow_insufficient: exit 0 although a rate asked for cannot be measured.
        name: of the data, for people.
    """

    output: Path | None
    html: Path | None
    as_json: bool
    at: tuple[float, ...]
    failures: Any
    replicates: int
    seed: int
    gates: tuple[str, ...]
    allow_insufficient: bool
    name: str | None

    @property
    def targets(self) -> tuple[float, ...]:
        """Rates to report, largest first."""
        return tuple(sorted(set(self.at), reverse=True)) if self.at else TARGETS


def run_options(command: F) -> F:
    """`-o`, `--html`, `--json`, `--at`, `--failures`, `--replicates`, `--seed`, `--gate`, …"""
    rate = Finite(min=0.0, max=1.0, min_open=True, max_open=True)
    options = (
        click.option("-o", "--output", type=PHOTO, help="Keep the record: a .json file, and .npz beside it."),
        click.option("--html", type=PHOTO, help="Write the page of `lineament report` too."),
        click.option("--json", "as_json", is_flag=True, help="The record on standard output."),
        click.option(
            "--at",
            type=rate,
            multiple=True,
            metavar="RATE",
            help="Rate of false matches (of false positives, for searches) to report; may be repeated.",
        ),
        click.option(
            "--failures",
            type=click.Choice(["reject", "exclude"]),
            default="reject",
            show_default=True,
            help="A comparison with a failed picture is a rejection, or left out; it is counted always.",
        ),
        click.option(
            "--replicates",
            type=click.IntRange(min=0),
            default=REPLICATES,
            show_default=True,
            help="Bootstrap draws of people for the intervals; 0 for Wilson's intervals.",
        ),
        click.option(
            "--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Of the draws."
        ),
        click.option(
            "--gate",
            "gates",
            multiple=True,
            metavar="DEMAND",
            help="Demand on the pessimistic end of an interval, for example tar@1e-4>=0.95; may be repeated.",
        ),
        click.option(
            "--allow-insufficient", is_flag=True, help="Exit 0 also when an --at rate cannot be measured."
        ),
        click.option("--name", help="Name of the data, for the record."),
    )
    return _apply(command, options)


def source_options(command: F) -> F:
    """`--crops`, `--policy`, `--mirror`, `--border`, `--quality-gate`, `--templates`."""
    options = (
        click.option(
            "--crops",
            type=click.Choice(["auto", "aligned", "photographs"]),
            default="auto",
            show_default=True,
            help="Aligned crops, or photographs in which the face is to be found; auto: crops in "
            ".bin and .lnpairs files, else photographs.",
        ),
        click.option(
            "--policy",
            type=click.Choice(["exactly_one", "largest", "most_central"]),
            default="most_central",
            show_default=True,
            help="Which face of a photograph is the person's.",
        ),
        click.option(
            "--mirror",
            type=click.Choice(["none", "sum_raw", "sum_unit"]),
            default="none",
            show_default=True,
            help="Add the mirrored face: raw outputs, as published evaluations do, or unit vectors.",
        ),
        click.option(
            "--border",
            type=Finite(min=0.0, max=LARGEST_BORDER),
            default=0.0,
            show_default=True,
            help="Black border around photographs cut too tightly for the detector, as a share of "
            "their sides.",
        ),
        click.option(
            "--quality-gate",
            is_flag=True,
            help="Refuse faces that `compare` would refuse; they count as failures.",
        ),
        click.option(
            "--templates",
            type=click.Path(path_type=Path, file_okay=False),
            help="Keep templates in this folder for the next run on the same pictures: biometric data.",
        ),
    )
    return _apply(command, options)


def threshold_options(command: F) -> F:
    """`--threshold-card`, `--deployed-fmr`."""
    options = (
        click.option(
            "--threshold-card",
            type=PHOTO,
            help="A card of `lineament calibrate`, whose cost on these data is measured.",
        ),
        click.option(
            "--deployed-fmr",
            type=Finite(min=0.0, max=1.0, min_open=True, max_open=True),
            default=1e-4,
            show_default=True,
            help="Without a card: the pack's own threshold for this rate, where it has one.",
        ),
    )
    return _apply(command, options)


def read_card(path: Path) -> Threshold:
    """The one threshold of a card.

    Raises:
        InvalidArgument: not a card, or one with several thresholds.
    """
    import json

    try:
        values: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} is not a readable threshold card: {error}") from error
    if not isinstance(values, dict):
        raise InvalidArgument(f"{path} does not hold one threshold (a JSON object)")
    return Threshold.from_dict(values)  # pyright: ignore[reportUnknownArgumentType]


def take_run_options(values: dict[str, Any]) -> RunOptions:
    """The options of `run_options`, taken out of a command's keyword arguments."""
    return RunOptions(**{name: values.pop(name) for name in RunOptions.__slots__})


def _apply(command: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        command = option(command)
    return command
