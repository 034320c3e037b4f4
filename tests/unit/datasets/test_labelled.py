"""Pictures in folders of people, with groups and exclusions, and lists of names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.datasets.labelled import Labelled, read_exclusions, read_groups, read_labelled
from lineament.datasets.openset import read_names

Writer = Callable[[str, str | bytes], Path]


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
        return "a set of names"

    def close(self) -> None:
        pass


PEOPLE = Named("people/Bob/1.jpg", "people/Ada/1.jpg", "people/Ada/2.jpg", "people/Cyd/1.jpg")


def test_a_person_is_the_folder_of_the_picture() -> None:
    data = read_labelled(PEOPLE)
    assert data.samples == PEOPLE.names
    assert data.subjects == ("Ada", "Bob", "Cyd")
    assert data.subject.tolist() == [0, 0, 1, 2]
    assert data.subject.dtype.name == "int32"
    assert (data.group, data.groups, data.name) == (None, None, "a set of names")
    assert len(data) == 4
    assert read_labelled(PEOPLE, name="ours").name == "ours"


def test_a_flat_folder_says_what_to_do() -> None:
    with pytest.raises(DatasetInvalid, match=r"'a\.jpg' does not lie in a folder.*people/NAME/1\.jpg"):
        read_labelled(Named("a.jpg", "p/b.jpg"))


def test_the_persons_folder_may_be_further_up() -> None:
    views = Named("001/frontal/01.jpg", "001/profile/01.jpg", "002/frontal/01.jpg")
    with pytest.raises(DatasetInvalid, match="'001/frontal' and '002/frontal' have one name"):
        read_labelled(views)
    data = read_labelled(views, up=2)
    assert data.subjects == ("001", "002")
    assert data.subject.tolist() == [0, 0, 1]
    with pytest.raises(DatasetInvalid, match="does not lie 3 folders deep"):
        read_labelled(views, up=3)
    with pytest.raises(InvalidArgument):
        read_labelled(views, up=0)


def test_one_person_in_two_folders_is_noticed() -> None:
    with pytest.raises(DatasetInvalid, match="'test/Ada' and 'train/Ada' have one name"):
        read_labelled(Named("train/Ada/1.jpg", "test/Ada/1.jpg", "test/Bob/1.jpg"))


def test_one_person_is_not_enough() -> None:
    with pytest.raises(DatasetInvalid, match="pictures of 1 persons"):
        read_labelled(Named("Ada/1.jpg", "Ada/2.jpg"))
    with pytest.raises(DatasetInvalid, match="pictures of 1 persons"):
        read_labelled(PEOPLE, exclude=["Bob", "Cyd"])


def test_pictures_and_persons_can_be_left_out() -> None:
    data = read_labelled(PEOPLE, exclude=["Bob", "people\\Ada\\2.jpg", "people/Eve/1.jpg"])
    assert data.samples == ("people/Ada/1.jpg", "people/Cyd/1.jpg")
    assert data.excluded == ("people/Ada/2.jpg", "people/Bob/1.jpg")
    assert data.unmatched == ("people/Eve/1.jpg",)
    assert data.subjects == ("Ada", "Cyd")


def test_groups_of_persons_and_of_pictures(written: Writer) -> None:
    path = written("groups.csv", "subject,group\nAda,f\nBob,m\nCyd,f\npeople/Ada/2.jpg,child\n")
    data = read_labelled(PEOPLE, path)
    assert data.groups == ("child", "f", "m")
    assert data.group is not None
    assert data.group.tolist() == [1, 0, 2, 1]
    short = written("short.csv", "name\tgroup\nAda\tf\nBob\tm\n")
    with pytest.raises(DatasetInvalid, match=r"no group for 1 of 4 pictures \('people/Cyd/1\.jpg'\)"):
        read_labelled(PEOPLE, short)
    assert read_labelled(PEOPLE, short, exclude=["Cyd"]).groups == ("f", "m")


def test_the_digest_follows_names_persons_and_groups(written: Writer) -> None:
    one = read_labelled(PEOPLE, written("1.csv", "subject,group\nAda,f\nBob,m\nCyd,f\n"))
    other = read_labelled(PEOPLE, written("2.csv", "subject,group\nAda,f\nBob,m\nCyd,m\n"))
    moved = read_labelled(Named("x/Bob/1.jpg", "x/Ada/1.jpg", "x/Ada/2.jpg", "x/Cyd/1.jpg"))
    everything: list[Labelled] = [one, other, moved, read_labelled(PEOPLE)]
    assert len({data.digest for data in everything}) == 4
    assert read_labelled(PEOPLE, name="other").digest == read_labelled(PEOPLE).digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/1.jpg\n\n b/Doe, J.jpg \n", {"a/1.jpg": "listed in x.txt", "b/Doe, J.jpg": "listed in x.txt"}),
        ("name\na/1.jpg\n", {"a/1.jpg": "listed in x.txt"}),
        (
            "\ufeffname,reason\r\na\\1.jpg,wrong person\r\nb,\r\n",
            {"a/1.jpg": "wrong person", "b": "listed in x.txt"},
        ),
        ('reason\tsubject\n"two, really"\tAda\n', {"Ada": "two, really"}),
    ],
)
def test_exclusions(written: Writer, text: str, expected: dict[str, str]) -> None:
    assert read_exclusions(written("x.txt", text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists nothing"),
        ("name,reason\n", "lists nothing"),
        ("a.jpg\nb.jpg\na.jpg\n", "line 3: 'a.jpg' is listed twice, first in line 1"),
        ("name,reason\n,x\n", "line 2: an entry without a name"),
        ("a.jpg,x\nb.jpg,y\n", "no column 'name'"),
    ],
)
def test_broken_exclusions(written: Writer, text: str, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_exclusions(written("x.csv", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ada\nBob\n", "no column 'group'"),
        ("subject,group\nAda,\n", "line 2: 'Ada' has no group"),
        ("subject,sex\nAda,f\n", "no column 'group': its header is 'subject', 'sex'"),
        ("subject,group\nAda,f\nAda,m\n", "line 3: 'Ada' is listed twice"),
    ],
)
def test_broken_groups(written: Writer, text: str, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_groups(written("g.csv", text))


def test_names_with_and_without_persons(written: Writer) -> None:
    assert read_names(written("n.txt", "b/1.jpg\na\\1.jpg\n")) == (("b/1.jpg", "a/1.jpg"), None)
    assert read_names(written("n.csv", "name,subject\n1.jpg,p\n2.jpg,q\n")) == (
        ("1.jpg", "2.jpg"),
        ("p", "q"),
    )
    assert read_names(written("n.csv", "name,camera\n1.jpg,p\n")) == (("1.jpg",), None)
    with pytest.raises(DatasetInvalid, match=r"line 3: '2\.jpg' has no subject"):
        read_names(written("n.csv", "name,subject\n1.jpg,p\n2.jpg,\n"))
    with pytest.raises(DatasetInvalid, match="line 2: '1' is listed twice"):
        read_names(written("n.txt", "1\n1\n"))
