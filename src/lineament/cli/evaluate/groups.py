"""`lineament evaluate groups`: error rates per group of people."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import (
    RunOptions,
    read_card,
    run_options,
    source_options,
    take_run_options,
)
from lineament.cli.evaluate.people import compare_all, data_of, people_of
from lineament.cli.evaluate.source import made_templates, make_source
from lineament.cli.options import PHOTO, Finite, recognizer_options
from lineament.core.errors import InvalidArgument
from lineament.datasets.labelled import read_exclusions, read_labelled
from lineament.datasets.pictures import open_pictures
from lineament.datasets.scores import read_scores
from lineament.evaluate.groups import Groups, groups_of_all_pairs
from lineament.evaluate.groups import groups as measure
from lineament.evaluate.run import Data, Run, System


@dataclass(frozen=True, slots=True)
class _Threshold:
    """The one threshold for everybody: a number, or how it is chosen on these data."""

    value: float | None
    target: float | None
    reference: str


@click.command()
@click.argument("people", type=PHOTO, required=False)
@click.option(
    "--groups", "groups_file", type=PHOTO, help="CSV with the columns name (person or picture) and group."
)
@click.option(
    "--scores", "scores_file", type=PHOTO, help="A table with group_a and group_b instead of PEOPLE."
)
@click.option("--threshold", type=Finite(), help="The one threshold for everybody.")
@click.option("--threshold-card", type=PHOTO, help="The one threshold, from a card.")
@click.option(
    "--fmr",
    type=Finite(min=0.0, max=1.0, min_open=True, max_open=True),
    help="Choose the one threshold at this false match rate on these data. [default: 0.0001]",
)
@click.option("--reference", default="", help="With --fmr: the group it is chosen on. [default: everybody]")
@click.option("--exclude", type=PHOTO, help="Pictures to leave out, one a line.")
@source_options
@run_options
@recognizer_options
def groups(
    people: Path | None,
    groups_file: Path | None,
    scores_file: Path | None,
    threshold: float | None,
    threshold_card: Path | None,
    fmr: float | None,
    reference: str,
    exclude: Path | None,
    templates: Path | None,
    **values: Any,
) -> int:
    """False match and false non-match rates of each group at one threshold, and between groups.

    Non-mated comparisons within a group (same sex, age, origin) are the hard ones; a threshold per group
    would hide the harm, so there is one for everybody. Groups with fewer than 30 errors of a kind are marked.
    """
    options = take_run_options(values)
    clock = Clock(options)
    if (people is None) == (scores_file is None):
        raise InvalidArgument("give a folder of PEOPLE, or --scores with a table: one of them")
    if sum(v is not None for v in (threshold, threshold_card, fmr)) > 1:
        raise InvalidArgument("--threshold, --threshold-card and --fmr exclude each other: give one of them")
    if scores_file is not None:
        for name in ("crops", "policy", "mirror", "border", "quality_gate"):
            values.pop(name)
        run = _of_scores(scores_file, _chosen(threshold, threshold_card, fmr, reference), options)
        return finish(run, options, clock)
    if groups_file is None:
        raise InvalidArgument("say with --groups who belongs to which group")
    exclusions = {} if exclude is None else read_exclusions(exclude)
    with closing(open_pictures(people or Path())) as pictures:
        labelled = read_labelled(pictures, groups_file, tuple(exclusions))
        source = make_source(values, aligned=False)
        at = _chosen(threshold, threshold_card, fmr, reference)
        with made_templates(source, pictures, labelled.samples, templates, options.output) as table:
            chosen = people_of(labelled, table)
            keep = at.target if at.target is not None else 1e-3
            compared = compare_all(chosen, (keep,), options.failures, None, group=chosen.group)
            names = dict(enumerate(labelled.groups or ()))
            found = groups_of_all_pairs(
                compared, names, threshold=at.value, target=at.target, reference=at.reference
            )
            data = data_of(
                chosen, compared, options.name or Path(people or "").stem, options.failures, exclusions
            )
    return finish(_run(found, source.system, data), options, clock)


def _of_scores(file: Path, at: _Threshold, options: RunOptions) -> Run:
    table = read_scores(file)
    if table.group_a is None or table.group_b is None:
        raise InvalidArgument(f"{file} has no columns group_a and group_b")
    subjects = None
    if table.subject_a is not None and table.subject_b is not None:
        subjects = np.stack([table.subject_a, table.subject_b], axis=1)
    found = measure(
        table.similarity,
        table.mated,
        table.group_a,
        table.group_b,
        table.groups,
        threshold=at.value,
        target=at.target,
        reference=at.reference,
        subjects=subjects,
        replicates=options.replicates,
        seed=options.seed,
        policy=options.failures,
    )
    failed = np.isnan(table.similarity)
    data = Data(
        name=options.name or file.stem,
        digest=table.digest,
        subjects=len(table.subjects) or None,
        mated=int(table.mated.sum()),
        nonmated=int((~table.mated).sum()),
        failure_policy=options.failures,
        mated_failed=int((failed & table.mated).sum()),
        nonmated_failed=int((failed & ~table.mated).sum()),
    )
    return _run(found, System(model=table.model, digest=table.model_digest, score="as in the table"), data)


def _run(found: Groups, system: System, data: Data) -> Run:
    return Run("groups", system, data, {"groups": found.results()}, found.curves(), notes=found.notes())


def _chosen(threshold: float | None, card: Path | None, fmr: float | None, reference: str) -> _Threshold:
    if threshold is not None or card is not None:
        if reference:
            raise InvalidArgument("--reference belongs to --fmr: a given threshold is chosen on nobody")
        return _Threshold(threshold if card is None else read_card(card).value, None, "")
    return _Threshold(None, 1e-4 if fmr is None else fmr, reference)
