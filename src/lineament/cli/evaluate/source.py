"""From the options of a command to templates of pictures."""

import os
import platform
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineament.cli.options import make_recognizer
from lineament.cli.progress import progress
from lineament.core.errors import InvalidArgument
from lineament.core.ports import Acquirer
from lineament.core.threshold import Threshold
from lineament.datasets.pictures import Pictures
from lineament.evaluate.acquire import FromCrops
from lineament.evaluate.bordered import Bordered
from lineament.evaluate.run import System
from lineament.evaluate.table import TemplateTable
from lineament.pipeline.acquire import FromPhotographs
from lineament.vision.quality import QualityLimits

VIEWS = {"none": "one", "sum_raw": "mirrored_sum", "sum_unit": "mirrored_unit_sum"}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Something that makes templates, and what the record says about it."""

    acquirer: Acquirer
    system: System
    settings: dict[str, str]
    thresholds: tuple[Threshold, ...]
    border: float = 0.0

    def deployed(self, card: Threshold | None, fmr: float) -> Threshold | None:
        """The threshold whose cost is measured beside: a card's, or the pack's own for a rate."""
        if card is not None:
            card.require(self.acquirer.model)
            return card
        own = (
            t for t in self.thresholds if t.model.digest == self.acquirer.model.digest and t.fmr is not None
        )
        return next((t for t in own if t.fmr is not None and abs(t.fmr / fmr - 1) < 1e-6), None)


def make_source(values: dict[str, Any], *, aligned: bool) -> Source:
    """From the options of `source_options` and `recognizer_options`, taken out of `values`.

    Args:
        values: keyword arguments of a command.
        aligned: what `--crops auto` means here.
    """
    crops, policy, mirror = (values.pop(name) for name in ("crops", "policy", "mirror"))
    gate, border = values.pop("quality_gate"), float(values.pop("border"))
    shared = {name: values.pop(name) for name in ("model", "engine", "providers", "threads", "precision")}
    recognizer = make_recognizer(**shared, views=VIEWS[mirror])
    take_crops = aligned if crops == "auto" else crops == "aligned"
    if take_crops and border:
        raise InvalidArgument("aligned crops are taken as they are: --border is for photographs")
    face = ", ".join((policy, *(["quality gate"] * gate), *([f"border {border:g}"] if border else [])))
    limits: QualityLimits | None = recognizer.quality_limits if gate else None
    acquirer: Acquirer
    if take_crops:
        acquirer = FromCrops(recognizer.parts().embedder)
    else:
        acquirer = FromPhotographs(recognizer, policy, limits)
    dimension = recognizer.parts().embedder.card.dimension
    system = System(
        model=acquirer.model.name,
        digest=acquirer.model.digest,
        detector=acquirer.detector,
        views=mirror,
        policy="" if take_crops else face,
        template_bytes=4 * dimension,
        runtime=_runtime(shared, recognizer.runtime.thread_count),
    )
    settings = {"policy": system.policy}
    return Source(acquirer, system, settings, recognizer.thresholds, border)


@contextmanager
def made_templates(
    source: Source,
    pictures: Pictures,
    wanted: Sequence[str] | None,
    kept: Path | None,
    output: Path | None,
) -> Generator[TemplateTable]:
    """Templates of the pictures wanted, made or found.

    They are kept in `kept`; without it beside the output until the command is done, so that the same
    command goes on where it was stopped; without either in a temporary folder.
    """
    if source.border:
        pictures = Bordered(pictures, source.border)
    folder, passing = kept, kept is None
    if folder is None:
        beside = None if output is None else output.with_name(output.name + ".templates")
        folder = Path(tempfile.mkdtemp(prefix="lineament-")) if beside is None else beside
    try:
        with TemplateTable(folder, pictures, source.acquirer, source.settings) as table:
            count = len(pictures.names if wanted is None else set(wanted))
            with progress("templates", count) as advance:
                table.fill(wanted, lambda _done, _of: advance())
            yield table
    except BaseException:
        if passing and output is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if passing:
        shutil.rmtree(folder, ignore_errors=True)


def _runtime(shared: dict[str, Any], threads: int) -> dict[str, Any]:
    import importlib.metadata

    engine = str(shared["engine"])
    try:
        version = importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"  # for example installed as onnxruntime-gpu
    return {
        "engine": engine,
        "version": version,
        "precision": shared["precision"],
        "providers": list(shared["providers"]) or ["CPUExecutionProvider"],
        "threads": threads,
        "processor": processor(),
    }


def processor() -> str:
    """What the machine calls its processor."""
    place = Path("/proc/cpuinfo")
    if place.is_file():
        for line in place.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} processors"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors"
