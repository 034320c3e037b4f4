"""Splits for open-set search, as JSON and as MATLAB's file."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from lineament.core.errors import DatasetInvalid
from lineament.datasets.blufr import Split, read_blufr

Writer = Callable[[str, str | bytes], Path]
SPLIT = {"train": ["t\\1", "t/2"], "gallery": ["p/1"], "probe_mated": ["p/2"], "probe_nonmated": ["q/1"]}


@pytest.mark.parametrize("packed", [False, True])
def test_json(written: Writer, packed: bool) -> None:
    data = json.dumps({"split1": SPLIT, "split2": {**SPLIT, "train": []}}).encode()
    splits = read_blufr(written("x.json.gz" if packed else "x.json", gzip.compress(data) if packed else data))
    assert splits[0] == Split("split1", ("t/1", "t/2"), ("p/1",), ("p/2",), ("q/1",))
    assert [split.name for split in splits] == ["split1", "split2"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "holds no split"),
        ([], "not an object of splits"),
        ({"s": {**SPLIT, "gallery": ["t/2"]}}, "s: 't/2' listed twice"),
        ({"s": {**SPLIT, "gallery": []}}, "s: the list 'gallery' is empty"),
        ({"s": {**SPLIT, "gallery": "p/1"}}, "s: 'gallery' is not a list of names"),
        ({"s": {**SPLIT, "gallery": [1]}}, "s: 'gallery' is not a list of names"),
        ({"s": {"train": []}}, "s: 'gallery' is not a list of names"),
        ({"s": []}, "s: 'train' is not a list of names"),
    ],
)
def test_broken_json(written: Writer, body: Any, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_blufr(written("x.json", json.dumps(body)))


def test_what_is_no_json(tmp_path: Path, written: Writer) -> None:
    data = gzip.compress(json.dumps({"s": SPLIT}).encode())
    for content in (b"{", b"", b"[" * 100_000, data[:-9], data[:20] + b"x" + data[21:]):
        with pytest.raises(DatasetInvalid, match="is not JSON"):
            read_blufr(written("x.json.gz", content))
    with pytest.raises(DatasetInvalid, match="cannot read"):
        read_blufr(tmp_path / "nowhere.json")


NAMES = ["A_0001.jpg", "A_0002.jpg", "B_0001.jpg", "C_0001.jpg", "D_0001.jpg", "D_0002.jpg"]


def cells(*contents: Any) -> np.ndarray:
    """A column of MATLAB's cells."""
    column = np.empty((len(contents), 1), dtype=object)
    for number, content in enumerate(contents):
        column[number, 0] = content
    return column


def configuration(**changes: Any) -> dict[str, Any]:
    """Six pictures of four people in two splits, counted from 1 as MATLAB does."""
    column = lambda *numbers: np.array(numbers, dtype=np.float64)[:, None]  # noqa: E731
    return {
        "imageList": cells(*NAMES),
        "labels": column(1, 1, 2, 3, 4, 4),
        "trainIndex": cells(column(5, 6), column(1, 2)),
        "testIndex": cells(column(1, 2, 3, 4), column(3, 4, 5, 6)),
        "galIndex": cells(column(1), column(6)),
        "probIndex": cells(column(2, 3, 4), column(3, 5, 4)),
        **changes,
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "blufr_lfw_config.mat"
    savemat(path, configuration(), do_compression=compressed)
    one, other = read_blufr(path)
    strangers = ("B_0001.jpg", "C_0001.jpg")
    assert one == Split("split1", ("D_0001.jpg", "D_0002.jpg"), ("A_0001.jpg",), ("A_0002.jpg",), strangers)
    assert other == Split("split2", ("A_0001.jpg", "A_0002.jpg"), ("D_0002.jpg",), ("D_0001.jpg",), strangers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"galIndex": cells(np.array([[0]]), np.array([[6]]))}, "'galIndex' has an index outside of 1 to 6"),
        ({"galIndex": cells(np.array([[7]]), np.array([[6]]))}, "'galIndex' has an index outside of 1 to 6"),
        ({"galIndex": cells(np.array([[1.5]]), np.array([[6]]))}, "'galIndex' has an index outside"),
        ({"galIndex": cells(np.zeros((0, 0)), np.array([[6]]))}, "a split that is not a list of indices"),
        ({"galIndex": cells(np.array([[1]]))}, "different numbers of splits"),
        ({"galIndex": np.array([[1.0]])}, "'galIndex' is not a cell array"),
        ({"galIndex": cells(np.array([[2]]), np.array([[6]]))}, r"split1: 'A_0002\.jpg' listed twice"),
        ({"labels": np.array([[1.0]])}, "1 labels for 6 pictures"),
    ],
)
def test_broken_matlab(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "x.mat"
    savemat(path, configuration(**changes))
    with pytest.raises(DatasetInvalid, match=message):
        read_blufr(path)


def test_what_is_no_configuration(tmp_path: Path, written: Writer) -> None:
    savemat(tmp_path / "x.mat", {"labels": np.array([[1.0]])})
    with pytest.raises(
        DatasetInvalid, match="no variable 'imageList', 'trainIndex', 'galIndex', 'probIndex'"
    ):
        read_blufr(tmp_path / "x.mat")
    savemat(tmp_path / "y.mat", configuration(), do_compression=True)
    data = (tmp_path / "y.mat").read_bytes()
    for content in (b"hello", b"", data[:200], data[:300] + b"\x00" * 40 + data[340:]):
        with pytest.raises(DatasetInvalid, match=r"not a MATLAB file|no variable"):
            read_blufr(written("z.mat", content))
    version = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"
    with pytest.raises(DatasetInvalid, match="save it with -v7"):
        read_blufr(written("new.mat", version + bytes(600)))
