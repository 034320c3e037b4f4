"""Thresholds that remember where they were measured."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from lineament.core.errors import InvalidArgument, ThresholdMismatch
from lineament.core.template import ModelId


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision boundary on cosine similarity, measured on named data for one model.

    Attributes:
        value: accept when similarity ≥ value; cosine.
        fmr: the false match rate it was chosen for; None for a search threshold and when a person typed it
            in.
        interval: (low, high) cosine: where the boundary for `fmr` may lie given the data; similarities
            inside are undecided. Empty (low == high == value) when it was typed in.
        fmr_interval: 95 % interval of the false match rate at `value`, for people like those of that data.
        fnmr: false non-match rate at `value` on the mated pairs of the same data, or None.
        comparisons: non-mated comparisons it was measured on.
        false_matches: how many of them reached `value`.
        subjects: different people among them.
        dataset: name of the data.
        model: whose templates it is for.
        date: ISO date of the measurement.
        method: how value and intervals were computed, in words.
        detector: which detector found the faces it was measured on; empty when unknown.
        gallery_size: number of references a *search* threshold is for; None for a 1:1 threshold. Then
            `fmr_interval`, `fnmr`, `comparisons` and `false_matches` speak of searches: of the false positive
            identification rate, the false negative one, non-mated searches, and those with a candidate.
        fpir: the false positive identification rate a search threshold was chosen for, else None.
        score: what is compared with `value`.
        precision: in which the templates were stored when it was measured.
    """

    value: float
    fmr: float | None
    interval: tuple[float, float]
    fmr_interval: tuple[float, float] | None
    fnmr: float | None
    comparisons: int
    false_matches: int
    subjects: int
    dataset: str
    model: ModelId
    date: str
    method: str
    detector: str = ""
    gallery_size: int | None = None
    fpir: float | None = None
    score: str = "cosine"
    precision: str = "float32"

    def __post_init__(self) -> None:
        low, high = self.interval
        if not -1.0 <= low <= self.value <= high <= 1.0:
            raise InvalidArgument(
                f"threshold {self.value} with interval {self.interval}: need -1 <= low <= value <= high <= 1"
            )
        if (self.fpir is None) != (self.gallery_size is None) or (
            self.fmr is not None and self.fpir is not None
        ):
            raise InvalidArgument(
                "a search threshold has a gallery size and a false positive identification rate and no false "
                "match rate; a 1:1 threshold has neither of the first two"
            )
        if self.gallery_size is not None and self.gallery_size < 1:
            raise InvalidArgument(f"a gallery holds at least one reference, not {self.gallery_size}")
        target = self.fmr if self.fmr is not None else self.fpir
        if target is not None:
            self._check_evidence(target)

    def _check_evidence(self, fmr: float) -> None:
        """A measured threshold must say on how much it was measured, and say nothing impossible."""
        if not 0.0 < fmr < 1.0:
            raise InvalidArgument(f"a false match rate lies between 0 and 1, not {fmr}")
        if self.score != "cosine":
            raise InvalidArgument(f"thresholds are on cosine similarity, not on {self.score!r}")
        if self.fmr_interval is None or not 0.0 <= self.fmr_interval[0] <= self.fmr_interval[1] <= 1.0:
            raise InvalidArgument(f"the interval of a false match rate lies in 0..1, not {self.fmr_interval}")
        if self.fnmr is not None and not 0.0 <= self.fnmr <= 1.0:
            raise InvalidArgument(f"a false non-match rate lies in 0..1, not {self.fnmr}")
        if not (0 <= self.false_matches <= self.comparisons and self.comparisons > 0 and self.subjects > 0):
            raise InvalidArgument(
                f"{self.false_matches} false matches of {self.comparisons} comparisons of {self.subjects} "
                "subjects cannot be"
            )

    @classmethod
    def typed_in(cls, value: float, model: ModelId) -> "Threshold":
        """A bare number from a person: usable, and marked as measured on nothing."""
        if not -1.0 <= value <= 1.0:
            raise InvalidArgument(f"a cosine threshold lies between -1 and 1, not {value}")
        return cls(
            value, None, (value, value), None, None, 0, 0, 0, "none", model, "", "typed in by the caller"
        )

    @property
    def measured(self) -> bool:
        """False for a number that a person typed in."""
        return self.fmr is not None or self.fpir is not None

    def require_search(self, model: ModelId, gallery_size: int) -> None:
        """Refuse to be used for another model, for 1:1, or for a larger gallery than it was made for.

        A search has as many chances of a false positive as the gallery has references, so a 1:1 threshold
        of the same rate would give far too many of them.

        Raises:
            ThresholdMismatch: as above.
        """
        self._require_model(model)
        if self.gallery_size is None:
            raise ThresholdMismatch(
                "this threshold is for comparing two pictures, not for searching: use one that was measured "
                f"for a gallery of at least {gallery_size} references"
            )
        if gallery_size > self.gallery_size:
            raise ThresholdMismatch(
                f"this threshold is for galleries of up to {self.gallery_size} references, and this one has "
                f"{gallery_size}: measure one for that size"
            )

    def require(self, model: ModelId) -> None:
        """Refuse to be used for another model, or for 1:1 when made for search.

        Raises:
            ThresholdMismatch: it belongs to another model or another task.
        """
        self._require_model(model)
        if self.gallery_size is not None:
            raise ThresholdMismatch(
                f"this threshold is for searching {self.gallery_size} references, not for comparing two "
                "pictures: use a verification threshold"
            )

    def _require_model(self, model: ModelId) -> None:
        if self.model.digest != model.digest:
            raise ThresholdMismatch(
                f"this threshold was measured for {self.model}, the templates are of {model}: "
                "measure one for this model, or give a cosine yourself"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Threshold":
        """The inverse of `to_dict`.

        Raises:
            InvalidArgument: a field is missing, unknown or out of range.
        """
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise InvalidArgument(f"a threshold has no field {unknown[0]!r}: one of {sorted(names)}")
        try:
            model = values["model"]
            low, high = (float(v) for v in values["interval"])
            rate = values.get("fmr_interval")
            fmr, fnmr, size = values["fmr"], values["fnmr"], values.get("gallery_size")
            fpir = values.get("fpir")
            return cls(
                value=float(values["value"]),
                fmr=None if fmr is None else float(fmr),
                interval=(low, high),
                fmr_interval=None if rate is None else (float(rate[0]), float(rate[1])),
                fnmr=None if fnmr is None else float(fnmr),
                comparisons=int(values["comparisons"]),
                false_matches=int(values["false_matches"]),
                subjects=int(values["subjects"]),
                dataset=str(values["dataset"]),
                model=ModelId(str(model["name"]), str(model["digest"])),
                date=str(values["date"]),
                method=str(values["method"]),
                detector=str(values.get("detector", "")),
                gallery_size=None if size is None else int(size),
                fpir=None if fpir is None else float(fpir),
                score=str(values.get("score", "cosine")),
                precision=str(values.get("precision", "float32")),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidArgument(f"not a threshold: {type(error).__name__}: {error}") from error
