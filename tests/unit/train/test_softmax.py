"""Cross-entropy over all processes' columns; here one process, see test_partial_gloo.py for several."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from lineament.train.softmax import sharded_cross_entropy

GENERATOR = torch.Generator().manual_seed(1)
LOGITS = torch.randn((7, 9), dtype=torch.float64, generator=GENERATOR) * 5
COLUMNS = torch.tensor([0, 8, 3, 3, 1, 7, 2])


def test_it_is_torch_s_cross_entropy() -> None:
    ours, theirs = (LOGITS.clone().requires_grad_() for _ in range(2))
    weights = torch.linspace(0.5, 2.0, 7, dtype=torch.float64)
    loss, expected = sharded_cross_entropy(ours, COLUMNS), cross_entropy(theirs, COLUMNS, reduction="none")
    (loss * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(loss, expected, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-15)


def test_gradient_is_that_of_the_value() -> None:
    logits = LOGITS[:3, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sharded_cross_entropy(x, torch.tensor([0, 3, 2])), (logits,))


def test_a_hopeless_row_keeps_its_loss_and_gradient() -> None:
    # Clamping p at 1e-30, as arcface_torch does, would say 69.08.
    logits = torch.tensor([[-50.0, 50.0]], requires_grad=True)
    loss = sharded_cross_entropy(logits, torch.tensor([0]))
    loss.sum().backward()
    assert loss.tolist() == [100.0]
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-1.0, 1.0]]


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_large_logits_do_not_overflow(shift: float) -> None:
    expected = cross_entropy(LOGITS, COLUMNS, reduction="none")
    torch.testing.assert_close(sharded_cross_entropy(LOGITS + shift, COLUMNS), expected, rtol=0, atol=1e-10)


def test_one_class_costs_nothing() -> None:
    assert sharded_cross_entropy(torch.tensor([[3.0]]), torch.tensor([0])).tolist() == [0.0]


def test_a_class_that_nobody_has_is_not_a_loss() -> None:
    assert sharded_cross_entropy(LOGITS, COLUMNS.where(COLUMNS != 8, -1)).isnan().tolist() == [
        False,
        True,
        *[False] * 5,
    ]


def test_half_precision_is_raised() -> None:
    logits = LOGITS.to(torch.bfloat16).requires_grad_()
    loss = sharded_cross_entropy(logits, COLUMNS)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
    torch.testing.assert_close(loss, cross_entropy(logits.float(), COLUMNS, reduction="none"))


def test_logits_are_left_as_they_are() -> None:
    logits = LOGITS.clone().requires_grad_()
    sharded_cross_entropy(logits, COLUMNS).sum().backward()
    assert torch.equal(logits, LOGITS)
