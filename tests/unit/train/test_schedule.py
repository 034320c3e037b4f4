"""Learning rates by step."""

import math

import pytest

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Part, part
from lineament.train.schedule import build


def rates(
    kind: str, total: int = 10, base: float = 0.4, steps_per_epoch: int = 5, **options: object
) -> list[float]:
    schedule = build(part(kind, **options), base, total, steps_per_epoch)  # type: ignore[arg-type]  (plain values)
    return [schedule(step) for step in range(total)]


def test_constant() -> None:
    assert rates("constant") == [0.4] * 10


@pytest.mark.parametrize("kind", ["constant", "poly", "steps", "cosine"])
def test_a_warmup_starts_at_zero_and_ends_at_the_base_rate(kind: str) -> None:
    found = rates(kind, warmup_steps=4)
    assert found[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert found == rates(kind, warmup_epochs=0.8)
    assert max(found) == found[4]


def test_poly_goes_to_zero_at_the_end() -> None:
    assert rates("poly", power=2.0) == pytest.approx([0.4 * (1 - s / 10) ** 2 for s in range(10)])
    # As arcface_torch: the part after the warm-up is what counts.
    assert rates("poly", warmup_steps=5)[7] == pytest.approx(0.4 * (1 - 2 / 5))


def test_cosine() -> None:
    found = rates("cosine", last=0.1)
    assert found[0] == 0.4
    assert found[5] == pytest.approx(0.4 * 0.55)
    assert found[9] == pytest.approx(0.4 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.9))))


def test_steps_are_counted_from_the_start_of_the_run() -> None:
    expected = [0.4] * 5 + [0.04] * 3 + [0.004] * 2
    assert rates("steps", at_steps="5,8") == pytest.approx(expected)
    assert rates("steps", at_epochs="1,1.6") == pytest.approx(expected)
    assert rates("steps", at_epochs="1", at_steps=8) == pytest.approx(expected)
    assert rates("steps", at_steps="5", factor=0.5, warmup_steps=2)[2:] == pytest.approx(
        [0.4] * 3 + [0.2] * 5
    )


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("linear", {}, "no schedule is called 'linear'"),
        ("poly", {"powr": 2}, "no option 'powr'"),
        ("constant", {"power": 2}, "no option 'power'"),
        ("poly", {"power": "two"}, r"schedule\.power"),
        ("poly", {"power": True}, r"schedule\.power"),
        ("poly", {"power": math.nan}, r"schedule\.power"),
        ("steps", {"at_steps": "a,b"}, r"schedule\.at_steps"),
        ("poly", {"warmup_steps": 10}, r"warm-up of 10 steps"),
        ("poly", {"warmup_epochs": 2}, r"warm-up of 10 steps"),
        ("poly", {"warmup_steps": -1}, r"schedule\.warmup_steps"),
    ],
)
def test_what_cannot_be(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        rates(kind, **options)


@pytest.mark.parametrize("base", [0.0, -0.1, math.nan, math.inf])
def test_a_rate_is_above_zero(base: float) -> None:
    with pytest.raises(RecipeInvalid, match=r"optimiser\.learning_rate"):
        rates("constant", base=base)


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [("poly", "power", -1.0), ("cosine", "last", -0.1), ("cosine", "last", 1.5), ("steps", "factor", 2.0)],
)
def test_a_rate_never_grows_after_its_warm_up(kind: str, option: str, value: float) -> None:
    with pytest.raises(RecipeInvalid, match=f"schedule.{option}"):
        build(Part(kind, {option: value}), 0.1, 100, 10)
