"""What a model file is: written down once, never guessed again.

A pack is a folder with model files and a `card.json`. The card says everything that is needed to run each
file correctly (layout, colour order, normalisation, alignment) and to use it lawfully (licences, source),
with a digest of every file and the thresholds that were measured for it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

from lineament.core.errors import InvalidArgument, PackBroken
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold

CARD_NAME = "card.json"
SCHEMA = 1

Task = Literal["detection", "recognition", "landmarks_106", "landmarks_68", "gender_age"]
TASKS: tuple[Task, ...] = ("detection", "recognition", "landmarks_106", "landmarks_68", "gender_age")
Views = Literal["one", "mirrored_sum", "mirrored_unit_sum"]
VIEWS: tuple[Views, ...] = ("one", "mirrored_sum", "mirrored_unit_sum")
Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One network of a pack.

    Attributes:
        task: what it does.
        family: how its outputs read: `yunet`, `scrfd`, `embedding`, `landmarks`, `gender_age`.
        file: path inside the pack folder.
        sha256: hex digest of that file.
        origin_sha256: digest of the published file, where `file` was repaired for ONNX Runtime; identity
            follows the publication, not our repair. Empty when the file is as published.
        size: (width, height) of the input in pixels; (0, 0) when any size is taken.
        stride: sides must be multiples of this; 1 for fixed sizes.
        batch: number of pictures per call; 0 when any.
        colour: channel order the network was trained with.
        mean, std: the network sees (pixel − mean) / std; 0 and 1 when normalisation is inside the graph.
        alignment: name of the alignment template, for example `arcface-112`; empty for other tasks.
        dimension: length of an embedding, or 0.
        smallest_norm: raw norm of one view below which a crop is hardly a face to this network; 0 when
            nobody has measured it.
        outputs: number of graph outputs.
        session: extra configuration for the runtime, for example `session.disable_quant_qdq`.
    """

    task: Task
    family: str
    file: str
    sha256: str
    origin_sha256: str = ""
    size: tuple[int, int] = (0, 0)
    stride: int = 1
    batch: int = 1
    colour: Literal["rgb", "bgr"] = "rgb"
    mean: float = 0.0
    std: float = 1.0
    alignment: str = ""
    dimension: int = 0
    smallest_norm: float = 0.0
    outputs: int = 1
    session: Mapping[str, str] = field(default_factory=dict[str, str])

    def identity(self, name: str, views: Views = "one", precision: Precision = "fp32") -> ModelId:
        """The `ModelId` of templates made with this network.

        Args:
            name: for people.
            views: `mirrored_sum` adds the mirrored crop's raw output, as published evaluations do;
                `mirrored_unit_sum` adds unit vectors.
            precision: arithmetic of the runtime; lower precision makes other templates.
        """
        what: dict[str, Any] = {
            "weights": self.origin_sha256 or self.sha256,
            "colour": self.colour,
            "mean": float(self.mean),
            "std": float(self.std),
            "size": list(self.size),
            "alignment": self.alignment,
            "views": views,
            "precision": precision,
        }
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        suffix = {"one": "", "mirrored_sum": "+mirror", "mirrored_unit_sum": "+mirror-unit"}[views] + (
            "" if precision == "fp32" else f"+{precision}"
        )
        return ModelId(name + suffix, digest)


@dataclass(frozen=True, slots=True)
class Licence:
    """Terms, code and weights apart.

    Attributes:
        code: SPDX name or sentence for the code that came with the weights.
        weights: SPDX name or sentence for the weights themselves.
        commercial: whether commercial use of the weights is allowed; None when nobody has said.
        url: where the terms stand.
        data: what is known of the training data and its terms.
    """

    code: str
    weights: str
    commercial: bool | None
    url: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class PackCard:
    """A pack: its networks, its terms, and what was measured with it.

    Attributes:
        name: name in the store, for example `opencv-zoo` or `buffalo_l`.
        summary: one sentence.
        models: the networks; at most one per task.
        licence: terms.
        source: where the files came from.
        notes: what it is, what it is not, what it cannot do.
        thresholds: measured boundaries, each bound to a `ModelId`.
    """

    name: str
    summary: str
    models: tuple[ModelCard, ...]
    licence: Licence
    source: str
    notes: tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = ()

    def model(self, task: Task) -> ModelCard | None:
        """The network for `task`, or None."""
        return next((m for m in self.models if m.task == task), None)

    def with_thresholds(self, thresholds: tuple[Threshold, ...]) -> "PackCard":
        """The same pack with other measured thresholds."""
        return replace(self, thresholds=thresholds)

    def to_json(self) -> str:
        """The card as it stands on disk."""
        body = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(body, indent=2, ensure_ascii=False, sort_keys=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "PackCard":
        """Read a card.

        Args:
            text: JSON.
            where: named in errors.

        Raises:
            PackBroken: not a card, of another schema, or with a missing or unknown field.
        """
        try:
            body = json.loads(text)
            if not isinstance(body, dict):
                raise ValueError("it is not an object")
            values = cast(dict[str, Any], body)
            if values.pop("schema", None) != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            models = tuple(_model(m) for m in values.pop("models"))
            licence = Licence(**values.pop("licence"))
            thresholds = tuple(Threshold.from_dict(t) for t in values.pop("thresholds", ()))
            notes = tuple(str(n) for n in values.pop("notes", ()))
            return cls(models=models, licence=licence, thresholds=thresholds, notes=notes, **values)
        except (KeyError, TypeError, ValueError, InvalidArgument) as error:
            raise PackBroken(
                f"{where} is not a readable pack card: {error}; install the pack again"
            ) from error


def _model(values: dict[str, Any]) -> ModelCard:
    names = {f.name for f in fields(ModelCard)}
    if unknown := sorted(set(values) - names):
        raise ValueError(f"a model has no field {unknown[0]!r}")
    if values["task"] not in TASKS:
        raise ValueError(f"no task is called {values['task']!r}")
    width, height = values.get("size", (0, 0))
    rest = {key: value for key, value in values.items() if key != "size"}
    return ModelCard(size=(int(width), int(height)), **rest)


@dataclass(frozen=True, slots=True)
class Pack:
    """A card and the folder its files lie in."""

    card: PackCard
    folder: Path

    def path(self, model: ModelCard) -> Path:
        """Absolute path of a network's file."""
        return self.folder / model.file


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
