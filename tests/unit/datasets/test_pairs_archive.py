"""Our own file of pairs and pictures: what goes in comes out, and nothing else does."""

import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, ImageError, ImageNotFound, OutputFailed
from lineament.datasets.bin_pairs import read_bin, read_pairs_archive, write_pairs_archive
from lineament.datasets.pairs import Pairs
from lineament.datasets.pictures import FolderPictures, open_pictures

Writer = Callable[[str, str | bytes], Path]


@pytest.fixture
def folder(tmp_path: Path, written: Writer, jpegs: list[bytes]) -> FolderPictures:
    """Four pictures of two people and one that no pair names."""
    for number, name in enumerate(("p/1", "p/2", "q/1", "Zoë/1", "unused")):
        written(f"in/{name}.jpg", jpegs[number])
    return FolderPictures(tmp_path / "in")


def listed(**changes: Any) -> Pairs:
    """Two pairs with folds and persons."""
    fields: dict[str, Any] = {
        "name": "two pairs",
        "a": ("p/1.jpg", "p/1.jpg"),
        "b": ("p/2.jpg", "Zoë/1.jpg"),
        "mated": np.array([True, False]),
        "fold": np.array([1, 2], dtype=np.int32),
        "subject_a": ("p", "p"),
        "subject_b": ("p", "Zoë"),
    }
    return Pairs(**{**fields, **changes})


@pytest.mark.parametrize("bare", [False, True])
def test_there_and_back(tmp_path: Path, folder: FolderPictures, jpegs: list[bytes], bare: bool) -> None:
    pairs = listed(**({"fold": None, "subject_a": None, "subject_b": None} if bare else {}))
    path = tmp_path / "x.lnpairs"
    write_pairs_archive(path, pairs, folder)
    again, pictures = read_pairs_archive(path)
    assert again.digest == pairs.digest
    assert (again.name, again.a, again.b) == ("two pairs", pairs.a, pairs.b)
    assert (again.subject_a, again.subject_b) == (pairs.subject_a, pairs.subject_b)
    assert (again.fold is None) == bare
    assert list(pictures.names) == sorted(["p/1.jpg", "p/2.jpg", "Zoë/1.jpg"])
    assert [pictures.read(name) for name in ("p/1.jpg", "p/2.jpg", "Zoë/1.jpg")] == [
        jpegs[0],
        jpegs[1],
        jpegs[3],
    ]
    with pytest.raises(ImageNotFound):
        pictures.read("unused.jpg")
    pictures.close()
    opened = open_pictures(path)
    assert list(opened.names) == list(pictures.names)
    opened.close()


def test_the_same_content_gives_the_same_file(tmp_path: Path, folder: FolderPictures) -> None:
    for name in ("1.lnpairs", "2.lnpairs"):
        write_pairs_archive(tmp_path / name, listed(), folder)
    assert (tmp_path / "1.lnpairs").read_bytes() == (tmp_path / "2.lnpairs").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.lnpairs") as archive:
        body = json.loads(archive.read("pairs.json"))
    assert body["schema"] == 1
    assert body["pictures"]["p/1.jpg"] == hashlib.sha256(folder.read("p/1.jpg")).hexdigest()


def test_a_pair_file_can_be_kept_safely(tmp_path: Path, written: Writer, jpegs: list[bytes]) -> None:
    pairs, pictures = read_bin(written("set.bin", pickle.dumps((jpegs, [True, False, True]))))
    write_pairs_archive(tmp_path / "set.lnpairs", pairs, pictures)
    pictures.close()
    again, safe = read_pairs_archive(tmp_path / "set.lnpairs")
    assert again.digest == pairs.digest
    assert [safe.read(name) for name in safe.names] == jpegs
    safe.close()


def test_missing_pictures_are_listed_and_others_matched(tmp_path: Path, folder: FolderPictures) -> None:
    pairs = listed(a=("p/1.png", "p/1.png"), b=("p/2", "gone/1.jpg"))
    write_pairs_archive(tmp_path / "x.lnpairs", pairs, folder)
    again, pictures = read_pairs_archive(tmp_path / "x.lnpairs")
    assert again.b == ("p/2", "gone/1.jpg")
    assert list(pictures.names) == ["p/1.png", "p/2"]
    with pytest.raises(ImageNotFound):
        pictures.read("gone/1.jpg")
    pictures.close()


def test_an_archive_without_pictures_is_not_written(tmp_path: Path, folder: FolderPictures) -> None:
    with pytest.raises(DatasetInvalid, match="none of the pictures"):
        write_pairs_archive(tmp_path / "x.lnpairs", listed(a=("x", "x"), b=("y", "z")), folder)
    with pytest.raises(OutputFailed):
        write_pairs_archive(tmp_path / "nowhere" / "x.lnpairs", listed(), folder)
    assert not (tmp_path / "x.lnpairs").exists()


@pytest.mark.parametrize(
    "name", ["../p/1.jpg", "/p/1.jpg", "a/../p/1.jpg", "C:/p/1.jpg", "p//1.jpg", "\udcff.jpg"]
)
def test_names_that_lead_outside_are_not_written(tmp_path: Path, folder: FolderPictures, name: str) -> None:
    with pytest.raises(DatasetInvalid, match=r"outside itself|cannot be a name"):
        write_pairs_archive(tmp_path / "x.lnpairs", listed(a=("p/1.jpg", name)), folder)
    assert not (tmp_path / "x.lnpairs").exists()


def test_a_picture_that_fails_leaves_the_old_file(tmp_path: Path, folder: FolderPictures) -> None:
    path = tmp_path / "x.lnpairs"
    path.write_bytes(b"old")
    (tmp_path / "in" / "p" / "2.jpg").unlink()
    with pytest.raises(ImageNotFound):
        write_pairs_archive(path, listed(), folder)
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x.lnpairs"]


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The same archive with changed members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def body_changed(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    """A change of the listing."""

    def apply(members: dict[str, bytes]) -> None:
        body = json.loads(members["pairs.json"])
        change(body)
        members["pairs.json"] = json.dumps(body).encode()

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("pairs.json"), r"holds no pairs\.json"),
        (lambda m: m.update({"pairs.json": b"{"}), "is not JSON"),
        (lambda m: m.update({"pairs.json": b"\xff"}), "is not JSON"),
        (lambda m: m.update({"pairs.json": b"[" * 100_000}), "is not JSON"),
        (lambda m: m.update({"pairs.json": b"[]"}), "not the listing"),
        (lambda m: m.update({"extra.txt": b"x"}), r"'extra\.txt'"),
        (lambda m: m.update({"pictures/extra.jpg": b"x"}), r"'pictures/extra\.jpg'"),
        (lambda m: m.pop("pictures/p/1.jpg"), r"'pictures/p/1\.jpg'"),
        (lambda m: m.update({"../evil.jpg": b"x"}), "outside itself"),
        (lambda m: m.update({"pictures\\p\\1.jpg": b"x"}), "twice"),
        (body_changed(lambda b: b.update(schema=2)), "schema 2 and this version reads 1"),
        (body_changed(lambda b: b.update(format="x")), "not the listing"),
        (
            body_changed(lambda b: b["pairs"].update(mated=[True, True])),
            "not hold the pairs that were written",
        ),
        (body_changed(lambda b: b["pairs"].update(mated=[1, 0])), "'mated' is not a list of bool"),
        (body_changed(lambda b: b["pairs"].update(fold=[1, 2.5])), "'fold' is not a list of int"),
        (body_changed(lambda b: b["pairs"].update(fold=[1, 2**40])), "not laid out"),
        (body_changed(lambda b: b["pairs"].update(a="pp")), "'a' is not a list of str"),
        (body_changed(lambda b: b["pairs"].update(a=None)), "'a' is not a list of str"),
        (body_changed(lambda b: b["pairs"].pop("a")), "not laid out"),
        (body_changed(lambda b: b["pairs"].update(b=["x"])), "different lengths"),
        (body_changed(lambda b: b.update(missing=["p/1.jpg"])), "lists other pictures than its pairs name"),
        (body_changed(lambda b: b.pop("digest")), "not hold the pairs"),
        (body_changed(lambda b: b.update(pictures=[])), "not laid out"),
    ],
)
def test_a_changed_archive_is_refused(
    tmp_path: Path, folder: FolderPictures, change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    path = tmp_path / "x.lnpairs"
    write_pairs_archive(path, listed(), folder)
    rewritten(path, change)
    with pytest.raises(DatasetInvalid, match=message):
        read_pairs_archive(path)


def test_another_picture_in_the_place_of_one_is_refused(
    tmp_path: Path, folder: FolderPictures, jpegs: list[bytes]
) -> None:
    path = tmp_path / "x.lnpairs"
    write_pairs_archive(path, listed(), folder)
    rewritten(path, lambda members: members.update({"pictures/p/2.jpg": jpegs[5]}))
    _, pictures = read_pairs_archive(path)
    assert pictures.read("p/1.jpg") == jpegs[0]
    with pytest.raises(ImageError, match="not the picture that was written"):
        pictures.read("p/2.jpg")
    pictures.close()


def test_many_threads_may_read_at_once(tmp_path: Path, folder: FolderPictures, jpegs: list[bytes]) -> None:
    write_pairs_archive(tmp_path / "x.lnpairs", listed(), folder)
    _, pictures = read_pairs_archive(tmp_path / "x.lnpairs")
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(pictures.read, ["p/1.jpg", "p/2.jpg"] * 50))
    assert read == [jpegs[0], jpegs[1]] * 50
    pictures.close()
