"""`lineament evaluate scores`: similarities from anywhere."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import read_card, run_options, take_run_options
from lineament.cli.options import PHOTO
from lineament.datasets.scores import ScoreTable, read_scores
from lineament.evaluate.pairs import Compared, pairs
from lineament.evaluate.run import Data, Run, System


@click.command()
@click.argument("file", type=PHOTO)
@click.option("--threshold-card", type=PHOTO, help="A card whose cost on these data is measured.")
@run_options
def scores(file: Path, threshold_card: Path | None, **values: Any) -> int:
    """Measure similarities in FILE, whoever computed them.

    FILE is a CSV or Parquet table with the columns `similarity` (larger is more alike; an empty one is a
    failed comparison) and `mated` (1 or 0), and perhaps `subject_a`, `subject_b`, `fold`, `quality_a`,
    `quality_b`. With subjects, intervals come from a bootstrap over people; with folds there is an accuracy.
    """
    options = take_run_options(values)
    clock = Clock(options)
    card = None if threshold_card is None else read_card(threshold_card)
    table = read_scores(file)
    compared = compared_of(table)
    sections, _ = pairs(
        compared,
        policy=options.failures,
        targets=options.targets,
        deployed=card,
        replicates=options.replicates,
        seed=options.seed,
    )
    failed = np.isnan(table.similarity)
    data = Data(
        name=options.name or file.stem,
        digest=table.digest,
        subjects=None if compared.subjects is None else len(np.unique(compared.subjects)),
        mated=int(table.mated.sum()),
        nonmated=int((~table.mated).sum()),
        failure_policy=options.failures,
        mated_failed=int((failed & table.mated).sum()),
        nonmated_failed=int((failed & ~table.mated).sum()),
    )
    system = System(model=table.model, digest=table.model_digest, score="as in the table")
    negated = ["The table holds distances; similarities are their negatives."] if table.negated else []
    run = Run("scores", system, data, sections.results, sections.curves, notes=[*sections.notes, *negated])
    run.arrays.update({"similarity": table.similarity, "label": table.mated})
    if compared.subjects is not None:
        run.arrays["subject"] = compared.subjects
    return finish(run, options, clock)


def compared_of(table: ScoreTable) -> Compared:
    """A table of similarities as a list of pairs."""
    subjects = None
    if table.subject_a is not None and table.subject_b is not None:
        subjects = np.stack([table.subject_a, table.subject_b], axis=1)
    quality = None
    if table.quality_a is not None and table.quality_b is not None:
        quality = np.stack([table.quality_a, table.quality_b], axis=1)
    return Compared(table.similarity, table.mated, table.fold, subjects, quality)
