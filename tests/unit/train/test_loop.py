"""The training loop on one process: curve, stops, skipped steps, checkpoints, the choice of the best."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lineament.core.errors import (
    TrainingDiverged,
)
from lineament.train import loop, state
from lineament.train.loop import Trainer
from lineament.train.objective import Classify, Measured

Run = Callable[..., Any]


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{p.name}/{n}": t for p in folder.glob("*.safetensors") for n, t in load_file(p).items()}


def interrupt(at: int) -> Callable[[int], None]:
    return lambda step: os.kill(os.getpid(), signal.SIGINT) if step == at else None


def test_it_learns_and_says_so(run: Run, tmp_path: Path) -> None:
    notes, outcome = run()
    assert outcome.finished
    assert outcome.step == 12
    assert outcome.checkpoint == outcome.best == tmp_path / "run" / "step-00000012"
    assert notes.losses[-1] < 0.6 * notes.losses[0]
    assert [step for step, _ in notes.steps] == list(range(1, 13))
    # The warm-up starts at zero.
    rates = [row["learning_rate"] for _, row in notes.steps]
    assert rates[0] == 0.0
    assert rates[1] == 0.001
    assert rates[2] == max(rates) == 0.002
    assert [row["loss"] for row in rows(tmp_path / "run", "step")] == notes.losses
    assert [row["checkpoint"] for row in rows(tmp_path / "run", "saved")] == [
        "step-00000004", "step-00000008", "step-00000012"
    ]  # fmt: skip
    what, from_step = notes.plans[0]
    assert (what.steps, what.steps_per_epoch, from_step) == (12, 3, 0)
    assert dict(what.rows)["persons, pictures"] == "12, 72"
    assert not list((tmp_path / "run").glob(".step-*"))


def test_a_stop_leaves_no_mark(run: Run, tmp_path: Path) -> None:
    """Also between two logged steps, and with margin, dropout, flips and sampled classes at work."""
    settings = ("log_every=3", "margin_warmup=0.5", "save_every=5")
    whole, _ = run(settings, folder=tmp_path / "whole")
    # Only logged steps are told: asked in the third, the loop stops after the fourth.
    first, stopped = run(settings, interrupt(3))
    assert not stopped.finished
    assert stopped.step == 4
    assert stopped.checkpoint.name == "step-00000004"
    second, outcome = run(settings)
    assert outcome.finished
    assert second.said("going on from step-00000004")
    assert [*first.losses, *second.losses] == whole.losses
    assert [row["loss"] for row in rows(tmp_path / "run", "step")] == whole.losses
    one = tensors(tmp_path / "whole" / "step-00000012")
    other = tensors(tmp_path / "run" / "step-00000012")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_log_forgets_what_came_after_the_checkpoint(run: Run, tmp_path: Path) -> None:
    run(("save_every=4",))
    folder = tmp_path / "run"
    for name in ("step-00000008", "step-00000012"):
        shutil.rmtree(folder / name)
    notes, _ = run(("save_every=4",))
    assert notes.plans[0][1] == 4
    assert [row["step"] for row in rows(folder, "step")] == list(range(1, 13))
    assert [row["step"] for row in rows(folder, "saved")] == [4, 8, 12]


def test_a_finished_run_says_so(run: Run) -> None:
    _, first = run(("steps=2", "schedule.warmup_steps=1"))
    notes, again = run(("steps=2", "schedule.warmup_steps=1"))
    assert again == first
    assert notes.said("finished")
    assert notes.steps == []


def test_restart_begins_anew(run: Run, tmp_path: Path) -> None:
    settings = ("steps=2", "schedule.warmup_steps=1")
    first, _ = run(settings)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    second, _ = run(settings, restart=True)
    assert second.losses == first.losses
    assert len(rows(tmp_path / "run", "step")) == 2
    assert (tmp_path / "run" / "notes.txt").exists()


class Odd:
    """An objective whose loss is not a number in some steps."""

    def __init__(self, inner: Classify, when: Callable[[int], bool]) -> None:
        self.inner, self.when, self.at = inner, when, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def begin(self, labels: Any, step: int, strength: float) -> None:
        self.at = step
        self.inner.begin(labels, step, strength)

    def measure(self, embedding: Any, batch: Any) -> Measured:
        factor = float("nan") if self.when(self.at) else 1.0
        return self.inner.measure(embedding * factor, batch)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], bool]], None]:
    def arrange(when: Callable[[int], bool]) -> None:
        made = Trainer.__init__

        def init(self: Any, *arguments: Any) -> None:
            made(self, *arguments)
            self.objective = Odd(self.objective, when)

        monkeypatch.setattr(Trainer, "__init__", init)

    return arrange


@pytest.mark.parametrize("head", ["arcface", "adaface", "curricularface"])
def test_a_step_that_is_not_finite_moves_nothing(
    run: Run, tmp_path: Path, odd: Callable[..., None], head: str
) -> None:
    settings = ("save_every=1", "schedule.warmup_steps=1", f"head.kind={head}", "keep=0")
    odd(lambda step: step == 2)
    notes, outcome = run((*settings, "steps=3"))
    assert outcome.finished and outcome.skipped == 1
    assert [step for step, _ in notes.steps] == [1, 2]
    assert notes.said("step 3: loss or gradients are not finite; skipped")
    assert [(r["step"], r["in_a_row"]) for r in rows(tmp_path / "run", "skipped")] == [(3, 1)]
    before = tensors(tmp_path / "run" / "step-00000002")
    after = tensors(tmp_path / "run" / "step-00000003")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert state.read_meta(tmp_path / "run" / "step-00000003")["counters"]["skipped"] == 1
    again, outcome = run((*settings, "steps=4"))
    assert [step for step, _ in again.steps] == [4] and outcome.skipped == 1
    assert again.said("the last 1 steps before step-00000003 were skipped")
    assert not all(torch.equal(before[n], t) for n, t in tensors(tmp_path / "run" / "step-00000004").items())


def test_statistics_survive_pictures_that_are_not_finite(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a forward pass moves by itself is put back too: a NaN in a running mean would stay."""
    plain, calls = loop.normalised, []

    def sometimes(pixels: np.ndarray, device: torch.device, *, channels_last: bool) -> torch.Tensor:
        calls.append(0)
        return plain(pixels, device, channels_last=channels_last) * (float("inf") if len(calls) == 8 else 1.0)

    monkeypatch.setattr(loop, "normalised", sometimes)
    _, outcome = run(("steps=3", "schedule.warmup_steps=1", "head.kind=adaface"))
    assert len(rows(tmp_path / "run", "skipped")) == 1
    assert all(torch.isfinite(t).all() for t in tensors(outcome.checkpoint).values())


def test_too_many_in_a_row_end_the_run(
    run: Run, tmp_path: Path, odd: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PATIENCE", 3)
    odd(lambda step: step >= 4)
    with pytest.raises(TrainingDiverged, match=r"3 steps in a row, up to step 7.*learning_rate"):
        run(("save_every=2",))
    assert [p.name for p in state.checkpoints(tmp_path / "run")] == ["step-00000002", "step-00000004"]


def test_a_run_that_diverges_keeps_what_was_good(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step with a huge rate spoils the weights; every step after it is skipped."""
    monkeypatch.setattr(loop, "PATIENCE", 12)
    run(("steps=6", "save_every=3", "keep=2"))
    good = tensors(tmp_path / "run" / "step-00000006")
    spoilt = ("steps=60", "save_every=2", "keep=2", "clip=0", "schedule.kind=constant")
    with pytest.raises(TrainingDiverged, match="no checkpoint was removed since"):
        run((*spoilt, "optimiser.learning_rate=1e30"))
    left = [p.name for p in state.checkpoints(tmp_path / "run")]
    assert left == ["step-00000003", "step-00000006"]
    assert all(torch.equal(good[n], t) for n, t in tensors(tmp_path / "run" / "step-00000006").items())


def test_a_run_that_learnt_nothing_is_no_success(run: Run, odd: Callable[..., None]) -> None:
    odd(lambda step: step >= 2)
    with pytest.raises(TrainingDiverged, match="the last 7 steps of the run"):
        run(("steps=9",))


def test_what_was_due_while_steps_were_skipped_is_saved_afterwards(
    run: Run, tmp_path: Path, odd: Callable[..., None]
) -> None:
    odd(lambda step: step in (3, 4))
    run(("steps=8", "save_every=4", "keep=0"))
    assert [p.name for p in state.checkpoints(tmp_path / "run")] == ["step-00000006", "step-00000008"]
