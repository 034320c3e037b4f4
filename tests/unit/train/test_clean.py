"""Wrong labels by sub-centres: angles against a slow calculation, and planted noise that must be found."""

import stat
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from lineament.core.errors import CheckpointInvalid
from lineament.datasets.labelled import read_exclusions
from lineament.train import state
from lineament.train.clean import (
    load_centres,
    nearness,
    suspects,
    write_list,
    write_sheet,
)
from lineament.train.examples import Examples, open_examples
from lineament.train.loop import train
from lineament.train.own_data import clean_recipe
from lineament.train.recipe import Data, Recipe, with_settings

TINY = [
    'backbone.dimension=32', "backbone.width=8", "backbone.reduce=4", "batch=32", "micro_batch=32",
    "epochs=12", "threads=1", "channels_last=false", "optimiser.learning_rate=0.03",
]  # fmt: skip
PEOPLE, EACH, WRONG = 12, 20, 0.1


class Silent:
    """Watches a run and says nothing."""

    def planned(self, what: Any, from_step: int) -> None: ...
    def preparing(self, done: int, total: int) -> None: ...
    def stepped(self, step: int, total: int, row: dict[str, Any]) -> None: ...
    def validated(self, step: int, result: Any, best: bool) -> None: ...
    def noted(self, sentence: str) -> None: ...


def picture(person: int, number: int) -> bytes:
    """A coarse pattern of one person, shifted, in another light, with noise."""
    pattern = np.random.default_rng([9, person]).uniform(60, 200, (6, 6, 3)).astype(np.float32)
    rng = np.random.default_rng([3, person, number])
    large = cv2.resize(pattern, (124, 124), interpolation=cv2.INTER_CUBIC)
    x, y = rng.integers(0, 13, 2)
    crop = large[y : y + 112, x : x + 112] * rng.uniform(0.8, 1.2) + rng.normal(0, 12, (112, 112, 3))
    stream = BytesIO()
    PIL.Image.fromarray(np.clip(crop, 0, 255).astype(np.uint8)).save(stream, "png")
    return stream.getvalue()


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A zip of patterns, some filed under another person, and the names of those."""
    path = tmp_path_factory.mktemp("noisy") / "people.zip"
    rng = np.random.default_rng(1)
    wrong: set[str] = set()
    with zipfile.ZipFile(path, "w") as opened:
        for person in range(PEOPLE):
            for number in range(EACH):
                filed = person
                if rng.random() < WRONG:
                    filed = int((person + rng.integers(1, PEOPLE)) % PEOPLE)
                name = f"p{filed:02d}/{person}_{number}.png"
                wrong |= {name} if filed != person else set()
                opened.writestr(name, picture(person, number))
        opened.writestr("p00/cut.png", picture(0, 99)[:300])
    return path, wrong


@pytest.fixture(scope="module")
def trained(noisy: tuple[Path, set[str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    recipe = with_settings(clean_recipe(Data(path=str(noisy[0])), pictures=PEOPLE * EACH), TINY)
    outcome = train(recipe, tmp_path_factory.mktemp("run"), Silent(), device="cpu")
    return recipe, outcome.checkpoint


def test_nearness_is_that_of_the_slow_way() -> None:
    rng = np.random.default_rng(0)
    unit = rng.standard_normal((40, 5))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    centre = rng.standard_normal((4, 3, 5)) * 0.01
    label = rng.integers(0, 4, 40)
    found = nearness(torch.tensor(unit).float(), label, torch.tensor(centre).float())
    for row in range(40):
        own = centre[label[row]] / np.linalg.norm(centre[label[row]], axis=1, keepdims=True)
        assert found.nearest[row] == (own @ unit[row]).argmax()
    for person in range(4):
        votes = np.bincount(found.nearest[label == person], minlength=3)
        assert found.dominant[person] == votes.argmax()
        own = centre[person, found.dominant[person]] / np.linalg.norm(centre[person, found.dominant[person]])
        expected = np.degrees(np.arccos(unit[label == person] @ own))
        np.testing.assert_allclose(found.angle[label == person], expected, atol=1e-2)


def test_planted_noise_is_found(noisy: tuple[Path, set[str]], trained: tuple[Recipe, Path]) -> None:
    path, wrong = noisy
    recipe, checkpoint = trained
    examples = open_examples(Data(path=str(path)))
    backbone, centres = load_centres(checkpoint, examples.classes)
    found = suspects(backbone, centres, examples, recipe.data)
    assert found[0].name == "p00/cut.png"
    assert found[0].angle is None and "cannot be used" in found[0].reason
    angles = [suspect.angle for suspect in found[1:] if suspect.angle is not None]
    assert angles == sorted(angles, reverse=True)
    assert {suspect.person for suspect in found} <= set(examples.classes)
    far = suspects(backbone, centres, examples, recipe.data, angle=65.0, criterion="angle")
    assert all(s.angle is None or s.angle > 65.0 for s in far)
    # Which angle parts wrong from right follows the run: with four seeds and three settings, 65 degrees left
    # out up to 6 of 19. The order does not: the 19 worst held 18 or 19 of the wrong ones in all twelve.
    listed = {s.name for s in far if s.angle is not None}
    assert len(wrong & listed) >= 0.9 * len(listed) and 2 * len(listed) >= len(wrong)
    everything = suspects(backbone, centres, examples, recipe.data, angle=0.0, criterion="angle", threads=2)
    assert len(everything) == len(examples)
    worst = [s.name for s in everything if s.angle is not None][: len(wrong)]
    assert len(wrong & set(worst)) >= 0.9 * len(wrong)
    examples.close()


def test_the_list_leaves_them_out(
    noisy: tuple[Path, set[str]], trained: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, checkpoint = trained
    examples = open_examples(recipe.data)
    found = suspects(*load_centres(checkpoint, examples.classes), examples, recipe.data)
    table = tmp_path / "exclude.csv"
    write_list(table, found)
    assert table.read_text("utf-8").splitlines()[0] == "name,reason,angle"
    assert set(read_exclusions(table)) == {suspect.name for suspect in found}
    kept = open_examples(Data(path=str(noisy[0]), exclude=str(table)))
    assert len(kept) == len(examples) - len(found)
    kept.close()
    sheet = tmp_path / "worst.png"
    write_sheet(sheet, found, examples, recipe.data)
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    shown = np.asarray(PIL.Image.open(sheet))
    first = next(s for s in found if s.angle is not None)
    original = np.asarray(PIL.Image.open(BytesIO(examples.read(first.row))))
    np.testing.assert_array_equal(shown[:112, :112], original)
    examples.close()


def test_centres_go_by_the_person_s_name(trained: tuple[Recipe, Path]) -> None:
    _, checkpoint = trained
    names = state.read_classes(checkpoint)
    _, straight = load_centres(checkpoint, tuple(names))
    _, turned = load_centres(checkpoint, tuple(reversed(names)))
    assert straight.shape == (PEOPLE, 3, 32)
    assert torch.equal(turned, straight.flip(0))


def test_a_checkpoint_that_does_not_fit_is_refused(
    trained: tuple[Recipe, Path], noisy: tuple[Path, set[str]], tmp_path: Path
) -> None:
    recipe, checkpoint = trained
    with pytest.raises(CheckpointInvalid, match=r"not trained on 1 of 2 persons.*'nobody'"):
        load_centres(checkpoint, ("p00", "nobody"))
    plain = with_settings(recipe, ["head.kind=arcface", "steps=1", "schedule.warmup_epochs=0"])
    outcome = train(plain, tmp_path, Silent(), device="cpu")
    with pytest.raises(CheckpointInvalid, match="arcface, which has no sub-centres"):
        load_centres(outcome.checkpoint, ("p00",))


def test_examples_are_left_as_they_were(trained: tuple[Recipe, Path]) -> None:
    recipe, checkpoint = trained
    examples: Examples = open_examples(recipe.data)
    backbone, centres = load_centres(checkpoint, examples.classes)
    backbone.train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    suspects(backbone, centres, examples, recipe.data)
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    examples.close()
