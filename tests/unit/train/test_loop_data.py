"""What the loop says of the data, and what it refuses before the first step."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineament.core.errors import DatasetInvalid, RecipeInvalid, RuntimeUnavailable
from lineament.train import state
from lineament.train.loop import train

Run = Callable[..., Any]


def test_a_picture_that_cannot_be_used_is_told_once(
    run: Run, tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    people = write_people(tmp_path / "broken")
    (people / "person-03" / "2.jpg").write_bytes(b"")
    notes, _ = run(("steps=6", f"data.path={people}"))
    assert sum("2.jpg" in sentence for sentence in notes.sentences) == 1
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    (row,) = [row for row in map(json.loads, lines) if row["kind"] == "broken"]
    assert row["picture"] == "person-03/2.jpg: image_empty"


def test_blue_faces_are_remarked(run: Run, tmp_path: Path, write_people: Callable[..., Path]) -> None:
    people = write_people(tmp_path / "blue", swapped=True)
    short = ("steps=1", "schedule.kind=constant", f"data.path={people}")
    notes, _ = run(short)
    assert notes.said("faces look blue")
    assert notes.said("data.colour=bgr")
    notes, _ = run((*short, "data.colour=bgr"), folder=tmp_path / "right")
    assert not notes.said("faces look blue")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (("micro_batch=1",), RecipeInvalid, "micro_batch to 2 or more"),
        (("batch=100", "micro_batch=4"), DatasetInvalid, "72 pictures"),
        (("data.path=nowhere",), DatasetInvalid, "nowhere"),
        (("data.path=",), RecipeInvalid, r"data\.path is empty"),
        (("data.size=96",), RecipeInvalid, r"set data\.size=112"),
        (("backbone.kind=resnet",), RecipeInvalid, "no backbone 'resnet'"),
        (("head.kind=best",), RecipeInvalid, "best"),
        (("head.wrong=1",), RecipeInvalid, "wrong"),
        (("optimiser.wrong=1",), RecipeInvalid, "wrong"),
        (("schedule.warmup_steps=12",), RecipeInvalid, "warm-up"),
        (("head.kind=triplet",), RecipeInvalid, "set people"),
        (("head.kind=triplet", "people=6"), RecipeInvalid, "2 persons or more"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_first_step(
    run: Run, tmp_path: Path, settings: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(settings)
    assert not state.checkpoints(tmp_path / "run")


def test_there_is_no_such_device(run: Run, tiny: Callable[..., Any], tmp_path: Path) -> None:
    notes, _ = run(("steps=1", "schedule.kind=constant"))
    with pytest.raises(RuntimeUnavailable, match="tpu"):
        train(tiny(), tmp_path / "run", notes, device="tpu")
