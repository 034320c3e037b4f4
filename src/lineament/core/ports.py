"""Promises: what a detector, an embedder and an attribute model do, whoever wrote them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from lineament.core.crop import Crops
from lineament.core.faces import Attributes, Faces
from lineament.core.template import ModelId, Template, Templates


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
