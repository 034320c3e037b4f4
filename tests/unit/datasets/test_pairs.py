"""Lists of pairs in every layout, and what is wrong with them by line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid
from lineament.datasets.matching import resolve_names
from lineament.datasets.pairs import Pairs, lfw_name, read_pairs, resolve

Writer = Callable[[str, str | bytes], Path]

LFW = "2\t1\nAda\t1\t2\nAda\t1\tBob\t3\nCyd\t1\t2\nCyd\t2\tDan\t1\n"


class Named:
    """A set of pictures of which only the names matter."""

    def __init__(self, *names: str) -> None:
        self._names = tuple(sorted(names))

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        return name.encode()

    def stamp(self, name: str) -> str:
        return name

    def describe(self) -> str:
        return "names"

    def close(self) -> None:
        pass


def test_names_of_lfw() -> None:
    assert lfw_name("George_W_Bush", 7) == "George_W_Bush/George_W_Bush_0007.jpg"


@pytest.mark.parametrize(
    "text", [LFW, LFW.replace("\t", "  "), "\ufeff" + LFW.replace("\n", "\r\n"), LFW.replace("\n", "\n\n")]
)
def test_lfw_s_pairs(written: Writer, text: str) -> None:
    pairs = read_pairs(written("pairs.txt", text))
    assert pairs.a[:2] == ("Ada/Ada_0001.jpg", "Ada/Ada_0001.jpg")
    assert pairs.b[:2] == ("Ada/Ada_0002.jpg", "Bob/Bob_0003.jpg")
    assert pairs.mated.tolist() == [True, False, True, False]
    assert pairs.fold is not None
    assert pairs.fold.tolist() == [1, 1, 2, 2]
    assert pairs.subject_b == ("Ada", "Bob", "Cyd", "Dan")
    assert pairs.folds_identity_disjoint is True
    assert pairs.name == "pairs"
    assert pairs.samples[0] == "Ada/Ada_0001.jpg"
    assert len(pairs.samples) == 6


def test_lfw_s_development_lists_have_no_folds(written: Writer) -> None:
    pairs = read_pairs(written("pairsDevTrain.txt", "1\nAda\t1\t2\nAda\t1\tBob\t3\n"))
    assert pairs.fold is None
    assert pairs.folds_identity_disjoint is None
    assert pairs.mated.tolist() == [True, False]


def test_a_person_in_two_folds_is_noticed(written: Writer) -> None:
    assert read_pairs(written("p.txt", LFW.replace("Dan", "Ada"))).folds_identity_disjoint is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LFW.replace("Cyd\t1\t2\n", ""), r"asks for 4 pairs \(2 × \(1 \+ 1\)\) and 3 follow"),
        (LFW.replace("Ada\t1\t2", "Ada\t1"), "line 2: 2 fields"),
        (LFW.replace("Cyd\t1\t2", "Cyd\t1\ttwo"), "line 4: 'two' is no picture number"),
        (LFW.replace("Cyd\t1\t2", "Cyd\t1\tEve\t2"), "line 4: a non-mated pair where"),
        (LFW.replace("Bob", "Ada"), "line 3: four fields, but one person"),
        ("0\t0\n", "holds no pair"),
    ],
)
def test_a_broken_list_of_lfw_names_its_line(written: Writer, text: str, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_pairs(written("pairs.txt", text))


@pytest.mark.parametrize(
    "text",
    [
        "a,b,same\nx/1.jpg,x/2.jpg,1\nx/1.jpg,y/1.jpg,0\n",
        "Path1;Path2;Mated\r\nx\\1.jpg;x\\2.jpg;TRUE\r\n\r\nx/1.jpg;./y/1.jpg;False\r\n",
        'label\tfile2\tfile1\nsame\t"x/2.jpg"\tx/1.jpg\ndifferent\ty/1.jpg\tx/1.jpg\n',
        "\ufefffold,image1,image2,issame\n3,x/1.jpg,x/2.jpg,1\n4,x/1.jpg,y/1.jpg,0\n",
        "x/1.jpg x/2.jpg 1\nx/1.jpg y/1.jpg 0\n",
        "x/1.jpg\tx/2.jpg\tmated\n\nx/1.jpg\ty/1.jpg\tnon-mated\n",
        "subject_a,subject_b,a,b\nx,x,x/1.jpg,x/2.jpg\nx,y,x/1.jpg,y/1.jpg\n",
    ],
)
def test_tables_and_bare_lines(written: Writer, text: str) -> None:
    for content in (text, text.encode("utf-16") if not text.startswith("\ufeff") else text):
        pairs = read_pairs(written("list.csv", content))
        assert pairs.a == ("x/1.jpg", "x/1.jpg")
        assert pairs.b == ("x/2.jpg", "y/1.jpg")
        assert pairs.mated.tolist() == [True, False]


def test_names_may_hold_separators_in_quotes(written: Writer) -> None:
    pairs = read_pairs(written("q.csv", 'a,b,same\n"Doe, Jane/1.jpg","say ""hi"".jpg",0\n'))
    assert (pairs.a, pairs.b) == (("Doe, Jane/1.jpg",), ('say "hi".jpg',))


def test_folds_and_persons_of_a_table(written: Writer) -> None:
    text = "a,b,same,fold,subject_a,subject_b\n1,2,1,1,p,p\n3,4,0,2,q,r\n5,6,1,2,q,q\n"
    pairs = read_pairs(written("f.csv", text))
    assert pairs.fold is not None
    assert pairs.fold.dtype == np.int32
    assert pairs.fold.tolist() == [1, 2, 2]
    assert pairs.folds_identity_disjoint is True


def test_one_of_several_protocols_must_be_chosen(written: Writer) -> None:
    path = written("p.csv", "protocol,a,b,same\nFF,1,2,1\nFP,1,3,1\nFP,1,4,0\n")
    with pytest.raises(DatasetInvalid, match="choose one of 'FF', 'FP'"):
        read_pairs(path)
    with pytest.raises(DatasetInvalid, match="no protocol 'PP': choose one of 'FF', 'FP'"):
        read_pairs(path, "PP")
    assert read_pairs(path, "FP").b == ("3", "4")
    assert read_pairs(path, "FP").name == "p FP"
    with pytest.raises(DatasetInvalid, match="no column 'protocol'"):
        read_pairs(written("q.csv", "a,b,same\n1,2,1\n"), "FP")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty|holds no pair"),
        ("a,b,same\n", "holds no pair"),
        ("a,b,same\n1,2,1\n\n1,3,maybe\n", "line 4: 'maybe' is no label; use 0 or 1, true or false"),
        ("a,b,same\n1,2,1\n1,3\n", "line 3: 2 fields where the header has 3"),
        ("a,b,same\n1,2,1\n2,1,1\n", "line 3: the pair of line 2 again"),
        ("a,b,same\n1,2,1\n2,1,0\n", "line 3: the pair of line 2 with the other label"),
        ("a,b,same\n1,1,1\n", "line 2: '1' is compared with itself"),
        ("a,b,same\n1,,1\n", "line 2: a pair without one of its pictures"),
        ("a,b\n1,2\n", "no column of labels"),
        ("a,file1,b,same\n1,1,2,1\n", "'a', 'file1', which mean the same"),
        ("a,b,same,fold\n1,2,1,one\n", "line 2: 'one' is no fold"),
        ("a,b,same,subject_a\n1,2,1,p\n", "on one side only"),
        (
            "a,b,same,subject_a,subject_b\n1,2,1,p,q\n",
            "line 2: labelled mated, but the persons are 'p' and 'q'",
        ),
        ("a,b,same,subject_a,subject_b\n1,2,1,p,\n", "line 2: a person without a name"),
        ("a,b,a\n1,2,1\n", "of one name"),
        ("one,two,three\n1,2,1\n", "line 1: 'three' is no label"),
        ("1.jpg 2.jpg 1\n1.jpg my 3.jpg 1\n", "line 2: 4 fields"),
        ('a,b,same\n"1,2,1\n', "line 2: .*quotes"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(written: Writer, text: str, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_pairs(written("pairs.csv", text))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "is a zip: read it with read_pairs_archive"),
        (b"\x80\x04rest", "is a pickle: read it with read_bin"),
        (b"a,b,same\n\xff\xd8,2,1\n", "line 2: not text in UTF-8"),
        (b"a,b,same\n1\x00,2,1\n", "zero bytes"),
    ],
)
def test_other_files_say_what_they_are(written: Writer, content: bytes, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_pairs(written("x", content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="cannot read"):
        read_pairs(tmp_path / "nowhere.csv")


def test_duplicates_may_be_allowed_but_never_with_two_labels(written: Writer) -> None:
    path = written("d.csv", "a,b,same\n1,2,1\n2,1,1\n1,3,0\n")
    assert len(read_pairs(path, allow_duplicates=True)) == 3
    with pytest.raises(DatasetInvalid, match="other label"):
        read_pairs(written("e.csv", "a,b,same\n1,2,1\n2,1,0\n"), allow_duplicates=True)


def made(**changes: object) -> Pairs:
    fields: dict[str, object] = {
        "name": "x",
        "a": ("1", "2", "3"),
        "b": ("4", "5", "6"),
        "mated": np.array([True, False, True]),
        "fold": np.array([1, 1, 2], dtype=np.int32),
        "subject_a": ("p", "q", "r"),
        "subject_b": ("p", "s", "r"),
    }
    return Pairs(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_digest_follows_every_column_but_the_name() -> None:
    same = made(name="another name")
    assert same.digest == made().digest
    others = [
        made(a=("1", "2", "7")),
        made(b=("4", "5", "7")),
        made(mated=np.array([True, True, True])),
        made(fold=np.array([1, 2, 2], dtype=np.int32)),
        made(fold=None),
        made(subject_a=("p", "q", "t")),
        made(subject_a=None, subject_b=None),
        made(a=("14", "2", "3"), b=("", "5", "6")),
    ]
    assert len({made().digest, *(other.digest for other in others)}) == 1 + len(others)


def test_taking_rows() -> None:
    pairs = made()
    for rows in (np.array([0, 2]), np.array([True, False, True])):
        some = pairs.take(rows)
        assert (some.a, some.b, some.subject_a) == (("1", "3"), ("4", "6"), ("p", "r"))
        assert some.mated.tolist() == [True, True]
        assert some.fold is not None
        assert some.fold.tolist() == [1, 2]
    assert pairs.take(np.array([2, 0])).a == ("3", "1")
    assert made(fold=None, subject_a=None, subject_b=None).take(np.array([1])).subject_a is None


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DatasetInvalid, match="different lengths"):
        made(a=("1", "2"))
    with pytest.raises(DatasetInvalid, match="no pair"):
        made(a=(), b=(), mated=np.zeros(0, bool), fold=None, subject_a=None, subject_b=None)
    with pytest.raises(DatasetInvalid, match="one side only"):
        made(subject_a=None)


@pytest.mark.parametrize(
    ("wanted", "pictures", "found"),
    [
        ("p/1.jpg", ["p/1.jpg", "q/p/1.jpg"], "p/1.jpg"),
        ("p/1.jpg", ["p/1.png", "p/2.png"], "p/1.png"),
        ("p/1", ["p/1.jpg", "q/1.jpg"], "p/1.jpg"),
        ("p/1.jpg", ["set/p/1.jpg", "set/q/1.jpg"], "set/p/1.jpg"),
        ("set/p/1.jpg", ["p/1.png", "q/1.png"], "p/1.png"),
        ("/home/me/set/p/1.jpg", ["p/1.jpg"], "p/1.jpg"),
        ("1.jpg", ["p/1.jpg", "p/2.jpg"], "p/1.jpg"),
        ("p/1.jpg", ["1.jpg", "2.jpg"], "1.jpg"),
        ("J.R._Smith_1", ["J.R._Smith_1.jpg"], "J.R._Smith_1.jpg"),
        ("Zoë/1.jpg", ["Zoë/1.jpg"], "Zoë/1.jpg"),
        # Another person's picture of the same name is not what was meant.
        ("001/profile/04.jpg", ["001/frontal/04.jpg", "002/profile/04.jpg"], None),
        ("p/1.jpg", ["p/11.jpg", "pp/1.jpg"], None),
    ],
)
def test_which_picture_is_meant(wanted: str, pictures: list[str], found: str | None) -> None:
    assert resolve_names([wanted], pictures) == ({} if found is None else {wanted: found})


@pytest.mark.parametrize(
    ("wanted", "pictures"),
    [
        (["x"], ["x.jpg", "x.png"]),
        (["1.jpg"], ["p/1.jpg", "q/1.jpg"]),
        (["p/1.jpg"], ["set1/p/1.jpg", "set2/p/1.jpg"]),
    ],
)
def test_an_ambiguous_name_names_both(wanted: list[str], pictures: list[str]) -> None:
    with pytest.raises(DatasetInvalid) as caught:
        resolve_names(wanted, pictures)
    assert all(repr(picture) in caught.value.message for picture in pictures)


def test_two_names_never_mean_one_picture() -> None:
    with pytest.raises(DatasetInvalid, match=r"'p/1\.jpg' and 'q/1\.jpg' would both mean"):
        resolve_names(["p/1.jpg", "q/1.jpg"], ["1.jpg"])


def test_resolving_lists_what_is_there(written: Writer) -> None:
    pairs = read_pairs(written("pairs.txt", LFW))
    pictures = Named(*(f"lfw/{name}" for name in pairs.samples if "Dan" not in name))
    found = resolve(pairs, pictures)
    assert found["Ada/Ada_0001.jpg"] == "lfw/Ada/Ada_0001.jpg"
    assert [name for name in pairs.samples if name not in found] == ["Dan/Dan_0001.jpg"]
