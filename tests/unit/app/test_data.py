"""Sample pictures by name."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from lineament.app import get_image
from lineament.app.data import get_image as ins_get_image
from lineament.core.errors import ImageNotFound, InvalidArgument


def test_the_astronaut(astronaut: np.ndarray) -> None:
    assert ins_get_image is get_image
    assert np.array_equal(get_image("astronaut", to_rgb=True), astronaut)
    assert np.array_equal(get_image("astronaut"), astronaut[:, :, ::-1])
    get_image("astronaut")[:] = 0
    assert get_image("astronaut").any(), "every call gives an array of its own"


@pytest.mark.skipif(importlib.util.find_spec("insightface") is None, reason="needs insightface's pictures")
@pytest.mark.parametrize("name", ["t1", "Tom_Hanks_54745"])
def test_pictures_of_an_insightface_wheel(name: str) -> None:
    loaded = "insightface" in sys.modules
    picture = get_image(name)
    assert picture.ndim == 3
    assert picture.flags.writeable
    assert ("insightface" in sys.modules) is loaded, "it is looked at, not imported"


def test_what_is_not_there_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageNotFound, match=r"insightface \(not installed\).*pip install"):
        get_image("t1")
    with pytest.raises(ImageNotFound, match="scikit-image"):
        get_image("astronaut")


@pytest.mark.parametrize("name", ["", "../secret", "a/b", "/etc/passwd"])
def test_a_path_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="name"):
        get_image(name)
