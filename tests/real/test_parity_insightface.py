"""Side by side with insightface 2.1 on real photographs and real networks.

The pack is SCRFD-500M (fixed to 640×640 by its file) and a 512-dimensional recogniser. Installed into our
store, the same detector takes any size; insightface loads that folder too, and then runs its automatic two
passes, so both ways of searching are compared live. insightface is a test-only peer: without it, skipped.

Measured when this was written: boxes and points equal to the last bit, embeddings cosine 1 − 1e−6 or better.
"""

import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

import lineament as ln
from lineament.app import FaceAnalysis, face_align
from lineament.app.model_zoo import SCRFD
from lineament.core.faces import Faces
from lineament.packs.card import Pack
from lineament.packs.insightface import import_files, read_insightface
from lineament.vision.align import arcface, motions_to
from lineament.vision.boxes import intersection_over_union

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        importlib.util.find_spec("insightface") is None,
        reason="needs insightface as a peer to compare with: pip install insightface==2.1",
    ),
]

BOX_PX = 1e-2
COSINE = 0.9999
CPU = ["CPUExecutionProvider"]
ONE_THREAD = ln.RuntimeOptions(threads=1)


@contextmanager
def peer_at_work() -> Iterator[None]:
    """insightface warns of deprecated calls of its own, and sets variables of the whole process."""
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pack")
    for file in ("scrfd_500m_kps.onnx", "fr_feature.onnx"):
        (place / file).symlink_to(shared / "models" / file)
    return place


@pytest.fixture(scope="module")
def free(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The same pack installed into a store: its detector takes any size, so two passes are possible."""
    store = ln.Store(tmp_path_factory.mktemp("store"))
    return import_files(read_insightface(folder), store, name="free")


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Path]:
    images = shared / "fixtures" / "images"
    found = [*sorted((images / "cc0").glob("*.jpg")), images / "astronaut.jpg", images / "solvay1927.jpg"]
    assert len(found) == 102
    return found


def peer_answers(folder: Path, photographs: list[Path]) -> list[list[Any]]:
    with peer_at_work():
        from insightface.app import FaceAnalysis as Peer

        peer = Peer(str(folder), providers=CPU)
        peer.prepare(ctx_id=-1)
        return [peer.get(cv2.imread(str(path))) for path in photographs]


@pytest.fixture(scope="module")
def fixed_answers(folder: Path, photographs: list[Path]) -> list[list[Any]]:
    return peer_answers(folder, photographs)


@pytest.fixture(scope="module")
def two_pass_answers(free: Pack, photographs: list[Path]) -> list[list[Any]]:
    return peer_answers(free.folder, photographs)


def door(pack: Path | Pack) -> FaceAnalysis:
    app = FaceAnalysis(str(pack) if isinstance(pack, Path) else pack, providers=CPU, threads=1)
    app.prepare(ctx_id=-1)
    return app


def read_bgr(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


WAYS = {
    "bgr": lambda app, path: app.get(read_bgr(path)),
    "rgb": lambda app, path: app.get(cv2.cvtColor(read_bgr(path), cv2.COLOR_BGR2RGB), color="rgb"),
    "path": lambda app, path: app.get(path),
    "bytes": lambda app, path: app.get(path.read_bytes()),
    "pil": lambda app, path: app.get(PillowImage.open(path)),
}


def same_faces(ours: list[Any], theirs: list[Any], name: str) -> None:
    assert len(ours) == len(theirs), name
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(a.bbox - b.bbox).max() <= BOX_PX, name
        assert np.abs(a.kps - b.kps).max() <= BOX_PX, name
        assert abs(float(a.det_score) - float(b.det_score)) <= 1e-4, name
        assert cosine(a.embedding, b.embedding) >= COSINE, name
        # Not only the direction: existing code looks at the length, too.
        assert float(a.embedding_norm) == pytest.approx(float(b.embedding_norm), rel=1e-3), name


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("way", WAYS)
def test_the_door_gives_the_same_faces(
    folder: Path, photographs: list[Path], fixed_answers: list[list[Any]], way: str
) -> None:
    app = door(folder)
    assert sum(map(len, fixed_answers)) > 120
    for path, theirs in zip(photographs, fixed_answers, strict=True):
        same_faces(WAYS[way](app, path), theirs, f"{path.name} as {way}")


def test_the_automatic_two_passes_give_the_same_faces(
    free: Pack, photographs: list[Path], two_pass_answers: list[list[Any]]
) -> None:
    app = door(free)
    assert app.det_size == [(128, 128), (640, 640)]
    for path, theirs in zip(photographs, two_pass_answers, strict=True):
        same_faces(app.get(read_bgr(path)), theirs, path.name)


def test_swapped_channels_are_noticed(
    folder: Path, photographs: list[Path], fixed_answers: list[list[Any]]
) -> None:
    """A guard for the test above: with the wrong colour order it could not pass."""
    app = door(folder)
    swapped = [app.get(read_bgr(path), color="rgb") for path in photographs[:10]]
    likeness = [
        cosine(a.embedding, b.embedding)
        for ours, theirs in zip(swapped, fixed_answers[:10], strict=True)
        for a, b in zip(ours[:1], theirs[:1], strict=True)
    ]
    assert min(likeness) < 0.99


def worst_cosine(recognizer: ln.Recognizer, photographs: list[Path], answers: list[list[Any]]) -> float:
    """Smallest cosine over all faces of all photographs; every face must be found by both."""
    worst = 1.0
    for path, theirs in zip(photographs, answers, strict=True):
        faces: Faces = recognizer.analyze(path)
        assert len(faces) == len(theirs), path.name
        for face in theirs:
            overlap = intersection_over_union(faces.boxes, face.bbox[None])[:, 0]
            found = faces[int(overlap.argmax())].template
            assert found is not None
            worst = min(worst, cosine(found.vector, face.embedding))
    return worst


def test_recognizer_on_an_insightface_folder(
    folder: Path, photographs: list[Path], fixed_answers: list[list[Any]]
) -> None:
    """The detector's file takes 640×640 only, so our own settings search exactly as insightface does."""
    recognizer = ln.Recognizer(str(folder), runtime=ONE_THREAD)
    assert worst_cosine(recognizer, photographs, fixed_answers) >= COSINE


def test_recognizer_with_matching_settings(
    free: Pack, photographs: list[Path], two_pass_answers: list[list[Any]]
) -> None:
    settings = ln.PartSettings(detection=ln.DetectionSettings(tight=False, finest=False), refine=False)
    recognizer = ln.Recognizer(free, runtime=ONE_THREAD, settings=settings)
    assert worst_cosine(recognizer, photographs, two_pass_answers) >= COSINE


def test_recognizer_with_tight_padding(
    free: Pack, photographs: list[Path], two_pass_answers: list[list[Any]]
) -> None:
    """Padding only to the stride saves half of the detector's work and moves points by fractions of a pixel.

    Measured: smallest cosine 0.99992 over 129 faces, so the templates stay interchangeable.
    """
    settings = ln.PartSettings(detection=ln.DetectionSettings(tight=True, finest=False), refine=False)
    recognizer = ln.Recognizer(free, runtime=ONE_THREAD, settings=settings)
    assert worst_cosine(recognizer, photographs, two_pass_answers) >= 0.9998


def test_recognizer_as_it_comes(free: Pack, photographs: list[Path], fixed_answers: list[list[Any]]) -> None:
    """Two passes, but points of the finest: as with insightface's one pass at 640, not as with its two.

    insightface takes the points of whichever pass is surer, and its two passes agree with its one pass at 640
    to a cosine of 0.37 at worst and 0.988 in the median.
    """
    recognizer = ln.Recognizer(free, runtime=ONE_THREAD)
    assert worst_cosine(recognizer, photographs, fixed_answers) >= 0.9995


def test_row_22_motions_equal_scikit_image() -> None:
    """1,000 random sets of five points, a third of them mirrored, against scikit-image."""
    trans = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(22)
    points = rng.uniform(0, 2000, (1000, 5, 2))
    points[::3] = arcface(112) * [-1, 1] * rng.uniform(0.2, 9, (334, 1, 1)) + rng.normal(0, 2, (334, 5, 2))
    for size in (112, 128):
        motions = motions_to(points, arcface(size))
        for five, motion in zip(points, motions, strict=True):
            form = trans.SimilarityTransform.from_estimate(five, arcface(size).astype(np.float64))
            scale = max(1.0, np.abs(motion).max())
            assert np.abs(form.params[:2] - motion).max() <= 1e-10 * scale
            assert np.linalg.det(motion[:, :2]) > 0


def test_face_align_gives_the_same_numbers(shared: Path) -> None:
    picture = read_bgr(shared / "fixtures" / "images" / "astronaut.jpg")
    rng = np.random.default_rng(5)
    kps = (arcface(112) * 2 + 100 + rng.normal(0, 5, (5, 2))).astype(np.float32)
    solid = rng.normal(0, 50, (68, 3)).astype(np.float32)
    with peer_at_work():
        from insightface.utils import face_align as peer

        for size in (112, 128, 224):
            theirs, motion = peer.norm_crop2(picture, kps, size)
            ours, matrix = face_align.norm_crop2(picture, kps, size)
            assert np.abs(motion - matrix).max() < 1e-4
            assert np.abs(theirs.astype(int) - ours.astype(int)).max() <= 1
            assert np.array_equal(ours, face_align.norm_crop(picture, kps, size))
        for turn in (0, 33.3, -90):
            theirs, motion = peer.transform(picture, (200, 130), 192, 0.7, turn)
            ours, matrix = face_align.transform(picture, (200, 130), 192, 0.7, turn)
            assert np.abs(motion - matrix).max() < 1e-9
            assert np.array_equal(theirs, ours)
        assert np.allclose(peer.trans_points(kps, matrix), face_align.trans_points(kps, matrix), atol=1e-3)
        assert np.allclose(
            peer.trans_points(solid, matrix), face_align.trans_points(solid, matrix), atol=1e-3
        )
        for part in (picture[:300], picture[:, :301]):
            theirs, scale = peer.square_crop(part, 160)
            ours, factor = face_align.square_crop(part, 160)
            assert np.array_equal(theirs, ours)
            assert scale == pytest.approx(factor)
        assert np.array_equal(peer.arcface_dst, face_align.arcface_dst)


def test_drawings_are_the_same(folder: Path, shared: Path) -> None:
    picture = read_bgr(shared / "fixtures" / "images" / "solvay1927.jpg")
    app = door(folder)
    faces = app.get(picture)
    faces[0].gender, faces[0].age = np.int64(1), 44
    with peer_at_work():
        from insightface.app import FaceAnalysis as Peer

        theirs = Peer.draw_on(Peer.__new__(Peer), picture, faces)
    assert np.array_equal(app.draw_on(picture, faces), theirs)
    assert not np.array_equal(theirs, picture)


@pytest.mark.parametrize("metric", ["default", "max"])
def test_detector_alone(folder: Path, shared: Path, metric: str) -> None:
    """`det_model.detect` with every argument that insightface takes."""
    picture = read_bgr(shared / "fixtures" / "images" / "solvay1927.jpg")
    with peer_at_work():
        from insightface.model_zoo import get_model

        peer: Any = get_model(str(folder / "scrfd_500m_kps.onnx"), providers=CPU)
        peer.prepare(ctx_id=-1, input_size=(640, 640), det_thresh=0.3, nms_thresh=0.5)
        theirs, their_points = peer.detect(picture, max_num=5, metric=metric)
    ours = SCRFD(folder / "scrfd_500m_kps.onnx", providers=CPU, threads=1)
    ours.prepare(-1, input_size=(640, 640), det_thresh=0.3, nms_thresh=0.5)
    boxes, points = ours.detect(picture, max_num=5, metric=metric)
    assert np.abs(boxes - theirs).max() <= BOX_PX
    assert points is not None
    assert np.abs(points - their_points).max() <= BOX_PX


def test_recogniser_alone(folder: Path, shared: Path) -> None:
    from lineament.app.model_zoo import get_model as ours_get

    crops = [
        cv2.resize(read_bgr(p), (112, 112))
        for p in sorted((shared / "fixtures" / "images" / "cc0").glob("*.jpg"))[:4]
    ]
    with peer_at_work():
        from insightface.model_zoo import get_model

        peer: Any = get_model(str(folder / "fr_feature.onnx"), providers=CPU)
        theirs = np.concatenate([peer.get_feat(crop) for crop in crops])  # this file takes one at a time
        batch = np.stack([crop[:, :, ::-1].transpose(2, 0, 1) for crop in crops]).astype(np.float32)
        forwarded = peer.forward(batch[:1])
        similar = peer.compute_sim(theirs[0], theirs[1])
    model = ours_get(folder / "fr_feature.onnx", providers=CPU, threads=1)
    got = model.get_feat(crops)
    assert got.shape == theirs.shape
    assert got.dtype == np.float32
    assert min(cosine(a, b) for a, b in zip(got, theirs, strict=True)) >= 0.99999
    assert np.abs(model.forward(batch[:1]) - forwarded).max() < 1e-3
    assert model.compute_sim(got[0], got[1]) == pytest.approx(float(similar), abs=1e-5)
    for name in ("taskname", "input_size", "input_mean", "input_std"):
        assert getattr(model, name) == getattr(peer, name), name
