"""What is trained on: every form of data, exclusions, sub-selections, held-out persons."""

import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineament.core.errors import DatasetInvalid, InvalidArgument, RecipeInvalid
from lineament.datasets.recordio import Record
from lineament.datasets.recordio_write import RecordWriter, write_recordio
from lineament.train.examples import Examples, Store, open_examples, split_held_out
from lineament.train.recipe import Data

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "recordio"
PERSONS = {"Ada": 3, "Bo": 1, "Cy": 2, "Di": 4}


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path, jpeg: bytes) -> Path:
    """Four persons; every file ends in its own name, so that it can be told what was read."""
    for person, count in PERSONS.items():
        for n in range(count):
            path = tmp_path / "people" / person / f"{n}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg + f"{person}/{n}.jpg".encode())
    return tmp_path / "people"


def as_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for path in sorted(folder.rglob("*.jpg")):
            archive.write(path, path.relative_to(folder))
    return folder.with_suffix(".zip")


def as_tar(folder: Path) -> Path:
    with tarfile.open(folder.with_suffix(".tar"), "w") as archive:
        archive.add(folder, ".")
    return folder.with_suffix(".tar")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_one_folder_per_person_in_every_packing(folder: Path, jpeg: bytes, kind: str) -> None:
    path = {"folder": lambda f: f, "zip": as_zip, "tar": as_tar}[kind](folder)
    with closing(open_examples(Data(path=str(path)))) as found:
        assert found.classes == ("Ada", "Bo", "Cy", "Di")
        assert found.labels.tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 3, 3]
        assert found.labels.dtype == np.int64
        assert len(found) == 10 and "10 pictures of 4 persons" in found.describe()
        for row in range(10):
            assert found.read(row) == jpeg + found.name(row).encode()
        with closing(open_examples(Data(path=str(folder)))) as other:
            assert found.digest == other.digest


def test_the_digest_is_of_names_and_labels(folder: Path) -> None:
    def digest() -> str:
        with closing(open_examples(Data(path=str(folder)))) as found:
            return found.digest

    before = digest()
    (folder / "Ada" / "0.jpg").write_bytes((folder / "Ada" / "0.jpg").read_bytes() + b"x")
    assert digest() == before
    (folder / "Ada" / "0.jpg").rename(folder / "Ada" / "9.jpg")
    assert (renamed := digest()) != before
    (folder / "Ada").rename(folder / "Adb")
    assert digest() not in (before, renamed)


def test_recordio_of_mxnet(tmp_path: Path) -> None:
    with closing(open_examples(Data(path=str(FIXTURES)))) as found:
        assert found.classes == ("0", "1", "2") and not found.remarks
        assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert [found.name(0), found.name(11)] == ["0/1", "2/12"]
        assert found.read(3)[:2] == b"\xff\xd8" and len(found.read(3)) == 4442
        with closing(open_examples(Data(path=str(FIXTURES / "train.rec")))) as other:
            assert other.digest == found.digest
    (tmp_path / "train.rec").write_bytes((FIXTURES / "train.rec").read_bytes())
    with closing(open_examples(Data(path=str(tmp_path)))) as rebuilt:
        assert rebuilt.digest == found.digest
        assert "has no .idx: 16 records" in rebuilt.remarks[0]


def test_numbers_with_gaps_are_made_dense_and_keep_their_names(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "train.rec") as writer:
        for key, label in enumerate((30, 4, 30, 100)):
            writer.write(key, Record(0, np.array([label], np.float32), key, 0, b"x"))
    with closing(open_examples(Data(path=str(tmp_path)))) as found:
        assert found.classes == ("4", "30", "100") and found.labels.tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize("label", [-1.0, 1.5, np.nan, np.inf])
def test_labels_that_are_no_numbers_of_persons_are_refused(tmp_path: Path, label: float) -> None:
    with RecordWriter(tmp_path / "train.rec") as writer:
        writer.write(0, Record(0, np.zeros(1, np.float32), 0, 0, b"x"))
        writer.write(1, Record(0, np.array([label], np.float32), 1, 0, b"x"))
    with pytest.raises(DatasetInvalid, match="byte 36: the label of key 1 is"):
        open_examples(Data(path=str(tmp_path)))


def test_webdataset_and_its_shards(tmp_path: Path, jpeg: bytes) -> None:
    for shard in range(2):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as archive:
            for n in range(6):
                for suffix, content in (("jpg", jpeg), ("cls", str((2, 10, 9)[n % 3]).encode())):
                    info = tarfile.TarInfo(f"{shard}{n:03d}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    with closing(open_examples(Data(path=str(tmp_path)))) as found:
        assert found.classes == ("2", "9", "10") and found.labels.tolist() == [0, 2, 1] * 4
    with closing(open_examples(Data(path=str(tmp_path / "1.tar")))) as found:
        assert len(found) == 6 and found.read(5) == jpeg and found.name(0) == "1000.jpg"


def test_paths_are_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", str(folder.parent))
    monkeypatch.setenv("HOME", str(folder.parent))
    (folder.parent / "out.txt").write_text("Bo\n")
    for place in ("~", "$WHERE", "${WHERE}"):
        with closing(open_examples(Data(path=f"{place}/people", exclude=f"{place}/out.txt"))) as found:
            assert found.classes == ("Ada", "Cy", "Di")


def test_persons_and_pictures_are_left_out(folder: Path) -> None:
    out = folder.parent / "out.csv"
    out.write_text("name,reason\nCy,twin\nDi/1.jpg,blurred\nAda\\2.jpg,\nnobody,\n")
    with closing(open_examples(Data(path=str(folder), exclude=str(out)))) as found:
        assert found.classes == ("Ada", "Bo", "Di") and found.labels.tolist() == [0, 0, 1, 2, 2, 2]
        assert [found.name(row) for row in (1, 3, 4)] == ["Ada/1.jpg", "Di/0.jpg", "Di/2.jpg"]
        assert "4 pictures are left out" in found.remarks[0]
        assert "1 of 4 entries" in found.remarks[1] and "'nobody'" in found.remarks[1]
    with closing(open_examples(Data(path=str(folder), exclude=str(out), fewest=2))) as found:
        assert found.classes == ("Ada", "Di") and len(found.remarks) == 3


def test_in_recordio_a_number_is_a_person_and_a_path_a_picture(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("1\n2/12\n1/12\n5\nx/1/2\n2/999\n")
    with closing(open_examples(Data(path=str(FIXTURES), exclude=str(out)))) as found:
        assert [found.name(row) for row in range(len(found))] == [
            *(f"0/{key}" for key in range(1, 5)),
            *(f"2/{key}" for key in range(9, 12)),
        ]
        assert "4 of 6 entries" in found.remarks[-1]


def test_fewest(folder: Path) -> None:
    with closing(open_examples(Data(path=str(folder), fewest=2))) as found:
        assert found.classes == ("Ada", "Cy", "Di") and found.labels.max() == 2
        assert found.remarks == ("1 of 4 persons have fewer than 2 pictures and are left out",)
    for fewest, why in ((4, "at least 2 persons"), (9, "nobody has 9")):
        with pytest.raises(DatasetInvalid, match=why):
            open_examples(Data(path=str(folder), fewest=fewest))


def test_a_selection_is_numbered_anew(folder: Path, jpeg: bytes) -> None:
    with closing(open_examples(Data(path=str(folder)))) as found:
        part = found.take(np.array([9, 0, 8]))
        assert part.classes == ("Ada", "Di") and part.labels.tolist() == [1, 0, 1]
        assert part.name(0) == "Di/3.jpg" and part.read(1) == jpeg + b"Ada/0.jpg"
        again = part.take(np.array([2]))
        assert again.name(0) == "Di/2.jpg" and again.classes == ("Di",) and again.digest != part.digest
        with pytest.raises(DatasetInvalid, match="no picture is left"):
            part.take(np.array([], np.int64))
        with pytest.raises(ValueError, match="read-only"):
            found.labels[0] = 1


def test_what_cannot_be_trained_on(tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.jpg").write_bytes(jpeg)
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b\x08" + bytes(600))
    (tmp_path / "empty").mkdir()
    for name, why in (
        ("none", "cannot read .*data.path"),
        ("one.jpg", "none of what can be trained on"),
        ("a.tar.gz", "a.tar.gz: the file is compressed with gzip"),
        ("empty", "no photograph"),
    ):
        with pytest.raises(DatasetInvalid, match=why):
            open_examples(Data(path=str(tmp_path / name)))
    for data, why in (
        (Data(), "data.path is empty"),
        (Data(path="x", fewest=0), "data.fewest = 0"),
        (Data(path="x", up=0), "data.up = 0"),
    ):
        with pytest.raises(RecipeInvalid, match=why):
            open_examples(data)


def test_threads_read_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    persons = [[rng.bytes(50 + n) for _ in range(5)] for n in range(20)]
    write_recordio(tmp_path, persons)
    wanted = [content for pictures in persons for content in pictures]
    with closing(open_examples(Data(path=str(tmp_path)))) as found, ThreadPoolExecutor(4) as pool:
        rows = rng.integers(100, size=1000).tolist()
        assert list(pool.map(found.read, rows)) == [wanted[row] for row in rows]


@pytest.fixture
def forty(tmp_path: Path) -> Path:
    write_recordio(tmp_path / "forty", [[bytes([n])] * (1 + n % 4) for n in range(40)])
    return tmp_path / "forty"


def test_persons_are_held_out_whole(forty: Path) -> None:
    with closing(open_examples(Data(path=str(forty)))) as found:
        train, held = split_held_out(found, 0.25, 7)
        assert len(held.classes) == 10 and len(train.classes) == 30
        assert not set(train.classes) & set(held.classes)
        assert len(train) + len(held) == len(found)
        assert [held.read(row)[0] for row in range(len(held))] == [
            int(held.classes[label]) for label in held.labels
        ]
        again = split_held_out(found, 0.25, 7)
        assert (again[0].digest, again[1].digest) == (train.digest, held.digest)
        assert split_held_out(found, 0.25, 8)[1].classes != held.classes


def test_who_is_held_out_does_not_depend_on_the_order(forty: Path) -> None:
    with closing(open_examples(Data(path=str(forty)))) as found:
        turned = found.take(np.arange(len(found))[::-1])
        names = set(split_held_out(found, 0.25, 7)[1].classes)
        assert set(split_held_out(turned, 0.25, 7)[1].classes) == names
        fewer = found.take(np.flatnonzero(found.labels != int(min(set(found.classes) - names))))
        assert len(names & set(split_held_out(fewer, 0.25, 7)[1].classes)) >= 9


def test_a_split_that_cannot_serve_is_refused(folder: Path) -> None:
    with closing(open_examples(Data(path=str(folder)))) as found:
        for share in (0.01, 0.25, 0.9):
            with pytest.raises(DatasetInvalid, match=r"data\.held_out"):
                split_held_out(found, share, 0)
        for share in (0.0, 1.0, float("nan")):
            with pytest.raises(InvalidArgument):
                split_held_out(found, share, 0)


def test_the_parts_keep_their_promise(folder: Path) -> None:
    with closing(open_examples(Data(path=str(folder)))) as found:
        assert isinstance(found, Examples) and isinstance(found._store, Store)


@pytest.mark.real
def test_cfp(shared: Path) -> None:
    path = shared / "data" / "cfp" / "cfp112.zip"
    if not path.is_file():
        pytest.skip(f"needs {os.fspath(path)}")
    with closing(open_examples(Data(path=str(path), up=2))) as found:
        assert len(found.classes) == 500 and len(found) == 6996
        train, held = split_held_out(found, 0.1, 0)
        assert len(held.classes) == 50 and len(train.classes) == 450


def test_numbered_persons_have_the_names_that_lie_beside_the_records(tmp_path: Path, jpeg: bytes) -> None:
    write_recordio(tmp_path / "r", [[jpeg, jpeg], [jpeg]])
    (tmp_path / "r" / "classes.txt").write_text("Ada\nBo\n", "utf-8")
    with closing(open_examples(Data(path=str(tmp_path / "r")))) as found:
        assert found.classes == ("Ada", "Bo")
        assert found.name(2) == "1/3"
    (tmp_path / "r" / "classes.txt").write_text("Ada\n", "utf-8")
    with pytest.raises(DatasetInvalid, match="names 1 persons"):
        open_examples(Data(path=str(tmp_path / "r")))


def test_a_name_may_hold_what_some_take_for_the_end_of_a_line(tmp_path: Path, jpeg: bytes) -> None:
    names = ["x\u2028y", "z\x85", "last"]
    write_recordio(tmp_path / "r", [[jpeg], [jpeg], [jpeg]])
    (tmp_path / "r" / "classes.txt").write_text("\n".join(names) + "\n", "utf-8")
    with closing(open_examples(Data(path=str(tmp_path / "r")))) as found:
        assert found.classes == tuple(names)
