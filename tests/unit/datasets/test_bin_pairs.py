"""Pair files as they are written in the field, read without running them."""

import pickle
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, DatasetUnsafe, ImageEmpty, ImageError, ImageNotFound
from lineament.datasets import bin_pairs
from lineament.datasets.bin_pairs import read_bin
from lineament.datasets.pictures import open_pictures

Writer = Callable[[str, str | bytes], Path]
LABELS = [True, False, True]


def check(path: Path, jpegs: list[bytes], labels: list[bool] = LABELS) -> None:
    """The file holds these pictures in this order, with these labels."""
    pairs, pictures = read_bin(path)
    assert pairs.mated.dtype == np.bool_
    assert pairs.mated.tolist() == labels
    assert [pictures.read(name) for both in zip(pairs.a, pairs.b, strict=True) for name in both] == jpegs
    assert (pairs.fold, pairs.subject_a, pairs.subject_b) == (None, None, None)
    pictures.close()


def as_arrays(jpegs: list[bytes], shape: Callable[[int], tuple[int, ...]]) -> list[np.ndarray]:
    return [np.frombuffer(data, np.uint8).copy().reshape(shape(len(data))) for data in jpegs]


@pytest.mark.parametrize("protocol", range(6))
def test_bytes_of_python_3(written: Writer, jpegs: list[bytes], protocol: int) -> None:
    check(written("set.bin", pickle.dumps((jpegs, LABELS), protocol)), jpegs)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("shape", [lambda n: (n, 1), lambda n: (n,), lambda n: (1, n)], ids=["n1", "n", "1n"])
def test_arrays_of_bytes(
    written: Writer, jpegs: list[bytes], protocol: int, shape: Callable[[int], tuple[int, ...]]
) -> None:
    check(written("set.bin", pickle.dumps((as_arrays(jpegs, shape), LABELS), protocol)), jpegs)


@pytest.mark.parametrize("protocol", range(3))
def test_arrays_of_numpy_1(written: Writer, jpegs: list[bytes], protocol: int) -> None:
    data = pickle.dumps((as_arrays(jpegs, lambda n: (n, 1)), LABELS), protocol)
    assert b"numpy._core" in data
    check(written("set.bin", data.replace(b"numpy._core", b"numpy.core")), jpegs)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "labels",
    [
        [np.True_, np.False_, np.True_],
        [1, 0, 1],
        (True, False, True),
        np.array(LABELS),
        np.array(LABELS, dtype=np.uint8),
        [np.int64(1), np.int64(0), np.uint8(1)],
    ],
    ids=["numpy_bool", "ints", "tuple", "bool_array", "byte_array", "numpy_ints"],
)
def test_labels_of_every_kind(written: Writer, jpegs: list[bytes], protocol: int, labels: object) -> None:
    check(written("set.bin", pickle.dumps((jpegs, labels), protocol)), jpegs)


@pytest.mark.parametrize("protocol", range(6))
def test_a_list_for_the_tuple_and_a_tuple_for_the_list(
    written: Writer, jpegs: list[bytes], protocol: int
) -> None:
    check(written("set.bin", pickle.dumps([tuple(jpegs), LABELS], protocol)), jpegs)


def test_one_label_array_for_many_pictures_and_one_picture_twice(written: Writer, jpegs: list[bytes]) -> None:
    """The memo may give one value out twice: each place is a picture of its own."""
    pictures = [jpegs[0], jpegs[1], jpegs[0], jpegs[0], jpegs[2], jpegs[1]]
    check(written("set.bin", pickle.dumps((pictures, LABELS), 2)), pictures)


def python_2_string(data: bytes) -> bytes:
    """Python 2's repr of a byte string is Python 3's without the b."""
    return b"S" + repr(data)[1:].encode() + b"\n"


def test_protocol_0_of_python_2(written: Writer, jpegs: list[bytes]) -> None:
    pictures = [jpegs[0], b"'\n\\\"\r\t\x00\x80\xff", *jpegs[2:]]
    listed = b"".join(
        python_2_string(data) + b"p%d\na" % (n + 2) if n else python_2_string(data) + b"p2\na"
        for n, data in enumerate(pictures)
    )
    labels = b"(lp20\nI01\naI00\naI01\na"
    data = b"((lp1\n" + listed + labels + b"tp30\n."
    assert pickle.loads(data, encoding="bytes") == (pictures, LABELS)  # noqa: S301  (we wrote it)
    path = written("set.bin", data)
    check(path, pictures)
    pairs, opened = read_bin(path)
    assert (pairs.a[0], pairs.b[0]) == ("00001a.jpg", "00001b")
    opened.close()


@pytest.mark.parametrize("protocol", [1, 2])
def test_binary_protocols_of_python_2(written: Writer, jpegs: list[bytes], protocol: int) -> None:
    short = [b"\xff\xd8" + bytes(range(200)), b"x"]
    pictures = [*short, *jpegs[2:]]
    strings = b"".join(
        (b"U" + bytes([len(d)]) if len(d) < 256 else b"T" + struct.pack("<i", len(d))) + d + b"q%c" % n
        for n, d in enumerate(pictures, 1)
    )
    true, false = (b"\x88", b"\x89") if protocol == 2 else (b"I01\n", b"I00\n")
    body = b"]q\x00(" + strings + b"e]q\x20(" + true + false + true + b"e"
    data = b"\x80\x02" + body + b"\x86q\x21." if protocol == 2 else b"(" + body + b"tq\x21."
    assert pickle.loads(data, encoding="bytes") == (pictures, LABELS)  # noqa: S301  (we wrote it)
    check(written("set.bin", data), pictures)


def test_arrays_and_scalars_of_python_2(written: Writer, jpegs: list[bytes]) -> None:
    """What numpy 1.x under Python 2 wrote: byte strings where Python 3 has `_codecs.encode`."""
    kind = b"cnumpy\ndtype\nU\x02%sK\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    listed = b"".join(
        array + b"(K\x01M" + struct.pack("<H", len(d)) + b"K\x01\x86" + kind % b"u1"
        + b"\x89T" + struct.pack("<i", len(d)) + d + b"tb"
        for d in jpegs
    )  # fmt: skip
    scalar = b"cnumpy.core.multiarray\nscalar\n" + kind % b"b1" + b"U\x01%c\x86R"
    labels = b"".join(scalar % value for value in LABELS)
    check(written("set.bin", b"\x80\x02](" + listed + b"e](" + labels + b"e\x86."), jpegs)


def test_pictures_are_named_after_their_pair_and_format(
    written: Writer, jpegs: list[bytes], png: bytes
) -> None:
    pictures = [jpegs[0], png, b"no picture", b""]
    pairs, opened = read_bin(written("agedb_30.bin", pickle.dumps((pictures, [True, False]), 4)))
    assert pairs.name == "agedb_30"
    assert (pairs.a, pairs.b) == (("00001a.jpg", "00002a"), ("00001b.png", "00002b"))
    assert opened.read("00002a") == b"no picture"
    with pytest.raises(ImageEmpty):
        opened.read("00002b")
    with pytest.raises(ImageNotFound):
        opened.read("00003a.jpg")
    assert "4 pictures" in opened.describe()
    opened.close()
    with pytest.raises(ImageError):
        opened.read("00001a.jpg")


@pytest.mark.parametrize("protocol", range(6))
def test_an_empty_picture_keeps_its_place(written: Writer, jpegs: list[bytes], protocol: int) -> None:
    pairs, opened = read_bin(written("x.bin", pickle.dumps(([jpegs[0], b""], [True]), protocol)))
    assert pairs.b == ("00001b",)
    with pytest.raises(ImageEmpty):
        opened.read("00001b")
    opened.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (([b"a", b"b", b"c"], [True]), "3 pictures and 1 labels: there must be two"),
        (([b"a", b"b"], [True, False]), "2 pictures and 2 labels: there must be two"),
        (([], []), "0 labels"),
        (([b"a", b"b"],), "a tuple where a pair file holds"),
        ([b"a", b"b", [True]], "a list where a pair file holds"),
        (True, "a boolean where a pair file holds"),
        (b"\xff\xd8", "bytes where a pair file holds"),
        ((b"ab", [True]), "bytes where a list of pictures"),
        (([b"a", b"b"], b"1"), "bytes where a list of labels"),
        (([b"a", b"b"], [2]), "label 0 is a number, not true or false"),
        (([b"a", b"b"], [b"1"]), "label 0 is bytes, not true or false"),
        (([b"a", b"b"], [None]), "label 0 is nothing, not true or false"),
        (([b"a", b"b"], np.array([2], np.uint8)), "label 0 is a number, not true or false"),
        (([b"a", [b"b"]], [True]), "picture 1 is a list, not the bytes"),
        (([b"a", "text"], [True]), "picture 1 is text, not the bytes"),
        (([b"a", np.array([True])], [True]), "picture 1 is an array, not the bytes"),
        (([b"a", np.zeros((112, 112), np.uint8)], [True]), "encoded files, not pixels"),
        (([b"a", np.zeros((112, 112, 3), np.uint8)], [True]), "encoded files, not pixels"),
        (([b"a", b"b"], [1.0]), "a decimal fraction"),
        ({"bins": [b"a", b"b"]}, "a dictionary"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_other_contents_are_named(written: Writer, content: object, message: str, protocol: int) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_bin(written("x.bin", pickle.dumps(content, protocol)))


def test_a_set_of_labels_is_named(written: Writer) -> None:
    # Protocols before 4 make a set by a call, which is refused as any other call.
    with pytest.raises(DatasetInvalid, match="it holds a set"):
        read_bin(written("x.bin", pickle.dumps(([b"a", b"b"], {True}), 4)))
    with pytest.raises(DatasetUnsafe, match=r"asks for __builtin__\.set"):
        read_bin(written("x.bin", pickle.dumps(([b"a", b"b"], {True}), 2)))


def test_a_file_that_is_no_pickle(tmp_path: Path, written: Writer) -> None:
    for content in (b"", b"\xff\xd8\xff\xe0", b"hello\n", b"PK\x03\x04", b"\x80\x04"):
        with pytest.raises(DatasetInvalid, match=r"x\.bin is not a pair file"):
            read_bin(written("x.bin", content))
    with pytest.raises(DatasetInvalid, match="cannot read"):
        read_bin(tmp_path / "nowhere.bin")


def test_too_many_pairs_and_too_large_a_file(
    written: Writer, jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("x.bin", pickle.dumps((jpegs, LABELS)))
    monkeypatch.setattr(bin_pairs, "MAX_PAIRS", 2)
    with pytest.raises(DatasetInvalid, match="3 labels where 1 to 2"):
        read_bin(path)
    monkeypatch.setattr(bin_pairs, "MAX_FILE_BYTES", 1000)
    with pytest.raises(DatasetInvalid, match="split it"):
        read_bin(path)
    monkeypatch.setattr(bin_pairs, "MAX_FILE_BYTES", 1 << 30)
    monkeypatch.setattr(bin_pairs, "MAX_PICTURE_BYTES", 500)
    with pytest.raises(DatasetInvalid, match="a string of"):
        read_bin(path)


def test_pair_files_are_pictures_too(written: Writer, jpegs: list[bytes]) -> None:
    for protocol in range(6):
        pictures = open_pictures(written("x.bin", pickle.dumps((jpegs, LABELS), protocol)))
        assert len(pictures.names) == 6
        pictures.close()


def test_many_threads_may_read_at_once(written: Writer) -> None:
    contents = [b"\xff\xd8" + bytes([i]) * (2000 + 31 * i) for i in range(40)]
    pairs, pictures = read_bin(written("x.bin", pickle.dumps((contents, [True] * 20), 4)))
    names = [name for both in zip(pairs.a, pairs.b, strict=True) for name in both]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            assert list(pool.map(pictures.read, names)) == contents
    pictures.close()


def test_a_file_that_shrinks_under_the_reader(written: Writer, jpegs: list[bytes]) -> None:
    path = written("x.bin", pickle.dumps((jpegs, LABELS), 4))
    pairs, pictures = read_bin(path)
    with path.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(ImageError, match="shorter"):
        pictures.read(pairs.b[2])
    pictures.close()
