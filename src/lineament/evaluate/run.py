"""The record of one evaluation: what was measured, on what, with what, and everything needed to redo it.

A run is a JSON file for people and machines. Similarities, which a paired comparison of two models needs,
stand beside it in an `.npz` file of plain arrays whose digest the JSON holds.
"""

import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.core.files import write_bytes

SCHEMA = 1
Kind = Literal["pairs", "folder", "openset", "ijb", "scores", "pad", "groups", "distractors"]
KINDS: tuple[Kind, ...] = ("pairs", "folder", "openset", "ijb", "scores", "pad", "groups", "distractors")


@dataclass(frozen=True, slots=True)
class System:
    """What was measured.

    Attributes:
        model, digest: name and digest of the `ModelId`; empty for scores of unknown origin.
        detector: which detector found the faces; `aligned crops` when there was none to find.
        views: `none`, `sum_raw` or `sum_unit`.
        policy: which face of a picture was meant, or empty.
        precision: in which templates were stored when compared.
        score: what a similarity is, `cosine` unless scores were handed in.
        template_bytes: size of one template as compared, or 0.
        runtime: engine, its version, threads, processor.
    """

    model: str = ""
    digest: str = ""
    detector: str = ""
    views: str = "none"
    policy: str = ""
    precision: str = "float32"
    score: str = "cosine"
    template_bytes: int = 0
    runtime: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Data:
    """What it was measured on.

    Attributes:
        name: for people, for example `LFW View 2`.
        digest: hex SHA-256 over names, labels and protocol, so that two runs can be matched.
        samples, subjects: pictures and different people used; None when unknown.
        mated, nonmated: comparisons (searches, for open-set runs), failed ones included.
        failures: samples without a template, by reason.
        failure_policy: what a comparison with such a sample counts as: `reject` or `exclude`.
        mated_failed, nonmated_failed: comparisons lost to them.
        failed_names: up to a thousand of the samples.
        exclusions: samples or pairs left out on purpose, with the reason.
        folds_identity_disjoint: whether no person is in two folds; None when unknown or without folds.
    """

    name: str
    digest: str = ""
    samples: int | None = None
    subjects: int | None = None
    mated: int = 0
    nonmated: int = 0
    failures: dict[str, int] = field(default_factory=dict[str, int])
    failure_policy: str = "reject"
    mated_failed: int = 0
    nonmated_failed: int = 0
    failed_names: list[str] = field(default_factory=list[str])
    exclusions: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    folds_identity_disjoint: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One evaluation.

    Attributes:
        kind: which protocol.
        system, data: what was measured, on what.
        results: numbers by section (`accuracy`, `verification`, `identification`, `groups`, `attack`, …).
        curves: columns of numbers to draw, by name; none of them below one error in the data.
        provenance: command, date (ISO), seconds, versions, seed.
        notes: sentences that a reader must see beside the numbers.
        arrays: columns kept beside the JSON: similarities, labels, subjects.
    """

    kind: Kind
    system: System
    data: Data
    results: dict[str, Any]
    curves: dict[str, Any] = field(default_factory=dict[str, Any])
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])
    arrays: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinity become null."""
        body = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "arrays"}
        body |= {"system": asdict(self.system), "data": asdict(self.data)}
        return cast(dict[str, Any], _plain({"schema": SCHEMA, **body}))

    def save(self, path: Path) -> None:
        """Write `path` and, when there are arrays, `<path without suffix>.npz`.

        Raises:
            OutputFailed: the place cannot be written.
        """
        body = self.to_dict()
        if self.arrays:
            beside = path.with_suffix(".npz")
            stream = io.BytesIO()
            np.savez_compressed(stream, **self.arrays)  # type: ignore[arg-type]  (stubs see allow_pickle)
            packed = stream.getvalue()
            write_bytes(beside, packed)
            body["arrays"] = {"file": beside.name, "sha256": hashlib.sha256(packed).hexdigest()}
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_bytes(path, text.encode())

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Read what `save` wrote; without the arrays when their file is gone.

        Raises:
            DatasetInvalid: not a run, of another schema, or its arrays are not the ones it was saved with.
        """
        try:
            body = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
            if body.pop("schema") != SCHEMA or body["kind"] not in KINDS:
                raise ValueError(f"its schema is not {SCHEMA}")
            beside = body.pop("arrays", None)
            values: dict[str, Any] = {
                **body,
                "system": System(**_checked(body["system"], System())),
                "data": Data(**_checked(body["data"], Data(""))),
            }
            run = cls(**values)
        except OSError as error:
            raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetInvalid(f"{path} is not the record of an evaluation: {error}") from error
        if beside is not None:
            run.arrays.update(_arrays(path.with_name(Path(beside["file"]).name), str(beside["sha256"])))
        return run


def _checked(values: dict[str, Any], like: System | Data) -> dict[str, Any]:
    """The values, when each is of the kind that its field has; those that may be unknown may be None."""
    for name, value in values.items():
        usual = getattr(like, name, value)
        if usual is None:
            right = value is None or isinstance(value, int)
        else:
            right = isinstance(value, type(usual)) and isinstance(value, bool) == isinstance(usual, bool)
        if not right:
            raise ValueError(f"its {name} is {value!r}")
    return values


def _arrays(path: Path, digest: str) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    packed = path.read_bytes()
    if hashlib.sha256(packed).hexdigest() != digest:
        raise DatasetInvalid(f"{path} is not the file that was saved with this run: evaluate again")
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return dict(archive)


def _plain(value: Any) -> Any:
    """Values that JSON can hold."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in cast(dict[Any, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in cast(list[Any], value)]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
