"""`lineament evaluate openset`: searches by people who are in the gallery and people who are not."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import RunOptions, run_options, source_options, take_run_options
from lineament.cli.evaluate.source import Source, made_templates, make_source
from lineament.cli.options import PHOTO, recognizer_options
from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.datasets.blufr import Split, read_blufr
from lineament.datasets.matching import resolve_names
from lineament.datasets.openset import read_names
from lineament.datasets.pictures import Pictures, open_pictures
from lineament.evaluate.blufr import blufr
from lineament.evaluate.openset import openset as measure
from lineament.evaluate.run import Data, Run
from lineament.evaluate.table import TemplateTable, failures_by_reason

TARGETS = (1e-1, 1e-2, 1e-3)
NAMED = 1000


@click.command()
@click.option("--images", type=PHOTO, required=True, help="Folder or zip with the pictures.")
@click.option("--gallery", type=PHOTO, help="List of enrolled pictures: names, or CSV with name and subject.")
@click.option("--mated", type=PHOTO, help="List of probes whose subject is in the gallery.")
@click.option("--nonmated", type=PHOTO, help="List of probes whose subject is not.")
@click.option(
    "--blufr", "blufr_file", type=PHOTO, help="Instead of lists: the splits of BLUFR, JSON or .mat."
)
@source_options
@run_options
@recognizer_options
def openset(
    images: Path,
    gallery: Path | None,
    mated: Path | None,
    nonmated: Path | None,
    blufr_file: Path | None,
    templates: Path | None,
    **values: Any,
) -> int:
    """Search a gallery, and count what a search costs: FNIR at FPIR, and rank rates.

    Without a column `subject` a picture's folder says who is on it. --at is then a false positive
    identification rate: the share of searches by strangers that return anybody.
    """
    options = take_run_options(values)
    clock = Clock(options)
    lists = (gallery, mated, nonmated)
    if (blufr_file is None) == all(path is None for path in lists):
        raise InvalidArgument("give --gallery, --mated and --nonmated, or --blufr")
    if blufr_file is not None and any(path is not None for path in lists):
        raise InvalidArgument("--blufr brings its own lists: leave --gallery, --mated and --nonmated out")
    source = make_source(values, aligned=False)
    with closing(open_pictures(images)) as pictures:
        if blufr_file is not None:
            splits = read_blufr(blufr_file)
            run = _blufr(
                splits, source, pictures, templates, options, options.name or f"BLUFR, {images.stem}"
            )
        else:
            given = [read_names(path) for path in lists if path is not None]
            if gallery is None or mated is None or nonmated is None:
                raise InvalidArgument("three lists are needed: --gallery, --mated and --nonmated")
            run = _lists(given, source, pictures, templates, options, options.name or images.stem)
    return finish(run, options, clock)


def _lists(
    given: Sequence[tuple[tuple[str, ...], tuple[str, ...] | None]],
    source: Source,
    pictures: Pictures,
    kept: Path | None,
    options: RunOptions,
    name: str,
) -> Run:
    names = [n for listed, _ in given for n in listed]
    people = [p for listed, who in given for p in (who or [_folder(n) for n in listed])]
    place = resolve_names(names, pictures.names)
    _, subject = np.unique(people, return_inverse=True)
    with made_templates(source, pictures, sorted(set(place.values())), kept, options.output) as table:
        vectors = _vectors(names, place, table)
        failures = _failures(names, place, table)
    enrolled, looked_for = len(given[0][0]), len(given[1][0])
    end = enrolled + looked_for
    _check(subject[:enrolled], subject[enrolled:end], subject[end:])
    found = measure(
        vectors[:enrolled],
        subject[:enrolled],
        vectors[enrolled:],
        subject[enrolled:],
        targets=tuple(sorted(set(options.at), reverse=True)) or TARGETS,
        replicates=options.replicates,
        seed=options.seed,
        policy=options.failures,
    )
    data = _data(name, names, people, failures, options, looked_for, len(names) - end)
    results = {"identification": found.results()}
    return Run("openset", source.system, data, results, found.curves(), notes=found.notes())


def _blufr(
    splits: Sequence[Split],
    source: Source,
    pictures: Pictures,
    kept: Path | None,
    options: RunOptions,
    name: str,
) -> Run:
    names = sorted({n for s in splits for n in (*s.gallery, *s.probe_mated, *s.probe_nonmated)})
    place = resolve_names(names, pictures.names)
    people = [_folder(place.get(n, n)) for n in names]
    _, subject = np.unique(people, return_inverse=True)
    with made_templates(source, pictures, sorted(set(place.values())), kept, options.output) as table:
        vectors = _vectors(names, place, table)
        failures = _failures(names, place, table)
    found = blufr(vectors, names, subject, splits, replicates=0, seed=options.seed, policy=options.failures)
    counts = found.searches.parts.values()
    data = _data(
        name,
        names,
        people,
        failures,
        options,
        min(int(p.found.mated.sum()) for p in counts),
        min(int((~p.found.mated).sum()) for p in counts),
    )
    return Run("openset", source.system, data, found.results(), found.curves(), notes=found.notes())


def _vectors(names: Sequence[str], place: dict[str, str], table: TemplateTable) -> np.ndarray:
    """(n, d) templates; rows of NaN for pictures that are missing or gave none."""
    rows = table.rows([place.get(n, "") for n in names])
    vectors = np.array(table.vectors[np.maximum(rows, 0)])
    vectors[(rows < 0) | ~table.made[rows]] = np.nan
    return vectors


def _failures(
    names: Sequence[str], place: dict[str, str], table: TemplateTable
) -> dict[str, tuple[str, str]]:
    missing = {n: ("image_not_found", f"no picture {n}") for n in names if n not in place}
    used = set(place.values())
    return missing | {n: why for n, why in table.failures.items() if n in used}


def _data(
    name: str,
    names: Sequence[str],
    people: Sequence[str],
    failures: dict[str, tuple[str, str]],
    options: RunOptions,
    mated: int,
    nonmated: int,
) -> Data:
    rows = "\n".join(f"{n}\0{p}" for n, p in zip(names, people, strict=True))
    return Data(
        name=name,
        digest=hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest(),
        samples=len(set(names)),
        subjects=len(set(people)),
        mated=mated,
        nonmated=nonmated,
        failures=failures_by_reason(failures),
        failure_policy=options.failures,
        failed_names=list(failures)[:NAMED],
    )


def _check(gallery: np.ndarray, mated: np.ndarray, nonmated: np.ndarray) -> None:
    if not np.isin(mated, gallery).all():
        raise DatasetInvalid(
            f"{int((~np.isin(mated, gallery)).sum())} probes of --mated are of people who are not in the "
            "gallery"
        )
    if np.isin(nonmated, gallery).any():
        raise DatasetInvalid(
            f"{int(np.isin(nonmated, gallery).sum())} probes of --nonmated are of people who are in the "
            "gallery"
        )


def _folder(name: str) -> str:
    """Who is on a picture, by the folder it lies in."""
    folder = name.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]
    if not folder:
        raise DatasetInvalid(f"{name} lies in no folder that says who is on it: add a column `subject`")
    return folder
