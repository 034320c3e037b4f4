"""Row optimisers: torch.optim where every row takes part, and to the bit nothing where a row does not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Part, part
from lineament.train.rows import RowAdamW, RowOptimiser, RowSGD, build_rows

SGD: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.01},
    {"momentum": 0.8, "weight_decay": 0.01, "nesterov": True},
]
ADAMW: list[dict[str, Any]] = [{}, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.2}]
PAIRS = [
    *((RowSGD, torch.optim.SGD, options) for options in SGD),
    *((RowAdamW, torch.optim.AdamW, options) for options in ADAMW),
]


def gradients(steps: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn((steps, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("with_index", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_with_all_rows_it_is_torch_s(
    ours: Callable[..., RowOptimiser], theirs: Any, options: dict[str, Any], with_index: bool
) -> None:
    shape = (6, 2, 3)
    weight = gradients(1, shape)[0]
    parameter = torch.nn.Parameter(weight.clone())
    mine, reference = ours(**options), theirs([parameter], **{"lr": 0.1, **options})
    for step, gradient in enumerate(gradients(6, shape)):
        rate = 0.1 / (1 + step)
        reference.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        reference.step()
        order = torch.randperm(6, generator=torch.Generator().manual_seed(step)) if with_index else None
        given = gradient if order is None else gradient[order]
        mine.update(weight, order, given.clone(), rate)
    torch.testing.assert_close(weight, parameter.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "optimiser",
    [RowSGD(0.9, 0.1), RowSGD(0.9, 0.1, nesterov=True), RowAdamW(weight_decay=0.1)],
    ids=["sgd", "nesterov", "adamw"],
)
def test_rows_that_take_no_part_stay_to_the_bit(optimiser: RowOptimiser) -> None:
    weight = gradients(1, (8, 3))[0]
    optimiser.update(weight, None, gradients(1, (8, 3))[0], 0.1)
    before = {"weight": weight.clone(), **{n: t.clone() for n, t in optimiser.state.items()}}
    for gradient in gradients(3, (2, 3)):
        optimiser.update(weight, torch.tensor([5, 2]), gradient, 0.1)
    others = torch.tensor([0, 1, 3, 4, 6, 7])
    for name, tensor in {"weight": weight, **optimiser.state}.items():
        assert torch.equal(tensor[others], before[name][others]), name
        assert not torch.isclose(tensor[[2, 5]].double(), before[name][[2, 5]].double()).any(), name


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_row_that_waits_is_one_that_sees_fewer_steps(name: str) -> None:
    options = {"momentum": 0.9} if name == "sgd" else {}
    sparse, alone = build_rows(part(name, **options)), build_rows(part(name, **options))
    weight = gradients(1, (4, 3))[0]
    single = weight[2:3].clone()
    for step, gradient in enumerate(gradients(6, (1, 3))):
        takes_part = step % 2 == 0
        sparse.update(weight, torch.tensor([2 if takes_part else 1]), gradient.clone(), 0.1)
        if takes_part:
            alone.update(single, None, gradient.clone(), 0.1)
    torch.testing.assert_close(weight[2:3], single, rtol=0, atol=1e-15)


def test_state_has_a_row_per_row() -> None:
    weight = torch.zeros((5, 1, 3))
    for optimiser, names in (
        (RowSGD(), set[str]()),
        (RowSGD(0.9), {"momentum"}),
        (RowAdamW(), {"mean", "square", "steps"}),
    ):
        optimiser.prepare(weight)
        assert set(optimiser.state) == names
        assert all(len(t) == 5 for t in optimiser.state.values())


def test_a_recipe_s_part_becomes_one() -> None:
    sgd = build_rows(part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))
    assert isinstance(sgd, RowSGD)
    assert (sgd.momentum, sgd.weight_decay, sgd.nesterov) == (0.9, 5e-4, True)
    adamw = build_rows(part("adamw", learning_rate=1e-3, beta1=0.8, beta2=0.99, eps=1e-7, weight_decay=0))
    assert isinstance(adamw, RowAdamW)
    assert (adamw.betas, adamw.eps, adamw.weight_decay) == ((0.8, 0.99), 1e-7, 0.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (part("lion"), "'lion'.*sgd, adamw"),
        (part("sgd", beta1=0.9), "'beta1'.*momentum"),
        (part("sgd", momentum=1.0), "momentum = 1"),
        (part("sgd", momentum="much"), "momentum = 'much'"),
        (part("sgd", nesterov=True), "nesterov needs momentum"),
        (part("sgd", nesterov=1, momentum=0.9), "nesterov = 1"),
        (part("sgd", weight_decay=-0.1), "weight_decay = -0.1"),
        (part("adamw", beta2=1.5), "beta2 = 1.5"),
        (part("adamw", eps=0), "eps = 0"),
    ],
)
def test_what_cannot_be_is_refused(wrong: Part, says: str) -> None:
    with pytest.raises(RecipeInvalid, match=says):
        build_rows(wrong)
