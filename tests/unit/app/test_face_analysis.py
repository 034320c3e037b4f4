"""`FaceAnalysis`: finding packs, settings, and what it makes of bad input."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lineament as ln
from lineament.app import FaceAnalysis
from lineament.core.errors import (
    ImageArrayInvalid,
    ImageNotFound,
    ImageZeroSized,
    InvalidArgument,
    PackNotFound,
    PackUnrecognised,
)
from lineament.packs.card import Pack
from lineament.packs.store import Store

CPU = ["CPUExecutionProvider"]


@pytest.fixture
def bgr(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[:, :, ::-1])


def plain_folder(pack: Pack, place: Path) -> Path:
    """The pack's networks without a card, as insightface would have them."""
    place.mkdir(parents=True)
    for card in pack.card.models:
        shutil.copy(pack.path(card), place / card.file)
    return place


def test_a_pack_by_name_in_insightfaces_folder(pack: Pack, store: Store, tmp_path: Path) -> None:
    folder = plain_folder(pack, tmp_path / "models" / "mine")
    app = FaceAnalysis("mine", root=str(tmp_path), providers=CPU, store=store)
    assert Path(app.model_dir) == folder.resolve()
    assert set(app.models) == {"detection", "recognition"}
    assert app.models["detection"] is app.det_model
    assert (app.addons, app.model_package) == ({}, None)


def test_a_pack_by_folder_and_by_our_names(pack: Pack, store: Store, tmp_path: Path) -> None:
    folder = plain_folder(pack, tmp_path / "somewhere")
    assert FaceAnalysis(folder, providers=CPU).pack.folder == folder.resolve()
    for name in ("default", "opencv-zoo"):
        assert FaceAnalysis(name, root=tmp_path, providers=CPU, store=store).pack.card.name == "opencv-zoo"


def test_a_pack_that_is_not_there(store: Store, tmp_path: Path) -> None:
    """Nothing is downloaded; the message has the command, the places, and the way without a licence."""
    with pytest.raises(PackNotFound) as caught:
        FaceAnalysis("antelopev2", root=tmp_path, store=store)
    for part in (
        "lineament models install antelopev2 --accept-licence",
        str(tmp_path / "models" / "antelopev2"),
        "FaceAnalysis('default')",
    ):
        assert part in caught.value.message
    assert not (tmp_path / "models").exists()


def test_an_empty_pack_says_what_it_holds(store: Store, tmp_path: Path) -> None:
    (tmp_path / "models" / "buffalo_l").mkdir(parents=True)
    with pytest.raises(PackUnrecognised, match=r"buffalo_l holds no \.onnx file"):
        FaceAnalysis(root=tmp_path, store=store)


def test_some_tasks_only(pack: Pack, bgr: np.ndarray) -> None:
    app = FaceAnalysis(pack, allowed_modules=["detection"], providers=CPU)
    assert list(app.models) == ["detection"]
    (face,) = app.get(bgr)
    assert face.embedding is None
    assert "embedding" not in face
    with pytest.raises(InvalidArgument, match="recognition"):
        app.embed_aligned(np.zeros((112, 112, 3), np.uint8))
    with pytest.raises(InvalidArgument, match="detection"):
        FaceAnalysis(pack, allowed_modules=["recognition"])


def test_arguments_of_insightface_are_taken(pack: Pack) -> None:
    app = FaceAnalysis(
        pack,
        "~/.insightface",
        None,
        static_shape_sessions=False,
        resolution_session_factory=None,
        liveness_mode="observe",
        liveness_threshold=0.5,
        addons=[],
        download=False,
    )
    app.prepare(0, 0.4, (320, 320))
    assert (app.det_thresh, app.det_size) == (0.4, (320, 320))
    with pytest.raises(InvalidArgument, match="liveness"):
        FaceAnalysis(pack, addons=["liveness"])


def test_what_get_returns(app: FaceAnalysis, bgr: np.ndarray) -> None:
    (face,) = app.get(bgr)
    assert {"bbox", "kps", "det_score", "embedding"} == set(face)
    assert face.bbox.shape == (4,)
    assert face.kps.shape == (5, 2)
    assert face.embedding.shape == (128,)
    assert face.bbox.dtype == face.kps.dtype == face.embedding.dtype == np.float32
    assert isinstance(face.det_score, np.float32)
    face.bbox += 1  # a face's arrays are its own
    face.embedding[:] = 0
    assert face.normed_embedding is None
    assert np.array_equal(app.get(bgr)[0].kps, face.kps)
    assert app.get(np.zeros((50, 60, 3), np.uint8)) == []


def test_the_default_pack_gives_what_a_recognizer_gives(
    pack: Pack, app: FaceAnalysis, bgr: np.ndarray
) -> None:
    (face,) = app.get(bgr)
    whole = ln.Recognizer(pack, runtime=ln.RuntimeOptions(threads=1)).analyze(bgr, colour="bgr")
    assert np.array_equal(whole.boxes[0], face.bbox)
    assert np.array_equal(whole.points[0], face.kps)
    assert whole.templates is not None
    assert np.abs(whole.templates.vectors[0] - face.normed_embedding).max() < 1e-6


def test_order_and_number_of_faces(app: FaceAnalysis, bgr: np.ndarray) -> None:
    """All by score; when `max_num` cuts, the most central or the largest."""
    half = np.ascontiguousarray(bgr[:, 60:400])
    small = np.ascontiguousarray(half[::2, ::2])
    scene = np.zeros((512, 900, 3), np.uint8)
    scene[:256, 365:535] = small  # small and central
    scene[:, :340] = half
    faces = app.get(scene)
    assert len(faces) == 2
    scores = [float(face.det_score) for face in faces]
    assert scores == sorted(scores, reverse=True)
    (largest,) = app.get(scene, max_num=1, det_metric="max")
    (central,) = app.get(scene, 1)
    assert largest.bbox[2] < 340
    assert central.bbox[0] > 340
    assert len(app.get(scene, max_num=-1)) == 2
    with pytest.raises(InvalidArgument, match="metric"):
        app.get(scene, det_metric="biggest")


def test_third_parties_set_the_detectors_size(app: FaceAnalysis, bgr: np.ndarray) -> None:
    assert app.det_size == [(128, 128), (640, 640)]
    assert app.det_model.input_size == (640, 640)
    app.det_model.input_size = (96, 96)
    assert app.det_size == app.det_model.input_size == (96, 96)
    coarse = app.get(bgr)
    app.det_model.input_size = np.array([[128, 128], [640, 640]])
    fine = app.get(bgr)
    assert len(fine) == 1
    assert [f.bbox.tolist() for f in coarse] != [f.bbox.tolist() for f in fine]
    boxes, points = app.det_model.detect(bgr, input_size=(320, 320), max_num=1, det_thresh=0.3)
    assert boxes.shape == (1, 5)
    assert points is not None
    assert points.shape == (1, 5, 2)
    assert app.det_size == [(128, 128), (640, 640)], "an argument of one call changes nothing"


@pytest.mark.parametrize("automatic", [None, (0, 0), [0, 0], [(0, 0)], np.zeros(2, int)])
def test_automatic_sizes(app: FaceAnalysis, automatic: Any) -> None:
    app.prepare(det_size=(64, 64))
    app.prepare(det_size=automatic)
    assert app.det_size == [(128, 128), (640, 640)]


def test_settings_are_checked_and_a_failed_prepare_changes_nothing(app: FaceAnalysis) -> None:
    app.prepare(ctx_id=-1, det_thresh=0.4, det_size=(320, 320), min_size=20.0)
    for wrong in ({"det_thresh": 1.1}, {"det_thresh": -1.0}, {"angles": (45,)}, {"colour": "rgb"}):
        with pytest.raises(InvalidArgument):
            app.prepare(ctx_id=-1, **wrong)
    assert (app.det_thresh, app.det_size) == (0.4, (320, 320))
    assert app.det_model.settings.min_size == 20
    app.prepare(ctx_id=-1)
    assert app.det_model.settings.min_size == 0, "prepare begins anew"
    app.det_model.prepare(-1, nms_thresh=0.7)
    app.prepare(ctx_id=-1)
    assert app.det_model.nms_thresh == 0.7, "as in insightface, which has no other way to set it"


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (None, ImageNotFound),
        ("no/such/file.jpg", ImageNotFound),
        (np.zeros((0, 10, 3), np.uint8), ImageZeroSized),
        (np.zeros((4, 10, 10), np.uint8), ImageArrayInvalid),
        (np.zeros((9, 9, 3), np.float32), ImageArrayInvalid),
        (np.zeros((9, 9, 3), np.int64), ImageArrayInvalid),
    ],
)
def test_pictures_that_are_none_are_named(app: FaceAnalysis, picture: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        app.get(picture)


def test_more_than_three_channels_and_other_ranges(app: FaceAnalysis, bgr: np.ndarray) -> None:
    (want,) = app.get(bgr)
    with_alpha = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)])
    (same,) = app.get(with_alpha)
    (scaled,) = app.get(bgr.astype(np.float32) / 255, value_range=(0.0, 1.0))
    assert np.array_equal(same.bbox, want.bbox)
    assert np.abs(scaled.bbox - want.bbox).max() < 0.5
    assert len(app.get(bgr[:, :, 1])) == 1, "gray"


def test_points_that_coincide_give_no_embedding_and_a_warning(
    app: FaceAnalysis, bgr: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    (face,) = app.get(bgr)
    face.kps[:] = face.kps[0]
    with caplog.at_level(logging.WARNING, "lineament"):
        got = app.models["recognition"].get(bgr, face)  # pyright: ignore[reportAttributeAccessIssue]
    assert got is None
    assert face.embedding is None
    assert "no embedding" in caplog.text
    face.kps = None
    with pytest.raises(InvalidArgument, match="kps"):
        app.models["recognition"].get(bgr, face)  # pyright: ignore[reportAttributeAccessIssue]


def test_drawing_leaves_the_picture_alone(app: FaceAnalysis, bgr: np.ndarray) -> None:
    before = bgr.copy()
    faces = app.get(bgr)
    faces[0].update(gender=0, age=40)
    drawn = app.draw_on(bgr, faces)
    assert np.array_equal(bgr, before)
    assert drawn.shape == bgr.shape
    assert drawn.flags.writeable
    x1, y1 = (int(v) for v in faces[0].bbox[:2])
    assert drawn[y1 + 20, x1].tolist() == [0, 0, 255]
    assert app.draw_on(bgr, []).tolist() == bgr.tolist()


def test_batches_refuse_a_size_of_zero(app: FaceAnalysis) -> None:
    with pytest.raises(InvalidArgument, match="batch"):
        app.get_batch([], batch_size=0)
