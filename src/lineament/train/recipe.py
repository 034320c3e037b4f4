"""A recipe: everything that decides what a run trains, as plain values that can be read, changed and saved.

A recipe is a function that returns one `Recipe`; there is no other configuration. `--set` changes single
values of it, and every checkpoint carries the whole of it.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from lineament.core.errors import RecipeInvalid

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Part:
    """A component by name, with its options: `part("arcface", scale=64.0, margin=0.5)`.

    Attributes:
        kind: which one; the tables are `backbones.KINDS`, `heads.KINDS`, `optimiser.KINDS`, `schedule.KINDS`.
        options: keyword arguments of its constructor.
    """

    kind: str
    options: Mapping[str, Value] = field(default_factory=dict[str, Value])


def part(kind: str, /, **options: Value) -> Part:
    """A component by name, with its options."""
    return Part(kind, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which pictures, and who is on them.

    Attributes:
        path: RecordIO folder, image folder, zip or tar; `~` and environment variables are expanded.
        up: how far above a picture the folder named after the person is.
        exclude: a file of persons or pictures to leave out; empty for none.
        colour: order of channels in the files; only files written by a faulty program are `bgr`.
        fewest: persons with fewer pictures are left out.
        held_out: share of the persons that are never trained on, for choosing the best checkpoint.
        size: side of the crops, pixels.
    """

    path: str = ""
    up: int = 1
    exclude: str = ""
    colour: Literal["rgb", "bgr"] = "rgb"
    fewest: int = 1
    held_out: float = 0.0
    size: int = 112

    def __post_init__(self) -> None:
        """Take a path of any kind, and refuse what is of the wrong type.

        Raises:
            RecipeInvalid: naming the setting.
        """
        for name in ("path", "exclude"):
            value: object = getattr(self, name)
            if isinstance(value, os.PathLike):
                object.__setattr__(self, name, os.fspath(cast("os.PathLike[str]", value)))
        _check_types(self, "data.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Random changes to training pictures, each with the share of pictures that get it.

    Attributes:
        flip: mirrored.
        crop: a random part of the picture on black, as in AdaFace (Kim et al. 2022, §4.1).
        low_resolution: reduced to 0.2–1 of its size and enlarged again (the same).
        colour: brightness, contrast and saturation changed (the same).
        gray: without colour.
        mask: a synthetic face mask.
    """

    flip: float = 0.5
    crop: float = 0.0
    low_resolution: float = 0.0
    colour: float = 0.0
    gray: float = 0.0
    mask: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One run.

    Attributes:
        name: of the recipe; the run's folder is named after it.
        summary: what it is for and where its values come from, one sentence.
        data: which pictures.
        augment: random changes to them.
        backbone: the network.
        head: what makes logits of its embeddings; or another objective, `triplet` or `distil`.
        optimiser: of backbone and class centres.
        schedule: of the learning rate.
        batch: pictures per step, over all processes and micro-batches.
        micro_batch: pictures that go through the network at once on one process; batch normalisation sees
            these. `batch` is a multiple of it, and the number of processes divides their quotient, so that a
            run gives the same numbers on any number of processes.
        people: persons per batch, for objectives that compare pictures within it; 0 for plain shuffling.
        epochs: how long, when `steps` is 0.
        steps: how long, in steps.
        sample_rate: share of the class centres that take part in a step (Partial FC, An et al. 2022).
        margin_warmup: share of the steps over which the margin grows from 0 to its value.
        clip: largest gradient norm of the backbone; 0 for none.
        precision: arithmetic of the backbone's forward pass.
        channels_last: memory layout of the backbone.
        compile: whether `torch.compile` is applied to it.
        checkpoint_activations: recompute activations in the backward pass instead of keeping them.
        log_every, validate_every, save_every: steps between; 0 for never (the last step is always saved).
        keep: newest checkpoints that are kept, 0 for all; the best one always is.
        threads: for reading pictures, per process.
        seed: of everything random.
        expected: published figures of this recipe, by benchmark, with their source.
    """

    name: str
    summary: str
    data: Data
    backbone: Part
    head: Part
    optimiser: Part
    schedule: Part
    batch: int
    micro_batch: int
    augment: Augment = field(default_factory=Augment)
    people: int = 0
    epochs: float = 0.0
    steps: int = 0
    sample_rate: float = 1.0
    margin_warmup: float = 0.0
    clip: float = 5.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    compile: bool = False
    checkpoint_activations: bool = False
    log_every: int = 20
    validate_every: int = 0
    save_every: int = 0
    keep: int = 3
    threads: int = 2
    seed: int = 2048
    expected: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Refuse what cannot be run, before anything is read.

        Raises:
            RecipeInvalid: naming the setting.
        """
        _check_types(self, "")
        if self.name.startswith(".") or _UNFIT.search(self.name):
            raise RecipeInvalid(
                f"name = {self.name!r} cannot be the name of a folder: use letters, digits, '_' and '-'"
            )
        for name, low in _LOWEST.items():
            value = cast(float, getattr(self, name))
            if not low <= value < math.inf:
                raise RecipeInvalid(f"{name} = {value:g}: set it to {low} or more")
        if self.batch % self.micro_batch:
            raise RecipeInvalid(
                f"batch = {self.batch} is not a multiple of micro_batch = {self.micro_batch}: set "
                "both so that it is"
            )
        if not (self.steps or self.epochs):
            raise RecipeInvalid("a recipe says how long it runs: set epochs or steps to more than 0")
        for name, low, high in (("sample_rate", 0.0, 1.0), ("margin_warmup", -1e-9, 1.0)):
            value = cast(float, getattr(self, name))
            if not low < value <= high:
                raise RecipeInvalid(f"{name} = {value:g} is not a share: set it between 0 and 1")
        if not 0.0 <= self.data.held_out < 1.0:
            raise RecipeInvalid(f"data.held_out = {self.data.held_out:g}: set it to 0 or more and below 1")
        shares = dataclasses.asdict(self.augment)
        if wrong := [k for k, v in shares.items() if not 0.0 <= v <= 1.0]:
            raise RecipeInvalid(
                f"augment.{wrong[0]} = {shares[wrong[0]]:g} is not a share of pictures: set it "
                "between 0 and 1"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the recipe") -> "Recipe":
        """What `to_dict` wrote.

        Raises:
            RecipeInvalid: an unknown or missing setting, or one of the wrong type.
        """
        return cast(Recipe, _build(cls, values, where))


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with single values changed.

    Args:
        recipe: where to start.
        settings: `name=value`, with dots for parts: `steps=2000`, `data.path=faces.zip`, `head.margin=0.4`,
            `head.kind=cosface`. Values are JSON where that parses, else text.

    Raises:
        RecipeInvalid: no such setting, or a value of another type.
    """
    values = recipe.to_dict()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise RecipeInvalid(f"{setting!r} is not name=value: write for example --set steps=2000")
        _put(values, name.strip().split("."), text.strip(), name.strip())
    return Recipe.from_dict(values, "the settings")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(values: dict[str, Any], path: list[str], text: str, name: str) -> None:
    place = values
    for step in path[:-1]:
        inner = place.get(step)
        if not isinstance(inner, dict):
            raise RecipeInvalid(f"there is no setting {name!r}: {_known(place)}")
        place = cast(dict[str, Any], inner)
    last = path[-1]
    if isinstance(place.get(last), dict):
        raise RecipeInvalid(f"{name} has settings of its own: set {', '.join(_inside(name, place[last]))}")
    if "options" in place and last not in ("kind", "options"):
        # The options of a part are checked by its own constructor.
        place = cast(dict[str, Any], place["options"])
    elif last not in place:
        raise RecipeInvalid(f"there is no setting {name!r}: {_known(place)}")
    elif last == "kind" and place["kind"] != text:
        # Another component has other options; those of the old one would only be refused.
        place["options"] = {}
    # A folder may be called 2024.
    place[last] = text if isinstance(place.get(last), str) else _value(text)


def _inside(name: str, place: Mapping[str, Any]) -> list[str]:
    """What can be set in a group of settings."""
    if "kind" in place:
        return [f"{name}.kind", f"{name}.OPTION"]
    return [f"{name}.{inner}" for inner in place]


def _known(place: Mapping[str, Any]) -> str:
    return "settings here are " + ", ".join(sorted(place))


def _build(kind: type, values: Any, where: str, place: str = "") -> Any:
    if not isinstance(values, dict):
        raise RecipeInvalid(f"{where}: {place[:-1] or 'a recipe'} = {values!r} is not a group of settings")
    values = cast(dict[str, Any], values)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(fields)):
        raise RecipeInvalid(f"{where} has no setting '{place}{unknown[0]}': settings are {', '.join(fields)}")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        inner = _NESTED.get((kind, name))
        if inner:
            arguments[name] = _build(inner, value, where, f"{place}{name}.")
        else:
            arguments[name] = _fitting(place + name, fields[name], value, where)
    needed = [n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in arguments]:
        raise RecipeInvalid(f"{where} lacks the setting '{place}{missing[0]}'")
    return kind(**arguments)


_NESTED: dict[tuple[type, str], type] = {
    (Recipe, "data"): Data,
    (Recipe, "augment"): Augment,
    **{(Recipe, name): Part for name in ("backbone", "head", "optimiser", "schedule")},
}
_UNFIT = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')
_CHOICES: dict[str, tuple[str, ...]] = {
    "data.colour": ("rgb", "bgr"),
    "precision": ("fp32", "bf16", "fp16"),
}
_TYPES: dict[type, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
}
_LOWEST: dict[str, int] = {
    **dict.fromkeys(("people", "epochs", "steps", "clip", "log_every", "validate_every", "save_every"), 0),
    **dict.fromkeys(("keep", "seed"), 0),
    **dict.fromkeys(("batch", "micro_batch", "threads"), 1),
}


def _check_types(values: "Recipe | Data", place: str) -> None:
    """What a person's own file holds is of the types that `--set` may set."""
    for field_ in dataclasses.fields(values):
        value: object = getattr(values, field_.name)
        inner = _NESTED.get((type(values), field_.name))
        if inner is None:
            _fitting(place + field_.name, field_, value, "the recipe")
        elif not isinstance(value, inner):
            raise RecipeInvalid(
                f"the recipe: {place}{field_.name} = {value!r} must be a {inner.__name__}: use part(...), "
                "Data(...) or Augment(...) of lineament.train.recipe"
            )


def _fitting(name: str, field_: "dataclasses.Field[Any]", value: Any, where: str) -> Any:
    if choices := _CHOICES.get(name):
        if value not in choices:
            raise RecipeInvalid(f"{where}: {name} = {value!r} is none of {', '.join(choices)}")
        return value
    if name.endswith(".options"):
        return _options(name.removesuffix("options"), value, where)
    types, words = _TYPES.get(cast(type, field_.type), ((dict,), "names with values"))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise RecipeInvalid(f"{where}: {name} = {value!r} must be {words}")
    return float(value) if field_.type is float else value


def _options(place: str, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise RecipeInvalid(f"{where}: {place}options = {values!r} must be names with values")
    for name, value in cast(dict[str, Any], values).items():
        if not (value is None or isinstance(value, (str, int, float))):
            raise RecipeInvalid(f"{where}: {place}{name} = {value!r} must be text, a number, true or false")
    return cast(dict[str, Any], values)
