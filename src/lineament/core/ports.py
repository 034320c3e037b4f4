"""Promises: what a detector, an embedder and an attribute model do, whoever wrote them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from lineament.core.crop import Crops
from lineament.core.errors import LineamentError
from lineament.core.faces import Attributes, Face, Faces
from lineament.core.template import ModelId, Template, Templates
from lineament.core.threshold import Threshold
from lineament.core.verdict import Reason


@runtime_checkable
class Detector(Protocol):
    """Finds faces and their five points."""

    @property
    def name(self) -> str:
        """For people and for records, for example `yunet_2023mar`."""
        ...

    def detect(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Faces:
        """Faces of an upright RGB picture of any size, best first, in its own pixels."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns aligned crops into templates."""

    @property
    def model(self) -> ModelId:
        """Identity of everything that shapes a template."""
        ...

    @property
    def crop_size(self) -> int:
        """Side of the crops it takes, pixels."""
        ...

    def embed(self, crops: Crops) -> Templates:
        """One template per crop, in order."""
        ...


@runtime_checkable
class AttributeModel(Protocol):
    """Says something more about faces already found."""

    @property
    def task(self) -> str:
        """`landmarks_106`, `landmarks_68` or `gender_age`."""
        ...

    def describe(self, pixels: UInt8[np.ndarray, "h w 3"], faces: Faces) -> Attributes:
        """Columns for the faces of one RGB picture; only those of this task are filled."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Acquired:
    """What became of one picture.

    Attributes:
        template: of the subject, or None: a failure to acquire.
        reason: why there is none, a stable name such as `no_face`; empty otherwise.
        message: the same for people.
        score: of the detector, 0..1; NaN for crops.
        quality: one number, larger is better: the raw norm of the template (MagFace, Meng et al. 2021, §3);
            NaN without a template.
    """

    template: Template | None
    reason: str = ""
    message: str = ""
    score: float = math.nan
    quality: float = math.nan


@runtime_checkable
class Acquirer(Protocol):
    """Turns encoded pictures into templates of the subject they show, whoever finds the face."""

    @property
    def model(self) -> ModelId:
        """Identity of everything that shapes a template."""
        ...

    @property
    def detector(self) -> str:
        """Which detector finds the face; `aligned crops` when the pictures are crops already."""
        ...

    def acquire_many(self, sources: Iterable[bytes]) -> Iterator[Acquired]:
        """One result per picture, in order; a picture that gives no template has a reason instead."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """What one picture offers to a gallery.

    Attributes:
        source: where it came from, for people.
        digest: hex SHA-256 of the picture's content, for telling that it was seen before.
        face: the face that the policy chose and the quality gate let through, or None.
        crop: the aligned crop of `face`, uint8 (side, side, 3) RGB, or None.
        faces: all faces of the picture, best first.
        reasons: why a face was not used, and what else is worth knowing; the decisive one first.
        error: why the picture could not be used at all, or None.
    """

    source: str
    digest: str = ""
    face: Face | None = None
    crop: UInt8[np.ndarray, "side side 3"] | None = None
    faces: Faces = field(default_factory=Faces.none)
    reasons: tuple[Reason, ...] = ()
    error: LineamentError | None = None


@runtime_checkable
class Capturer(Protocol):
    """Turns pictures into what a gallery enrols and searches with, whoever finds the face."""

    @property
    def model(self) -> ModelId:
        """Identity of everything that shapes a template."""
        ...

    @property
    def alignment(self) -> str:
        """Name of the alignment of crops, for example `arcface-112`."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a template."""
        ...

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """What was measured, for this model among others."""
        ...

    def capture_many(
        self, sources: Iterable[Any], *, policy: str = "exactly_one", gate: bool = True
    ) -> Iterator[Captured]:
        """One result per picture, in order.

        Args:
            sources: paths, bytes, file objects, PIL images, arrays.
            policy: which face of a picture is meant; see `lineament.pipeline.policy`.
            gate: whether a face that fails the quality gate is refused, or only has that among its reasons.
        """
        ...

    def embed_aligned(self, crops: UInt8[np.ndarray, "n side side 3"]) -> Templates:
        """Templates of crops that are aligned already."""
        ...
