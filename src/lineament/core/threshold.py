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
        fmr: the false match rate it was chosen for; None when a person typed it in.
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
        gallery_size: number of references a *search* threshold is for; None for a 1:1 threshold.
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

    def __post_init__(self) -> None:
        low, high = self.interval
        if not -1.0 <= low <= self.value <= high <= 1.0:
            raise InvalidArgument(
                f"threshold {self.value} with interval {self.interval}: need -1 <= low <= value <= high <= 1"
            )
        if self.fmr is not None:
            self._check_evidence(self.fmr)

    def _check_evidence(self, fmr: float) -> None:
        """A measured threshold must say on how much it was measured, and say nothing impossible."""
        if not 0.0 < fmr < 1.0:
            raise InvalidArgument(f"a false match rate lies between 0 and 1, not {fmr}")
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
        return self.fmr is not None

    def require(self, model: ModelId) -> None:
        """Refuse to be used for another model, or for 1:1 when made for search.

        Raises:
            ThresholdMismatch: it belongs to another model or another task.
        """
        if self.model.digest != model.digest:
            raise ThresholdMismatch(
                f"this threshold was measured for {self.model}, the templates are of {model}: "
                "measure one for this model, or give a cosine yourself"
            )
        if self.gallery_size is not None:
            raise ThresholdMismatch(
                f"this threshold is for searching {self.gallery_size} references, not for comparing two "
                "pictures: use a verification threshold"
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
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidArgument(f"not a threshold: {type(error).__name__}: {error}") from error
