"""Every part that a recipe names can be made: heads, networks, optimisers of both kinds, schedules."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lineament.recipes import ALL
from lineament.train import backbones, heads, optimiser, rows, schedule
from lineament.train.heads.triplet import Triplet
from lineament.train.recipe import Part, Value

PUBLISHED = [name for name in ALL if not name.endswith("_cpu")]
# An epoch of any length will do to see that a schedule is one.
PER_EPOCH = 1000


def distinct(parts: list[Part]) -> list[Part]:
    """Each part once: many recipes share them."""
    return list({(part.kind, *sorted(part.options.items())): part for part in parts}.values())


def shown(part: Part) -> str:
    """For test ids."""
    return "-".join([part.kind, *(f"{name}={value}" for name, value in part.options.items())])


HEADS = distinct([make().head for make in ALL.values() if make().head.kind not in ("triplet", "distil")])
TRIPLETS = distinct([make().head for make in ALL.values() if make().head.kind == "triplet"])
NETWORKS = distinct([make().backbone for make in ALL.values()])
OPTIMISERS = distinct([make().optimiser for make in ALL.values()])


@pytest.mark.parametrize("part", HEADS, ids=shown)
def test_heads_can_be_made_with_their_options(part: Part) -> None:
    head = heads.build(part)
    assert head.centres == part.options.get("centres", 1)
    for name, value in part.options.items():
        assert getattr(head, name) == value, name


@pytest.mark.parametrize("part", TRIPLETS, ids=shown)
def test_triplets_can_be_made(part: Part) -> None:
    options: dict[str, Value] = dict(part.options)
    loss = Triplet(**options)  # type: ignore[arg-type]  (that is what is tested)
    assert (loss.margin, loss.mining) == (options["margin"], options["mining"])


@pytest.mark.parametrize("part", NETWORKS, ids=shown)
def test_networks_can_be_made(part: Part) -> None:
    # Nothing is allocated and nothing drawn: some of them weigh a gigabyte.
    with torch.device("meta"):
        network = backbones.build(part)
    assert network.dimension == part.options.get("dimension", 512)
    assert sum(p.numel() for p in network.parameters()) > 0


# Millions of parameters, counted in arcface_torch's own networks.
MILLIONS = {
    "ms1mv3_mbf_8gpu": 2.06,
    "webface42m_r18_32gpu": 24.03,
    "ms1mv3_r50_8gpu": 43.59,
    "ms1mv3_r100_8gpu": 65.16,
    "webface42m_r200_32gpu": 118.83,
    "webface42m_vit_t_64gpu": 19.14,
    "webface42m_vit_s_64gpu": 76.02,
    "webface42m_vit_b_64gpu": 113.83,
    "webface42m_vit_l_64gpu": 255.7,
}


@pytest.mark.parametrize("name", MILLIONS)
def test_a_recipe_names_the_network_that_the_source_trained(name: str) -> None:
    with torch.device("meta"):
        network = backbones.build(ALL[name]().backbone)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[name], abs=0.06)


@pytest.mark.parametrize("part", OPTIMISERS, ids=shown)
def test_optimisers_can_be_made_for_network_and_centres(part: Part) -> None:
    made = optimiser.build(part, nn.Linear(2, 2).parameters())
    assert made.param_groups[0]["weight_decay"] == part.options.get("weight_decay", 0.0)
    assert isinstance(rows.build_rows(part), rows.RowOptimiser)


@pytest.mark.parametrize("name", ALL)
def test_schedules_can_be_made_and_end_lower_than_they_began(name: str) -> None:
    recipe = ALL[name]()
    base = optimiser.learning_rate(recipe.optimiser)
    total = recipe.steps or round(recipe.epochs * PER_EPOCH)
    rate = schedule.build(recipe.schedule, base, total, PER_EPOCH)
    assert max(rate(step) for step in range(0, total, max(1, total // 200))) <= base * (1 + 1e-9)
    assert rate(total - 1) < base


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("casia_r50_4gpu", (20_000, 28_000)),
        ("ms1mv2_r100_paper_4gpu", (100_000, 160_000)),
        ("vggface2_r50_8gpu", (6 * PER_EPOCH, 9 * PER_EPOCH)),
        ("ms1mv3_r100_paper_8gpu", (8 * PER_EPOCH, 14 * PER_EPOCH)),
    ],
)
def test_the_papers_divide_the_rate_by_ten_twice(name: str, changes: tuple[int, int]) -> None:
    recipe = ALL[name]()
    total = recipe.steps or round(recipe.epochs * PER_EPOCH)
    rate = schedule.build(recipe.schedule, 0.1, total, PER_EPOCH)
    begins = (0, *changes, total)
    for (begin, end), expected in zip(pairwise(begins), (0.1, 0.01, 0.001), strict=True):
        assert (rate(begin), rate(end - 1)) == pytest.approx((expected, expected))


def test_warm_ups_are_as_long_as_published() -> None:
    for name, epochs in (("webface42m_r100_32gpu", 2), ("webface42m_vit_s_64gpu", 4), ("ms1mv3_r50_8gpu", 0)):
        recipe = ALL[name]()
        rate = schedule.build(recipe.schedule, 1.0, round(recipe.epochs * PER_EPOCH), PER_EPOCH)
        assert rate(epochs * PER_EPOCH) == 1.0
        assert rate(epochs * PER_EPOCH + 1) < 1.0
