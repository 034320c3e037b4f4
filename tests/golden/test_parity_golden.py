"""Our arithmetic against insightface 2.1's, on synthetic networks whose outputs it wrote down.

`shared/fixtures/parity` holds packs of self-made ONNX graphs, one picture, and what PyPI insightface 2.1
answered for it (numpy 2.4.6, OpenCV 5.0.0, scikit-image 0.26.0, ONNX Runtime 1.32.0).
"""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.app import FaceAnalysis, face_align
from lineament.app.model_zoo import SCRFD
from lineament.vision.align import alignable, arcface, motions_to
from lineament.vision.boxes import non_maximum_suppression

SIZES = {"640": (640, 640), "320x256": (320, 256), "auto": None}
RUNS = [("pack", tag) for tag in SIZES] + [("pack5", "640")]
BOX_PX = 1e-2
CLOSE = 1e-4


@pytest.fixture(scope="module")
def parity(shared: Path) -> Path:
    return shared / "fixtures" / "parity"


@pytest.fixture(scope="module")
def golden(parity: Path) -> dict[str, np.ndarray]:
    with np.load(parity / "golden.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def scene(parity: Path) -> np.ndarray:
    picture = cv2.imread(str(parity / "scene.png"))
    assert picture is not None
    return picture


@pytest.fixture(scope="module")
def app(parity: Path) -> FaceAnalysis:
    return FaceAnalysis(str(parity / "pack"), providers=["CPUExecutionProvider"], threads=1)


def detector(parity: Path, pack: str, tag: str) -> SCRFD:
    model = SCRFD(parity / pack / "det.onnx", providers=["CPUExecutionProvider"], threads=1)
    model.prepare(0, input_size=SIZES[tag] or [(128, 128), (640, 640)])
    assert not model.settings.tight, "insightface pads to the whole size; real networks see the difference"
    return model


@pytest.mark.parametrize(("pack", "tag"), RUNS)
def test_boxes_scores_and_points(parity: Path, golden, scene, pack: str, tag: str) -> None:
    boxes, points = detector(parity, pack, tag).detect(scene)
    want = golden[f"{pack}_{tag}_0_default_box"]
    assert boxes.shape == want.shape
    assert boxes.dtype == want.dtype == np.float32
    assert np.abs(boxes[:, :4] - want[:, :4]).max() <= BOX_PX
    assert np.abs(boxes[:, 4] - want[:, 4]).max() <= CLOSE
    assert points is not None
    assert np.abs(points - golden[f"{pack}_{tag}_0_default_kps"]).max() <= CLOSE


@pytest.mark.parametrize(("pack", "tag"), RUNS)
def test_the_two_most_central(parity: Path, golden, scene, pack: str, tag: str) -> None:
    boxes, points = detector(parity, pack, tag).detect(scene, max_num=2)
    want = golden[f"{pack}_{tag}_2_default_box"]
    assert np.abs(boxes - want).max() <= BOX_PX
    assert points is not None
    assert np.abs(points - golden[f"{pack}_{tag}_2_default_kps"]).max() <= CLOSE


@pytest.mark.parametrize(("pack", "tag"), RUNS)
def test_the_two_largest(parity: Path, golden, scene, pack: str, tag: str) -> None:
    """Many boxes have one and the same area here, and insightface orders equal areas by an unstable sort.

    So the areas must be the ones it chose, and each of our choices must be a detection of its own.
    """
    boxes, _ = detector(parity, pack, tag).detect(scene, max_num=2, metric="max")
    want, everything = golden[f"{pack}_{tag}_2_max_box"], golden[f"{pack}_{tag}_0_default_box"]
    assert areas(boxes) == pytest.approx(areas(want), rel=1e-5)
    for box in boxes:
        assert np.abs(everything - box).max(axis=1).min() <= BOX_PX


def areas(boxes: np.ndarray) -> np.ndarray:
    return np.sort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


@pytest.mark.parametrize("tag", SIZES)
def test_landmarks_pose_gender_and_age(app: FaceAnalysis, golden, scene, tag: str) -> None:
    app.prepare(det_size=SIZES[tag])
    faces = app.get(scene)
    assert len(faces) == len(golden[f"pack_{tag}_ga"])
    for item in ("landmark_2d_106", "landmark_3d_68", "pose"):
        got = np.stack([face[item] for face in faces])
        want = golden[f"pack_{tag}_{item}"]
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= CLOSE
    assert [face.gender for face in faces] == golden[f"pack_{tag}_ga"][:, 0].tolist()
    assert [face.age for face in faces] == golden[f"pack_{tag}_ga"][:, 1].tolist()


@pytest.mark.parametrize("tag", SIZES)
def test_embeddings(app: FaceAnalysis, golden, scene, caplog: pytest.LogCaptureFixture, tag: str) -> None:
    """The synthetic detector puts the five points of a face in one place.

    No alignment follows from such points: insightface then embeds a black crop. On a black crop our network
    gives the same numbers; our pipeline gives those faces no embedding, and says so.
    """
    app.prepare(det_size=SIZES[tag])
    want = golden[f"pack_{tag}_embedding"]
    black = np.zeros((112, 112, 3), np.uint8)
    got = app.models["recognition"].get_feat([black] * len(want))  # pyright: ignore[reportAttributeAccessIssue]
    assert np.abs(got - want).max() <= CLOSE
    assert not alignable(golden[f"pack_{tag}_0_default_kps"]).any()
    with caplog.at_level(logging.WARNING, "lineament"):
        faces = app.get(scene)
    assert all(face.embedding is None and face.normed_embedding is None for face in faces)
    assert f"{len(faces)} of {len(faces)} faces" in caplog.text


@pytest.mark.parametrize("size", [112, 128, 224, 256])
def test_alignment_matrices(golden, size: int) -> None:
    """scikit-image calculated the golden matrices in single precision from single-precision points.

    Their linear part is good to 1e-4. A translation of 2,381 pixels, as some of these faces have, is not: one
    unit in the last place is 2^-12 there, so translations are allowed their own rounding besides.
    """
    want = golden[f"align_M{size}"]
    got = motions_to(golden["align_kps"], arcface(size))
    shift = np.abs(want[:, :, 2])
    assert np.abs(got - want)[:, :, :2].max() <= CLOSE
    assert (np.abs(got - want)[:, :, 2] <= CLOSE + 2.0**-23 * shift).all()
    one = face_align.estimate_norm(golden["align_kps"][0], size)
    assert np.array_equal(one, got[0])


@pytest.mark.parametrize("size", [112, 128, 224, 256])
def test_alignment_matrices_in_double_precision(golden, size: int) -> None:
    """The same matrices, estimated by scikit-image in double precision, to the ninth digit."""
    trans = pytest.importorskip("skimage.transform")
    got = motions_to(golden["align_kps"], arcface(size))
    for points, motion in zip(golden["align_kps"].astype(np.float64), got, strict=True):
        form = trans.SimilarityTransform.from_estimate(points, arcface(size).astype(np.float64))
        assert np.abs(form.params[:2] - motion).max() <= 1e-9 * max(1.0, np.abs(motion).max())


@pytest.mark.parametrize("size", [112, 128])
def test_crops(golden, scene, size: int) -> None:
    crop = face_align.norm_crop(scene, golden["crop_kps"], size)
    assert np.abs(crop.astype(int) - golden[f"crop{size}"].astype(int)).max() <= 1


def test_suppression(golden, parity: Path) -> None:
    rows = golden["nms_in"]
    kept = non_maximum_suppression(rows[:, :4], rows[:, 4], 0.4)
    assert np.array_equal(kept, golden["nms_keep"])
    assert detector(parity, "pack", "640").nms(rows) == golden["nms_keep"].tolist()
