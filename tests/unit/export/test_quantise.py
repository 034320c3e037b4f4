"""8-bit networks: smaller, measured, and of an identity of their own."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, ExportFailed, InvalidArgument
from lineament.datasets.pairs import Pairs
from lineament.datasets.pictures import open_pictures
from lineament.export import quantise as module
from lineament.export.pack import Exported, Wanted, embedder_of, licence_of, make_pack
from lineament.export.quantise import Int8, accuracy, quantise, read_crops
from lineament.packs.graph import load_model
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store
from lineament.train.backbones.port import Backbone
from lineament.train.recipe import Recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, crops: np.ndarray) -> Path:
    made = tmp_path_factory.mktemp("crops")
    for row, crop in enumerate(crops[:24]):
        cv2.imwrite(str(made / f"{row:03d}.png"), crop[..., ::-1])
    return made


def a_list(n: int = 24, folds: int = 2) -> Pairs:
    """Neighbours are called mated, which is as good as any other word here."""
    a = tuple(f"{i:03d}.png" for i in range(n - 2))
    b = tuple(f"{i + 1 + i % 2:03d}.png" for i in range(n - 2))
    mated = np.arange(n - 2) % 2 == 0
    return Pairs("neighbours", a, b, mated, (np.arange(n - 2) // 2 % folds).astype(np.int32))


def test_a_pack_in_8_bits(
    make_small: Callable[..., Backbone],
    recipe: Recipe,
    exported: Exported,
    crops: np.ndarray,
    folder: Path,
    tmp_path: Path,
    store: Store,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pictures = open_pictures(folder)
    wanted = Wanted(
        name="mine",
        step=1200,
        licence=licence_of(),
        detector="none",
        int8=Int8(crops, "portraits", a_list(), pictures),
        store=store,
    )
    made = make_pack(make_small(), recipe, tmp_path / "p", wanted)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == [
        "card.json",
        "iresnet18_int8.onnx",
        "training",
    ]
    kinds = {n.op_type for n in load_model(tmp_path / "p" / made.network.file).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv", "Gemm"} <= kinds
    size, before = ((m.folder / m.network.file).stat().st_size for m in (made, exported))
    assert size < 0.4 * before

    change = made.change
    assert change is not None
    assert (change.calibration, change.held_out) == (48, 48)
    assert 0.95 < change.median < 0.999999 and -1 <= change.worst <= change.median
    assert change.pairs == "neighbours" and change.before is not None and change.after is not None
    assert 0 <= change.before[0] <= 1 and change.before[1] >= 0
    card = open_pack(tmp_path / "p").card
    notes = "\n".join(card.notes)
    assert f"{change.median:.4f} in the median" in notes and "48 other crops" in notes
    assert f"{change.before[0]:.2%}" in notes and "thresholds of the float32 network are not for it" in notes
    assert made.embedder().model != exported.embedder().model
    assert made.parity.holds and card.thresholds == ()

    # The figures are those of the files.
    a, b = (m.embedder().raw(crops[48:]) for m in (exported, made))
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert np.median(cosine) == pytest.approx(change.median, abs=1e-5)
    assert cosine.min() == pytest.approx(change.worst, abs=1e-5)
    assert accuracy(exported.embedder(), a_list(), pictures).mean == change.before[0]


def test_another_network_is_refused(exported: Exported, crops: np.ndarray, tmp_path: Path) -> None:
    """Calibrated on black pictures, activations have no range."""
    (tmp_path / exported.network.file).write_bytes((exported.folder / exported.network.file).read_bytes())
    black = crops.copy()
    black[:48] = 128
    with pytest.raises(ExportFailed, match="another network"):
        quantise(
            tmp_path, exported.network, Int8(black, "black"), lambda card: embedder_of(tmp_path, card, "x")
        )


@pytest.mark.parametrize("count", [0, module.FEWEST_CROPS - 1])
def test_too_few_crops(exported: Exported, crops: np.ndarray, count: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="too few"):
        quantise(tmp_path, exported.network, Int8(crops[:count], "few"), lambda card: exported.embedder())


def test_pairs_without_folds_or_pictures(
    exported: Exported, crops: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    listed = a_list()
    bare = Pairs("bare", listed.a, listed.b, listed.mated)
    with pytest.raises(DatasetInvalid, match="no folds"):
        quantise(
            tmp_path,
            exported.network,
            Int8(crops, "c", bare, open_pictures(folder)),
            lambda card: exported.embedder(),
        )
    with pytest.raises(InvalidArgument, match="give both or neither"):
        quantise(tmp_path, exported.network, Int8(crops, "c", listed), lambda card: exported.embedder())


def test_a_missing_picture_is_a_rejected_pair(exported: Exported, folder: Path) -> None:
    listed = a_list()
    gone = tuple("no such" if i % 6 == 0 else name for i, name in enumerate(listed.a))
    some = Pairs("gone", gone, listed.b, listed.mated, listed.fold)
    for number, fold in enumerate(accuracy(exported.embedder(), some, open_pictures(folder)).accuracies):
        rows = listed.fold == number
        # Every sixth pair is mated and cannot be accepted.
        lost = sum(rows[i] for i in range(0, len(listed), 6))
        assert fold <= 1 - lost / rows.sum()


def test_reading_crops(folder: Path, crops: np.ndarray, tmp_path: Path) -> None:
    pictures = open_pictures(folder)
    read = read_crops(pictures, 112, 10)
    assert read.shape == (10, 112, 112, 3)
    np.testing.assert_array_equal(read, read_crops(pictures, 112, 10))
    assert all(any(np.array_equal(r, c) for c in crops[:24]) for r in read)
    with pytest.raises(DatasetInvalid, match="align the faces first"):
        read_crops(pictures, 128)
