"""From a folder of people to the similarities of all their pairs, for several commands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lineament.cli.progress import progress
from lineament.core.errors import DatasetInvalid
from lineament.datasets.labelled import Labelled
from lineament.evaluate.allpairs import AllPairs, all_pairs
from lineament.evaluate.run import Data
from lineament.evaluate.table import TemplateTable, failures_by_reason
from lineament.metrics.scores import FailurePolicy

# How much deeper than the largest rate similarities are kept, so that bootstrap draws find their threshold.
DEEPER = 4
# So few that all similarities are kept: draws of a handful of people may need any of them.
FEW_PAIRS = 5_000_000
# Of more pairs at least so many: at the smallest rates a draw may weigh one pair of people a hundredfold.
LEAST_KEPT = 100_000
WORST = 50
NAMED = 1000


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Pictures of a labelled folder that gave a template.

    Attributes:
        names, subject, group: of each, in the order of `vectors`.
        vectors: (n, d) unit templates.
        norms: (n,) raw lengths.
        labelled: everybody, failures included.
        failures: the others, with reasons.
    """

    names: Sequence[str]
    subject: np.ndarray
    group: np.ndarray | None
    vectors: np.ndarray
    norms: np.ndarray
    labelled: Labelled
    failures: dict[str, tuple[str, str]]

    @property
    def subjects(self) -> int:
        """Different people with a template."""
        return len(np.unique(self.subject))


def people_of(labelled: Labelled, table: TemplateTable) -> People:
    """The rows of a table that belong to a labelled folder.

    Raises:
        DatasetInvalid: fewer than two pictures gave a template.
    """
    rows = table.rows(labelled.samples)
    good = np.flatnonzero((rows >= 0) & table.made[rows])
    used = set(labelled.samples)
    failures = {name: why for name, why in table.failures.items() if name in used}
    if len(good) < 2:
        why = next(iter(failures.values()), ("", "there are no pictures"))[1]
        raise DatasetInvalid(f"{len(good)} of {len(rows)} pictures gave a template: {why}")
    kept = rows[good]
    whole = len(kept) == len(table.names) and bool((kept == np.arange(len(kept))).all())
    return People(
        [labelled.samples[i] for i in good],
        labelled.subject[good],
        None if labelled.group is None else labelled.group[good],
        table.vectors if whole else table.vectors[kept],
        table.norms[kept],
        labelled,
        failures,
    )


def compare_all(
    people: People, targets: Sequence[float], policy: FailurePolicy, checkpoint: Path | None, **settings: Any
) -> AllPairs:
    """Every pair of pictures, with failed ones counted as rejections or left out.

    Args:
        people: with templates.
        targets: false match rates whose thresholds must be exact.
        policy: what a comparison with a failed picture counts as.
        checkpoint: file to go on from after a stop, or None.
        settings: `group`, `rule`, `exclude` of `all_pairs`.
    """
    pairs = len(people.names) * (len(people.names) - 1) // 2
    keep = 1.0 if pairs <= FEW_PAIRS else min(1.0, max(DEEPER * max(targets), LEAST_KEPT / pairs))
    with progress("pairs", 1000) as advance:
        told = 0

        def tell(done: int, total: int) -> None:
            nonlocal told
            while told < 1000 * done // max(1, total):
                advance()
                told += 1

        compared = all_pairs(
            people.vectors, people.subject, keep=keep, checkpoint=checkpoint, progress=tell, **settings
        )
    if policy == "exclude":
        return compared
    mated, nonmated = lost(people)
    scores = replace(compared.scores, mated_failed=mated, nonmated_failed=nonmated)
    return replace(compared, scores=scores)


def lost(people: People) -> tuple[int, int]:
    """Mated and non-mated pairs of the folder of which a picture gave no template."""
    every, good = (np.bincount(s) for s in (people.labelled.subject, people.subject))

    def count(sizes: np.ndarray) -> tuple[int, int]:
        n = int(sizes.sum())
        mated = int((sizes.astype(np.int64) * (sizes - 1) // 2).sum())
        return mated, n * (n - 1) // 2 - mated

    (a, b), (c, d) = count(every), count(good)
    return a - c, b - d


def data_of(
    people: People, compared: AllPairs, name: str, policy: FailurePolicy, exclusions: dict[str, str]
) -> Data:
    """What the record says about a folder of people."""
    mated, nonmated = lost(people)
    return Data(
        name=name,
        digest=people.labelled.digest,
        samples=len(people.labelled.samples),
        subjects=len(people.labelled.subjects),
        mated=compared.scores.mated_count,
        nonmated=compared.scores.nonmated_count,
        failures=failures_by_reason(people.failures),
        failure_policy=policy,
        mated_failed=mated,
        nonmated_failed=nonmated,
        failed_names=list(people.failures)[:NAMED],
        exclusions=[{"sample": n, "reason": why} for n, why in exclusions.items()],
    )


def worst_errors(people: People, compared: AllPairs) -> dict[str, Any]:
    """The most similar pairs of different people and the least similar pairs of one, by name."""
    names, scores = people.names, compared.scores
    low = np.argsort(scores.mated, kind="stable")[:WORST]

    def rows(pairs: np.ndarray, similarity: np.ndarray) -> list[dict[str, Any]]:
        return [
            {"a": names[i], "b": names[j], "similarity": float(s)}
            for (i, j), s in zip(pairs.tolist(), similarity, strict=True)
        ]

    return {
        "false_matches": rows(compared.nonmated_pairs[:WORST], scores.nonmated[:WORST]),
        "false_nonmatches": rows(compared.mated_pairs[low], scores.mated[low]),
    }
