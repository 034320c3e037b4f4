"""Threshold cards: the boundary for a false match rate, measured, with what may be claimed about it.

The value is safe: of N non-mated comparisons it lets through the largest number k whose one-sided 95 %
Clopper–Pearson bound stays at or under the target. Data that cannot certify the target with k = 0 are
refused, with the number of comparisons that would be needed.

That bound counts comparisons as independent. People appear in many of them, so the card also carries the
interval of the similarity at which the rate equals the target, and of the rate at the value, by a bootstrap
over people; similarities inside the first are undecided for `lineament compare`.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.metrics.bootstrap import bootstrap_at_fmr, bootstrap_at_threshold
from lineament.metrics.intervals import clopper_pearson, largest_safe, trials_needed
from lineament.metrics.operating import at_threshold
from lineament.metrics.scores import Scores

REPLICATES = 1000
SEED = 20251125
GALLERIES = 20


@dataclass(frozen=True, slots=True)
class Origin:
    """What a card says about where it comes from.

    Attributes:
        model: whose templates were compared.
        detector: which detector found the faces; empty when unknown.
        dataset: name of the data.
        subjects: different people in it.
        precision: in which the templates were stored.
        remarks: what was left out and why, and how failures to acquire were counted.
        date: ISO date; empty for today.
    """

    model: ModelId
    detector: str
    dataset: str
    subjects: int
    precision: str = "float32"
    remarks: str = ""
    date: str = ""

    @property
    def day(self) -> str:
        """ISO date of the measurement."""
        return self.date or datetime.datetime.now(datetime.UTC).date().isoformat()


def calibrate(
    scores: Scores, fmr: float, origin: Origin, *, replicates: int = REPLICATES, seed: int = SEED
) -> Threshold:
    """The threshold for comparing two pictures at a false match rate.

    Args:
        scores: similarities; with subjects where they are known.
        fmr: target, between 0 and 1.
        origin: what the card says about itself.
        replicates, seed: of the bootstrap over people.

    Raises:
        EvidenceInsufficient: too few non-mated comparisons for the target.
        InvalidArgument: a target outside (0, 1).
        ScoresInvalid: no non-mated comparison, or similarities that are no cosines.
    """
    _check_target(fmr)
    if not scores.nonmated_total:
        raise ScoresInvalid("there is no non-mated comparison: a false match rate needs different people")
    value, safe = safe_threshold(scores.nonmated, scores.nonmated_total, fmr)
    point = at_threshold(scores, value)
    known = scores.nonmated_subjects is not None and scores.mated_subject is not None and replicates > 0
    if known:
        # A threshold that lets nothing through has no similarity at which the rate equals the target.
        moving = bootstrap_at_fmr(scores, fmr, replicates, seed).threshold
        rates = bootstrap_at_threshold(scores, value, replicates, seed).fmr
        low, high = _within(moving.low), _within(moving.high)
        how = f"intervals by bootstrap over people ({replicates} replicates, seed {seed})"
    else:
        rates = clopper_pearson(point.false_matches, point.nonmated)
        low = high = value
        how = (
            "people unknown: the interval of the rate counts comparisons as independent, which is too narrow"
        )
    return Threshold(
        value=value,
        fmr=fmr,
        interval=(min(low, value), max(high, value)),
        fmr_interval=(rates.low, rates.high),
        fnmr=point.fnmr if point.mated else None,
        comparisons=point.nonmated,
        false_matches=point.false_matches,
        subjects=origin.subjects,
        dataset=origin.dataset,
        model=origin.model,
        detector=origin.detector,
        date=origin.day,
        method=_method("smallest similarity whose false match rate is certified", safe, how, origin),
        precision=origin.precision,
    )


def safe_threshold(nonmated: np.ndarray, total: int, target: float) -> tuple[float, int]:
    """The smallest threshold whose error rate is certified to be at or under a target.

    Args:
        nonmated: the largest non-mated similarities, descending.
        total: how many there were.
        target: rate.

    Returns:
        (threshold, how many of the similarities may reach it).

    Raises:
        EvidenceInsufficient: not even a threshold above all of them is certified, or too few were kept.
    """
    safe = largest_safe(total, target)
    if safe is None:
        raise EvidenceInsufficient(
            f"{total:,} non-mated comparisons cannot certify a rate of {target:g}: at least "
            f"{trials_needed(target):,} are needed; add people, or ask for a larger rate"
        )
    if safe >= len(nonmated):
        if safe >= total:
            return -1.0, safe
        raise EvidenceInsufficient(
            f"only the {len(nonmated):,} largest similarities were kept and {safe + 1:,} are needed: keep "
            "more"
        )
    bar = nonmated[safe]
    value = float(np.nextafter(bar, nonmated.dtype.type(2)))
    if not -1.0 <= value <= 1.0:
        raise EvidenceInsufficient(
            f"{safe + 1:,} pairs of different people are as similar as two pictures can be "
            f"({float(bar):.6f}), so "
            f"no threshold keeps the rate at {target:g}: look for the same picture under two names "
            "(`lineament evaluate folder` lists the most similar pairs)"
        )
    return value, safe


def calibrate_search(
    vectors: np.ndarray,
    subject: np.ndarray,
    gallery_size: int,
    fpir: float,
    origin: Origin,
    *,
    galleries: int = GALLERIES,
    seed: int = SEED,
) -> Threshold:
    """The threshold for searching a gallery of a given size at a false positive identification rate.

    Several galleries of `gallery_size` people, one reference each, are drawn; every picture of everybody else
    searches each of them. The value is the largest of the galleries' safe thresholds, so that it holds for an
    unlucky gallery too; the interval spans them.

    Args:
        vectors: (n, d) unit templates.
        subject: (n,) subject numbers.
        gallery_size: references in the gallery.
        fpir: target: share of searches by people who are not in the gallery that return anybody.
        origin: what the card says about itself.
        galleries: how many are drawn.
        seed: of the drawing.

    Raises:
        EvidenceInsufficient: too few people for the gallery, or too few searches for the rate.
        InvalidArgument: a size or a rate that cannot be.
    """
    _check_target(fpir)
    people = np.unique(subject)
    if gallery_size < 1:
        raise InvalidArgument(f"a gallery holds at least one reference, not {gallery_size}")
    needed = trials_needed(fpir)
    if len(people) <= gallery_size:
        raise EvidenceInsufficient(
            f"{len(people):,} people cannot make a gallery of {gallery_size:,} and strangers to search it: "
            f"at least {gallery_size + needed:,} people (or fewer with several pictures each) are needed"
        )
    generator = np.random.default_rng(seed)
    safe: list[float] = []
    positives = searches = misses = mated = 0
    tops: list[np.ndarray] = []
    mates: list[np.ndarray] = []
    for _ in range(galleries):
        top, mate = _one_gallery(vectors, subject, people, gallery_size, generator)
        tops.append(top)
        mates.append(mate)
        safe.append(safe_threshold(np.sort(top)[::-1], len(top), fpir)[0])
    value = max(safe)
    for top, mate in zip(tops, mates, strict=True):
        positives += int((top >= value).sum())
        searches += len(top)
        misses += int((mate < value).sum())
        mated += len(mate)
    rate = clopper_pearson(round(positives / galleries), round(searches / galleries))
    how = (
        f"largest of the safe thresholds of {galleries} galleries drawn from these people (seed {seed}), one "
        "reference a person; the first interval spans them, the second is Clopper–Pearson's for one gallery"
    )
    return Threshold(
        value=value,
        fmr=None,
        interval=(min(safe), value),
        fmr_interval=(rate.low, rate.high),
        fnmr=misses / mated if mated else None,
        comparisons=round(searches / galleries),
        false_matches=round(positives / galleries),
        subjects=origin.subjects,
        dataset=origin.dataset,
        model=origin.model,
        detector=origin.detector,
        date=origin.day,
        method=_method("false positive identification rate certified", None, how, origin),
        gallery_size=gallery_size,
        fpir=fpir,
        precision=origin.precision,
    )


def _one_gallery(
    vectors: np.ndarray, subject: np.ndarray, people: np.ndarray, size: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Top similarity of every stranger's search, and the similarity of every mated search to its mate."""
    shuffled = generator.permutation(len(subject))
    _, first = np.unique(subject[shuffled], return_index=True)
    reference = shuffled[first]  # one random picture of each person, in order of `people`
    enrolled = generator.choice(len(people), size, replace=False)
    gallery = vectors[reference[enrolled]]
    stranger = ~np.isin(subject, people[enrolled])
    top = np.concatenate(
        [(block @ gallery.T).max(axis=1) for block in _blocks(vectors[stranger], size)] or [np.zeros(0)]
    )
    probes = ~stranger
    probes[reference[enrolled]] = False
    column = np.searchsorted(people, subject[probes])
    mate = np.einsum("nd,nd->n", vectors[probes], vectors[reference[column]])
    return top, mate


def _blocks(vectors: np.ndarray, width: int) -> list[np.ndarray]:
    step = max(1, (1 << 24) // max(1, width))
    return [vectors[i : i + step] for i in range(0, len(vectors), step)]


def _within(similarity: float) -> float:
    """A boundary that may lie above every similarity, as a cosine."""
    return float(np.clip(similarity, -1.0, 1.0))


def _check_target(rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise InvalidArgument(f"a rate lies between 0 and 1, not {rate}")


def _method(what: str, safe: int | None, how: str, origin: Origin) -> str:
    allowed = "" if safe is None else f", {safe} of the comparisons allowed"
    remarks = f"; {origin.remarks}" if origin.remarks else ""
    return f"{what} (one-sided 95 % Clopper–Pearson bound at or under the target{allowed}); {how}{remarks}"
