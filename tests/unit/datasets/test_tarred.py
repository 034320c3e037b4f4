"""Tars of pictures: WebDataset's layout, folders, shards, and what is refused."""

import gzip
import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineament.core.errors import DatasetInvalid, ImageEmpty, ImageNotFound
from lineament.datasets.port import Pictures
from lineament.datasets.tarred import TarPictures


def tar(path: Path, *members: tuple[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def packed(tmp_path: Path, jpegs: list[bytes]) -> Path:
    """Three keys; labels as `.cls`, `.json` of a number, `.json` of a name."""
    return tar(
        tmp_path / "set.tar",
        ("000.jpg", jpegs[0]),
        ("000.cls", b"7\n"),
        ("a/001.front.jpg", jpegs[1]),
        ("a/001.json", json.dumps({"label": 12, "other": [1]}).encode()),
        ("002.jpg", jpegs[2]),
        ("002.json", json.dumps({"label": "Ada"}).encode()),
        ("002.txt", b"a note"),
        (".hidden.jpg", jpegs[3]),
    )


def test_keys_join_pictures_and_labels(packed: Path, jpegs: list[bytes]) -> None:
    pictures = TarPictures(packed)
    assert isinstance(pictures, Pictures)
    assert pictures.names == ("000.jpg", "002.jpg", "a/001.front.jpg")
    assert pictures.labels == {"000.jpg": "7", "002.jpg": "Ada", "a/001.front.jpg": "12"}
    assert [pictures.read(n) for n in pictures.names] == [jpegs[0], jpegs[2], jpegs[1]]
    assert pictures.describe() == "set.tar: tar of 3 pictures"
    assert pictures.stamp("000.jpg") != pictures.stamp("002.jpg") != pictures.stamp("none") == ""
    pictures.close()


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_folders_and_long_names(tmp_path: Path, jpegs: list[bytes], kind: int) -> None:
    deep = f"{'p' * 90}/{'q' * 60}/1.jpg"
    # By content too: the last has no suffix.
    made = ((deep, jpegs[0]), ("./Ada/1.jpg", jpegs[1]), ("Ada/2", jpegs[2]), ("Ada/notes", b"not a picture"))
    path = tar(tmp_path / "a.tar", *made, kind=kind)
    pictures = TarPictures(path)
    assert pictures.names == tuple(sorted((deep, "Ada/1.jpg", "Ada/2"))) and not pictures.labels
    assert pictures.read(deep) == jpegs[0] and pictures.read("Ada/2") == jpegs[2]
    pictures.close()


def test_shards_are_one_set(tmp_path: Path, jpegs: list[bytes]) -> None:
    one = tar(tmp_path / "0.tar", ("0.jpg", jpegs[0]), ("0.cls", b"1"))
    two = tar(tmp_path / "1.tar", ("1.jpg", jpegs[1]), ("1.cls", b"2"))
    pictures = TarPictures(one, two)
    assert [pictures.read(n) for n in ("0.jpg", "1.jpg")] == jpegs[:2]
    assert pictures.labels == {"0.jpg": "1", "1.jpg": "2"} and "2 tars of 2" in pictures.describe()
    pictures.close()
    again = tar(tmp_path / "2.tar", ("1.jpg", jpegs[1]), ("1.cls", b"2"))
    with pytest.raises(DatasetInvalid, match=r"'1.jpg', which was there before"):
        TarPictures(one, two, again)


def test_threads_read_at_once(tmp_path: Path, jpegs: list[bytes]) -> None:
    path = tar(tmp_path / "a.tar", *((f"{n}/{n}.jpg", jpegs[n % 6]) for n in range(60)))
    pictures = TarPictures(path)
    names = list(pictures.names) * 20
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(pictures.read, names))
    assert found == [jpegs[int(name.partition("/")[0]) % 6] for name in names]
    pictures.close()


def test_missing_and_empty_pictures(tmp_path: Path, jpegs: list[bytes]) -> None:
    pictures = TarPictures(tar(tmp_path / "a.tar", ("a/1.jpg", b""), ("a/2.jpg", jpegs[0])))
    with pytest.raises(ImageEmpty):
        pictures.read("a/1.jpg")
    with pytest.raises(ImageNotFound):
        pictures.read("a/3.jpg")
    pictures.close()


@pytest.mark.parametrize(
    ("head", "kind"), [(b"\x1f\x8b\x08", "gzip"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\x00", "xz")]
)
def test_compressed_tars_are_refused(tmp_path: Path, packed: Path, head: bytes, kind: str) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(packed.read_bytes()) if kind == "gzip" else head + bytes(600))
    with pytest.raises(DatasetInvalid, match=f"compressed with {kind}.*unpack that layer first"):
        TarPictures(path)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("0.jpg", 0), ("0.cls", b"1"), ("1.jpg", 1)], "1 of 2 pictures have no label.*'1.jpg'"),
        ([("0.jpg", 0), ("0.cls", b"")], "'' is no label"),
        ([("0.jpg", 0), ("0.json", b'{"label": [1]}')], r"\[1\] is no label"),
        ([("0.jpg", 0), ("0.json", b'{"label": true}')], "True is no label"),
        ([("0.jpg", 0), ("0.json", b"{")], "not a label in UTF-8 text"),
        ([("0.jpg", 0), ("0.cls", b"\xff")], "not a label in UTF-8 text"),
        ([("0.jpg", 0), ("0.cls", b"1"), ("0.json", b'{"label": 2}')], "another file of the same key '1'"),
        ([("../0.jpg", 0)], "outside itself"),
        ([("0.txt", b"x")], "no picture"),
        ([("a/0.jpg", 0), ("a/0.jpg", 1)], "there before"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, jpegs: list[bytes], members: list[tuple[str, object]], why: str
) -> None:
    made = [(name, jpegs[c] if isinstance(c, int) else c) for name, c in members]
    path = tar(tmp_path / "a.tar", *made)  # type: ignore[arg-type]  # ints were replaced
    with pytest.raises(DatasetInvalid, match=why):
        TarPictures(path)


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DatasetInvalid, match="holds a link"):
        TarPictures(tmp_path / "a.tar")


def test_tars_cut_off_anywhere_are_refused(tmp_path: Path, packed: Path) -> None:
    data = packed.read_bytes()
    end = len(data.rstrip(b"\0"))
    for size in range(0, end, 509):
        (tmp_path / "b.tar").write_bytes(data[:size])
        with pytest.raises(DatasetInvalid):
            TarPictures(tmp_path / "b.tar")
    # At the border of two members: nothing but the missing end mark shows it.
    begin = data.index(b"002.jpg")
    (tmp_path / "b.tar").write_bytes(data[:begin])
    with pytest.raises(DatasetInvalid, match=f"stops at byte {begin}"):
        TarPictures(tmp_path / "b.tar")


def test_damage_in_the_middle_and_tars_in_a_row_are_refused(tmp_path: Path, packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    at = data.index(b"002.jpg")
    (tmp_path / "b.tar").write_bytes(data + data)
    with pytest.raises(DatasetInvalid, match="several tars"):
        TarPictures(tmp_path / "b.tar")
    data[at + 150] ^= 0xFF
    (tmp_path / "b.tar").write_bytes(data)
    with pytest.raises(DatasetInvalid, match=f"byte {at}: neither"):
        TarPictures(tmp_path / "b.tar")
    (tmp_path / "b.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(DatasetInvalid, match="no tar"):
        TarPictures(tmp_path / "b.tar")
