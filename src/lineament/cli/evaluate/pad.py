"""`lineament evaluate pad`: presentation attacks."""

import hashlib
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import run_options, take_run_options
from lineament.cli.options import PHOTO, Finite
from lineament.datasets.scores import read_pad_scores
from lineament.evaluate.attack import attack
from lineament.evaluate.run import Data, Run, System


@click.command()
@click.argument("file", type=PHOTO)
@click.option(
    "--threshold", type=Finite(), required=True, help="A presentation is taken for real at or above it."
)
@run_options
def pad(file: Path, threshold: float, **values: Any) -> int:
    """Error rates of presentation attack detection (ISO/IEC 30107-3).

    FILE is a CSV or Parquet table with the columns `score` (larger is more surely real) and `species`: the
    kind of attack, or empty or `bona_fide` for a real person. The headline is the worst kind of attack,
    never the mean.
    """
    options = take_run_options(values)
    clock = Clock(options)
    score, species = read_pad_scores(file)
    found = attack(score, species, threshold)
    real = np.isin(np.asarray(species), ("", "bona_fide"))
    data = Data(
        name=options.name or file.stem,
        digest=hashlib.sha256("\n".join(species).encode()).hexdigest(),
        samples=len(score),
        mated=int(real.sum()),
        nonmated=int((~real).sum()),
    )
    system = System(score="liveness, as in the table")
    run = Run("pad", system, data, {"attack": found.results()}, found.curves(), notes=found.notes())
    return finish(run, options, clock)
