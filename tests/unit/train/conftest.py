"""A run that takes seconds, for the tests of the loop."""

import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

TINY = runpy.run_path(str(Path(__file__).parent / "programs" / "tiny.py"))


@dataclass
class Notes:
    """Watches a run, and remembers what it was told."""

    plans: list[Any] = field(default_factory=list)
    steps: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    validations: list[tuple[int, Any, bool]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    taught: list[tuple[int, int]] = field(default_factory=list)
    at_step: Callable[[int], None] = lambda step: None

    def planned(self, what: Any, from_step: int) -> None:
        self.plans.append((what, from_step))

    def preparing(self, done: int, total: int) -> None:
        self.taught.append((done, total))

    def stepped(self, step: int, total: int, row: dict[str, Any]) -> None:
        self.steps.append((step, row))
        self.at_step(step)

    def validated(self, step: int, result: Any, best: bool) -> None:
        self.validations.append((step, result, best))

    def noted(self, sentence: str) -> None:
        self.sentences.append(sentence)

    @property
    def losses(self) -> list[float]:
        return [row["loss"] for _, row in self.steps]

    def said(self, words: str) -> bool:
        return any(words in sentence for sentence in self.sentences)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 persons of 6 pictures."""
    return TINY["write_people"](tmp_path_factory.mktemp("people"))


@pytest.fixture
def tiny(people: Path) -> Callable[..., Any]:
    """The tiny recipe, with settings changed as by `--set`."""
    from lineament.train.recipe import with_settings

    def make(*settings: str) -> Any:
        recipe = TINY["recipe"]()
        recipe = replace(recipe, data=replace(recipe.data, path=str(people)))
        return with_settings(recipe, settings)

    return make


@pytest.fixture
def write_people() -> Callable[..., Path]:
    return TINY["write_people"]


@pytest.fixture
def run(tmp_path: Path, tiny: Callable[..., Any]) -> Callable[..., Any]:
    """Run the tiny recipe in `tmp_path/run`: what was told, and the outcome."""
    from lineament.train.loop import train

    def go(
        settings: Sequence[str] = (), at_step: Callable[[int], None] | None = None, **more: Any
    ) -> tuple[Notes, Any]:
        notes = Notes()
        if at_step is not None:
            notes.at_step = at_step
        folder = more.pop("folder", tmp_path / "run")
        return notes, train(tiny(*settings), folder, notes, device="cpu", **more)

    return go
