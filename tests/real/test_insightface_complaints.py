"""What users of insightface complain about, row by row, as behaviour of ours.

Row numbers are those of the list of complaints that the design keeps; each names the issue it came from.
Rows on thresholds, the quality gate, occlusion, downloads and packaging are tested elsewhere.
"""

import copy
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

import lineament as ln
from lineament.app import FaceAnalysis, face_align
from lineament.app.model_zoo import get_model
from lineament.core.errors import ImageError, InvalidArgument, RuntimeUnavailable, TemplateInvalid
from lineament.packs.card import Pack
from lineament.packs.insightface import import_files, read_insightface
from lineament.packs.resolve import open_pack
from lineament.vision.boxes import intersection_over_union
from lineament.vision.fit import fit

pytestmark = pytest.mark.real

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ln.Store:
    return ln.Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def pack(store: ln.Store) -> Pack:
    return open_pack(None, store)


@pytest.fixture(scope="module")
def scrfd_pack(shared: Path, store: ln.Store, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack in insightface's layout, installed: its SCRFD takes any size."""
    folder = tmp_path_factory.mktemp("pack")
    for file in ("scrfd_500m_kps.onnx", "fr_feature.onnx"):
        (folder / file).symlink_to(shared / "models" / file)
    return import_files(read_insightface(folder), store, name="scrfd")


@pytest.fixture(params=["default", "scrfd"])
def any_pack(request: pytest.FixtureRequest) -> Pack:
    return request.getfixturevalue("pack" if request.param == "default" else "scrfd_pack")


@pytest.fixture(scope="module")
def recognizer(pack: Pack) -> ln.Recognizer:
    return ln.Recognizer(pack, runtime=ln.RuntimeOptions(threads=1))


def door(pack: Pack, **settings: Any) -> FaceAnalysis:
    app = FaceAnalysis(pack, providers=[CPU], threads=1)
    app.prepare(ctx_id=-1, **settings)
    return app


@pytest.fixture(scope="module")
def app(pack: Pack) -> FaceAnalysis:
    return door(pack)


@pytest.fixture(scope="module")
def bgr(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[:, :, ::-1])


@pytest.fixture(scope="module")
def small(bgr: np.ndarray) -> np.ndarray:
    """160 pixels about the astronaut's face, BGR."""
    return np.ascontiguousarray(bgr[20:340, 90:410])[::2, ::2].copy()


def likeness(a: Any, b: Any) -> float:
    return float(np.float64(a.normed_embedding) @ np.float64(b.normed_embedding))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(intersection_over_union(np.float32(a)[None], np.float32(b)[None])[0, 0])


def test_row_01_colour_order(
    app: FaceAnalysis, astronaut: np.ndarray, bgr: np.ndarray, tmp_path: Path
) -> None:
    """#2741, #1382, #524: BGR by default, RGB when said, PIL objects and files know themselves."""
    file = tmp_path / "a.png"
    PillowImage.fromarray(astronaut).save(file)
    (want,) = app.get(bgr)
    answers = {
        "rgb": app.get(astronaut, color="rgb"),
        "pil": app.get(PillowImage.fromarray(astronaut)),
        "path": app.get(file),
        "str": app.get(str(file)),
        "bytes": app.get(file.read_bytes()),
    }
    for way, faces in answers.items():
        assert len(faces) == 1, way
        assert likeness(faces[0], want) >= 0.9999, way
    (swapped,) = app.get(astronaut)
    assert likeness(swapped, want) < 0.99, "a guard: colour order matters to this model"
    with pytest.raises(InvalidArgument, match="'bgr' or 'rgb'"):
        app.get(bgr, color="grb")


@pytest.mark.parametrize("side", [1024, 2000])
def test_row_02_a_face_that_fills_the_frame(any_pack: Pack, astronaut: np.ndarray, side: int) -> None:
    """#2165, #2782, #2803: a crop tight to the face, enlarged, is found by the small pass."""
    settings = ln.PartSettings(refine=None)
    recognizer = ln.Recognizer(any_pack, runtime=ln.RuntimeOptions(threads=1), settings=settings)
    loose = recognizer.detect(astronaut, colour="rgb").boxes[0]
    x1, y1, x2, y2 = (round(float(v)) for v in loose)
    scale = side / max(x2 - x1, y2 - y1)
    tight = cv2.resize(astronaut[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    faces = recognizer.detect(tight, colour="rgb")
    assert len(faces) == 1
    assert overlap(faces.boxes[0] / scale + np.float32([x1, y1, x1, y1]), loose) > 0.5
    (face,) = door(any_pack).get(tight, color="rgb")
    assert overlap(face.bbox / scale + np.float32([x1, y1, x1, y1]), loose) > 0.5


def test_row_03_what_det_size_means(pack: Pack, bgr: np.ndarray) -> None:
    """#2512: (width, height); the picture keeps its aspect ratio and is padded right and below."""
    wide, tall = door(pack, det_size=(640, 480)), door(pack, det_size=(480, 640))
    assert wide.det_size == wide.det_model.input_size == (640, 480)
    assert tall.det_size == (480, 640)
    picture = np.full((300, 900, 3), 200, np.uint8)
    canvas = fit(picture, (640, 480), 32, tight=False)
    assert canvas.canvas.shape == (480, 640, 3)
    assert canvas.scale == pytest.approx(640 / 900, rel=0.01)
    assert (canvas.canvas[213:] == 0).all()
    assert canvas.canvas[:213].all()
    assert overlap(wide.get(bgr)[0].bbox, tall.get(bgr)[0].bbox) > 0.9


@pytest.mark.parametrize("size", [(300, 300), (500, 500), (595, 595), (1100, 1650), (641, 480), (100, 100)])
def test_row_04_any_detection_size(any_pack: Pack, bgr: np.ndarray, size: tuple[int, int]) -> None:
    """#1578, #2042, #2232: sizes that are no multiples of 32 are rounded up, not a broadcast error."""
    (face,) = door(any_pack, det_size=size).get(bgr)
    assert overlap(face.bbox, np.array([170, 60, 280, 215])) > 0.4


@pytest.mark.parametrize("size", [640, (640,), (640, 640, 3), "640", (0, 640), (64.5, 64), [(640, 640), 3]])
def test_row_04_what_is_no_size_is_named(app: FaceAnalysis, size: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"\(width, height\)"):
        app.prepare(det_size=size)


@pytest.mark.parametrize("mark", range(1, 9))
def test_row_05_exif_orientation(
    recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path, mark: int
) -> None:
    """A file stored turned or mirrored, with an EXIF mark that says so, is the same picture."""
    straight = recognizer.analyze(astronaut, colour="rgb")[0]
    stored = stored_as(astronaut, mark)
    exif = PillowImage.Exif()
    exif[0x0112] = mark
    file = tmp_path / f"{mark}.jpg"
    PillowImage.fromarray(stored).save(file, quality=95, exif=exif)
    for source in (file, file.read_bytes(), PillowImage.open(BytesIO(file.read_bytes()))):
        (face,) = recognizer.analyze(source)
        assert overlap(face.box, straight.box) > 0.95
        assert face.template is not None
        assert straight.template is not None
        assert face.template.similarity(straight.template) > 0.99


def stored_as(picture: np.ndarray, mark: int) -> np.ndarray:
    """Pixels that have to be changed as EXIF mark 1 to 8 says to give `picture`."""
    undo = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(undo[mark](picture))


@pytest.mark.parametrize("quarters", range(4))
def test_row_06_turned_pictures(pack: Pack, bgr: np.ndarray, quarters: int) -> None:
    """#2447: with a search over angles, a picture on its side or head gives the same face, and the angle."""
    app = door(pack, angles=(0, 90, 180, 270))
    upright = app.get(bgr)[0]
    turned = np.ascontiguousarray(np.rot90(bgr, quarters))  # counter-clockwise
    face = app.get(turned)[0]
    assert face.angle == 90 * quarters
    assert likeness(face, upright) > 0.97
    corners = cv2.transform(upright.bbox.reshape(1, 2, 2), turn_of(quarters, 512))[0]
    assert overlap(face.bbox, np.concatenate([corners.min(axis=0), corners.max(axis=0)])) > 0.9


def turn_of(quarters: int, side: int) -> np.ndarray:
    """Where a pixel of a square picture goes under `np.rot90(picture, quarters)`."""
    step = np.array([[0, 1, 0], [-1, 0, side], [0, 0, 1]], np.float64)  # (x, y) → (y, side − x)
    return np.linalg.matrix_power(step, quarters)[:2]


def test_row_08_similarity_is_a_cosine(
    recognizer: ln.Recognizer, app: FaceAnalysis, astronaut: np.ndarray
) -> None:
    """#1897, #989: within −1..1, symmetric, 1 with itself; decided with a threshold and its margin."""
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    same = recognizer.compare(astronaut, astronaut, threshold=0.4, colour="rgb")
    there = recognizer.compare(astronaut, mirrored, threshold=0.4, colour="rgb")
    back = recognizer.compare(mirrored, astronaut, threshold=0.4, colour="rgb")
    assert same.similarity == pytest.approx(1.0, abs=1e-6)
    assert same.similarity is not None
    assert same.similarity <= 1.0
    assert there.similarity == pytest.approx(back.similarity, abs=1e-6)
    assert same.match
    assert same.threshold is not None
    assert same.threshold.value == 0.4
    model: Any = app.models["recognition"]
    vector = np.random.default_rng(0).normal(size=512).astype(np.float32)
    assert model.compute_sim(vector, vector * 37) == pytest.approx(1.0)
    assert -1.0 <= model.compute_sim(vector, -vector) == pytest.approx(-1.0)
    with pytest.raises(TemplateInvalid):
        model.compute_sim(vector, np.zeros_like(vector))


def test_row_11_many_threads_give_the_same_bits(pack: Pack, small: np.ndarray) -> None:
    """#2721, #1937, #622: eight threads, fifty calls each, one object."""
    app = door(pack, det_size=(160, 160))
    want = app.get(small)[0]

    def work(_: int) -> bool:
        faces = [app.get(small)[0] for _ in range(50)]
        return all(
            np.array_equal(f.bbox, want.bbox) and np.array_equal(f.embedding, want.embedding) for f in faces
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_row_11_prepare_may_race_with_get(pack: Pack, small: np.ndarray) -> None:
    """Each answer is that of the settings before or after, never of a mixture."""
    app = door(pack, det_size=(160, 160))
    settings: list[dict[str, Any]] = [
        {"det_size": (160, 160), "det_thresh": 0.5},
        {"det_size": (320, 320), "det_thresh": 0.999},
    ]
    allowed = set()
    for chosen in settings:
        app.prepare(ctx_id=-1, **chosen)
        allowed.add(fingerprint(app.get(small)))
    assert len(allowed) == 2
    stop = threading.Event()

    def change() -> None:
        for turn in range(10_000):
            if stop.is_set():
                return
            app.prepare(ctx_id=turn % 3 - 1, **settings[turn % 2])

    changer = threading.Thread(target=change)
    changer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            seen = set(pool.map(lambda _: fingerprint(app.get(small)), range(120)))
    finally:
        stop.set()
        changer.join()
    assert seen <= allowed


def fingerprint(faces: list[Any]) -> tuple[bytes, ...]:
    return tuple(face.bbox.tobytes() + face.embedding.tobytes() for face in faces)


def test_row_12_pickle_and_other_processes(pack: Pack, bgr: np.ndarray, tmp_path: Path) -> None:
    """#2623, PR #1881: faces and analysers cross process borders."""
    app = door(pack, det_size=(320, 320))
    (face,) = app.get(bgr)
    for other in (pickle.loads(pickle.dumps(face)), copy.deepcopy(face), copy.copy(face)):  # noqa: S301
        assert type(other) is type(face)
        assert np.array_equal(other.embedding, face.embedding)
        assert other.age is None
    twin = pickle.loads(pickle.dumps(app))  # noqa: S301
    assert twin.det_size == (320, 320)
    assert np.array_equal(twin.get(bgr)[0].embedding, face.embedding)
    assert np.array_equal(copy.deepcopy(app).get(bgr)[0].embedding, face.embedding)
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), bgr)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        answers = pool.map(app.get, [str(file)] * 3)
    for (there,) in answers:
        assert np.array_equal(there.embedding, face.embedding)


def test_row_13_batches(any_pack: Pack, bgr: np.ndarray) -> None:
    """#1678, #2557, #2398: many pictures in one call, equal to one by one, in order."""
    app = FaceAnalysis(any_pack, providers=[CPU], threads=2)
    app.prepare(det_size=(320, 320))
    blank = np.zeros((64, 80, 3), np.uint8)
    pictures = [bgr, blank, bgr[:, ::-1], cv2.resize(bgr, (300, 300)), np.hstack([bgr, bgr]), bgr[:400, :500]]
    alone = [app.get(np.ascontiguousarray(picture)) for picture in pictures]
    for size in (1, 4, 32):
        together = app.get_batch(iter(pictures), batch_size=size)
        assert [len(faces) for faces in together] == [len(faces) for faces in alone] == [1, 0, 1, 1, 2, 1]
        for ours, theirs in zip(together, alone, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert np.abs(a.bbox - b.bbox).max() < 1e-3
                assert np.abs(a.normed_embedding - b.normed_embedding).max() < 1e-5
    assert app.get_batch([]) == []
    with pytest.raises(ImageError):
        app.get_batch([bgr, b"not a picture"])


def no_cuda() -> bool:
    import onnxruntime

    return CUDA not in onnxruntime.get_available_providers()


@pytest.mark.skipif(not no_cuda(), reason="needs a machine without CUDA")
def test_row_14_no_silent_fallback(
    pack: Pack, bgr: np.ndarray, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """#2344, #2295, #2394: asking for what is not there is an error, unless the list allows the processor."""
    app = FaceAnalysis(pack, providers=[CUDA])
    with pytest.raises(RuntimeUnavailable, match=CUDA):
        app.prepare(ctx_id=0)
    with pytest.raises(RuntimeUnavailable, match=CUDA):
        app.get(bgr)
    with caplog.at_level(logging.WARNING, "lineament"):
        allowed = FaceAnalysis(pack, providers=[CUDA, CPU])
        allowed.prepare(ctx_id=0)
    assert CUDA in caplog.text
    assert allowed.device == f"onnxruntime:{CPU}"
    assert len(allowed.get(bgr)) == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING, "lineament"):
        FaceAnalysis(pack).prepare(ctx_id=0)  # nothing was asked for, so nothing is missed
        FaceAnalysis(pack, providers=[CPU]).prepare(ctx_id=0)  # ctx_id means nothing to the processor
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
    with pytest.raises(RuntimeUnavailable, match=CUDA):
        ln.Recognizer(pack, runtime=ln.RuntimeOptions(providers=(CUDA, CPU))).analyze(bgr, colour="bgr")


def test_row_15_ctx_id_is_the_device(pack: Pack) -> None:
    """#2628, #1116: ctx_id n reaches the provider as device_id n; lengths of options are checked."""
    app = FaceAnalysis(pack, providers=[CUDA, CPU])
    app.prepare(ctx_id=3)
    for model in app.models.values():
        assert model.runtime.providers == (CUDA, CPU)
        assert model.runtime.provider_options[0]["device_id"] == 3
        assert "device_id" not in model.runtime.provider_options[1]
    own = FaceAnalysis(pack, providers=[(CUDA, {"device_id": 1}), CPU])
    own.prepare(ctx_id=0)
    assert own.det_model.runtime.provider_options[0]["device_id"] == 1, "an explicit option wins"
    with pytest.raises(InvalidArgument, match="provider_options"):
        FaceAnalysis(pack, providers=[CUDA, CPU], provider_options=[{}])
    by_name = FaceAnalysis(pack, providers=[CUDA, CPU], provider_options={CUDA: {"device_id": 2}})
    assert by_name.det_model.runtime.provider_options[0]["device_id"] == 2


def test_row_16_threads_and_session_options(pack: Pack) -> None:
    """#2558: the number of threads reaches the session; a ready SessionOptions is taken as it is."""
    import onnxruntime

    app = FaceAnalysis(pack, providers=[CPU], threads=3)
    app.prepare(ctx_id=-1)
    own = onnxruntime.SessionOptions()
    own.intra_op_num_threads = 2
    other = FaceAnalysis(pack, providers=[CPU], sess_options=own)
    for model in app.models.values():
        assert model.session.get_session_options().intra_op_num_threads == 3
    for model in other.models.values():
        assert model.session.get_session_options().intra_op_num_threads == 2
    one = get_model(pack.path(pack.card.models[1]), providers=[CPU], threads=1)
    assert one.session.get_session_options().intra_op_num_threads == 1


def test_row_19_numpy_2() -> None:
    """#2251, #2404, #2695: numpy 1.26 and 2.x are both fine; the suite runs on either (CI matrix)."""
    import tomllib

    here = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"
    wants = tomllib.loads(here.read_text("utf-8"))["project"]["dependencies"]
    assert [want for want in wants if want.startswith("numpy")] == ["numpy>=1.26"]
    assert int(np.__version__.split(".")[0]) in (1, 2)
    for gone in ("int", "float", "bool", "object"):
        text = "".join(p.read_text("utf-8") for p in Path(ln.__file__).parent.rglob("*.py"))
        assert f"np.{gone}(" not in text


def test_row_21_import_is_light_and_offline() -> None:
    """#2769, PR #2849: no optional package and no socket at import; well under a second."""
    code = """
import sys, time
def refuse(event, _):
    if event.startswith("socket."):
        raise AssertionError("a socket was used at import: " + event)
sys.addaudithook(refuse)
before = time.process_time()
from lineament.app import FaceAnalysis, face_align, get_image, model_zoo
spent = time.process_time() - before
heavy = {"albumentations", "torch", "matplotlib", "skimage", "scipy", "insightface"}
heavy |= {"onnx", "httpx", "pyarrow", "rich"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
print(spent)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert float(done.stdout) < 1.0


def test_row_23_says_nothing_on_the_terminal(
    pack: Pack, scrfd_pack: Pack, bgr: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    """#2712, #2481, PR #2762: logging only; not even the engine writes."""
    for which in (pack, scrfd_pack):
        app = FaceAnalysis(which, providers=[CPU], threads=1)
        app.prepare(ctx_id=0, det_size=(640, 640))
        app.draw_on(bgr, app.get(bgr))
        app.get_batch([bgr, bgr])
        app.get(np.zeros((8, 8, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def resident_mb() -> float:
    fields = Path("/proc/self/statm").read_text("ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory use from /proc")
def test_row_24_memory_stays_flat(any_pack: Pack, bgr: np.ndarray) -> None:
    """#1659, #463, #1025: 200 pictures and 200 detection sizes; sessions do not multiply."""
    app = door(any_pack)
    rng = np.random.default_rng(24)

    def turn(count: int) -> None:
        for _ in range(count):
            width, height = (int(v) for v in rng.integers(40, 900, 2))
            app.get(cv2.resize(bgr, (width, height)))
            app.det_model.input_size = tuple(int(v) for v in rng.integers(100, 700, 2))

    turn(40)
    before = resident_mb()
    turn(200)
    assert resident_mb() - before < 30
    for model in app.models.values():
        assert len(model._loaded.parts) == 1


def test_row_41_faces_that_are_aligned_already(
    recognizer: ln.Recognizer, app: FaceAnalysis, bgr: np.ndarray
) -> None:
    """#2393, #1887, #2280: an aligned crop gives the template of the whole way."""
    (face,) = app.get(bgr)
    crop = face_align.norm_crop(bgr, face.kps, 112)
    assert np.abs(app.embed_aligned(crop)[0] - face.embedding).max() < 1e-4
    assert np.abs(app.models["recognition"].get_feat([crop, crop])[1] - face.embedding).max() < 1e-4  # pyright: ignore
    crops = recognizer.align(bgr, colour="bgr")
    whole = recognizer.analyze(bgr, colour="bgr")[0].template
    assert whole is not None
    assert recognizer.embed_aligned(crops)[0].similarity(whole) > 0.99999
    assert recognizer.embed_aligned(crop[None, :, :, ::-1])[0].similarity(whole) > 0.9999
    with pytest.raises(InvalidArgument, match="112×112"):
        app.embed_aligned(crop[:100, :100])


def test_row_43_the_processor_alone(pack: Pack, bgr: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """PR #1754: with ctx_id −1 no graphics session is made first, not even to be thrown away."""
    from lineament.runtime.onnx import OnnxSession

    asked: list[tuple[str, ...]] = []
    load = OnnxSession._load

    def watched(session: OnnxSession) -> Any:
        asked.append(session.options.providers)
        return load(session)

    monkeypatch.setattr(OnnxSession, "_load", watched)
    app = FaceAnalysis(pack, providers=[CUDA])
    assert asked == [], "nothing is opened before the device is known"
    app.prepare(ctx_id=-1)
    assert len(app.get(bgr)) == 1
    assert set(asked) == {(CPU,)}
    assert len(asked) == len(app.models)
    assert app.device == f"onnxruntime:{CPU}"


def test_row_44_boxes_may_be_clipped(any_pack: Pack, bgr: np.ndarray) -> None:
    """A face cut by the picture's edge has a box that reaches outside; on request it does not."""
    cut = np.ascontiguousarray(bgr[110:])
    app = door(any_pack)
    (loose,) = app.get(cut)
    assert loose.bbox.min() < 0
    app.prepare(ctx_id=-1, clip=True)
    (inside,) = app.get(cut)
    height, width = cut.shape[:2]
    assert np.array_equal(inside.bbox, np.clip(loose.bbox, 0, [width, height, width, height]))
    assert np.array_equal(inside.kps, loose.kps), "points stay where they are"


def test_row_45_alignment_maps_the_picture_onto_the_template() -> None:
    """#1002: the matrix leads from the picture to the crop, not back."""
    kps = face_align.arcface_dst * 3 + [100, 50]
    motion = face_align.estimate_norm(kps, 112)
    assert np.allclose(kps @ motion[:, :2].T + motion[:, 2], face_align.arcface_dst, atol=1e-3)
    assert np.linalg.norm(motion[:, 0]) == pytest.approx(1 / 3, rel=1e-4)
    assert np.allclose(face_align.estimate_norm(face_align.arcface_dst, 112), np.eye(2, 3), atol=1e-5)
    assert np.allclose(
        face_align.estimate_norm(face_align.arcface_dst, 128), [[1, 0, 8], [0, 1, 0]], atol=1e-4
    )
