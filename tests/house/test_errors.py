"""One tree of errors, drawn in the code and in the documentation, and one table of exit codes."""

import re
from pathlib import Path

import pytest

from lineament.cli import exits
from lineament.core import errors
from lineament.core.errors import LineamentError
from lineament.core.verdict import Decision

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "reference" / "errors.md").read_text("utf-8")
CLASSES: dict[str, type[LineamentError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LineamentError)
}


def drawn(text: str) -> list[tuple[int, str]]:
    """(depth, name) of every line of a tree."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^((?:[│├└─ ]{4})*)([A-Z]\w+)", line)
        if match:
            found.append((len(match[1]) // 4, match[2]))
    return found


def code_tree() -> str:
    """The tree of the module's docstring."""
    lines = (errors.__doc__ or "").splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    "))


def test_the_documented_tree_is_the_one_in_the_code() -> None:
    block = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    assert block[1].strip() == code_tree().strip()


def test_the_drawn_tree_is_the_real_one() -> None:
    ancestors: list[str] = []
    for depth, name in drawn(code_tree()):
        ancestors = [*ancestors[:depth], name]
        if depth:
            assert ancestors[-2] in {base.__name__ for base in CLASSES[name].__bases__}, name
    assert [name for _, name in drawn(code_tree())] == list(CLASSES)


def test_every_reason_is_unique_and_a_plain_word() -> None:
    reasons = [kind.reason for kind in CLASSES.values()]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in reasons)
    assert all("reason" in vars(kind) for kind in CLASSES.values())


@pytest.mark.parametrize("name", CLASSES)
def test_the_table_of_errors_is_right(name: str) -> None:
    kind = CLASSES[name]
    code = exits.code_of(kind("what happened: what to do"))
    assert code == exits.FAULT or code in range(exits.USAGE, 13)
    assert f"| `{name}` | `{kind.reason}` | {code} | {(kind.__doc__ or '').splitlines()[0]} |" in PAGE


def test_no_error_is_documented_that_does_not_exist() -> None:
    assert re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE) == list(CLASSES)


def test_the_table_of_exit_codes_is_right() -> None:
    table = dict(re.findall(r"^\| (\d+) \| ([^|]+) \|$", PAGE, re.MULTILINE))
    told = dict(re.findall(r"\b(\d+)  ?([a-z].*?)(?=  \s*\d|\n|$)", exits.__doc__ or ""))
    assert table == told
    named = {exits.DONE, exits.NO_MATCH, exits.UNDECIDED, exits.USAGE, exits.PARTIAL}
    used = named | {exits.FAULT, exits.INTERRUPTED} | {code for _, code in exits.ERRORS}
    assert {int(code) for code in table} == used
    assert set(exits.DECISIONS) == set(Decision)
