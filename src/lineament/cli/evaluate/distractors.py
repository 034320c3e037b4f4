"""`lineament evaluate distractors`: finding somebody among many strangers, as MegaFace does."""

from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import run_options, source_options, take_run_options
from lineament.cli.evaluate.source import made_templates, make_source
from lineament.cli.options import PHOTO, recognizer_options
from lineament.datasets.labelled import read_exclusions, read_labelled
from lineament.datasets.pictures import open_pictures
from lineament.evaluate.distractors import among_distractors
from lineament.evaluate.run import Data, Run
from lineament.evaluate.table import TemplateTable, failures_by_reason

TARGETS = (1e-3, 1e-4, 1e-5, 1e-6)


@click.command()
@click.argument("probes", type=PHOTO)
@click.argument("distractors", type=PHOTO)
@click.option("--noisy-probes", type=PHOTO, help="Mislabelled probes to leave out, one a line.")
@click.option("--noisy-distractors", type=PHOTO, help="Distractors to leave out, one a line.")
@click.option(
    "--legacy", is_flag=True, help="Also the figures with mislabelled probes replaced, as published lists do."
)
@source_options
@run_options
@recognizer_options
def distractors(
    probes: Path,
    distractors: Path,
    noisy_probes: Path | None,
    noisy_distractors: Path | None,
    legacy: bool,
    templates: Path | None,
    **values: Any,
) -> int:
    """Rank the other pictures of each person of PROBES among all DISTRACTORS.

    PROBES is a folder with a subfolder per person, DISTRACTORS any folder of other people. --at is a false
    match rate over probe × distractor.
    """
    options = take_run_options(values)
    clock = Clock(options)
    source = make_source(values, aligned=False)
    folders = (None, None) if templates is None else (templates / "probes", templates / "distractors")
    with closing(open_pictures(probes)) as known:
        labelled = read_labelled(known)
        with made_templates(source, known, labelled.samples, folders[0], None) as table:
            wanted = _with_gaps(table, labelled.samples)
            failures = dict(table.failures)
    with (
        closing(open_pictures(distractors)) as strangers,
        made_templates(source, strangers, None, folders[1], None) as table,
    ):
        others = _with_gaps(table, strangers.names)
        failures |= table.failures
        names = list(strangers.names)
    found = among_distractors(
        wanted,
        labelled.subject,
        others,
        noisy_probes=_listed(noisy_probes, labelled.samples),
        noisy_distractors=_listed(noisy_distractors, names),
        targets=options.targets if options.at else TARGETS,
        replicates=options.replicates,
        seed=options.seed,
        policy=options.failures,
        legacy=legacy,
    )
    scores = found.among.scores
    data = Data(
        name=options.name or f"{probes.stem} among {distractors.stem}",
        digest=labelled.digest,
        samples=len(labelled.samples) + len(names),
        mated=scores.mated_count,
        nonmated=scores.nonmated_count,
        failures=failures_by_reason(failures),
        failure_policy=options.failures,
        mated_failed=scores.mated_failed,
        nonmated_failed=scores.nonmated_failed,
        failed_names=list(failures)[:1000],
    )
    run = Run("distractors", source.system, data, found.results(), found.curves(), notes=found.notes())
    return finish(run, options, clock)


def _with_gaps(table: TemplateTable, names: Any) -> np.ndarray:
    """(n, d) templates, NaN where a picture failed."""
    rows = table.rows(names)
    vectors = np.array(table.vectors[rows])
    vectors[~table.made[rows]] = np.nan
    return vectors


def _listed(path: Path | None, names: Any) -> np.ndarray | None:
    if path is None:
        return None
    noisy = read_exclusions(path)
    return np.array([name in noisy for name in names])
