"""What a run makes smaller, behind one promise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lineament.core.errors import CheckpointInvalid, PackError, RecipeInvalid
from lineament.train import objective
from lineament.train.loader import MicroBatch
from lineament.train.objective import Objective, Saved
from lineament.train.parallel import Processes
from lineament.train.recipe import Recipe, part
from lineament.train.undo import Undo
from lineament.train.window import Window

ALONE = Processes(0, 1, torch.device("cpu"))


def batch(labels: list[int], index: list[int] | None = None) -> MicroBatch:
    pixels = np.zeros((len(labels), 112, 112, 3), np.uint8)
    rows = np.array(index or range(len(labels)), np.int64)
    return MicroBatch(0, pixels, np.array(labels, np.int64), rows)


def made(recipe: Recipe, classes: int = 5, targets: Any = None) -> Objective:
    found = objective.build(recipe, classes, 8, ALONE, targets)
    assert isinstance(found, Objective)
    return found


def test_micro_batches_add_up_to_the_mean(tiny: Callable[..., Recipe]) -> None:
    embedding = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    labels = [0, 1, 2, 3, 4, 0]
    gradients = []
    for parts in ([slice(0, 6)], [slice(0, 2), slice(2, 4), slice(4, 6)]):
        leaf = embedding.clone().requires_grad_()
        it = made(tiny("sample_rate=1"))
        it.begin(torch.tensor(labels), 0, 1.0)
        losses = [it.measure(leaf[p], batch(labels[p])).loss for p in parts]
        total = torch.stack(losses).sum()
        total.backward()
        gradients.append((float(total.detach()), leaf.grad))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-6)
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_centres_follow_names(tiny: Callable[..., Recipe]) -> None:
    old, new = made(tiny("seed=1")), made(tiny("seed=2"), 4)
    fresh = new.sharded()["weight"].clone()
    whole = {n: t.clone() for n, t in old.sharded().items()}
    # As two processes wrote it.
    shards = [(0, {n: t[:2] for n, t in whole.items()}), (2, {n: t[2:] for n, t in whole.items()})]
    notes = new.restore(Saved(shards, old.shared(), list("abcde")), ["d", "x", "b", "c"])
    assert notes == ["the data have other persons than the checkpoint: 1 are new and begin anew, 2 are gone"]
    weight = new.sharded()["weight"]
    assert torch.equal(weight[[0, 2, 3]], whole["weight"][[3, 1, 2]])
    assert torch.equal(weight[1], fresh[1])


def test_running_values_of_another_head(tiny: Callable[..., Recipe]) -> None:
    adaface = made(tiny("head.kind=adaface"))
    for one, other in ((adaface, made(tiny())), (made(tiny()), adaface)):
        with pytest.raises(CheckpointInvalid, match="of a head, and the head here"):
            other.restore(Saved([], one.shared(), []), list("abcde"))


def test_triplets(tiny: Callable[..., Recipe]) -> None:
    recipe = tiny("head.kind=triplet", "people=4", "batch=8", "micro_batch=4")
    it = made(recipe)
    embedding = torch.randn(4, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    it.begin(torch.tensor([0, 0, 1, 1]), 0, 1.0)
    found = it.measure(embedding, batch([0, 0, 1, 1]))
    expected = objective.Triplet()(embedding, torch.tensor([0, 0, 1, 1])) / 2
    torch.testing.assert_close(found.loss, expected)
    assert found.right is None
    assert (it.sharded(), it.shared(), it.finite()) == ({}, {}, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("people=0",), "set people to 2 or more"),
        (("people=8", "batch=8"), "2 persons or more"),
        (("people=2", "batch=8"), "2 persons or more"),
        (("people=2", "batch=8", "micro_batch=2"), "2 persons or more"),
        (("people=4", "batch=8", "head.wrong=1"), "wrong"),
        (("people=4", "batch=8", "head.mining=softest"), "mining"),
        (("people=4", "batch=8", "head.margin=9"), "margin"),
    ],
)
def test_triplets_that_cannot_be(
    tiny: Callable[..., Recipe], settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        made(tiny("head.kind=triplet", *settings))


def test_a_teacher(tiny: Callable[..., Recipe]) -> None:
    targets = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(2)))
    it = made(tiny("batch=4", "micro_batch=2", "head.kind=distil"), targets=targets)
    perfect = it.measure(3 * targets[[4, 1]], batch([0, 1], [4, 1]))
    assert float(perfect.loss) == pytest.approx(0.0, abs=1e-6)
    assert float(perfect.own) == pytest.approx(1.0)
    opposite = it.measure(-targets[[4, 1]], batch([0, 1], [4, 1]))
    # Two rows of a step of four: 1 − (−1), halved.
    assert float(opposite.loss) == pytest.approx(1.0)
    with pytest.raises(RecipeInvalid, match=r"backbone\.dimension=9"):
        made(tiny(), targets=torch.zeros(6, 9))


def test_a_run_learns_from_the_default_pack(
    run: Callable[..., Any], tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    people = write_people(tmp_path / "people", range(4))
    settings = (
        "head.kind=distil", "backbone.dimension=128", "steps=4", "schedule.kind=constant", "clip=0",
        "optimiser.learning_rate=0.1", f"data.path={people}",
    )  # fmt: skip
    try:
        notes, outcome = run(settings)
    except PackError as error:
        pytest.skip(f"needs the default pack: {error.message}")
    assert outcome.finished
    assert notes.taught[-1] == (24, 24)
    assert notes.losses[-1] < notes.losses[0]
    kept = tmp_path / "run" / "teacher.safetensors"
    assert kept.stat().st_mode & 0o077 == 0
    again, _ = run((*settings, "steps=5"))
    assert again.taught == []
    with pytest.raises(RecipeInvalid, match="views"):
        run((*settings, "head.views=three"))


def test_undo() -> None:
    network = torch.nn.BatchNorm1d(3)
    shared = {"mean": torch.ones(2)}
    undo = Undo(network, lambda: shared)
    undo.keep()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    network(torch.full((4, 3), torch.nan))
    shared["mean"] = torch.full((2,), torch.nan)
    assert torch.isnan(network.running_mean).all()  # type: ignore[arg-type]  (a tensor here)
    undo.put_back()
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    assert torch.equal(shared["mean"], torch.ones(2))


def test_a_window_goes_into_a_checkpoint_and_back() -> None:
    window = Window()
    window.add([2.0, float("nan"), 3.0, 6.0])
    window.add([1.0, float("nan"), 3.0, 6.0])
    window.pause()
    counters = window.counters()
    assert "window_right" not in counters
    again = Window.of(counters)
    assert (again.loss, again.own, again.rows, again.steps) == (3.0, 6.0, 12.0, 2)
    assert again.right != again.right
    assert again.seconds == window.seconds > 0
    assert Window.of({"loss_scale": 1.0}).steps == 0


def test_an_unknown_head(tiny: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeInvalid, match="best"):
        made(replace(tiny(), head=part("best")))
