"""Promises: what a detector, an embedder and an attribute model do, whoever wrote them."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from lineament.core.crop import Crops
from lineament.core.faces import Attributes, Faces
from lineament.core.template import ModelId, Templates


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
