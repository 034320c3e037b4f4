"""An embedder in memory, and pictures by name."""

from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PillowImage

from lineament.core.crop import Crops
from lineament.core.errors import ImageNotFound
from lineament.core.template import ModelId, Templates


class MemoryEmbedder:
    """Mean colours of a grid of 4×4 fields, as a template: a real function of the crop, without a network."""

    def __init__(self, crop_size: int = 16) -> None:
        self.model = ModelId("memory", "f" * 64)
        self.crop_size = crop_size
        self.calls = 0

    def embed(self, crops: Crops) -> Templates:
        self.calls += 1
        n, s = len(crops), self.crop_size
        fields = crops.pixels.reshape(n, 4, s // 4, 4, s // 4, 3).mean(axis=(2, 4), dtype=np.float64)
        return Templates.from_raw(fields.reshape(n, -1) - 127.3, self.model)


class MemoryPictures:
    """Encoded pictures by name; those whose bytes are None cannot be found."""

    def __init__(self, pictures: dict[str, bytes | None]) -> None:
        self._pictures = pictures
        self.reads: list[str] = []

    @property
    def names(self) -> Sequence[str]:
        return sorted(self._pictures)

    def read(self, name: str) -> bytes:
        self.reads.append(name)
        data = self._pictures.get(name)
        if data is None:
            raise ImageNotFound(f"there is no picture {name}")
        return data

    def stamp(self, name: str) -> str:
        return str(hash(self._pictures.get(name)))

    def replace(self, name: str, data: bytes | None) -> None:
        """Another picture of the same name."""
        self._pictures[name] = data

    def describe(self) -> str:
        return "pictures in memory"

    def close(self) -> None:
        self._pictures = {}


def encoded(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def embedder() -> MemoryEmbedder:
    return MemoryEmbedder()


@pytest.fixture
def png() -> Callable[[np.ndarray], bytes]:
    """Encode pixels."""
    return encoded


@pytest.fixture
def noise() -> np.ndarray:
    """Twelve random crops."""
    return np.random.default_rng(3).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def pictures(noise: np.ndarray) -> MemoryPictures:
    """Twelve crops called `p0/0` … of four people, one of them missing and one damaged."""
    named: dict[str, bytes | None] = {f"p{i // 3}/{i % 3}.png": encoded(crop) for i, crop in enumerate(noise)}
    named["p1/1.png"] = None
    named["p2/0.png"] = b"no picture"
    return MemoryPictures(named)
