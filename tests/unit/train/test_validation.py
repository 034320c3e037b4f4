"""Held-out persons, measured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lineament.core.crop import Crops
from lineament.core.errors import DatasetInvalid
from lineament.core.template import ModelId, Templates
from lineament.train import validation
from lineament.train.examples import open_examples
from lineament.train.recipe import Data
from lineament.train.validation import HeldOut


class Mean:
    """Embeds by the mean colours of a few squares; or by nothing but chance."""

    model = ModelId("mean", "0" * 64)
    crop_size = 112

    def __init__(self, chance: bool = False) -> None:
        self.rng = np.random.default_rng(1) if chance else None

    def embed(self, crops: Crops) -> Templates:
        pixels = crops.pixels.astype(np.float32)
        means = pixels.reshape(len(pixels), 7, 16, 7, 16, 3).mean(axis=(2, 4)).reshape(len(pixels), -1) - 80
        if self.rng is not None:
            means = self.rng.normal(size=means.shape).astype(np.float32)
        return Templates.from_raw(means, self.model)


def test_it_measures(people: Path) -> None:
    held_out = HeldOut(open_examples(Data(path=str(people))), "rgb", 112)
    assert held_out.pixels.shape == (72, 112, 112, 3)
    found = held_out.measure(Mean())
    assert (found.mated, found.nonmated) == (12 * 15, 72 * 71 // 2 - 12 * 15)
    assert found.tar > 0.8
    assert found.auc > 0.95
    assert found.tar_low <= found.tar <= found.tar_high
    assert found.row().keys() >= {"tar", "tar_low", "tar_high", "auc", "mated", "nonmated"}
    by_chance = held_out.measure(Mean(chance=True))
    assert by_chance.tar < 0.1
    assert 0.3 < by_chance.auc < 0.7


def test_two_persons_are_enough(tmp_path: Path, write_people: Callable[..., Path]) -> None:
    held_out = HeldOut(open_examples(Data(path=str(write_people(tmp_path / "two", range(2))))), "rgb", 112)
    found = held_out.measure(Mean())
    assert (found.mated, found.nonmated) == (30, 36)
    assert 0.0 <= found.tar <= 1.0


def test_broken_pictures_are_left_out(tmp_path: Path, write_people: Callable[..., Path]) -> None:
    people = write_people(tmp_path / "three", range(3))
    (people / "person-01" / "3.jpg").write_bytes(b"no picture")
    held_out = HeldOut(open_examples(Data(path=str(people))), "rgb", 112)
    assert held_out.broken == ["person-01/3.jpg"]
    assert len(held_out.pixels) == len(held_out.labels) == 17
    for place in people.glob("person-0[01]/*"):
        place.write_bytes(b"no picture")
    with pytest.raises(DatasetInvalid, match="2 usable pictures"):
        HeldOut(open_examples(Data(path=str(people))), "rgb", 112)


def test_the_order_of_channels(people: Path) -> None:
    examples = open_examples(Data(path=str(people)))
    rgb, bgr = (HeldOut(examples, colour, 112).pixels for colour in ("rgb", "bgr"))
    assert np.array_equal(rgb, bgr[..., ::-1])


def test_whole_persons_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order the pictures are, and not all of one person."""
    monkeypatch.setattr(validation, "MOST_OF_ONE", 3)
    monkeypatch.setattr(validation, "LARGEST", 7)
    labels = np.array([2, 0, 1, 0, 2, 0, 1, 0, 2, 1])
    assert validation._chosen(labels) == [1, 3, 5, 2, 6, 9, 0]
    assert sorted(validation._chosen(np.zeros(2, np.int64))) == [0, 1]
