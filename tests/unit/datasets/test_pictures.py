"""Sets of pictures: folders and zips, honest and hostile."""

import struct
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineament.core.errors import DatasetInvalid, ImageEmpty, ImageError, ImageNotFound, ImageTooLarge
from lineament.datasets import zipped as zipped_module
from lineament.datasets.pictures import FolderPictures, Pictures, ZipPictures, open_pictures

Zipper = Callable[..., Path]
Writer = Callable[[str, str | bytes], Path]


def test_a_folder_is_looked_through_by_suffix_and_by_content(
    tmp_path: Path, written: Writer, jpegs: list[bytes], png: bytes
) -> None:
    written("b/2.JPG", jpegs[0])
    written("b/1.jpg", jpegs[1])
    written("a.png", png)
    written("b/no_suffix", jpegs[2])
    written("b/notes.txt", "not a picture")
    written(".hidden.jpg", jpegs[3])
    written(".git/x.jpg", jpegs[3])
    written("__MACOSX/b/._1.jpg", b"x")
    pictures = open_pictures(tmp_path)
    assert isinstance(pictures, Pictures)
    assert list(pictures.names) == ["a.png", "b/1.jpg", "b/2.JPG", "b/no_suffix"]
    assert pictures.read("b/no_suffix") == jpegs[2]
    assert "4" in pictures.describe()
    pictures.close()


def test_a_folder_reads_only_what_it_lists(tmp_path: Path, written: Writer, jpegs: list[bytes]) -> None:
    written("outside.jpg", jpegs[0])
    written("in/x.jpg", jpegs[1])
    pictures = FolderPictures(tmp_path / "in")
    with pytest.raises(ImageNotFound, match=r"\.\./outside\.jpg"):
        pictures.read("../outside.jpg")


def test_pictures_that_cannot_be_read_keep_their_names(tmp_path: Path, written: Writer) -> None:
    written("empty.jpg", b"")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    pictures = FolderPictures(tmp_path)
    assert list(pictures.names) == ["empty.jpg", "gone.jpg"]
    with pytest.raises(ImageEmpty):
        pictures.read("empty.jpg")
    with pytest.raises(ImageNotFound):
        pictures.read("gone.jpg")


def test_what_is_no_set_of_pictures_says_so(tmp_path: Path, written: Writer, jpegs: list[bytes]) -> None:
    with pytest.raises(DatasetInvalid, match="no photograph under"):
        open_pictures(tmp_path)
    with pytest.raises(DatasetInvalid, match="is one picture"):
        open_pictures(written("x.jpg", jpegs[0]))
    with pytest.raises(DatasetInvalid, match="none of these"):
        open_pictures(written("x.txt", "hello"))
    with pytest.raises(DatasetInvalid, match="cannot read"):
        open_pictures(tmp_path / "nowhere")


def test_a_zip_is_read_without_unpacking(
    tmp_path: Path, zipped: Zipper, jpegs: list[bytes], png: bytes
) -> None:
    path = zipped(
        ("set/Ada/1.jpg", jpegs[0]),
        ("set\\Ada\\2.jpg", jpegs[1]),
        ("./set/Zoë/1.png", png),
        ("set/Ada/odd", jpegs[2]),
        ("set/readme.txt", b"hello"),
        ("__MACOSX/set/Ada/._1.jpg", b"x"),
        ("set/.DS_Store", b"x"),
    )
    before = sorted(tmp_path.rglob("*"))
    pictures = open_pictures(path)
    assert isinstance(pictures, ZipPictures)
    assert list(pictures.names) == ["set/Ada/1.jpg", "set/Ada/2.jpg", "set/Ada/odd", "set/Zoë/1.png"]
    assert pictures.read("set/Ada/2.jpg") == jpegs[1]
    assert pictures.read("set/Zoë/1.png") == png
    with pytest.raises(ImageNotFound):
        pictures.read("set/readme.txt")
    assert "set.zip" in pictures.describe()
    pictures.close()
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ImageError):
        pictures.read("set/Ada/1.jpg")


def test_names_in_utf8_that_nobody_marked_are_read_as_meant(zipped: Zipper, jpegs: list[bytes]) -> None:
    path = zipped(("Zoe/1.jpg", jpegs[0]), ("AAe/1.jpg", jpegs[0]))
    # The two bytes of an e with a diaeresis, as macOS writes them, and the flag for UTF-8 left unset.
    path.write_bytes(path.read_bytes().replace(b"AAe", "Aë".encode()))
    pictures = open_pictures(path)
    assert list(pictures.names) == ["Aë/1.jpg", "Zoe/1.jpg"]
    pictures.close()


@pytest.mark.parametrize(
    "name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "\\x.jpg", "..\\x.jpg", "C:\\x.jpg", "C:/x.jpg"]
)
def test_a_zip_that_points_outside_is_refused_whole(zipped: Zipper, jpegs: list[bytes], name: str) -> None:
    path = zipped(("a.jpg", jpegs[0]), (name, jpegs[0]))
    with pytest.raises(DatasetInvalid, match="outside itself"):
        open_pictures(path)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.zip"
    info = zipfile.ZipInfo("x.jpg")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DatasetInvalid, match="holds a link"):
        open_pictures(path)


def test_two_pictures_of_one_name_are_refused(zipped: Zipper, jpegs: list[bytes]) -> None:
    path = zipped(("a/x.jpg", jpegs[0]), ("a\\x.jpg", jpegs[1]))
    with pytest.raises(DatasetInvalid, match=r"'a/x\.jpg' twice"):
        open_pictures(path)


def test_an_encrypted_zip_is_named_as_such(zipped: Zipper, jpegs: list[bytes]) -> None:
    path = zipped(("x.jpg", jpegs[0]), kind=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DatasetInvalid, match="is encrypted"):
        open_pictures(path)


def test_a_member_over_the_limit_is_left_unread(
    zipped: Zipper, jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipped_module, "MAX_PICTURE_BYTES", 1 << 20)
    path = zipped(("bomb.jpg", bytes((1 << 20) + 1)), ("x.jpg", jpegs[0]))
    assert path.stat().st_size < 1 << 14
    pictures = open_pictures(path)
    with pytest.raises(ImageTooLarge, match=r"bomb\.jpg"):
        pictures.read("bomb.jpg")
    assert pictures.read("x.jpg") == jpegs[0]
    pictures.close()


@pytest.mark.parametrize("announced", [10, 1 << 19])
def test_a_member_that_lies_about_its_size_is_refused(
    zipped: Zipper, announced: int, jpegs: list[bytes]
) -> None:
    path = zipped(("bomb.jpg", bytes(1 << 18)), ("x.jpg", jpegs[0]))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(mark) + offset, announced)
    path.write_bytes(data)
    pictures = open_pictures(path)
    with pytest.raises(ImageError, match=r"bomb\.jpg"):
        pictures.read("bomb.jpg")
    pictures.close()


def test_a_damaged_zip_says_so(zipped: Zipper, jpegs: list[bytes], written: Writer) -> None:
    path = zipped(("x.jpg", jpegs[0]), kind=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    pictures = open_pictures(path)
    with pytest.raises(ImageError, match="CRC"):
        pictures.read("x.jpg")
    pictures.close()
    with pytest.raises(DatasetInvalid, match="not a readable zip"):
        ZipPictures(written("cut.zip", bytes(data[:-30])))
    with pytest.raises(DatasetInvalid, match="no picture in"):
        open_pictures(zipped(("a.txt", b"x"), name="text.zip"))


def test_an_empty_member_is_named(zipped: Zipper) -> None:
    pictures = open_pictures(zipped(("x.jpg", b"")))
    with pytest.raises(ImageEmpty):
        pictures.read("x.jpg")
    pictures.close()


def test_many_threads_may_read_at_once(zipped: Zipper) -> None:
    contents = {f"{i:03d}.jpg": b"\xff\xd8" + bytes([i]) * (3000 + 17 * i) for i in range(64)}
    pictures = open_pictures(zipped(*contents.items()))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(pictures.read, contents)) == list(contents.values())
    pictures.close()


def test_a_stamp_changes_with_the_picture(tmp_path: Path, jpegs: list[bytes]) -> None:
    for kind in ("folder", "zip"):
        stamps = []
        for data in (jpegs[0], jpegs[0], jpegs[1]):
            if kind == "folder":
                place = tmp_path / "in"
                place.mkdir(exist_ok=True)
                if not (place / "x.jpg").exists() or (place / "x.jpg").read_bytes() != data:
                    (place / "x.jpg").write_bytes(data)
            else:
                place = tmp_path / "in.zip"
                with zipfile.ZipFile(place, "w") as archive:
                    archive.writestr("x.jpg", data)
            pictures = open_pictures(place)
            stamps.append(pictures.stamp("x.jpg"))
            assert pictures.stamp("none.jpg") == ""
            pictures.close()
        assert stamps[0] == stamps[1] != stamps[2]
