"""The backbone's optimiser, and that its options mean the same as those of the class centres."""

import math

import pytest
import torch

from lineament.core.errors import RecipeInvalid
from lineament.train import optimiser, rows
from lineament.train.recipe import part


def test_sgd() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    made = optimiser.build(
        part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.5, nesterov=True), [weight]
    )
    assert isinstance(made, torch.optim.SGD)
    (group,) = made.param_groups
    chosen = (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"])
    assert chosen == (0.1, 0.9, 0.5, True)


def test_adamw() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    made = optimiser.build(part("adamw", learning_rate=0.001, beta1=0.8, eps=1e-6), [weight])
    assert isinstance(made, torch.optim.AdamW)
    (group,) = made.param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (
        0.001,
        (0.8, 0.999),
        1e-6,
        0.01,
    )


@pytest.mark.parametrize(
    "chosen",
    [
        part("sgd", learning_rate=0.1),
        part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.05),
        part("sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
        part("adamw", learning_rate=0.01),
        part("adamw", learning_rate=0.01, beta1=0.8, beta2=0.9, weight_decay=0.1, eps=1e-3),
    ],
)
def test_network_and_centres_move_alike(chosen: object) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.nn.Parameter(torch.randn(5, 3, generator=generator, dtype=torch.float64))
    centres = weight.detach().clone()
    made = optimiser.build(chosen, [weight])  # type: ignore[arg-type]  (parts)
    of_rows = rows.build_rows(chosen)  # type: ignore[arg-type]  (parts)
    for rate in (0.1, 0.05, 0.02):
        gradient = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        weight.grad = gradient.clone()
        made.param_groups[0]["lr"] = rate
        made.step()
        of_rows.update(centres, None, gradient, rate)
    torch.testing.assert_close(centres, weight.detach(), rtol=1e-10, atol=1e-12)


def test_both_know_the_same_options() -> None:
    assert {kind: set(names) for kind, names in optimiser.OPTIONS.items()} == {
        kind: set(names) for kind, (names, _) in rows.KINDS.items()
    }


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (part("adam", learning_rate=0.1), "no optimiser is called 'adam'"),
        (part("sgd"), r"optimiser\.learning_rate"),
        (part("sgd", learning_rate="fast"), r"optimiser\.learning_rate"),
        (part("sgd", learning_rate=True), r"optimiser\.learning_rate"),
        (part("sgd", learning_rate=0), r"optimiser\.learning_rate"),
        (part("sgd", learning_rate=math.nan), r"optimiser\.learning_rate"),
        (part("sgd", learning_rate=0.1, maximize=True), "no option 'maximize'"),
        (part("adamw", learning_rate=0.1, momentum=0.9), "no option 'momentum'"),
        (part("sgd", learning_rate=0.1, momentum=-1), "momentum"),
        (part("sgd", learning_rate=0.1, nesterov=True), "momentum"),
        (part("adamw", learning_rate=0.1, beta1=2), "beta"),
        (part("sgd", learning_rate=0.1, weight_decay="none"), "cannot be made"),
    ],
)
def test_what_cannot_be(chosen: object, message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        optimiser.build(chosen, [torch.nn.Parameter(torch.ones(1))])  # type: ignore[arg-type]  (parts)
