"""IJB-B and IJB-C: templates of sets of pictures, compared by a list and searched in two galleries.

One to one: 10,270 mated and 8 million non-mated comparisons in IJB-B, 19,557 and 15.6 million in IJB-C. At a
false match rate of 1e-6 these allow 8 and 15 false matches, too few for the rule of 30.

One to many: two galleries of different people (S1 and S2, or G1 and G2) and one list of probes. Each gallery
is searched by itself; a probe whose subject is in the other one is non-mated there; the rates are averaged.
To put the galleries together, as some published code does, leaves no non-mated probe, and what is then
printed as a false alarm rate is none.
"""

from collections.abc import Sequence

import numpy as np

from lineament.core.errors import ScoresInvalid
from lineament.datasets.ijb import Gallery
from lineament.evaluate.galleries import OpenSets, several
from lineament.evaluate.openset import RANKS, SEED, openset
from lineament.evaluate.pooling import Pooled
from lineament.evaluate.rows import failures, flags, labels, rows_of
from lineament.metrics.scores import FailurePolicy, Scores

TARGETS = (0.01, 0.1)
STEP = 16_384


def one_to_one(
    templates: Pooled,
    pairs_a: np.ndarray,
    pairs_b: np.ndarray,
    mated: np.ndarray,
    *,
    policy: FailurePolicy = "reject",
    subjects: Gallery | None = None,
) -> Scores:
    """Cosine of each listed pair of templates.

    Args:
        templates: as pooled.
        pairs_a, pairs_b: (n,) template numbers.
        mated: (n,) bool.
        policy: what a comparison with a failed template counts as.
        subjects: of every template in the list, for the bootstrap; None when unknown.

    Raises:
        ScoresInvalid: lengths differ, a template is unknown, or labels contradict the subjects.
        TemplateInvalid: a template is not of unit length.
    """
    first = rows_of(labels(pairs_a, len(mated), "pairs"), templates.template, "the templates")
    second = rows_of(labels(pairs_b, len(mated), "pairs"), templates.template, "the templates")
    same = flags(mated, len(first), "labels of pairs")
    who = None if subjects is None else _subjects(subjects, pairs_a, pairs_b, same)
    failures(templates.vectors, "the templates")
    vectors = templates.vectors
    similarity = np.empty(len(first), np.float32)
    for start in range(0, len(first), STEP):
        part = slice(start, start + STEP)
        similarity[part] = np.einsum("nd,nd->n", vectors[first[part]], vectors[second[part]])
    return Scores.of(np.clip(similarity, -1.0, 1.0), same, subjects=who, policy=policy)


def one_to_many(
    templates: Pooled,
    galleries: Sequence[Gallery],
    probes: Gallery,
    *,
    targets: Sequence[float] = TARGETS,
    ranks: Sequence[int] = RANKS,
    replicates: int = 0,
    seed: int = SEED,
    policy: FailurePolicy = "reject",
    block: int | None = None,
) -> OpenSets:
    """Search every probe in each gallery by itself, and average.

    Args:
        templates: as pooled.
        galleries: of different people.
        probes: one list for all galleries.
        targets, ranks, replicates, seed, policy, block: as for `openset`.

    Raises:
        ScoresInvalid: a template is unknown, there is no gallery, or a gallery has no mated or no non-mated
            probe.
        TemplateInvalid: a template is not of unit length.
    """
    searched = templates.vectors[rows_of(probes.template, templates.template, "the templates")]
    parts = {
        gallery.name: openset(
            templates.vectors[rows_of(gallery.template, templates.template, "the templates")],
            gallery.subject,
            searched,
            probes.subject,
            targets=targets,
            ranks=ranks,
            policy=policy,
            block=block,
        )
        for gallery in galleries
    }
    return several(parts, replicates, seed)


def _subjects(roster: Gallery, a: np.ndarray, b: np.ndarray, mated: np.ndarray) -> np.ndarray:
    """(n, 2) subjects of listed pairs, numbered from 0 without gaps."""
    _, compact = np.unique(roster.subject, return_inverse=True)
    who = np.stack([compact[rows_of(side, roster.template, "the list of subjects")] for side in (a, b)], 1)
    wrong = np.flatnonzero((who[:, 0] == who[:, 1]) != mated)
    if wrong.size:
        raise ScoresInvalid(
            f"{wrong.size} pairs are labelled otherwise than their subjects say, the first is templates "
            f"{a[wrong[0]]} and {b[wrong[0]]}: the lists do not belong together"
        )
    return who
