"""Small pictures made by code, and ways to lay them out."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Zipper = Callable[..., Path]
Writer = Callable[[str, str | bytes], Path]


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """A picture file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="session")
def jpegs(astronaut: np.ndarray) -> list[bytes]:
    """Six different JPEG files of 48×48 pixels."""
    return [encoded(astronaut[30 * i : 30 * i + 48, 200:248], "JPEG") for i in range(6)]


@pytest.fixture(scope="session")
def png(astronaut: np.ndarray) -> bytes:
    """A PNG file."""
    return encoded(astronaut[:16, :16], "PNG")


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """Writes a file of text (in UTF-8) or bytes under a name."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def zipped(tmp_path: Path) -> Zipper:
    """Writes a zip of (name, content), names as they are."""

    def write(*members: tuple[str, bytes], name: str = "set.zip", kind: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", kind) as archive:
            for member, content in members:
                archive.writestr(zipfile.ZipInfo(member), content, kind)
        return path

    return write
