"""The factor of the loss for float16."""

import pytest

from lineament.train.scaling import GROWTH_STEPS, LossScale


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_is_one_where_it_is_not_needed(precision: str) -> None:
    scale = LossScale.of(precision)
    for finite in (True, False) * GROWTH_STEPS:
        scale.after(finite)
    assert (scale.value, scale.active) == (1.0, False)


def test_an_overflow_halves_it_down_to_one() -> None:
    scale = LossScale.of("fp16")
    first = scale.value
    scale.after(False)
    assert scale.value == first / 2
    for _ in range(40):
        scale.after(False)
    assert scale.value == 1.0


def test_it_doubles_after_many_steps_without_overflow() -> None:
    scale = LossScale.of("fp16")
    first = scale.value
    for _ in range(GROWTH_STEPS - 1):
        scale.after(True)
    assert scale.value == first
    scale.after(False)
    for _ in range(GROWTH_STEPS):
        scale.after(True)
    assert scale.value == first
    for _ in range(GROWTH_STEPS):
        scale.after(True)
    assert scale.value == 2 * first
