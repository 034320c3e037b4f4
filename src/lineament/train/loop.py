"""The training loop, from top to bottom.

    recipe → parts (setup.py) → (read, forward, loss, backward, update)* → checkpoint (state.py)

One step is `batch` pictures in micro-batches, whoever calculates them: gradients add up over micro-batches
and are averaged over processes, so that one process and eight calculate the same, up to rounding.
"""

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lineament.core.errors import TemplateInvalid, TrainingDiverged
from lineament.train import state
from lineament.train.embedder import TorchEmbedder, normalised
from lineament.train.examples import Examples, open_examples
from lineament.train.interrupt import Interrupt, interruptible
from lineament.train.loader import MicroBatch, StepBatch
from lineament.train.log import Log, reported
from lineament.train.parallel import Processes, distributed, joined, seeded
from lineament.train.plan import Plan
from lineament.train.recipe import Recipe
from lineament.train.run_folder import Best, owned, read_best, write_best
from lineament.train.setup import Start, prepare, restore
from lineament.train.undo import Undo
from lineament.train.validation import Validated
from lineament.train.window import Window

PATIENCE = 50
"""Steps in a row that may be skipped because something was not finite."""
PATIENCE_AT_THE_END = 5
"""The same for the last steps of a run: float16 may skip one while it looks for its factor, not many."""


@runtime_checkable
class Watch(Protocol):
    """Whoever looks at a run while it goes; only the first process tells."""

    def planned(self, what: Plan, from_step: int) -> None:
        """Before the first step."""
        ...

    def preparing(self, done: int, total: int) -> None:
        """While a teacher's templates are made."""
        ...

    def stepped(self, step: int, total: int, row: dict[str, Any]) -> None:
        """After every logged step."""
        ...

    def validated(self, step: int, result: Validated, best: bool) -> None:
        """After a look at the held-out persons."""
        ...

    def noted(self, sentence: str) -> None:
        """Something that a person should know."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        checkpoint: the last one.
        best: the best one on the held-out persons; the last one when there are none.
        step: how many steps were made.
        finished: whether that is all of them; a stopped run goes on with the same command.
        skipped: of the steps, how many moved nothing because something was not finite.
    """

    checkpoint: Path
    best: Path
    step: int
    finished: bool
    skipped: int = 0


def train(
    recipe: Recipe,
    run: Path,
    watch: Watch,
    *,
    device: str = "auto",
    start: Start | None = None,
    restart: bool = False,
) -> Outcome:
    """Train, or go on from the newest checkpoint in the run's folder.

    Args:
        recipe: what to do.
        run: folder for checkpoints and logs.
        watch: is told what happens.
        device: `auto`, `cpu` or `cuda`.
        start: gives the backbone its first weights; None for fresh ones.
        restart: begin anew: remove the checkpoints and logs in the folder.

    Raises:
        RecipeInvalid, DatasetError, RuntimeUnavailable: before the first step.
        CheckpointInvalid: the newest checkpoint does not fit the recipe.
        TrainingDiverged: too many steps in a row were not finite.
        OutputFailed: a checkpoint or the log cannot be written; older checkpoints are untouched.
    """
    with (
        closing(open_examples(recipe.data)) as examples,
        joined(device) as processes,
        interruptible() as interrupt,
        owned(run, processes, restart),
    ):
        return Trainer(recipe, run, examples, watch, processes, interrupt, start).run()


class Trainer:
    """One run on one process; arguments as for `train`."""

    def __init__(
        self,
        recipe: Recipe,
        run: Path,
        examples: Examples,
        watch: Watch,
        processes: Processes,
        interrupt: Interrupt,
        start: Start | None,
    ) -> None:
        self.recipe, self.folder, self.watch = recipe, run, watch
        self.processes, self.interrupt = processes, interrupt
        self.parts = prepare(recipe, run, examples, processes, start, watch.preparing)
        self.network, self.objective = self.parts.network, self.parts.objective
        self.optimiser, self.scale, self.plan = self.parts.optimiser, self.parts.scale, self.parts.plan
        self.best = read_best(run)
        restored = restore(self.parts, recipe, run)
        self.step, self.skipped, self.in_a_row = restored.step, restored.skipped, restored.in_a_row
        self.owed = False
        self.broken = reported(run, restored.step)
        self.model = distributed(self.network, processes)
        self.window = restored.window
        self.undo = Undo(self.network, self.objective.shared)
        if processes.first:
            watch.planned(self.plan, self.step)
            for note in (*self.plan.remarks, *restored.notes):
                watch.noted(note)
            if self.step >= self.plan.steps:
                watch.noted(
                    f"the run is finished: {self.step} of {self.plan.steps} steps are made; set steps to "
                    "more, or begin anew with --restart"
                )

    # --------------------------------------------------------------------------------------------- the run

    def run(self) -> Outcome:
        """All steps that are left."""
        log = Log(self.folder, self.step) if self.processes.first else None
        self.window.resume()
        try:
            with closing(self.parts.loader.steps(self.step)) as batches:
                for batch in batches:
                    self._one_step(batch, log)
                    self.step += 1
                    if self._once_in_a_while(log):
                        break
        finally:
            if log is not None:
                log.close()
        finished = self.step >= self.plan.steps
        if finished and self.in_a_row > PATIENCE_AT_THE_END:
            raise self._diverged(f"the last {self.in_a_row} steps of the run")
        last = state.folder_of(self.folder, self.step)
        best = self.folder / self.best.checkpoint if self.best else last
        return Outcome(last, best, self.step, finished, self.skipped)

    def _one_step(self, batch: StepBatch, log: Log | None) -> None:
        rate = self.parts.rate(batch.step)
        labels = torch.cat([torch.from_numpy(m.label) for m in batch.micro]).to(self.processes.device)
        self.objective.begin(labels, batch.step, self._strength(batch.step))
        self.undo.keep()
        self.model.train()
        sums = torch.zeros(4, dtype=torch.float64, device=self.processes.device)
        for number, micro in enumerate(batch.micro):
            # Gradients travel between processes once per step, with the last micro-batch.
            with self._silent() if number + 1 < len(batch.micro) else nullcontext():
                sums += self._forward_backward(micro, batch.step)
        norm = self._gradient_norm()
        finite = bool(torch.isfinite(sums[0])) and bool(torch.isfinite(norm)) and self.objective.finite()
        bad, stop, broken = self.processes.any(not finite, self.interrupt.asked, bool(batch.broken))
        self.interrupt.agreed = stop
        if broken:
            self._report_broken(batch, log)
        if bad:
            self._skip(batch.step, log)
        else:
            self._update(rate)
            self._note(sums, float(norm), rate, batch.step, log)
        self.scale.after(not bad)
        self.optimiser.zero_grad(set_to_none=True)

    def _forward_backward(self, micro: MicroBatch, step: int) -> Tensor:
        # Dropout follows the seed, the step and the number of the micro-batch, not who calculates it.
        torch.manual_seed(seeded(self.recipe.seed, step, micro.number))
        layout = self.recipe.channels_last
        pixels = normalised(micro.pixels, self.processes.device, channels_last=layout)
        with self._autocast():
            embedding = cast(Tensor, self.model(pixels))
            measured = self.objective.measure(embedding, micro)
        (measured.loss * self.scale.value).backward()
        # One tensor on the device: what it says is asked for once per step.
        loss = measured.loss.detach().double()
        right = loss.new_tensor(float("nan")) if measured.right is None else measured.right.double()
        own = measured.own.to(loss.device).double() * measured.rows
        return torch.stack([loss, right, own, loss.new_tensor(measured.rows)])

    def _gradient_norm(self) -> Tensor:
        """Norm of the backbone's gradients, clipped where the recipe says so."""
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        for parameter in parameters if self.scale.active else ():
            cast(Tensor, parameter.grad).div_(self.scale.value)
        largest = self.recipe.clip or float("inf")
        return nn.utils.clip_grad_norm_(parameters, largest).detach().cpu()

    def _update(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.objective.step(rate, self.scale.value)
        self.in_a_row = 0

    def _skip(self, step: int, log: Log | None) -> None:
        """A step whose loss or gradients are not finite moves nothing."""
        self.objective.discard()
        self.undo.put_back()
        self.skipped += 1
        self.in_a_row += 1
        if log is not None:
            log.add(step + 1, "skipped", {"in_a_row": self.in_a_row, "loss_scale": self.scale.value})
            self.watch.noted(f"step {step + 1}: loss or gradients are not finite; skipped")
        if self.in_a_row >= PATIENCE:
            raise self._diverged(f"{self.in_a_row} steps in a row, up to step {step + 1},")

    def _diverged(self, which: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"{which} had a loss or gradients that are not finite: lower optimiser.learning_rate, lengthen "
            "the warm-up or margin_warmup, or set precision=fp32; no checkpoint was removed since, and the "
            "same command goes on from the newest one in the folder"
        )

    # ------------------------------------------------------------------------------------- once in a while

    def _once_in_a_while(self, log: Log | None) -> bool:
        """Validate and save where it is time to; True when the run is to stop."""
        last = self.step >= self.plan.steps
        stop = last or self.interrupt.agreed
        every = self.recipe
        healthy = self.in_a_row == 0
        # A checkpoint that was measured must exist, or it could not be the best one.
        validate = self.parts.validates and (last or _due(self.step, every.validate_every))
        due = validate or _due(self.step, every.save_every) or self.owed
        # While steps are skipped, the weights may be spoilt: what is due waits, and nothing older is removed.
        self.owed = due and not healthy
        if not (stop or (due and healthy)):
            return False
        self.window.pause()
        self.processes.average_statistics(self.network)
        # Measured first: a run that is killed here goes on from before, and measures again.
        result = self._measured() if validate else None
        self._save(log)
        if log is not None:
            if result is not None:
                self._choose(result, log)
            if healthy:
                state.prune(self.folder, every.keep, self.best.checkpoint if self.best else None)
        self.processes.wait()
        self.window.resume()
        return stop

    def _measured(self) -> Validated | None:
        if self.parts.held_out is None:
            return None
        embedder = TorchEmbedder(self.network, self.recipe.name, self.recipe.data.size)
        try:
            return self.parts.held_out.measure(embedder)
        except TemplateInvalid as error:
            self.watch.noted(f"step {self.step}: the held-out persons were not measured: {error.message}")
            return None

    def _choose(self, result: Validated, log: Log) -> None:
        checkpoint = state.folder_of(self.folder, self.step).name
        found = Best(checkpoint, self.step, result.tar, result.tar_low, result.tar_high, result.auc)
        better = found.beats(self.best)
        if better:
            self.best = found
            write_best(self.folder, found)
        log.add(self.step, "validation", result.row())
        self.watch.validated(self.step, result, better)

    def _save(self, log: Log | None) -> None:
        centres = getattr(self.objective, "centres", None)
        snapshot = state.Snapshot(
            step=self.step,
            recipe=self.recipe,
            classes=self.parts.classes,
            backbone=self.network,
            optimiser=self.optimiser,
            sharded=self.objective.sharded(),
            first=0 if centres is None else centres.first,
            shared=self.objective.shared(),
            counters={
                "loss_scale": self.scale.value,
                "good_steps": self.scale.good,
                "skipped": self.skipped,
                "in_a_row": self.in_a_row,
                **self.window.counters(),
            },
        )
        folder = state.save_snapshot(self.folder, snapshot, self.processes)
        if log is not None:
            log.add(self.step, "saved", {"checkpoint": folder.name})

    def _note(self, sums: Tensor, norm: float, rate: float, step: int, log: Log | None) -> None:
        if self.processes.world > 1:
            # Losses are already those of all processes, or scaled so that their mean is.
            dist.all_reduce(sums)
            sums = sums / self.processes.world
        window = self.window
        window.add(sums.tolist())
        if log is None or not (_due(step + 1, self.recipe.log_every) or step + 1 == self.plan.steps):
            return
        window.pause()
        speed = window.steps * self.recipe.batch / window.seconds
        row = {
            "loss": window.loss / window.steps,
            "accuracy": window.right / window.rows,
            "own_cosine": window.own / window.rows,
            "learning_rate": rate,
            "margin_strength": self._strength(step),
            "gradient_norm": norm,
            "samples_per_second": speed,
            "seconds_left": (self.plan.steps - step - 1) * self.recipe.batch / speed,
            "epoch": (step + 1) / self.plan.steps_per_epoch,
        }
        log.add(step + 1, "step", row)
        self.watch.stepped(step + 1, self.plan.steps, row)
        self.window = Window()

    def _report_broken(self, batch: StepBatch, log: Log | None) -> None:
        """Whichever process found it; each picture once."""
        for found in self.processes.gather(batch.broken):
            if log is not None and found not in self.broken:
                self.broken.add(found)
                self.watch.noted(f"{found}: cannot be used; the next picture takes its place")
                log.add(batch.step + 1, "broken", {"picture": found})

    # ---------------------------------------------------------------------------------------- small things

    def _strength(self, step: int) -> float:
        """Share of the margin that applies: grows from 0 over the warm-up of the margin."""
        over = self.recipe.margin_warmup * self.plan.steps
        return 1.0 if step >= over else step / over

    def _silent(self) -> AbstractContextManager[None]:
        """Without travelling gradients."""
        model = self.model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def _autocast(self) -> torch.autocast:
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(self.recipe.precision)
        return torch.autocast(self.processes.device.type, kind or torch.bfloat16, enabled=kind is not None)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
