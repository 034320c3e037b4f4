"""BibTeX of what was used."""

import re

import pytest

from lineament.core.citation import citation
from lineament.core.errors import InvalidArgument


class Paper:
    bibtex = """
@article{one2020,
  title = {One}
}"""


class Another:
    def __init__(self) -> None:
        self.bibtex = "@article{two2021, title = {Two}}\n"


def test_entries_in_order_and_each_once() -> None:
    assert citation(Another(), Paper, Paper(), Another()) == (
        "@article{two2021, title = {Two}}\n\n@article{one2020,\n  title = {One}\n}\n"
    )


def test_heads_can_be_cited() -> None:
    heads = pytest.importorskip("lineament.train.heads", reason="needs lineament[train]")
    text = citation(*heads.KINDS.values())
    keys = re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)
    assert keys == [
        "deng2019arcface", "wang2017normface", "liu2017sphereface", "wang2018cosface", "deng2020subcenter",
        "kim2022adaface", "meng2021magface", "huang2020curricularface",
    ]  # fmt: skip
    assert text.count("{") == text.count("}")


class Empty:
    bibtex = " "


@pytest.mark.parametrize("thing", ["arcface", None, 3, Empty()])
def test_a_thing_without_a_paper(thing: object) -> None:
    with pytest.raises(InvalidArgument, match="names no paper"):
        citation(Paper, thing)


def test_nothing() -> None:
    with pytest.raises(InvalidArgument, match="nothing to cite"):
        citation()
