"""Words and constructions that have no place in this repository."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = sorted((REPOSITORY / "src").rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in SOURCE}
GLOSSARY = REPOSITORY / "docs" / "glossary.md"
TOP = ("README.md", "CHANGELOG.md", "LOG.md", "NOTICE", "mkdocs.yml", "pyproject.toml", "constraints.txt")

# Where a word would be the very thing that is tested, it is written in two pieces.
EVERYWHERE = {
    "a path of one machine": r"/wor" + r"k/",
    "unfinished work": r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b",
    "a word that says nothing": r"(?<!onnx\.)\bhelp"
    + r"ers?\b(?!\.make_|, numpy_helper)",  # onnx has a module of it
    "a registry's host": r"pypi\.org|pythonhosted|registry\.npmjs",
}
# ISO/IEC 2382-37: mated and non-mated, FMR per comparison, template, reference.
SYNONYMS = {
    "mated": r"\bgenuine\b",
    "non-mated": r"\bimpost[eo]rs?\b",
    "reference": r"\bground[- ]truth face\b|\bgold(?:en)? image\b",
    "similarity": r"\bsimilarity score\b|\bmatching score\b|\bconfidence score\b",
    "template": r"\bface ?prints?\b|\bfeature vectors?\b",
    "colour": r"\bcolors?\b(?!\s*=|=|`|'|\")",
    "licence": r"\blicenses?\b",
}


def texts() -> Iterator[tuple[str, str]]:
    """(name, text) of everything people read: code, scripts, documentation."""
    places = [*SOURCE, *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / name for name in TOP)]
    scripts = [path for path in (REPOSITORY / "scripts").iterdir() if path.is_file()]
    for path in [*places, *scripts, REPOSITORY / ".ci" / "run", *(REPOSITORY / "bench").glob("*.*")]:
        if path.is_file():
            yield str(path.relative_to(REPOSITORY)), path.read_text("utf-8")


def hits(pattern: str, text: str, flags: int = 0) -> list[str]:
    """Lines of a text that a pattern is in."""
    return [line.strip() for line in text.splitlines() if re.search(pattern, line, flags)]


@pytest.mark.parametrize("what", EVERYWHERE)
def test_nowhere(what: str) -> None:
    found = {name: lines for name, text in texts() if (lines := hits(EVERYWHERE[what], text))}
    assert found == {}


@pytest.mark.parametrize("term", ["mated", "non-mated", "reference", "similarity", "template"])
def test_the_glossary_s_word_is_used(term: str) -> None:
    found = {
        name: lines
        for name, text in texts()
        if name != str(GLOSSARY.relative_to(REPOSITORY))
        and (lines := hits(SYNONYMS[term], text, re.IGNORECASE))
    }
    assert found == {}, f"the word is {term!r}, see docs/glossary.md"


@pytest.mark.parametrize("term", ["colour", "licence"])
def test_spelling_is_british_in_documentation(term: str) -> None:
    # Names that others gave (`color="bgr"`, the Apache License, LICENSE) keep their spelling.
    names = r"Apache License|MODEL\.LICENSE|BSD License|LICENSE|MIT License|/licenses"
    found = {}
    for name, text in texts():
        if name.startswith("docs/") and not name.endswith("cli.md"):
            found_here = hits(SYNONYMS[term], text, re.IGNORECASE)
            if lines := [line for line in found_here if not re.search(names, line)]:
                found[name] = lines
    assert found == {}


def is_assert(node: ast.AST) -> bool:
    """An assert statement: gone under -O, and no sentence for people."""
    return isinstance(node, ast.Assert)


def is_print(node: ast.AST) -> bool:
    """A call of print: a library does not talk."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def is_pickle(node: ast.AST) -> bool:
    """An import of pickle or its kin: reading one runs what it says."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in PICKLES for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES


PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}


def is_unsafe_load(node: ast.AST) -> bool:
    """`allow_pickle=True`."""
    return isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"


def is_process_exit(node: ast.AST) -> bool:
    """`sys.exit`, `exit`, `quit`: only the command line's own entry decides that."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "exit", "quit", "os._exit")


RULES: dict[str, Callable[[ast.AST], bool]] = {
    "assert": is_assert,
    "print": is_print,
    "pickle": is_pickle,
    "allow_pickle": is_unsafe_load,
    "exit": is_process_exit,
}


@pytest.mark.parametrize("rule", RULES)
def test_not_in_the_package(rule: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', '?')}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if RULES[rule](node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("assert", "assert x"),
        ("print", "print(1)"),
        ("pickle", "from pickle import loads"),
        ("pickle", "import joblib"),
        ("allow_pickle", "np.load(f, allow_pickle=True)"),
        ("exit", "sys.exit(1)"),
    ],
)
def test_the_rules_notice(rule: str, source: str) -> None:
    assert any(RULES[rule](node) for node in ast.walk(ast.parse(source)))


def test_shapes_are_never_postponed() -> None:
    """`from __future__ import annotations` turns annotations into strings; shapes must stay objects."""
    both = [
        str(path.relative_to(REPOSITORY))
        for path in SOURCE
        if "from __future__ import annotations" in (text := path.read_text("utf-8"))
        and re.search(r"^(?:from|import) jaxtyping", text, re.MULTILINE)
    ]
    assert both == []


def test_no_weights_and_no_photographs_are_in_the_repository() -> None:
    places = [REPOSITORY / name for name in ("src", "docs", "tests", "bench", "scripts")]
    kinds = {".onnx", ".pth", ".pt", ".npz", ".tflite", ".jpg", ".jpeg", ".png", ".webp", ".zip", ".bin"}
    found = [str(p) for place in places for p in place.rglob("*") if p.suffix.lower() in kinds]
    # Templates of nobody: random vectors, and what arcface_torch's evaluation made of them.
    synthetic = {str(REPOSITORY / "tests" / "golden" / "verification_parity.npz")}
    assert [path for path in found if path not in synthetic] == []
