"""Recipes as plain values: changed, saved, read, refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Recipe, part, with_settings


def test_there_and_back(tiny: Callable[..., Recipe]) -> None:
    recipe = replace(tiny("augment.mask=0.25", "data.colour=bgr"), expected={"LFW": "99.8"})
    saved = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(saved) == recipe


def test_settings_of_every_type(tiny: Callable[..., Recipe]) -> None:
    recipe = tiny(
        "steps=7", "clip=2", "compile=true", "precision=bf16", "data.path=faces.zip", "data.held_out=0.1",
        "augment.flip=0", "head.margin=0.4", "head.gradient=exact", "optimiser.nesterov=true",
    )  # fmt: skip
    assert (recipe.steps, recipe.clip, recipe.compile, recipe.precision) == (7, 2.0, True, "bf16")
    assert isinstance(recipe.clip, float)
    assert (recipe.data.path, recipe.data.held_out, recipe.augment.flip) == ("faces.zip", 0.1, 0.0)
    assert recipe.head == part("arcface", scale=16.0, margin=0.4, gradient="exact")
    assert recipe.optimiser.options["nesterov"] is True


def test_later_settings_win_and_the_first_recipe_stays(tiny: Callable[..., Recipe]) -> None:
    recipe = tiny()
    assert with_settings(recipe, ["steps=3", "steps=4"]).steps == 4
    assert recipe.steps == 12
    assert with_settings(recipe, []) == recipe


def test_another_component_begins_without_options(tiny: Callable[..., Recipe]) -> None:
    assert tiny("head.kind=cosface", "head.margin=0.2").head == part("cosface", margin=0.2)
    assert tiny("head.kind=arcface").head == tiny().head


def test_text_stays_text(tiny: Callable[..., Recipe]) -> None:
    assert tiny("data.path=2024").data.path == "2024"
    assert tiny("name=true").name == "true"
    assert tiny(" summary = a = b ").summary == "a = b"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps", "'steps' is not name=value"),
        ("stepps=1", "'stepps'"),
        ("data.pth=x", r"'data\.pth'"),
        ("nothing.at=1", r"'nothing\.at'"),
        ("steps.more=1", r"'steps\.more'"),
        ("steps=many", "steps = 'many' must be a whole number"),
        ("steps=1.5", r"steps = 1\.5 must be a whole number"),
        ("steps=true", "steps = True must be a whole number"),
        ("clip=true", "clip = True must be a number"),
        ("clip=large", "clip = 'large' must be a number"),
        ("clip=NaN", "clip = nan"),
        ("compile=1", "compile = 1 must be true or false"),
        ("data.up=a", r"data\.up = 'a' must be a whole number"),
        ("data.colour=rbg", r"data\.colour = 'rbg' is none of rgb, bgr"),
        ("precision=fp8", "precision = 'fp8' is none of fp32, bf16, fp16"),
        ("data=x", r"data has settings of its own: set data\.path"),
        ("backbone=iresnet18", r"set backbone\.kind"),
        ("head.options=1", "head.options has settings of its own"),
        ("head.margin=[1]", r"head\.margin = \[1\] must be text"),
        ("batch=10", "batch = 10 is not a multiple of micro_batch = 4"),
        ("batch=0", "batch = 0: set it to 1 or more"),
        ("micro_batch=0", "micro_batch = 0: set it to 1 or more"),
        ("steps=0", "set epochs or steps"),
        ("steps=-1", "steps = -1"),
        ("sample_rate=0", "sample_rate = 0"),
        ("sample_rate=1.5", r"sample_rate = 1\.5"),
        ("margin_warmup=2", "margin_warmup = 2"),
        ("data.held_out=1", r"data\.held_out = 1"),
        ("augment.flip=2", r"augment\.flip = 2"),
        ("keep=-1", "keep = -1"),
        ("threads=0", "threads = 0"),
        ("seed=-1", "seed = -1"),
        ("people=-1", "people = -1"),
        ("log_every=-1", "log_every = -1"),
        ("epochs=Infinity", "epochs = inf"),
    ],
)
def test_every_refusal_names_the_setting(tiny: Callable[..., Recipe], setting: str, message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        tiny(setting)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("batch"), "lacks the setting 'batch'"),
        (lambda d: d["head"].pop("kind"), r"lacks the setting 'head\.kind'"),
        (lambda d: d.update(colour=1), "no setting 'colour'"),
        (lambda d: d["data"].update(colours=1), r"no setting 'data\.colours'"),
        (lambda d: d.update(head="arcface"), "head = 'arcface' is not a group"),
        (lambda d: d.update(expected=3), "expected = 3"),
        (lambda d: d["head"].update(options=[1]), r"head\.options"),
        (lambda d: d["head"].update(kind=3), r"head\.kind = 3 must be text"),
    ],
)
def test_what_cannot_be_read(tiny: Callable[..., Recipe], change: Callable[[Any], Any], message: str) -> None:
    values = tiny().to_dict()
    change(values)
    with pytest.raises(RecipeInvalid, match=message):
        Recipe.from_dict(values, "here")


def test_it_says_where_the_recipe_was() -> None:
    with pytest.raises(RecipeInvalid, match=r"^saved\.json"):
        Recipe.from_dict({}, "saved.json")
