"""Verification on persons who are never trained on: which checkpoint is the best one.

These persons come from the training data, so that the benchmark that is reported stays untouched.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lineament.core.errors import DatasetInvalid, EvidenceInsufficient
from lineament.core.ports import Embedder
from lineament.evaluate.acquire import crops_of
from lineament.metrics.bootstrap import bootstrap_at_fmr
from lineament.metrics.curves import auc
from lineament.metrics.operating import at_fmr
from lineament.metrics.scores import Scores
from lineament.train.examples import Examples
from lineament.train.read_crop import read_crop

TARGET = 1e-2
REPLICATES = 200
BATCH = 64
LARGEST = 3000
MOST_OF_ONE = 30


@dataclass(frozen=True, slots=True)
class Validated:
    """One look at the held-out persons.

    Attributes:
        tar: true accept rate, 1 − FNMR, at a false match rate of 1e-2.
        tar_low, tar_high: its 95 % interval, by a bootstrap over persons.
        auc: area under the ROC.
        mated, nonmated: comparisons.
    """

    tar: float
    tar_low: float
    tar_high: float
    auc: float
    mated: int
    nonmated: int

    def row(self) -> dict[str, Any]:
        """For the log."""
        return asdict(self)


class HeldOut:
    """Pictures of held-out persons, decoded once.

    Args:
        examples: theirs; at most 30 pictures of each, person after person, and 3,000 in all are used.
        colour: order of channels in the files.
        size: side of the crops, pixels.

    Attributes:
        broken: names of pictures that cannot be used.

    Raises:
        DatasetInvalid: fewer than two persons have two usable pictures.
    """

    def __init__(self, examples: Examples, colour: str, size: int) -> None:
        crops: list[np.ndarray] = []
        labels: list[int] = []
        self.broken: list[str] = []
        for number in _chosen(examples.labels):
            crop = read_crop(examples, number, colour, size)
            if isinstance(crop, str):
                self.broken.append(examples.name(number))
                continue
            crops.append(crop)
            labels.append(int(examples.labels[number]))
        pairs = int((np.bincount(labels) >= 2).sum()) if labels else 0
        if pairs < 2:
            raise DatasetInvalid(
                f"of the held-out persons {pairs} have 2 usable pictures or more, and 2 such are needed; "
                f"{len(self.broken)} pictures cannot be used: check data.path and data.size, or set another "
                "data.held_out"
            )
        self.pixels = np.stack(crops)
        self.labels = np.array(labels)

    def measure(self, embedder: Embedder) -> Validated:
        """Every picture against every other."""
        parts = [
            embedder.embed(crops_of(self.pixels[at : at + BATCH])).vectors
            for at in range(0, len(self.pixels), BATCH)
        ]
        vectors = np.concatenate(parts)
        one, other = np.triu_indices(len(vectors), 1)
        similarity = (vectors @ vectors.T)[one, other]
        subjects = np.stack([self.labels[one], self.labels[other]], axis=1)
        scores = Scores.of(similarity, subjects[:, 0] == subjects[:, 1], subjects=subjects)
        point = at_fmr(scores, TARGET)
        low, high = _interval(scores)
        return Validated(point.tar, low, high, auc(scores), point.mated, point.nonmated)


def _interval(scores: Scores) -> tuple[float, float]:
    """Of the true accept rate; from 0 to 1 where so few persons are held out that nothing follows."""
    try:
        spread = bootstrap_at_fmr(scores, TARGET, REPLICATES).fnmr
    except EvidenceInsufficient:
        return 0.0, 1.0
    return 1.0 - spread.high, 1.0 - spread.low


def _chosen(labels: np.ndarray) -> list[int]:
    """Rows to look at: whole persons as far as possible, in whatever order the data are."""
    order = np.argsort(labels, kind="stable")
    sorted_labels = labels[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_labels, sorted_labels)
    return order[place < MOST_OF_ONE][:LARGEST].tolist()
