"""Attack detection: the worst species decides, and a target holds for every one of them."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.attack import STANDARD_TARGETS, bpcer_at_apcer, pad
from lineament.metrics.intervals import wilson

TENTH = st.integers(0, 9).map(lambda tenth: tenth / 10)
SCORES = st.lists(TENTH, min_size=1, max_size=25)
TABLES = st.fixed_dictionaries({"bona_fide": SCORES, "print": SCORES, "mask": SCORES})


def rows(table: dict[str, list[float]], dtype: type = np.float64) -> tuple[np.ndarray, list[str]]:
    names = [name for name, scores in table.items() for _ in scores]
    return np.array([s for scores in table.values() for s in scores], dtype), names


@settings(deadline=None)
@given(TABLES, TENTH)
def test_rates_by_hand(table: dict[str, list[float]], threshold: float) -> None:
    found = pad(*rows(table), threshold)
    passed = {name: sum(s >= threshold for s in table[name]) for name in ("mask", "print")}
    assert [kind.name for kind in found.species] == ["mask", "print"]
    for kind in found.species:
        assert (kind.errors, kind.trials) == (passed[kind.name], len(table[kind.name]))
        assert kind.interval == wilson(kind.errors, kind.trials)
    assert found.apcer == max(passed[name] / len(table[name]) for name in passed)
    turned_away = sum(s < threshold for s in table["bona_fide"])
    assert found.bpcer == turned_away / len(table["bona_fide"])
    assert found.acer == (found.apcer + found.bpcer) / 2


@settings(max_examples=300, deadline=None)
@given(TABLES, st.sampled_from([0.5, 0.2, 0.1, 0.05, 0.29]), st.sampled_from([np.float32, np.float64]))
def test_the_target_holds_for_every_species(
    table: dict[str, list[float]], target: float, dtype: type
) -> None:
    score, species = rows(table, dtype)
    (point,) = bpcer_at_apcer(score, species, [target])
    exact = Fraction(str(target))
    assert all(Fraction(kind.errors, kind.trials) <= exact for kind in point.pad.species)
    # The bar itself is too low: some species would pass too often there.
    if point.bar is None:
        assert point.pad.threshold == -math.inf
        assert point.pad.bpcer == 0
    else:
        assert point.pad.threshold > point.bar
        lower = pad(score, species, point.bar)
        assert any(Fraction(kind.errors, kind.trials) > exact for kind in lower.species)
    starved = min(len(table["print"]), len(table["mask"])) * exact < 1
    assert point.status == ("insufficient" if starved else "ok")


def test_pooling_would_hide_a_species() -> None:
    table = {"": [0.9] * 10, "print": [0.1] * 90, "mask": [0.8] * 10}
    found = pad(*rows(table), 0.5)
    assert (found.worst.name, found.apcer) == ("mask", 1)
    assert sum(k.errors for k in found.species) / sum(k.trials for k in found.species) == 0.1


def test_of_equally_bad_species_the_one_with_more_presentations_is_named() -> None:
    table = {"": [0.9], "a": [0.8, 0.1], "b": [0.8] * 5 + [0.1] * 5, "c": [0.8, 0.1]}
    assert pad(*rows(table), 0.5).worst.name == "b"


def test_people_are_named_either_way() -> None:
    score = np.array([0.9, 0.2, 0.1])
    one = pad(score, ["", "bona_fide", "print"], 0.5)
    two = pad(score, np.array(["bona_fide", "", "print"]), 0.5)
    assert one == two
    assert (one.bona_fide.name, one.bona_fide.errors, one.bona_fide.trials) == ("bona_fide", 1, 2)


def test_a_threshold_is_not_rounded_to_float32() -> None:
    score = np.array([0.7, 0.7], np.float32)  # a little less than 0.7
    found = pad(score, ["", "print"], 0.7)
    assert (found.apcer, found.bpcer) == (0, 1)


def test_standard_points_and_how_sure_they_are() -> None:
    scores = np.linspace(0, 1, 400, endpoint=False)
    score = np.concatenate([scores, scores])
    points = bpcer_at_apcer(score, [""] * 400 + ["print"] * 400)
    assert [point.target for point in points] == list(STANDARD_TARGETS)
    assert [point.pad.worst.errors for point in points] == [40, 20, 4]
    assert [point.pad.bpcer for point in points] == pytest.approx([0.9, 0.95, 0.99])
    assert [point.reliable for point in points] == [True, False, False]
    assert [point.status for point in points] == ["ok"] * 3
    assert points[2].name == "BPCER100"
    (starved,) = bpcer_at_apcer(score, [""] * 400 + ["print"] * 400, [0.001])
    assert (starved.status, starved.pad.apcer) == ("insufficient", 0)


def test_whole_number_scores() -> None:
    found = pad(np.array([5, 3, 1]), ["", "", "print"], 4.0)
    assert (found.bpcer, found.apcer) == (0.5, 0)


def test_no_threshold_lies_above_infinity() -> None:
    score = np.array([0.9, 0.8, math.inf, 0.1])
    species = ["", "", "mask", "mask"]
    with pytest.raises(ScoresInvalid, match="saturate"):
        bpcer_at_apcer(score, species, [0.1])
    (point,) = bpcer_at_apcer(score, species, [0.5])  # one of two may pass
    assert (point.bar, point.pad.apcer, point.pad.bpcer) == (0.1, 0.5, 0)
    assert pad(score, species, 0.5).apcer == 0.5


@pytest.mark.parametrize(
    ("score", "species", "says"),
    [
        ([0.1], ["", "print"], "species for"),
        ([[0.1]], [[""]], "species for"),
        ([0.1, math.nan], ["", "print"], "APNRR"),
        ([0.1, 0.2], ["", "bona_fide"], "no attack"),
        ([0.1, 0.2], ["mask", "print"], "no bona fide"),
        ([], [], "no bona fide"),
    ],
)
def test_bad_rows_are_refused(score: list[float], species: list[str], says: str) -> None:
    with pytest.raises(ScoresInvalid, match=says):
        pad(np.array(score), np.array(species), 0.5)
    with pytest.raises(ScoresInvalid, match=says):
        bpcer_at_apcer(np.array(score), np.array(species))


def test_bad_settings_are_refused() -> None:
    score, species = np.array([0.9, 0.1]), ["", "print"]
    with pytest.raises(InvalidArgument, match="not a number"):
        pad(score, species, math.nan)
    with pytest.raises(InvalidArgument):
        bpcer_at_apcer(score, species, [0.0])
