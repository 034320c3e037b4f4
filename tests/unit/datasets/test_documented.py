"""The examples on the page about data formats are read as the page says."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from lineament.applications.watch.alerts import Alert
from lineament.datasets.blufr import read_blufr
from lineament.datasets.labelled import read_exclusions, read_groups
from lineament.datasets.openset import read_names
from lineament.datasets.pairs import read_pairs
from lineament.datasets.pairs_archive import FORMAT, SCHEMA
from lineament.datasets.people_tables import read_people
from lineament.datasets.scores import read_pad_scores, read_scores
from lineament.gallery.chain import Entry
from lineament.gallery.receipt import FORMAT as RECEIPT
from lineament.gallery.receipt import Receipt

Writer = Callable[[str, str | bytes], Path]
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "data-formats.md").read_text("utf-8")


def examples(kind: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


READERS = [
    read_pairs,
    read_groups,
    read_exclusions,
    read_names,
    read_scores,
    read_pad_scores,
    read_people,
]


@pytest.mark.parametrize(("number", "read"), list(enumerate(READERS)))
def test_tables(written: Writer, number: int, read: Callable[[Path], object]) -> None:
    assert len(examples("csv")) == len(READERS)
    read(written("example.csv", examples("csv")[number]))


def test_lists_of_pairs(written: Writer) -> None:
    lfw, bare, *_ = examples("text")
    assert read_pairs(written("bare.txt", bare)).mated.tolist() == [True, False, True]
    # The page shows the beginning of a list: the first pair of each kind.
    short = read_pairs(written("pairs.txt", lfw.replace("10\t300", "1\t1")))
    assert (short.a[0], short.b[1]) == ("Ada/Ada_0001.jpg", "Bob/Bob_0002.jpg")


def test_json(written: Writer) -> None:
    archive, blufr, alert, receipt, record = (json.loads(text) for text in examples("json"))
    assert (archive["format"], archive["schema"]) == (FORMAT, SCHEMA)
    assert len(read_blufr(written("blufr.json", json.dumps(blufr)))) == 1
    assert set(alert) == {f.name for f in fields(Alert)} | {"type"}
    assert receipt["format"] == RECEIPT
    assert set(receipt["receipt"]) == {f.name for f in fields(Receipt)}
    assert set(record) == {f.name for f in fields(Entry)}
