"""Single networks by path and name."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.app import model_zoo
from lineament.app.common import Face
from lineament.app.model_zoo import SCRFD, ArcFaceONNX, Attribute, Landmark, RetinaFace, get_model
from lineament.app.model_zoo.model_zoo import PickableInferenceSession
from lineament.core.errors import InvalidArgument, PackBroken, PackNotFound, PackUnrecognised, TemplateInvalid
from lineament.packs.card import Pack

CPU = ["CPUExecutionProvider"]


@pytest.fixture
def recognition(pack: Pack) -> Path:
    card = pack.card.model("recognition")
    assert card is not None
    return pack.path(card)


@pytest.fixture
def detection(pack: Pack) -> Path:
    card = pack.card.model("detection")
    assert card is not None
    return pack.path(card)


def test_the_class_follows_the_file(recognition: Path, detection: Path) -> None:
    embedder = get_model(str(recognition), providers=CPU, download=False)
    assert isinstance(embedder, ArcFaceONNX)
    assert (embedder.taskname, embedder.input_size) == ("recognition", (112, 112))
    assert embedder.input_shape[1:] == [3, 112, 112]
    assert embedder.output_shape[1] == 128
    detector = get_model(detection, providers=CPU)
    assert isinstance(detector, SCRFD)
    assert (detector.taskname, detector.use_kps) == ("detection", True)
    assert len(detector.output_names) == 12
    assert issubclass(RetinaFace, SCRFD)
    assert model_zoo.get_model is get_model


def test_a_pack_by_name_gives_its_last_file_or_the_task_asked_for(pack: Pack) -> None:
    assert isinstance(get_model(pack.folder), ArcFaceONNX)
    assert isinstance(get_model(pack.folder, model_task="detection"), SCRFD)
    with pytest.raises(InvalidArgument, match="genderage"):
        get_model(pack.folder, model_task="genderage")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackNotFound, match=r"x\.onnx"):
        get_model(tmp_path / "x.onnx", download=True)
    with pytest.raises(PackNotFound, match="nosuch"):
        get_model("nosuch", root=tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    with pytest.raises(PackBroken, match=r"broken\.onnx"):
        get_model(tmp_path / "broken.onnx")


@pytest.mark.parametrize("wrong", [SCRFD, Landmark, Attribute])
def test_the_wrong_class_is_named(wrong: type[Any], recognition: Path) -> None:
    with pytest.raises(PackUnrecognised, match="recognition"):
        wrong(recognition)
    with pytest.raises(InvalidArgument, match="model_file"):
        wrong()


def test_features_of_crops(recognition: Path, astronaut: np.ndarray) -> None:
    model = ArcFaceONNX(recognition, providers=CPU, threads=1)
    model.prepare(ctx_id=-1)
    crop = np.ascontiguousarray(astronaut[60:172, 165:277, ::-1])
    one, two = model.get_feat(crop), model.get_feat([crop, crop[:, ::-1]])
    assert one.shape == (1, 128)
    assert two.shape == (2, 128)
    assert np.abs(two[0] - one[0]).max() < 1e-4
    assert np.array_equal(model.get_feat(np.stack([crop, crop[:, ::-1]])), two)
    assert model.get_feat([]).shape == (0, 128)
    rgb = np.ascontiguousarray(crop[:, :, ::-1])
    assert np.array_equal(model.get_feat(rgb, color="rgb"), one)
    batch = rgb.transpose(2, 0, 1)[None].astype(np.float32)
    assert np.abs(model.forward(batch) - one).max() < 1e-4
    with pytest.raises(InvalidArgument, match="norm_crop"):
        model.get_feat(crop[:, :96])
    with pytest.raises(InvalidArgument, match="shape"):
        model.forward(batch[0])


def test_similarity(recognition: Path) -> None:
    model = ArcFaceONNX(recognition)
    assert model.compute_sim([[3.0, 4.0]], [6, 8]) == pytest.approx(1.0)
    assert model.compute_sim([1, 0], [0, 1]) == 0
    for wrong in ([0, 0], [np.nan, 1], [1, 2, 3]):
        with pytest.raises(TemplateInvalid):
            model.compute_sim([1, 0], wrong)


def test_detector_settings_hold(detection: Path) -> None:
    model = SCRFD(detection, providers=CPU, threads=1)
    model.prepare(-1, input_size=(320, 256), det_thresh=0.4, nms_thresh=0.6)
    assert (model.input_size, model.det_thresh, model.nms_thresh) == ((320, 256), 0.4, 0.6)
    model.prepare(-1, det_thresh=0.3)
    assert (model.input_size, model.det_thresh, model.nms_thresh) == ((320, 256), 0.3, 0.6)
    model.det_thresh, model.nms_thresh = 0.7, 0.3
    assert (model.settings.threshold, model.settings.overlap) == (0.7, 0.3)
    with pytest.raises(InvalidArgument):
        model.det_thresh = 1.5


def test_candidates_before_suppression(detection: Path, astronaut: np.ndarray) -> None:
    model = SCRFD(detection, providers=CPU, threads=1)
    scores, boxes, points = model.forward(np.ascontiguousarray(astronaut[:, :, ::-1]), 0.5)
    assert scores[0].shape[1:] == (1,)
    assert boxes[0].shape[1:] == (4,)
    assert points[0].shape[1:] == (5, 2)
    kept = model.nms(np.hstack([boxes[0], scores[0]]))
    assert 1 <= len(kept) < len(scores[0])


def test_a_session_of_the_callers_own(recognition: Path, detection: Path, astronaut: np.ndarray) -> None:
    import onnxruntime

    own = onnxruntime.InferenceSession(str(recognition), providers=CPU)
    model = ArcFaceONNX(model_file=str(recognition), session=own)
    model.prepare(-1)
    crop = np.ascontiguousarray(astronaut[60:172, 165:277])
    want = ArcFaceONNX(recognition, providers=CPU).get_feat(crop)
    assert np.abs(model.get_feat(crop) - want).max() < 1e-4
    assert model.device == "onnxruntime:CPUExecutionProvider"
    shown = PickableInferenceSession(detection, providers=CPU)
    assert len(SCRFD(detection, session=shown).detect(astronaut, color="rgb")[0]) == 1
    with pytest.raises(InvalidArgument, match="run"):
        ArcFaceONNX(recognition, session=object())


def test_sessions_speak_like_onnx_runtime(recognition: Path) -> None:
    session = PickableInferenceSession(str(recognition), providers=CPU)
    (port,) = session.get_inputs()
    assert port.shape[1:] == [3, 112, 112]
    blob = np.zeros((1, 3, 112, 112), np.float32)
    name = session.get_outputs()[0].name
    (first,) = session.run([name], {port.name: blob})
    again = pickle.loads(pickle.dumps(session))  # noqa: S301
    assert np.array_equal(again.run(None, {port.name: blob})[0], first)
    assert again.model_path == str(recognition)
    assert session.get_providers() == CPU
    with pytest.raises(PackBroken):
        PickableInferenceSession("nowhere.onnx")


def test_models_are_picklable_with_their_settings(detection: Path, astronaut: np.ndarray) -> None:
    model = SCRFD(detection, providers=CPU, threads=1)
    model.prepare(-1, input_size=(320, 320))
    twin = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert twin.input_size == (320, 320)
    assert twin.runtime == model.runtime
    assert np.array_equal(twin.detect(astronaut)[0], model.detect(astronaut)[0])


def test_the_device_goes_along_in_a_pickle(detection: Path, astronaut: np.ndarray) -> None:
    model = SCRFD(detection, providers=["CUDAExecutionProvider"], threads=1)
    model.prepare(-1)
    twin = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert twin.runtime.providers == ("CPUExecutionProvider",)
    assert len(twin.detect(astronaut, color="rgb")[0]) == 1


def test_session_options_leave_their_threads_behind_when_pickled(
    recognition: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import onnxruntime

    own = onnxruntime.SessionOptions()
    own.intra_op_num_threads = 3
    twin = pickle.loads(pickle.dumps(ArcFaceONNX(recognition, providers=CPU, sess_options=own)))  # noqa: S301
    assert twin.runtime.threads == 3
    assert twin.runtime.session_options is None
    assert "sess_options" in caplog.text


def test_attribute_networks_need_a_box(shared: Path, astronaut: np.ndarray) -> None:
    pack = shared / "fixtures" / "parity" / "pack"
    face = Face(bbox=np.array([170, 60, 280, 215], np.float32))
    dense, solid, guess = (get_model(pack / f"{n}.onnx", providers=CPU) for n in ("lmk106", "lmk68", "ga"))
    assert [m.taskname for m in (dense, solid, guess)] == ["landmark_2d_106", "landmark_3d_68", "genderage"]
    assert dense.get(astronaut, face).shape == face.landmark_2d_106.shape == (106, 2)
    assert solid.get(astronaut, face).shape == face.landmark_3d_68.shape == (68, 3)
    assert face.pose.shape == (3,)
    gender, age = guess.get(astronaut, face)
    assert (gender, age) == (face.gender, face.age)
    assert face.sex in ("M", "F")
    for model in (dense, solid, guess):
        with pytest.raises(InvalidArgument, match="bbox"):
            model.get(astronaut, Face())
