"""A threshold remembers where it was measured, and is refused elsewhere."""

import json
from dataclasses import replace

import pytest

from lineament import ModelId, Threshold
from lineament.core.errors import InvalidArgument, ThresholdMismatch

MODEL, OTHER = ModelId("m", "0" * 64), ModelId("other", "f" * 64)


def measured(**changes: object) -> Threshold:
    base = Threshold(
        value=0.42,
        fmr=1e-4,
        interval=(0.41, 0.43),
        fmr_interval=(9e-5, 1.1e-4),
        fnmr=0.01,
        comparisons=1_000_000,
        false_matches=100,
        subjects=1500,
        dataset="made up",
        model=MODEL,
        date="2026-11-25",
        method="by hand",
    )
    return replace(base, **changes)


def test_json_and_back_is_the_same():
    threshold = measured()
    assert Threshold.from_dict(json.loads(json.dumps(threshold.to_dict()))) == threshold


@pytest.mark.parametrize(
    "change",
    [
        {"value": 1.2},
        {"interval": (0.43, 0.41)},
        {"interval": (0.43, 0.5)},
        {"fmr": 0.0},
        {"fmr": 1.5},
        {"fmr_interval": None},
        {"fmr_interval": (0.2, 0.1)},
        {"fnmr": 2.0},
        {"comparisons": -3},
        {"false_matches": 2_000_000},
        {"subjects": 0},
    ],
)
def test_impossible_values_are_refused(change: dict[str, object]):
    with pytest.raises(InvalidArgument):
        measured(**change)


def test_another_models_threshold_is_refused():
    measured().require(MODEL)
    with pytest.raises(ThresholdMismatch, match="measured for m@"):
        measured().require(OTHER)


def test_a_search_threshold_does_not_verify():
    with pytest.raises(ThresholdMismatch, match="searching 1000 references"):
        measured(gallery_size=1000, fmr=None, fpir=1e-2).require(MODEL)


def test_a_typed_in_threshold_says_so():
    threshold = Threshold.typed_in(0.3, MODEL)
    assert not threshold.measured
    assert threshold.interval == (0.3, 0.3)
    with pytest.raises(InvalidArgument):
        Threshold.typed_in(float("nan"), MODEL)


@pytest.mark.parametrize(
    "breakage",
    [
        {"extra": 1},
        {"model": None},
        {"interval": [1]},
        {"value": "x"},
        {"comparisons": "many"},
        {"fnmr": "x"},
        {"fmr_interval": 3},
        {"model": {"name": "x"}},
    ],
)
def test_what_is_not_a_threshold_is_named(breakage: dict[str, object]):
    values = measured().to_dict() | breakage
    with pytest.raises(InvalidArgument):
        Threshold.from_dict(values)
    with pytest.raises(InvalidArgument):
        Threshold.from_dict({})
