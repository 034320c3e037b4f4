"""`lineament calibrate`: a threshold card, or how much data it would take."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.options import source_options
from lineament.cli.evaluate.people import People, compare_all, people_of
from lineament.cli.evaluate.scores import compared_of
from lineament.cli.evaluate.source import Source, made_templates, make_source
from lineament.cli.options import PHOTO, Finite, recognizer_options
from lineament.core.errors import InvalidArgument
from lineament.core.files import write_bytes
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.datasets.labelled import read_exclusions, read_labelled
from lineament.datasets.pictures import open_pictures
from lineament.datasets.scores import read_scores
from lineament.evaluate.calibrate import REPLICATES, SEED, Origin, calibrate_search
from lineament.evaluate.calibrate import calibrate as measure
from lineament.metrics.scores import Scores
from lineament.packs.card import CARD_NAME
from lineament.packs.measured import put_thresholds, read_card

RATE = Finite(min=0.0, max=1.0, min_open=True, max_open=True)


@click.command()
@click.option("--fmr", type=RATE, multiple=True, help="False match rate to certify; may be repeated.")
@click.option(
    "--fpir", type=RATE, help="For a search threshold: false positive identification rate to certify."
)
@click.option("--gallery-size", type=click.IntRange(min=1), help="With --fpir: references in the gallery.")
@click.option("--images", type=PHOTO, help="Folder or zip with a subfolder of pictures per person.")
@click.option(
    "--up",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How far above a picture the folder named after the person is: 2 for NAME/frontal/1.jpg.",
)
@click.option("--scores", "scores_file", type=PHOTO, help="Table of similarities instead: CSV or Parquet.")
@click.option("--exclude", type=PHOTO, help="Pictures to leave out: known label errors, one a line.")
@click.option(
    "--model-digest", help="With --scores: digest of the model that made them, as `models show` says it."
)
@click.option("--name", help="Name of the data, for the card.")
@click.option("-o", "--output", type=PHOTO, help="Card to write, for --threshold-card.")
@click.option(
    "--into-pack",
    is_flag=True,
    help="Keep it in the card of the pack, whose folder is given with --model; `compare` then uses it.",
)
@click.option("--replicates", type=click.IntRange(min=0), default=REPLICATES, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The cards on standard output.")
@source_options
@recognizer_options
def calibrate(
    fmr: tuple[float, ...],
    fpir: float | None,
    gallery_size: int | None,
    images: Path | None,
    scores_file: Path | None,
    output: Path | None,
    into_pack: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Measure the threshold for a false match rate, with what may be claimed about it.

    The value is the smallest threshold whose false match rate is certified: the one-sided 95 %
    Clopper–Pearson bound stays at or under the rate asked for. Data that cannot certify it are refused,
    with the number of comparisons that would be needed. Use other people than those the model is tested on.

    \b
    Exit code 0: a card. 2: wrong command line or data. 3: too little data.
    """
    if bool(fmr) == (fpir is not None):
        raise InvalidArgument(
            "say what to certify: --fmr for comparing two pictures, or --fpir for searching"
        )
    if (fpir is None) != (gallery_size is None):
        raise InvalidArgument("a search threshold needs both --fpir and --gallery-size")
    if (images is None) == (scores_file is None):
        raise InvalidArgument("say what to measure on: --images with people, or --scores with similarities")
    folder = _own_pack(values["model"], scores_file) if into_pack else None
    if scores_file is not None:
        if fpir is not None:
            raise InvalidArgument("a search threshold needs --images: a table of pairs holds no searches")
        cards = _of_scores(scores_file, fmr, values)
    else:
        cards = _of_images(images or Path(), fmr, fpir, gallery_size, values)
    _keep(cards, output, folder, as_json)
    return 0


def _keep(cards: list[Threshold], output: Path | None, folder: Path | None, as_json: bool) -> None:
    """Into files, and onto the screen."""
    records = [card.to_dict() for card in cards]
    text = json.dumps(records[0] if len(records) == 1 else records, indent=2, ensure_ascii=False)
    if output is not None:
        write_bytes(output, (text + "\n").encode())
    if folder is not None:
        put_thresholds(folder, cards)
    if as_json:
        click.echo(text)
        return
    for card in cards:
        _show(card)
    if output is not None:
        click.echo(f"wrote {output}")
    if folder is not None:
        click.echo(f"kept in {folder / CARD_NAME}")


def _own_pack(model: str | None, scores_file: Path | None) -> Path:
    """Folder of the pack whose card is to be changed, before any time is spent on measuring."""
    if scores_file is not None or model is None:
        raise InvalidArgument("--into-pack is for what --model FOLDER makes of --images: give both")
    folder = Path(model).expanduser()
    read_card(folder)
    return folder


def _of_images(
    images: Path, fmr: tuple[float, ...], fpir: float | None, gallery_size: int | None, values: dict[str, Any]
) -> list[Threshold]:
    exclude, name, kept = values.pop("exclude"), values.pop("name"), values.pop("templates")
    if values.pop("model_digest") is not None:
        raise InvalidArgument("--model-digest belongs to --scores: here the model is known")
    replicates, seed, up = values.pop("replicates"), values.pop("seed"), values.pop("up")
    exclusions = {} if exclude is None else read_exclusions(exclude)
    source = make_source(values, aligned=False)
    with closing(open_pictures(images)) as pictures:
        labelled = read_labelled(pictures, exclude=tuple(exclusions), up=up)
        with made_templates(source, pictures, labelled.samples, kept, None) as table:
            people = people_of(labelled, table)
            origin = _origin(source, people, name or images.stem, len(exclusions))
            if fpir is not None and gallery_size is not None:
                vectors = np.asarray(people.vectors)
                return [calibrate_search(vectors, people.subject, gallery_size, fpir, origin, seed=seed)]
            compared = compare_all(people, fmr, "exclude", None if kept is None else kept / "pairs.npz")
            return [
                measure(compared.scores, rate, origin, replicates=replicates, seed=seed)
                for rate in sorted(set(fmr), reverse=True)
            ]


def _origin(source: Source, people: People, name: str, excluded: int) -> Origin:
    failed = len(people.failures)
    remarks = [
        f"{failed} failures to acquire left out" if failed else "no failure to acquire",
        f"{excluded} pictures excluded by hand" if excluded else "",
    ]
    pictures = f"{len(people.names):,} pictures, {people.subjects:,} people"
    return Origin(
        model=source.acquirer.model,
        detector=source.acquirer.detector,
        dataset=f"{name}, all pairs ({pictures})",
        subjects=people.subjects,
        precision=source.system.precision,
        remarks="; ".join(r for r in remarks if r),
    )


def _of_scores(file: Path, fmr: tuple[float, ...], values: dict[str, Any]) -> list[Threshold]:
    table = read_scores(file)
    digest = values["model_digest"] or table.model_digest
    if not digest:
        raise InvalidArgument(
            f"{file} does not say which model made its similarities, and a threshold belongs to one: give "
            "--model-digest (`lineament models show PACK` has it)"
        )
    compared = compared_of(table)
    scores = Scores.of(table.similarity, table.mated, subjects=compared.subjects, policy="exclude")
    if (np.abs(table.similarity[np.isfinite(table.similarity)]) > 1.0 + 1e-6).any():
        raise InvalidArgument(f"{file} holds similarities beyond −1..1: cards are for cosines")
    failed = int(np.isnan(table.similarity).sum())
    origin = Origin(
        model=ModelId(table.model or "named by its digest", digest),
        detector="",
        dataset=values["name"] or file.stem,
        subjects=len(table.subjects) or 1,
        remarks=f"{failed} failed comparisons left out; similarities read from a table",
    )
    return [
        measure(scores, rate, origin, replicates=values["replicates"], seed=values["seed"])
        for rate in sorted(set(fmr), reverse=True)
    ]


def _show(card: Threshold) -> None:
    what = (
        f"FMR {card.fmr:g}"
        if card.fmr is not None
        else f"FPIR {card.fpir:g}, gallery of {card.gallery_size:,}"
    )
    low, high = card.interval
    click.echo(f"{what}: threshold {card.value:.4f}, uncertain from {low:.4f} to {high:.4f}")
    rate = card.fmr_interval or (float("nan"), float("nan"))
    kind = "comparisons" if card.fmr is not None else "searches"
    click.echo(
        f"  {card.false_matches:,} of {card.comparisons:,} non-mated {kind} reach it; rate for people like "
        f"these {rate[0]:.2g} to {rate[1]:.2g} (95 %)"
    )
    if card.fnmr is not None:
        click.echo(f"  {'FNMR' if card.fmr is not None else 'FNIR'} {card.fnmr:.2%} on the same data")
    click.echo(f"  {card.dataset}; {card.model}; {card.method}")
