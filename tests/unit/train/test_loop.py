"""The training loop on one process: curve, stops, skipped steps, checkpoints, the choice of the best."""

import json
import math
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
    CheckpointInvalid,
    OutputFailed,
    TrainingDiverged,
)
from lineament.train import loop, setup, state
from lineament.train.embedder import digest_of
from lineament.train.loop import Trainer
from lineament.train.objective import Classify, Measured
from lineament.train.scaling import LossScale

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
    settings = ("steps=4", "save_every=1", "schedule.warmup_steps=1", f"head.kind={head}", "keep=0")
    odd(lambda step: step == 2)
    notes, outcome = run(settings)
    assert outcome.finished
    assert [step for step, _ in notes.steps] == [1, 2, 4]
    assert notes.said("step 3: loss or gradients are not finite; skipped")
    assert [(r["step"], r["in_a_row"]) for r in rows(tmp_path / "run", "skipped")] == [(3, 1)]
    before = tensors(tmp_path / "run" / "step-00000002")
    after = tensors(tmp_path / "run" / "step-00000003")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert state.read_meta(tmp_path / "run" / "step-00000003")["counters"]["skipped"] == 1
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
    assert [p.name for p in state.checkpoints(tmp_path / "run")] == [
        "step-00000002",
        "step-00000004",
        "step-00000006",
    ]


def test_gradients_are_clipped(run: Run, tmp_path: Path) -> None:
    """A step along a clipped gradient is as long as the limit says, whatever the gradient was."""
    settings = (
        "steps=1", "schedule.kind=constant", "optimiser.learning_rate=1.0", "optimiser.momentum=0",
        "optimiser.weight_decay=0",
    )  # fmt: skip
    fresh, _ = run((*settings, "optimiser.learning_rate=1e-20", "clip=0"), folder=tmp_path / "fresh")
    norm = fresh.steps[0][1]["gradient_norm"]
    for name, clip, length in (("clipped", "0.5", 0.5), ("free", "0", norm), ("wide", "1e6", norm)):
        notes, outcome = run((*settings, f"clip={clip}"), folder=tmp_path / name)
        assert notes.steps[0][1]["gradient_norm"] == pytest.approx(norm)
        start = load_file(tmp_path / "fresh" / "step-00000001" / "backbone.safetensors")
        end = load_file(outcome.checkpoint / "backbone.safetensors")
        moved = [end[n] - start[n] for n in end if "running" not in n and "tracked" not in n]
        assert float(torch.cat([m.flatten() for m in moved]).norm()) == pytest.approx(length, rel=1e-4)


def test_margin_warms_up(run: Run) -> None:
    notes, _ = run(("steps=4", "margin_warmup=0.5", "schedule.warmup_steps=0"))
    assert [row["margin_strength"] for _, row in notes.steps] == [0.0, 0.5, 1.0, 1.0]


def test_the_best_checkpoint_is_kept_and_named(run: Run, tmp_path: Path) -> None:
    settings = ("data.held_out=0.3", "validate_every=2", "save_every=0", "keep=1")
    notes, outcome = run(settings)
    assert [step for step, _, _ in notes.validations] == [2, 4, 6, 8, 10, 12]
    measured = [(result.tar, result.auc) for _, result, _ in notes.validations]
    best = 2 * (1 + measured.index(max(measured)))
    assert outcome.best.name == f"step-{best:08d}"
    assert outcome.best.is_dir()
    chosen = json.loads((tmp_path / "run" / "best.json").read_text())
    assert (chosen["step"], chosen["checkpoint"]) == (best, outcome.best.name)
    assert {p.name for p in state.checkpoints(tmp_path / "run")} == {outcome.best.name, "step-00000012"}
    assert [r["step"] for r in rows(tmp_path / "run", "validation")] == [2, 4, 6, 8, 10, 12]
    assert notes.plans[0][0].rows[2] == ("persons, pictures", "8, 48")


def test_held_out_persons_are_not_trained_on(run: Run, tmp_path: Path) -> None:
    _, outcome = run(("data.held_out=0.3", "steps=1", "schedule.kind=constant"))
    meta = state.read_meta(outcome.checkpoint)
    assert meta["classes"] == len(state.read_classes(outcome.checkpoint)) == 8


def test_other_persons_are_told(run: Run, tmp_path: Path, write_people: Callable[..., Path]) -> None:
    run(("steps=4",))
    other = write_people(tmp_path / "others", range(3, 14))
    notes, outcome = run(("steps=8", f"data.path={other}"))
    assert notes.said("2 are new and begin anew, 3 are gone")
    assert notes.said("steps was 4 and is 8")
    assert outcome.finished
    assert state.read_classes(outcome.checkpoint) == [f"person-{n:02d}" for n in range(3, 14)]


def test_centres_follow_the_names_of_persons(
    run: Run, tmp_path: Path, write_people: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = run(("steps=4",))
    before = load_file(first.checkpoint / "centres-00000-of-00001.safetensors")
    other = write_people(tmp_path / "others", range(3, 14))
    # A rate of nothing: what is saved is what was taken over.
    settings = ("steps=5", f"data.path={other}", "optimiser.learning_rate=1e-30", "optimiser.weight_decay=0")
    _, second = run(settings)
    after = load_file(second.checkpoint / "centres-00000-of-00001.safetensors")
    assert torch.allclose(after["weight"][:9], before["weight"][3:], rtol=0, atol=1e-12)
    assert after["weight"].shape[0] == 11
    assert not torch.allclose(after["weight"][9:], before["weight"][:2], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ("backbone.kind=iresnet34", "backbone.width=8", "backbone.reduce=4"),
            "another one than the recipe's",
        ),
        (("backbone.dimension=16",), "shape"),
        (("head.kind=adaface",), "running values"),
        (("head.kind=subcenter",), "of the checkpoint is"),
        (("optimiser.kind=adamw", "optimiser.learning_rate=0.001"), "optimiser"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(run: Run, settings: tuple[str, ...], message: str) -> None:
    run(("steps=1", "schedule.kind=constant"))
    with pytest.raises(CheckpointInvalid, match=message):
        run(("steps=2", "schedule.kind=constant", *settings))


def test_damage_is_noticed_and_named(run: Run, tmp_path: Path) -> None:
    _, outcome = run(("steps=1", "schedule.kind=constant"))
    for path in sorted(outcome.checkpoint.iterdir()):
        whole = path.read_bytes()
        harmed = bytearray(whole)
        harmed[len(harmed) // 2] ^= 0x80
        path.write_bytes(harmed)
        with pytest.raises(CheckpointInvalid, match=path.name if path.name != "meta.json" else "step-0"):
            run(("steps=2", "schedule.kind=constant"))
        path.write_bytes(whole)
    (outcome.checkpoint / "head.safetensors").unlink()
    with pytest.raises(CheckpointInvalid, match=r"head\.safetensors is missing: remove the folder"):
        run(("steps=2", "schedule.kind=constant"))


def test_two_runs_do_not_share_a_folder(run: Run, tmp_path: Path) -> None:
    refused: list[str] = []

    def second(step: int) -> None:
        if step == 1:
            for restart in (False, True):
                with pytest.raises(OutputFailed) as error:
                    run(("steps=2", "schedule.warmup_steps=1"), restart=restart)
                refused.append(error.value.message)

    _, outcome = run(("steps=2", "schedule.warmup_steps=1", "save_every=1"), second)
    assert len(refused) == 2
    assert all("another run is writing into" in message for message in refused)
    assert outcome.finished
    assert len(state.checkpoints(tmp_path / "run")) == 2


def test_lower_precision_learns_too(run: Run) -> None:
    notes, outcome = run(("precision=bf16", "steps=8"))
    assert outcome.finished
    assert notes.losses[-1] < 0.8 * notes.losses[0]
    weights = load_file(outcome.checkpoint / "backbone.safetensors")
    assert {t.dtype for n, t in weights.items() if "tracked" not in n} == {torch.float32}


def test_fp16_gradients_are_those_of_fp32(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale is taken out again, of the network and of the centres; too large a one is halved."""
    settings = ("steps=2", "schedule.kind=constant", "clip=0", "batch=12")
    exact, _ = run(settings, folder=tmp_path / "exact")
    for first, expected in ((128.0, 128.0), (2.0**40, 2.0**38)):
        monkeypatch.setattr(setup.LossScale, "of", lambda precision, value=first: LossScale(value, 0, True))
        half, outcome = run((*settings, "precision=fp16"), folder=tmp_path / f"half-{first}")
        assert state.read_meta(outcome.checkpoint)["counters"]["loss_scale"] == expected
        if first == 128.0:
            assert half.losses == pytest.approx(exact.losses, rel=0.02)
            norms = [notes.steps[0][1]["gradient_norm"] for notes in (half, exact)]
            assert norms[0] == pytest.approx(norms[1], rel=0.02)
    again, _ = run((*settings, "precision=fp16", "steps=3"), folder=tmp_path / "half-128.0")
    assert len(again.losses) == 1


def test_triplets_learn(run: Run) -> None:
    settings = ("head.kind=triplet", "people=6", "micro_batch=12", "optimiser.learning_rate=0.01", "steps=8")
    notes, outcome = run(settings)
    assert outcome.finished
    assert notes.losses[-1] < notes.losses[2]
    assert all(math.isnan(row["accuracy"]) for _, row in notes.steps)


def test_the_network_of_a_checkpoint(run: Run) -> None:
    _, outcome = run(("steps=2", "schedule.warmup_steps=1"))
    network, recipe = state.load_backbone(outcome.checkpoint)
    assert recipe.name == "tiny"
    assert not network.training
    answer = network(torch.zeros(2, 3, 112, 112))
    assert answer.shape == (2, 32)
    again, _ = state.load_backbone(outcome.checkpoint)
    assert digest_of(network) == digest_of(again)


def test_first_weights_can_be_given(run: Run, tmp_path: Path) -> None:
    def ones(network: torch.nn.Module) -> None:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(0.01)

    _, outcome = run(("steps=1", "schedule.kind=constant", "optimiser.learning_rate=1e-30"), start=ones)
    weights = load_file(outcome.checkpoint / "backbone.safetensors")
    assert torch.allclose(weights["tail.linear.weight"], torch.tensor(0.01))


@pytest.mark.parametrize("last", [True, False])
def test_the_layout_of_the_maps(run: Run, monkeypatch: pytest.MonkeyPatch, last: bool) -> None:
    """Maps follow the layout of the pictures, whatever that of the weights is."""
    forward, seen = torch.nn.PReLU.forward, []

    def look(self: Any, x: torch.Tensor) -> torch.Tensor:
        seen.append((x.is_contiguous(memory_format=torch.channels_last), x.is_contiguous()))
        return forward(self, x)

    monkeypatch.setattr(torch.nn.PReLU, "forward", look)
    run(("steps=1", "schedule.kind=constant", "backbone.width=16", f"channels_last={str(last).lower()}"))
    assert seen[0] == (last, not last)
