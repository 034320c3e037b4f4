"""`lineament evaluate folder`: all pairs of a labelled folder."""

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import (
    read_card,
    run_options,
    source_options,
    take_run_options,
    threshold_options,
)
from lineament.cli.evaluate.people import compare_all, data_of, people_of, worst_errors
from lineament.cli.evaluate.source import made_templates, make_source
from lineament.cli.options import PHOTO, recognizer_options
from lineament.datasets.labelled import read_exclusions, read_labelled
from lineament.datasets.pictures import open_pictures
from lineament.evaluate.compare_models import arrays_of
from lineament.evaluate.run import Run
from lineament.evaluate.verification import verification

TARGETS = (1e-3, 1e-4, 1e-5, 1e-6)


@click.command()
@click.argument("people", type=PHOTO)
@click.option("--exclude", type=PHOTO, help="Pictures to leave out, one a line or CSV with a reason.")
@source_options
@threshold_options
@run_options
@recognizer_options
def folder(
    people: Path,
    exclude: Path | None,
    threshold_card: Path | None,
    deployed_fmr: float,
    templates: Path | None,
    **values: Any,
) -> int:
    """Compare every picture under PEOPLE with every other one.

    PEOPLE is a folder, or a zip of one, with a subfolder per person. All pairs give as many non-mated
    comparisons as there can be: of 13,233 pictures 87 million. Memory stays bounded, and a stopped run goes
    on.
    """
    options = take_run_options(values)
    clock = Clock(options)
    targets = options.targets if options.at else TARGETS
    exclusions = {} if exclude is None else read_exclusions(exclude)
    card = None if threshold_card is None else read_card(threshold_card)
    with closing(open_pictures(people)) as pictures:
        labelled = read_labelled(pictures, exclude=tuple(exclusions))
        source = make_source(values, aligned=False)
        deployed = source.deployed(card, deployed_fmr)
        with made_templates(source, pictures, labelled.samples, templates, options.output) as table:
            chosen = people_of(labelled, table)
            compared = compare_all(
                chosen, targets, options.failures, None if templates is None else templates / "pairs.npz"
            )
            sections = verification(
                compared.scores,
                targets=targets,
                deployed=deployed,
                replicates=options.replicates,
                seed=options.seed,
            )
            errors = worst_errors(chosen, compared)
            data = data_of(chosen, compared, options.name or people.stem, options.failures, exclusions)
    results = {**sections.results, "errors": errors}
    run = Run("folder", source.system, data, results, sections.curves, notes=sections.notes)
    run.arrays.update(arrays_of(compared.scores))
    return finish(run, options, clock)
