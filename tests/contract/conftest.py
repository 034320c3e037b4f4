"""Everything that promises to be a Detector or an Embedder, the in-memory twins included."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument
from lineament.core.ports import Detector, Embedder
from lineament.core.template import ModelId, Templates
from lineament.detect.family import Candidates
from lineament.detect.refine import Refined
from lineament.detect.scrfd import Scrfd
from lineament.detect.search import DetectionSettings, FaceSearch
from lineament.detect.yunet import YuNet
from lineament.embed.onnx import OnnxEmbedder
from lineament.packs.card import ModelCard, Pack, Task
from lineament.packs.insightface import import_files, read_insightface
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store
from lineament.pipeline.parts import network_for
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Session, open_session

MAGENTA = (250, 10, 250)
FACE = (170.0, 60.0, 280.0, 215.0)
"""Roughly where the astronaut's face is, x1 y1 x2 y2."""
PATCH = (20.0, 400.0, 84.0, 464.0)
"""A magenta square in a dark corner: the face that the twin detector looks for."""


class MagentaSquare:
    """A detector family of a few lines: the face is where the picture is magenta."""

    name, stride, fixed_size, has_points = "magenta-square", 8, None, True

    def candidates(self, canvas: np.ndarray, threshold: float) -> Candidates:
        marked = (canvas[..., 0] > 180) & (canvas[..., 1] < 90) & (canvas[..., 2] > 180)
        none = Candidates(
            np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
        )
        if not marked.any():
            return none
        rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
        corner = np.array([columns[0], rows[0]], np.float32)
        side = np.array([columns[-1] + 1, rows[-1] + 1], np.float32) - corner
        layout = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
        box = np.concatenate([corner, corner + side])[None]
        score = np.float32(marked.sum() / side.prod())
        keep = [0] if score >= threshold else []
        points = (corner + layout * side)[None]
        return Candidates(box[keep], points[keep], np.array([score], np.float32)[keep])


class Grid:
    """An embedder of a few lines: 8×8 mean colours of the crop, centred."""

    model = ModelId("grid", "0" * 64)
    crop_size = 112

    def embed(self, crops: Crops) -> Templates:
        if crops.pixels.shape[1] != self.crop_size:
            raise InvalidArgument(f"crops must have {self.crop_size} pixels")
        cells = crops.pixels.reshape(-1, 8, 14, 8, 14, 3).astype(np.float64).mean(axis=(2, 4))
        flat = cells.reshape(len(crops), 192)
        return Templates.from_raw(np.concatenate([flat, np.ones((len(flat), 1))], axis=1), self.model)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def default_pack(store: Store) -> Pack:
    return open_pack(None, store)


@pytest.fixture(scope="session")
def real_pack(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack as insightface lays it out, of real networks, used in place."""
    folder = tmp_path_factory.mktemp("real")
    for file in ("scrfd_500m_kps.onnx", "fr_feature.onnx"):
        (folder / file).symlink_to(shared / "models" / file)
    return read_insightface(folder, name="real")


@pytest.fixture(scope="session")
def free_pack(real_pack: Pack, store: Store) -> Pack:
    """The same pack installed: inputs of any size, any number of crops at a time."""
    return import_files(real_pack, store, name="real-free")


def parts_of(pack: Pack, task: Task) -> tuple[ModelCard, Session]:
    card = pack.card.model(task)
    assert card is not None
    return card, open_session(network_for(pack, card), RuntimeOptions(threads=1))


DETECTORS = ("yunet", "yunet-refined", "scrfd-fixed", "scrfd-free", "magenta-square")
EMBEDDERS = ("sface", "sface-mirrored", "fr-one-at-a-time", "fr-free", "grid")


@pytest.fixture(scope="session", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    which = request.param
    if which == "magenta-square":
        yield FaceSearch(MagentaSquare())
    elif which.startswith("yunet"):
        search = FaceSearch(
            YuNet(*parts_of(request.getfixturevalue("default_pack"), "detection")),
            DetectionSettings(threshold=0.6, overlap=0.3),
        )
        yield Refined(search) if which == "yunet-refined" else search
    else:
        pack = request.getfixturevalue("free_pack" if which == "scrfd-free" else "real_pack")
        yield FaceSearch(Scrfd(*parts_of(pack, "detection")))


@pytest.fixture(scope="session", params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    which = request.param
    if which == "grid":
        yield Grid()
    elif which.startswith("sface"):
        views = "mirrored_sum" if which == "sface-mirrored" else "one"
        card, session = parts_of(request.getfixturevalue("default_pack"), "recognition")
        yield OnnxEmbedder(card, session, which, views)
    else:
        pack = request.getfixturevalue("free_pack" if which == "fr-free" else "real_pack")
        yield OnnxEmbedder(*parts_of(pack, "recognition"), which)


@pytest.fixture(scope="session")
def picture(astronaut: np.ndarray) -> np.ndarray:
    """The astronaut with a magenta square in a corner, so that every detector has something to find."""
    marked = astronaut.copy()
    x1, y1, x2, y2 = (int(v) for v in PATCH)
    cv2.rectangle(marked, (x1 - 12, y1 - 12), (x2 + 12, y2 + 12), (40, 40, 40), -1)
    marked[y1:y2, x1:x2] = MAGENTA
    return marked


@pytest.fixture
def expected(detector: Detector) -> np.ndarray:
    """The box that this detector should find in `picture`."""
    return np.array(PATCH if detector.name == "magenta-square" else FACE, np.float32)
