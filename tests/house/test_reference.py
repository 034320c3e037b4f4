"""Reference pages that list what the code holds: reasons of verdicts, fields of a card, words."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from lineament.core.threshold import Threshold
from lineament.packs.card import SCHEMA, TASKS, Licence, ModelCard, PackCard
from lineament.vision.quality import QualityLimits

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "lineament"
REFERENCE = REPOSITORY / "docs" / "reference"
CODE = re.compile(r"[a-z]+(_[a-z]+)+")


def first_column(page: str) -> list[str]:
    """Code words in the first column of every table of a page."""
    cells = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def constants(node: ast.expr) -> Iterator[str]:
    """String literals that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def codes_in(path: Path) -> Iterator[str]:
    """Codes given to `Reason(...)` or `Problem(...)`, and (code, message) pairs of the quality gate."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("Reason", "Problem") and node.args:
                yield from constants(node.args[0])
        elif path.name == "quality.py" and isinstance(node, ast.Tuple) and len(node.elts) == 2:
            is_text = isinstance(node.elts[1], ast.JoinedStr)
            yield from (c for c in constants(node.elts[0]) if is_text and CODE.fullmatch(c))


def test_the_page_of_reasons_is_complete() -> None:
    used = {code for path in SOURCE.rglob("*.py") for code in codes_in(path)}
    assert {"no_face", "multiple_faces", "near_threshold", "face_blurred"} <= used
    listed = first_column((REFERENCE / "reasons.md").read_text("utf-8"))
    assert sorted(used) == sorted(listed)


def test_advisory_codes_are_documented_as_not_blocking() -> None:
    page = (REFERENCE / "reasons.md").read_text("utf-8")
    for code in QualityLimits().advisory:
        assert f"| `{code}` | no |" in page


def test_limits_in_prose_are_those_of_the_gate() -> None:
    page = " ".join((REPOSITORY / "docs" / "guides" / "limits.md").read_text("utf-8").split())
    limits = QualityLimits()
    assert f"Beyond a turn of about {limits.yaw:.0f}°" in page
    assert f"below some {limits.eye_distance:.0f} pixels between the eyes" in page


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("The pack", PackCard),
        ("Each network", ModelCard),
        ("Licence", Licence),
        ("Each threshold", Threshold),
    ],
)
def test_the_page_of_the_card_lists_every_field(heading: str, kind: type) -> None:
    page = (REFERENCE / "card.md").read_text("utf-8")
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    expected = [field.name for field in fields(kind)]
    if kind is PackCard:
        expected = ["schema", *expected]
        assert f"version of this layout, {SCHEMA}" in section
    if kind is ModelCard:
        assert all(f"`{task}`" in section for task in TASKS)
    assert first_column(section) == expected


def test_glossary_words_are_fixed_once() -> None:
    words = re.findall(
        r"^\| ([^|]+?) \|", (REPOSITORY / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE
    )
    rows = [word for word in words if word != "Word" and not word.startswith("-")]
    assert len(rows) == len(set(rows)) > 30


def test_pages_name_only_files_that_exist() -> None:
    for page in (REPOSITORY / "docs").rglob("*.md"):
        for path in re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.(?:py|json))`", page.read_text("utf-8")):
            places = (REPOSITORY / path, SOURCE / path)
            assert any(place.is_file() for place in places), f"{page.name} names {path}"


def test_pages_name_only_things_that_exist() -> None:
    """`QualityLimits`, `PASSES` and the like: names in code type that look like ours."""
    text = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    page = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "docs" / "how-it-works").glob("*.md"))
    for name in re.findall(r"`([A-Z][A-Za-z]+|[A-Z_]{4,})(?:\(|`)", page):
        assert re.search(rf"\b{name}\b", text), name
