"""RecordIO: files of real MXNet 1.9.1 (synthetic pictures), what we write, and what is damaged.

`tests/fixtures/recordio` was made with `mxnet.recordio` 1.9.1; `golden.json` is what it reads there.
"""

import hashlib
import json
import shutil
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.core.errors import DatasetInvalid, InvalidArgument, OutputFailed
from lineament.datasets.recordio import MAGIC_BYTES, Record, RecordFile, exact_end, parse, read_index
from lineament.datasets.recordio_write import RecordWriter, in_parts, pack, write_recordio
from lineament.vision.decode import read_image

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "recordio"
GOLDEN: dict[str, Any] = json.loads((FIXTURES / "golden.json").read_text())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """MXNet's file with its index, to be damaged."""
    for name in ("train.rec", "train.idx"):
        shutil.copy(FIXTURES / name, tmp_path / name)
    return tmp_path / "train.rec"


def everything(path: Path) -> list[tuple[int, Record]]:
    file = RecordFile(path)
    found = [(int(key), file.read(row)) for row, key in enumerate(file.keys)]
    file.close()
    return found


@pytest.mark.parametrize("row", range(16))
def test_every_record_is_what_mxnet_reads(row: int) -> None:
    file = RecordFile(FIXTURES / "train.rec")
    wanted, record = GOLDEN["records"][row], file.read(row)
    label = np.ravel(wanted["label"])
    assert (int(file.keys[row]), record.flag, record.id, record.id2) == (
        *(wanted["key"], wanted["flag"], wanted["id"]),
        0,
    )
    np.testing.assert_array_equal(record.label, label.astype(np.float32))
    assert len(record.content) == wanted["nbytes"]
    assert hashlib.sha1(record.content, usedforsecurity=False).hexdigest() == wanted["sha1"]
    assert file.flags[row] == wanted["flag"] and file.labels[row, 0] == label[0]
    assert np.isnan(file.labels[row, 1]) if len(label) == 1 else file.labels[row, 1] == label[1]
    if "rgb_mean" in wanted:
        pixels = read_image(record.content).pixels
        assert list(pixels.shape) == wanted["shape"]
        np.testing.assert_allclose(pixels.mean(axis=(0, 1)), wanted["rgb_mean"], atol=1e-4)
    file.close()


def test_pictures_are_those_that_the_first_record_announces() -> None:
    file = RecordFile(FIXTURES / "train.rec")
    assert file.keys[file.picture_rows()].tolist() == list(range(1, 13))
    file.close()


def test_without_an_announcing_record_all_are_pictures(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        for key in (7, 3, 0):
            writer.write(key, Record(0, np.array([key], np.float32), key, 0, b"x"))
    file = RecordFile(tmp_path / "a.rec")
    assert file.picture_rows().tolist() == [0, 1, 2]
    assert file.rows_of(np.array([0, 3, 7, 8])).tolist() == [2, 1, 0, -1]
    file.close()


def test_magic_words_inside_records_are_put_back(tmp_path: Path) -> None:
    # The four payloads are shorter than a header: read as bytes.
    wanted = [bytes.fromhex(text) for text in GOLDEN["magic_payload_hex"]]
    assert b"".join(in_parts(payload) for payload in wanted) == (FIXTURES / "magic.rec").read_bytes()
    head = Record(0, np.array([5], np.float32), 1, 0, b"")
    with RecordWriter(tmp_path / "m.rec") as writer:
        for key, payload in enumerate(wanted):
            writer.write(key, pack(head) + payload)
    assert [record.content for _, record in everything(tmp_path / "m.rec")] == wanted
    (tmp_path / "m.idx").unlink()
    assert [record.content for _, record in everything(tmp_path / "m.rec")] == wanted


def test_a_header_that_holds_the_magic_word(tmp_path: Path) -> None:
    word = struct.unpack("<I", MAGIC_BYTES)[0]
    label = np.frombuffer(MAGIC_BYTES, "<f4").astype(np.float32)
    records = [Record(0, label, word, word << 32, b"ab"), Record(2, np.array([4, label[0]], "f4"), 0, 0, b"")]
    with RecordWriter(tmp_path / "m.rec") as writer:
        for key, record in enumerate(records):
            writer.write(key, record)
    file = RecordFile(tmp_path / "m.rec")
    first, second = file.read(0), file.read(1)
    assert (first.id, first.id2, first.content) == (word, word << 32, b"ab")
    assert file.flags.tolist() == [0, 2] and file.labels[1].tolist() == [4, label[0]]
    assert file.labels[0, 0] == first.label[0] == label[0] and second.flag == 2
    file.close()


def test_we_write_what_mxnet_wrote(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "train.rec") as writer:
        for key, record in everything(FIXTURES / "train.rec"):
            writer.write(key, record)
    for name in ("train.rec", "train.idx"):
        assert (tmp_path / name).read_bytes() == (FIXTURES / name).read_bytes()


piece = st.one_of(st.just(MAGIC_BYTES), st.binary(max_size=9), st.sampled_from([b"\x0a", b"\x0a\x23\xd7"]))


@given(st.lists(st.lists(piece, max_size=8).map(b"".join), min_size=1, max_size=5), st.booleans())
def test_whatever_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], indexed: bool
) -> None:
    path = tmp_path_factory.mktemp("rec") / "a.rec"
    labels = [np.arange(1, 2 + n % 3, dtype=np.float32) for n in range(len(contents))]
    with RecordWriter(path) as writer:
        for key, (label, content) in enumerate(zip(labels, contents, strict=True)):
            writer.write(key, Record(len(label) if len(label) > 1 else 0, label, key, 9, content))
    if not indexed:
        path.with_suffix(".idx").unlink()
    found = everything(path)
    assert [(r.content, r.label.tolist()) for _, r in found] == [
        (content, label.tolist()) for label, content in zip(labels, contents, strict=True)
    ]


def test_an_index_is_rebuilt(copy: Path) -> None:
    keys, offsets = read_index(copy.with_suffix(".idx"))
    copy.with_suffix(".idx").unlink()
    file = RecordFile(copy)
    assert file.rebuilt
    np.testing.assert_array_equal(file.keys, keys)
    np.testing.assert_array_equal(file.offsets, offsets)
    file.close()


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(("size", "at"), [(54_600, 54_592), (50_000, 49_984), (54_594, 54_592), (20, 0)])
def test_a_file_that_is_cut_off_is_refused_with_the_place(
    copy: Path, size: int, at: int, indexed: bool
) -> None:
    copy.write_bytes(copy.read_bytes()[:size])
    if not indexed:
        copy.with_suffix(".idx").unlink()
        with pytest.raises(DatasetInvalid, match=rf"byte {at}:.*ends at byte {size}"):
            RecordFile(copy)
    else:
        with pytest.raises(DatasetInvalid, match=rf"byte {at}:|has {size} bytes"):
            RecordFile(copy)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (4584, b"\0", "byte 4584: no record begins"),
        (4591, b"\x40", "byte 4584: (a record begins with part 2|parts out of order)"),
        (4591, b"\xe0", "byte 4584"),
    ],
)
def test_a_damaged_record_is_refused_with_its_place(
    copy: Path, at: int, value: bytes, why: str, indexed: bool
) -> None:
    data = bytearray(copy.read_bytes())
    data[at : at + len(value)] = value
    copy.write_bytes(data)
    if not indexed:
        copy.with_suffix(".idx").unlink()
    with pytest.raises(DatasetInvalid, match=why):
        RecordFile(copy)


def test_more_labels_than_bytes_are_refused(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    data[40 + 8 : 40 + 12] = struct.pack("<I", 10_000)
    copy.write_bytes(data)
    with pytest.raises(DatasetInvalid, match="byte 40: a record shorter"):
        RecordFile(copy)
    with pytest.raises(DatasetInvalid, match=r"here: .* 3 labels"):
        parse(struct.pack("<IfQQ", 3, 0, 0, 0) + b"12345678", "here")


def test_parts_that_never_end_are_refused(tmp_path: Path) -> None:
    whole = in_parts(b"a" * 24 + MAGIC_BYTES + b"b" * 8)
    (tmp_path / "a.rec").write_bytes(whole[:-16])
    with pytest.raises(DatasetInvalid, match="byte 32"):
        RecordFile(tmp_path / "a.rec")
    (tmp_path / "a.idx").write_text("0\t0\n")
    with pytest.raises(DatasetInvalid, match="byte 32"):
        RecordFile(tmp_path / "a.rec")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0\t0\n1\n", "from byte 0 on"),
        ("0\t0\n1\tx\n", "not lines of a key"),
        ("0\t0\n1.5\t40\n", "not lines of a key"),
        ("0\t0\n0\t40\n", "key 0 twice"),
        ("0\t0\n1\t99999999\n", "key 1 begins at byte 99999999"),
        ("0\t0\n1\t-40\n", "key 1 begins at byte -40"),
        ("0\t0\n1\t44\n", "byte 44: no record begins"),
        ("", "holds no record"),
        ("0\t0\n1\t99999999999999999999999\n", "not lines of a key"),
    ],
)
def test_a_bad_index_is_refused(copy: Path, text: str, why: str) -> None:
    copy.with_suffix(".idx").write_text(text)
    with pytest.raises(DatasetInvalid, match=why):
        RecordFile(copy)


def test_an_index_cut_off_is_noticed_by_what_the_first_record_announces(copy: Path) -> None:
    index = copy.with_suffix(".idx")
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(lines[:9]))
    with (
        closing(RecordFile(copy)) as file,
        pytest.raises(DatasetInvalid, match="up to key 12, and there are 9"),
    ):
        file.picture_rows()
    index.write_text("".join(lines[:5] + lines[6:]))
    with closing(RecordFile(copy)) as file, pytest.raises(DatasetInvalid, match="announces key 5"):
        file.picture_rows()


def test_pieces_of_an_index_end_at_lines(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = read_index(copy.with_suffix(".idx"))
    monkeypatch.setattr("lineament.datasets.recordio._INDEX_BYTES", 7)
    np.testing.assert_array_equal(read_index(copy.with_suffix(".idx")), wanted)


def test_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="cannot read"):
        RecordFile(tmp_path / "none.rec")


def test_the_end_that_a_float_rounds_is_found() -> None:
    # 2^24 + 1 is no float32; the file says 2^24, and key 2^24 still has a picture.
    empty = np.zeros(16, bool)
    empty[9:] = True
    assert exact_end(1 << 24, empty) == (1 << 24) + 1
    assert exact_end(1000, empty) == 1000
    assert exact_end(1 << 24, np.zeros(16, bool)) == 1 << 24


def test_threads_read_at_once() -> None:
    file = RecordFile(FIXTURES / "train.rec")
    wanted = [r["sha1"] for r in GOLDEN["records"]]
    rows = np.random.default_rng(0).integers(len(file), size=2000).tolist()
    barrier = threading.Barrier(4)

    def read(part: list[int]) -> list[bool]:
        barrier.wait()
        return [
            hashlib.sha1(file.read(row).content, usedforsecurity=False).hexdigest() == wanted[row]
            for row in part
        ]

    with ThreadPoolExecutor(4) as pool:
        assert all(all(found) for found in pool.map(read, [rows[n::4] for n in range(4)]))
    file.close()


def test_insightface_s_layout_is_written(tmp_path: Path) -> None:
    pictures = [r.content for k, r in everything(FIXTURES / "train.rec") if 1 <= k <= 12]
    persons = [pictures[:4], pictures[4:8], pictures[8:]]
    assert write_recordio(tmp_path / "new", persons) == 12
    found = everything(tmp_path / "new" / "train.rec")
    golden = everything(FIXTURES / "train.rec")
    # MXNet's file has a second label on some pictures; the rest is the same.
    for (key, mine), (other, theirs) in zip(found, golden, strict=True):
        assert (key, mine.id, mine.content, mine.label[0]) == (
            *(other, theirs.id, theirs.content),
            theirs.label[0],
        )
    for key in (0, 13, 14, 15):
        assert pack(found[key][1]) == pack(golden[key][1])
    assert (tmp_path / "new" / "property").read_text() == (FIXTURES / "property").read_text().strip() + "\n"


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="person 1 has no pictures"):
        write_recordio(tmp_path / "a", [[b"x"], []])
    with pytest.raises(OutputFailed, match="cannot write"):
        write_recordio(tmp_path / "a", [[b"x"]])
    with pytest.raises(InvalidArgument, match="nobody"):
        write_recordio(tmp_path / "b", [])
    with (
        RecordWriter(tmp_path / "c.rec") as writer,
        pytest.raises(InvalidArgument, match="key 1 was written before"),
    ):
        writer.write(1, b"x" * 24)
        writer.write(1, b"x" * 24)
    with pytest.raises(InvalidArgument, match="flag 3 has 1 labels"):
        pack(Record(3, np.zeros(1, np.float32), 0, 0, b""))
