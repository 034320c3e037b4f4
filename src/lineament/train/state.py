"""Checkpoints: one folder per step, written whole or not at all, readable by people and by any number of
processes.

    step-00020000/
      meta.json                     step, recipe, classes, shards, versions, SHA-256 of every file
      classes.json                  name of every class, by number
      backbone.safetensors          the network
      optimiser.safetensors         its optimiser, by parameter name
      head.safetensors              running values of the head
      centres-00000-of-00002.safetensors   class centres and their optimiser's state, classes [first, last)

Nothing random is in it: data order, changes to pictures, sampled classes and dropout are functions of the
seed and the step. So a run may go on with another number of processes, which calculate the same.
"""

import contextlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lineament.core.errors import CheckpointInvalid, OutputFailed, RecipeInvalid
from lineament.core.files import write_bytes
from lineament.packs.card import sha256_of
from lineament.train import backbones
from lineament.train.backbones.port import Backbone
from lineament.train.parallel import Processes
from lineament.train.recipe import Recipe

SCHEMA = 1
META, CLASSES = "meta.json", "classes.json"
_ENTRIES = frozenset({"step", "classes", "counters", "recipe", "files"})
BACKBONE, OPTIMISER, HEAD = "backbone.safetensors", "optimiser.safetensors", "head.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What a checkpoint holds, on one process.

    Attributes:
        step: how many steps have been made.
        recipe: of the run.
        classes: names of the classes, by number.
        backbone: the network, as it calculates.
        optimiser: of its parameters.
        sharded: what is divided over processes, class axis first.
        first: number of the first class of this process.
        shared: what is the same on every process.
        counters: small numbers: loss scale, skipped steps.
    """

    step: int
    recipe: Recipe
    classes: Sequence[str]
    backbone: nn.Module
    optimiser: torch.optim.Optimizer
    sharded: Mapping[str, Tensor]
    first: int
    shared: Mapping[str, Tensor]
    counters: Mapping[str, float]


_FOLDER = re.compile(r"step-(\d{8,})")


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies in the folder of a run."""
    return run / f"step-{step:08d}"


def checkpoints(run: Path) -> list[Path]:
    """Finished checkpoints of a run, oldest first; folders of other names are somebody's own."""
    return [folder for folder in step_folders(run) if (folder / META).is_file()]


def step_folders(run: Path) -> list[Path]:
    """Folders of a run that are named as its checkpoints are, oldest first."""
    if not run.is_dir():
        return []
    found = ((_FOLDER.fullmatch(folder.name), folder) for folder in run.iterdir())
    return [folder for _, folder in sorted((int(match[1]), folder) for match, folder in found if match)]


def save_snapshot(run: Path, snapshot: Snapshot, processes: Processes) -> Path:
    """Write a checkpoint; every process calls this.

    Returns:
        Its folder.

    Raises:
        OutputFailed: on every process, when any of them could not write; nothing is left then, and older
            checkpoints are untouched.
    """
    final = folder_of(run, snapshot.step)
    # All processes see the same folder; it is not a checkpoint until it has its name.
    partial = run / f".{final.name}.partial"
    failure = _attempt(lambda: _empty(partial)) if processes.first else None
    processes.wait()
    failure = failure or _attempt(lambda: _write_shard(partial, snapshot, processes))
    if processes.first:
        failure = failure or _attempt(lambda: _write_common(partial, snapshot))
    (failed,) = processes.any(failure is not None)
    if processes.first and not failed:
        failure = _attempt(lambda: _finish(partial, final, snapshot, processes.world))
    (failed,) = processes.any(failure is not None)
    if failed:
        if processes.first:
            shutil.rmtree(partial, ignore_errors=True)
        raise failure or OutputFailed(
            f"another process of this run could not write its part of {final}: see its message"
        )
    return final


def _attempt(write: Callable[[], object]) -> OutputFailed | None:
    try:
        write()
    except OutputFailed as error:
        return error
    except (OSError, SafetensorError) as error:
        return OutputFailed(
            f"cannot write a checkpoint: {getattr(error, 'strerror', None) or error}; make room, then run "
            "the same command: it goes on from the last checkpoint"
        )
    return None


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _shard_name(rank: int, world: int) -> str:
    return f"centres-{rank:05d}-of-{world:05d}.safetensors"


def _write_shard(folder: Path, snapshot: Snapshot, processes: Processes) -> None:
    if snapshot.sharded:
        count = len(next(iter(snapshot.sharded.values())))
        about = {"first": str(snapshot.first), "last": str(snapshot.first + count)}
        name = _shard_name(processes.rank, processes.world)
        _write_tensors(folder / name, snapshot.sharded, about)


def _write_common(folder: Path, snapshot: Snapshot) -> None:
    _write_tensors(folder / BACKBONE, snapshot.backbone.state_dict())
    _write_tensors(folder / OPTIMISER, _optimiser_tensors(snapshot.backbone, snapshot.optimiser))
    _write_tensors(folder / HEAD, snapshot.shared)
    # ASCII, so that names of any bytes can be in it.
    write_bytes(folder / CLASSES, json.dumps(list(snapshot.classes)).encode())


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], about: dict[str, str] | None = None) -> None:
    own = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # The folder is not a checkpoint yet, so that half a file in it does no harm.
    save_file(own, path, about)
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _finish(partial: Path, final: Path, snapshot: Snapshot, world: int) -> None:
    files = sorted(p for p in partial.iterdir() if not p.name.startswith("."))
    meta = {
        "schema": SCHEMA,
        "step": snapshot.step,
        "processes": world,
        "classes": len(snapshot.classes),
        "counters": dict(snapshot.counters),
        "recipe": snapshot.recipe.to_dict(),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "files": {p.name: sha256_of(p) for p in files},
    }
    write_bytes(partial / META, (json.dumps(meta, indent=1) + "\n").encode())
    if final.exists():
        shutil.rmtree(final)
    partial.replace(final)


def _optimiser_tensors(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state by parameter name: `momentum_buffer/layer1.0.conv1.weight`."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in dict(network.named_parameters()).items():
        state = cast(dict[str, Any], optimiser.state.get(parameter, {}))
        for what, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{what}/{name}"] = value
    return tensors


# ---------------------------------------------------------------------------------------------------- reading


def read_meta(folder: Path) -> dict[str, Any]:
    """What a checkpoint says about itself.

    Raises:
        CheckpointInvalid: not a checkpoint, or of another schema.
    """
    try:
        meta = cast(dict[str, Any], json.loads((folder / META).read_text(encoding="utf-8")))
        if meta["schema"] != SCHEMA:
            raise ValueError(f"its schema is {meta['schema']}, and this version reads {SCHEMA}")
        if missing := sorted(_ENTRIES - set(meta)):
            raise ValueError(f"it has no {missing[0]}")
        return meta
    except FileNotFoundError as error:
        raise CheckpointInvalid(
            f"{folder} is not a checkpoint: name a folder such as runs/NAME/step-00001000, with {META} in it"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointInvalid(f"{folder} is not a readable checkpoint: {error}") from error


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a checkpoint against its digest; returns what it says about itself.

    Raises:
        CheckpointInvalid: a file is missing or has changed.
    """
    meta = read_meta(folder)
    for name, digest in cast(dict[str, str], meta["files"]).items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            state = "has changed since it was written" if path.is_file() else "is missing"
            raise CheckpointInvalid(
                f"{path} {state}: remove the folder {folder}, and the run goes on from the checkpoint "
                "before it"
            )
    return meta


def load_backbone(folder: Path) -> tuple[Backbone, Recipe]:
    """The network of a checkpoint, in evaluation mode on the CPU, and the recipe it was trained by.

    Raises:
        CheckpointInvalid: damaged, or not of the network that its recipe names.
    """
    meta = verify(folder)
    recipe = recipe_of(meta, folder)
    network = backbones.build(recipe.backbone)
    restore_backbone(network, folder)
    network.eval()
    return network, recipe


def recipe_of(meta: Mapping[str, Any], folder: Path) -> Recipe:
    """The recipe inside a checkpoint.

    Raises:
        CheckpointInvalid: it has settings that this version does not know.
    """
    try:
        return Recipe.from_dict(meta["recipe"], str(folder))
    except (RecipeInvalid, KeyError) as error:
        raise CheckpointInvalid(f"{folder} has a recipe that cannot be read: {error}") from error


def restore_backbone(network: nn.Module, folder: Path) -> None:
    """Give a network the weights of a checkpoint.

    Raises:
        CheckpointInvalid: they are of another network; the message names the first difference.
    """
    put_weights(network, read_tensors(folder / BACKBONE), str(folder))


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Give a network these weights, all of them and no others.

    Raises:
        CheckpointInvalid: names or shapes differ; the message names the first difference.
    """
    own = network.state_dict()
    for name in sorted(set(own) | set(weights)):
        if name not in weights or name not in own:
            side = "lacks" if name not in weights else "has, and the network has not,"
            raise CheckpointInvalid(f"{where} {side} {name}: its network is another one than the recipe's")
        if own[name].shape != weights[name].shape:
            raise CheckpointInvalid(
                f"{where}: {name} has shape {tuple(weights[name].shape)}, and the network takes "
                f"{tuple(own[name].shape)}: its network is another one than the recipe's"
            )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])


def restore_optimiser(network: nn.Module, optimiser: torch.optim.Optimizer, folder: Path) -> None:
    """Give the backbone's optimiser its state of a checkpoint.

    Raises:
        CheckpointInvalid: it is of another network, or of another optimiser.
    """
    known = {"SGD": {"momentum_buffer"}, "AdamW": {"step", "exp_avg", "exp_avg_sq"}}[type(optimiser).__name__]
    parameters = dict(network.named_parameters())
    for key, value in read_tensors(folder / OPTIMISER).items():
        what, _, name = key.partition("/")
        parameter = parameters.get(name)
        if parameter is None:
            raise CheckpointInvalid(f"{folder} has optimiser state of {name}, which the network has not")
        if what not in known:
            raise CheckpointInvalid(
                f"{folder} has {what} of another optimiser: go on with the optimiser that the run was "
                "started with, or begin anew with --restart"
            )
        # torch keeps AdamW's step count on the CPU, and the rest beside the parameter.
        place = value if what == "step" else value.to(parameter.device)
        optimiser.state[parameter][what] = place


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of one file.

    Raises:
        CheckpointInvalid: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointInvalid(f"cannot read {path}: {error}") from error


def read_classes(folder: Path) -> list[str]:
    """Names of the classes of a checkpoint, by number.

    Raises:
        CheckpointInvalid: they are missing or damaged.
    """
    try:
        return cast(list[str], json.loads((folder / CLASSES).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointInvalid(f"cannot read {folder / CLASSES}: {error}") from error


def shards(folder: Path) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Each shard of class centres, one after the other: number of its first class, and its tensors.

    Raises:
        CheckpointInvalid: a shard is damaged.
    """
    for path in sorted(folder.glob("centres-*.safetensors")):
        try:
            with safe_open(path, "pt") as opened:
                about = cast(dict[str, str], opened.metadata())
                names = cast(list[str], list(opened.keys()))
                shard = int(about["first"]), {name: opened.get_tensor(name) for name in names}
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise CheckpointInvalid(f"cannot read {path}: {error}") from error
        yield shard


def prune(run: Path, keep: int, best: str | None) -> None:
    """Remove all but the newest `keep` checkpoints and the best one; 0 keeps all."""
    for folder in checkpoints(run)[:-keep] if keep else []:
        if folder.name != best:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
