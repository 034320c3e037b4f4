"""`lineament evaluate pairs`: a list of pairs."""

from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import (
    read_card,
    run_options,
    source_options,
    take_run_options,
    threshold_options,
)
from lineament.cli.evaluate.source import made_templates, make_source
from lineament.cli.options import PHOTO, recognizer_options
from lineament.core.errors import InvalidArgument
from lineament.datasets.bin_pairs import read_bin, read_pairs_archive
from lineament.datasets.pairs import Pairs, read_pairs, resolve
from lineament.datasets.pictures import Pictures, open_pictures
from lineament.evaluate.pairs import Compared
from lineament.evaluate.pairs import pairs as evaluate_pairs
from lineament.evaluate.run import Data, Run
from lineament.evaluate.table import TemplateTable, failures_by_reason

NAMED = 1000


@click.command()
@click.argument("file", type=PHOTO)
@click.option(
    "--images", type=PHOTO, help="Folder or zip with the pictures; .bin and .lnpairs hold their own."
)
@click.option("--protocol", help="Which one, in a file with several, for example FP.")
@click.option(
    "--allow-duplicates",
    is_flag=True,
    help="Take a pair that is listed twice twice, as published lists may ask.",
)
@click.option(
    "--compat",
    type=click.Choice(["insightface"]),
    help="Accuracy as arcface_torch's verification.py computes it, beside published figures.",
)
@source_options
@threshold_options
@run_options
@recognizer_options
def pairs(
    file: Path,
    images: Path | None,
    protocol: str | None,
    allow_duplicates: bool,
    compat: str | None,
    threshold_card: Path | None,
    deployed_fmr: float,
    templates: Path | None,
    **values: Any,
) -> int:
    """Compare the pairs listed in FILE and score every fold at the threshold of the others.

    FILE is a .bin of the ArcFace family, pairs.txt of LFW, a CSV with columns a, b, same and perhaps fold, or
    lines `a b 1`. Only with folds is there an accuracy; error rates at every threshold there are always.
    """
    options = take_run_options(values)
    clock = Clock(options)
    listed, pictures = _open(file, images, protocol, allow_duplicates)
    card = None if threshold_card is None else read_card(threshold_card)
    with closing(pictures):
        source = make_source(values, aligned=images is None)
        deployed = source.deployed(card, deployed_fmr)
        place = resolve(listed, pictures)
        wanted = sorted(set(place.values()))
        with made_templates(source, pictures, wanted, templates, options.output) as table:
            compared = compare(listed, place, table, with_vectors=compat is not None)
            sections, _ = evaluate_pairs(
                compared,
                mode="insightface" if compat else "strict",
                policy=options.failures,
                targets=options.targets,
                deployed=deployed,
                replicates=options.replicates,
                seed=options.seed,
            )
            failures = _failures(listed, place, table)
    data = Data(
        name=options.name or _name(file, protocol),
        digest=listed.digest,
        samples=len(listed.samples),
        subjects=_subjects(listed),
        mated=int(listed.mated.sum()),
        nonmated=int((~listed.mated).sum()),
        failures=failures_by_reason(failures),
        failure_policy=options.failures,
        mated_failed=int((np.isnan(compared.similarity) & listed.mated).sum()),
        nonmated_failed=int((np.isnan(compared.similarity) & ~listed.mated).sum()),
        failed_names=list(failures)[:NAMED],
        folds_identity_disjoint=listed.folds_identity_disjoint,
    )
    run = Run("pairs", source.system, data, sections.results, sections.curves, notes=sections.notes)
    run.arrays.update(arrays(compared, sections.results))
    return finish(run, options, clock)


def _open(
    file: Path, images: Path | None, protocol: str | None, allow_duplicates: bool
) -> tuple[Pairs, Pictures]:
    if file.suffix.lower() in (".bin", ".lnpairs"):
        if images is not None:
            raise InvalidArgument(f"{file} holds its own pictures: leave --images out")
        return read_bin(file) if file.suffix.lower() == ".bin" else read_pairs_archive(file)
    if images is None:
        raise InvalidArgument(f"{file} names pictures: say with --images in which folder or zip they lie")
    listed = read_pairs(file, protocol, allow_duplicates=allow_duplicates)
    return listed, open_pictures(images)


def compare(
    listed: Pairs, place: dict[str, str], table: TemplateTable, *, with_vectors: bool = False
) -> Compared:
    """Cosine of every pair; NaN where a picture is missing or gave no template."""
    rows = [table.rows([place.get(name, "") for name in side]) for side in (listed.a, listed.b)]
    ok = np.logical_and.reduce([(r >= 0) & table.made[r] for r in rows])
    a, b = (table.vectors[np.maximum(r, 0)] for r in rows)
    similarity = np.where(ok, np.clip(np.einsum("nd,nd->n", a, b, dtype=np.float64), -1.0, 1.0), np.nan)
    quality = np.stack([np.where(ok, table.norms[np.maximum(r, 0)], np.nan) for r in rows], axis=1)
    return Compared(
        similarity,
        listed.mated,
        listed.fold,
        _subject_numbers(listed),
        quality,
        (listed.a, listed.b),
        (a, b) if with_vectors else None,
    )


def arrays(compared: Compared, results: dict[str, Any]) -> dict[str, np.ndarray]:
    """What `compare-models` needs of a list of pairs."""
    kept = {"similarity": compared.similarity, "label": compared.mated}
    if compared.subjects is not None:
        kept["subject"] = compared.subjects
    accuracy = results.get("accuracy")
    if compared.fold is not None and accuracy and accuracy["mode"] == "strict":
        folds = np.unique(compared.fold)
        if len(folds) == len(accuracy["thresholds"]):
            at = np.asarray(accuracy["thresholds"])[np.searchsorted(folds, compared.fold)]
            said = np.nan_to_num(compared.similarity, nan=-np.inf) >= at
            kept["correct"] = said == compared.mated
    return kept


def _failures(listed: Pairs, place: dict[str, str], table: TemplateTable) -> dict[str, tuple[str, str]]:
    missing = {n: ("image_not_found", f"no picture {n}") for n in listed.samples if n not in place}
    used = set(place.values())
    return missing | {n: why for n, why in table.failures.items() if n in used}


def _subject_numbers(listed: Pairs) -> np.ndarray | None:
    if listed.subject_a is None or listed.subject_b is None:
        return None
    names = [*listed.subject_a, *listed.subject_b]
    _, number = np.unique(names, return_inverse=True)
    return np.stack([number[: len(listed.a)], number[len(listed.a) :]], axis=1)


def _subjects(listed: Pairs) -> int | None:
    if listed.subject_a is None or listed.subject_b is None:
        return None
    return len({*listed.subject_a, *listed.subject_b})


def _name(file: Path, protocol: str | None) -> str:
    return file.stem if protocol is None else f"{file.stem} {protocol}"
