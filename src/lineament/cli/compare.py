"""`lineament compare`: two photographs in, an answer out."""

import json
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO, make_recognizer, recognizer_options, turns
from lineament.core.errors import InvalidArgument
from lineament.core.threshold import Threshold
from lineament.core.verdict import Decision, Verdict
from lineament.pipeline.records import verdict_record

DEFAULT_FMR = 1e-4

SENTENCES = {
    Decision.MATCH: "Same person: similarity {similarity:.3f}, threshold {threshold}.",
    Decision.NO_MATCH: "Not the same person: similarity {similarity:.3f}, threshold {threshold}.",
    Decision.UNDECIDED: "Undecided: similarity {similarity:.3f} is too close to the threshold {threshold}.",
    Decision.NO_COMPARISON: "Not compared: {reason}.",
}


@click.command()
@click.argument("a", type=PHOTO)
@click.argument("b", type=PHOTO)
@click.option(
    "--fmr",
    type=float,
    help="False match rate: how often two different people may be accepted. [default: 0.0001]",
)
@click.option("--threshold", type=float, help="Decide at this cosine instead; nobody measured its cost.")
@click.option(
    "--threshold-card",
    type=PHOTO,
    help="Decide at the threshold measured in this JSON file.",
)
@click.option(
    "--policy",
    type=click.Choice(["exactly_one", "largest", "most_central"]),
    default="exactly_one",
    show_default=True,
    help="Which face is used when a photograph holds several.",
)
@click.option(
    "--views",
    type=click.Choice(["one", "mirrored_sum"]),
    default="one",
    show_default=True,
    help="mirrored_sum adds the mirrored face: a little more accurate, twice the embedding time.",
)
@click.option("--rotate", is_flag=True, help="Look for faces in all four turns of the photograph.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@recognizer_options
def compare(
    a: Path,
    b: Path,
    fmr: float | None,
    threshold: float | None,
    threshold_card: Path | None,
    policy: Any,
    views: str,
    rotate: bool,
    as_json: bool,
    **shared: Any,
) -> int:
    """Are the two photographs A and B of the same person?

    \b
    Exit code 0: yes. 1: no. 2: undecided, or no usable face. 3 and above: trouble.
    """
    if sum(v is not None for v in (threshold, threshold_card, fmr)) > 1:
        raise click.UsageError("--fmr, --threshold and --threshold-card exclude each other: give one of them")
    recognizer = make_recognizer(**shared, views=views, adjust=turns(rotate))
    given = threshold if threshold_card is None else read_threshold_card(threshold_card)
    verdict = recognizer.compare(
        a, b, fmr=DEFAULT_FMR if fmr is None else fmr, threshold=given, policy=policy
    )
    if as_json:
        click.echo(json.dumps(verdict_record(verdict), ensure_ascii=False))
    else:
        _show(verdict)
    return exits.DECISIONS[verdict.decision]


def read_threshold_card(path: Path) -> Threshold:
    """The threshold of a JSON file, as `calibrate` writes it.

    Raises:
        InvalidArgument: not one threshold.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"--threshold-card: {path} is not a readable JSON file ({error})") from error
    if not isinstance(values, dict):
        raise InvalidArgument(f"--threshold-card: {path} does not hold one threshold (a JSON object)")
    return Threshold.from_dict(values)


def _show(verdict: Verdict) -> None:
    """A sentence, then a small table."""
    from rich.console import Console
    from rich.table import Table

    threshold = verdict.threshold
    sentence = SENTENCES[verdict.decision].format(
        similarity=verdict.similarity or 0.0,
        threshold="-" if threshold is None else f"{threshold.value:.3f}",
        reason="" if not verdict.reasons else _where(verdict, verdict.reasons[0]),
    )
    console = Console(highlight=False, soft_wrap=False)
    console.print(sentence, style="bold", markup=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(verdict):
        table.add_row(name, value)
    console.print(table)


def _rows(verdict: Verdict) -> list[tuple[str, str]]:
    rows = [
        (side, f"{source}: {_face(face, count)}")
        for side, source, face, count in zip(
            "ab", verdict.sources, (verdict.a, verdict.b), verdict.faces_found, strict=True
        )
    ]
    if verdict.similarity is not None:
        rows.append(("similarity", f"{verdict.similarity:.4f} cosine (−1 to 1, larger is more alike)"))
    rows += _threshold_rows(verdict.threshold)
    rows.append(("model", f"{verdict.model}, detector {verdict.detector}, face policy {verdict.policy}"))
    rows += [("reason" if i == 0 else "", _where(verdict, r)) for i, r in enumerate(verdict.reasons)]
    return rows


def _threshold_rows(threshold: Threshold | None) -> list[tuple[str, str]]:
    if threshold is None:
        return []
    if threshold.fmr is None or threshold.fmr_interval is None:
        return [("threshold", f"{threshold.value:.4f}, typed in, measured on nothing")]
    low, high = threshold.interval
    cost = f"false match rate {threshold.fmr:g}, 95 % sure of {threshold.fmr_interval[0]:.2g} to "
    cost += f"{threshold.fmr_interval[1]:.2g}"
    if threshold.fnmr is not None:
        cost += f"; false non-match rate {threshold.fnmr:.2%}"
    people = f"{threshold.comparisons:,} pairs of {threshold.subjects:,} people"
    return [
        ("threshold", f"{threshold.value:.4f}, uncertain from {low:.4f} to {high:.4f}"),
        ("its cost", cost),
        ("measured on", f"{threshold.dataset}: {people}, {threshold.date}"),
    ]


def _where(verdict: Verdict, reason: Any) -> str:
    place = {"a": f"in {verdict.sources[0]} ", "b": f"in {verdict.sources[1]} "}.get(reason.side, "")
    return f"{place}{reason.message}"


def _face(face: Any, count: int) -> str:
    found = "no face" if count == 0 else "1 face" if count == 1 else f"{count} faces"
    if face is None:
        return f"{found}, none used"
    x1, y1, x2, y2 = (round(float(v)) for v in face.box)
    turned = f", picture turned {face.angle:.0f}°" if face.angle else ""
    return f"{found}, used {x2 - x1}×{y2 - y1} px at ({x1}, {y1}){turned}"
