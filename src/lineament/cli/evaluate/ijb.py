"""`lineament evaluate ijb`: IJB-B and IJB-C."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli.evaluate.finish import Clock, finish
from lineament.cli.evaluate.options import run_options, source_options, take_run_options
from lineament.cli.evaluate.source import made_templates, make_source
from lineament.cli.options import recognizer_options
from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.datasets.ijb import Ijb, read_ijb
from lineament.datasets.pictures import open_pictures
from lineament.datasets.port import Pictures
from lineament.evaluate.ijb import one_to_many, one_to_one
from lineament.evaluate.pooling import Pooled, pool
from lineament.evaluate.run import Data, Run
from lineament.evaluate.table import TemplateTable, failures_by_reason
from lineament.evaluate.verification import verification
from lineament.vision.align import align
from lineament.vision.decode import read_image

TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
SEARCH_TARGETS = (1e-1, 1e-2)
NAMED = 1000


class AlignedFaces:
    """Pictures of a folder, each as the crop around the five points that came with it.

    Args:
        pictures: the loose crops.
        names: of the faces, in the order of `points`.
        points: (n, 5, 2) pixels.
        alignment: template of the crops.
    """

    def __init__(self, pictures: Pictures, names: Sequence[str], points: np.ndarray, alignment: str) -> None:
        self._pictures = pictures
        self._names = tuple(names)
        self._points = dict(zip(names, points, strict=True))
        self._alignment = alignment

    @property
    def names(self) -> Sequence[str]:
        """Every face."""
        return self._names

    def read(self, name: str) -> bytes:
        """The aligned crop, as an uncompressed picture."""
        image = read_image(self._pictures.read(name))
        points = self._points[name].astype(np.float32)[None]
        crop = align(image.pixels, points, self._alignment).pixels[0]
        side = crop.shape[0]
        return b"P6 %d %d 255\n" % (side, side) + crop.tobytes()

    def stamp(self, name: str) -> str:
        """The picture's own, and its points."""
        return f"{self._pictures.stamp(name)} {self._points[name].tobytes().hex()}"

    def describe(self) -> str:
        """As the pictures say, aligned."""
        return f"{self._pictures.describe()}, aligned"

    def close(self) -> None:
        """Let go of open files."""
        self._pictures.close()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--set", "which", type=click.Choice(["B", "C"]), required=True, help="IJB-B or IJB-C.")
@click.option("--task", type=click.Choice(["1:1", "1:N"]), default="1:1", show_default=True)
@click.option(
    "--norm-weighting",
    type=click.Choice(["keep", "unit"]),
    default="keep",
    show_default=True,
    help="Pool raw outputs, in which clear pictures weigh more, or unit templates.",
)
@click.option(
    "--detector-score/--no-detector-score", default=True, help="Weigh pictures by the detector's score."
)
@source_options
@run_options
@recognizer_options
def ijb(
    folder: Path,
    which: Any,
    task: str,
    norm_weighting: Any,
    detector_score: bool,
    templates: Path | None,
    **values: Any,
) -> int:
    """Pool the pictures of each template (mean within a medium, sum over media), then compare or search.

    FOLDER holds loose_crop/ and meta/ as published. Pictures are aligned by the points that came with them.
    In 1:N each gallery is searched by itself, and people of the other one are strangers to it; the rates are
    averaged.
    """
    options = take_run_options(values)
    clock = Clock(options)
    if values["crops"] == "photographs":
        raise InvalidArgument(
            "the faces of IJB come with their points: --crops photographs has no meaning here"
        )
    benchmark = read_ijb(folder, which)
    source = make_source(values, aligned=True)
    alignment = _alignment(source.acquirer)
    faces = AlignedFaces(open_pictures(folder), benchmark.images, benchmark.points, alignment)
    with closing(faces), made_templates(source, faces, None, templates, options.output) as table:
        pooled = _pool(benchmark, table, norm_weighting, detector_score)
        failures = dict(table.failures)
    notes = [
        f"norm_weighting: {norm_weighting}; detector score "
        + ("as a weight" if detector_score else "not used")
        + f"; {len(pooled.failed)} templates failed",
        *benchmark.notes,
    ]
    if task == "1:1":
        if benchmark.pairs_a is None or benchmark.pairs_b is None or benchmark.mated is None:
            raise DatasetInvalid(f"{folder} has no list of pairs of templates: 1:1 needs it")
        scores = one_to_one(
            pooled, benchmark.pairs_a, benchmark.pairs_b, benchmark.mated, policy=options.failures
        )
        targets = options.targets if options.at else TARGETS
        sections = verification(scores, targets=targets, replicates=0, seed=options.seed)
        results, curves = sections.results, sections.curves
        notes += sections.notes
        mated, nonmated = scores.mated_count, scores.nonmated_count
    else:
        if benchmark.probes is None:
            raise DatasetInvalid(f"{folder} has no galleries and probes: 1:N needs them")
        found = one_to_many(
            pooled,
            benchmark.gallery,
            benchmark.probes,
            targets=tuple(sorted(set(options.at), reverse=True)) or SEARCH_TARGETS,
            seed=options.seed,
            policy=options.failures,
        )
        results, curves = {"identification": found.results()}, found.curves()
        notes += found.notes()
        parts = found.parts.values()
        mated = min(int(p.found.mated.sum()) for p in parts)
        nonmated = min(int((~p.found.mated).sum()) for p in parts)
    data = Data(
        name=options.name or f"IJB-{which} {task}",
        digest=_digest(benchmark, task),
        samples=len(benchmark.images),
        mated=mated,
        nonmated=nonmated,
        failures=failures_by_reason(failures),
        failure_policy=options.failures,
        failed_names=list(failures)[:NAMED],
    )
    return finish(Run("ijb", source.system, data, results, curves, notes=notes), options, clock)


def _alignment(acquirer: Any) -> str:
    """Alignment template of the embedder that crops are made for."""
    return str(acquirer.embedder.alignment)


def _pool(benchmark: Ijb, table: TemplateTable, norm_weighting: Any, detector_score: bool) -> Pooled:
    rows = table.rows(benchmark.images)
    # A failed picture has a row of zeros, and its norm is NaN: pooling leaves it out.
    raw = table.vectors[rows] * table.norms[rows][:, None]
    score = benchmark.detector_score if detector_score else None
    return pool(raw, benchmark.template, benchmark.media, score, norm_weighting)


def _digest(benchmark: Ijb, task: str) -> str:
    digest = hashlib.sha256(f"{benchmark.set} {task}".encode())
    digest.update("\n".join(benchmark.images).encode("utf-8", "surrogateescape"))
    for column in (benchmark.template, benchmark.media, benchmark.pairs_a, benchmark.pairs_b):
        if column is not None:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
