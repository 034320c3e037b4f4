"""Sampled class centres on one process, against a softmax written in the slow and obvious way."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lineament.core.errors import CheckpointInvalid, DatasetInvalid, RecipeInvalid, TrainingError
from lineament.train import heads
from lineament.train.cosines import products
from lineament.train.partial import PartialFC
from lineament.train.recipe import Part, part
from lineament.train.sampled import initial_centres, taking_part

DIMENSION, CLASSES, ROWS = 5, 30, 8
KINDS = {
    "cosface": part("cosface", scale=8.0, margin=0.2),
    "arcface": part("arcface", scale=8.0, margin=0.3),
    "subcenter": part("subcenter", centres=3, scale=8.0, margin=0.3),
    "softmax": part("softmax"),
}
SGD = part("sgd", momentum=0.9, weight_decay=0.05)


def centres(head: Part = KINDS["cosface"], rate: float = 0.5, classes: int = CLASSES, **options) -> PartialFC:
    made = PartialFC(
        heads.build(head), classes, DIMENSION, sample_rate=rate, seed=4, dtype=torch.float64, **options
    )
    made.optimise(SGD)
    return made


def rows(step: int = 0, count: int = ROWS) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([7, step])
    embedding = torch.from_numpy(rng.standard_normal((count, DIMENSION)) * 2).requires_grad_()
    return embedding, torch.from_numpy(rng.integers(0, CLASSES, count))


def trained(made: PartialFC, step: int, micro: int = ROWS, scale: float = 1.0) -> tuple[float, int, Tensor]:
    """One step: its loss, hits, and gradient of the embeddings."""
    embedding, label = rows(step)
    made.begin(label, step)
    loss, correct = 0.0, 0
    for at in range(0, ROWS, micro):
        result = made(embedding[at : at + micro], label[at : at + micro])
        (result.loss * scale).backward()
        loss, correct = loss + float(result.loss.detach()), correct + int(result.correct)
    made.step(0.5, scale=scale)
    assert embedding.grad is not None
    return loss, correct, embedding.grad / scale


@dataclass
class Slow:
    """All centres dense, a loop over the rows, and momentum as a loop over the classes that take part."""

    kind: str
    weight: Tensor
    velocity: Tensor

    def members(self, label: Tensor, rate: float, step: int) -> list[int]:
        if rate == 1.0:
            return list(range(CLASSES))
        own = sorted(set(label.tolist()))
        chance = max(0.0, (rate * CLASSES - len(own)) / (CLASSES - len(own)))
        bits = np.random.Philox(key=np.array([4, step], np.uint64), counter=np.array([0, 0, 0, 1], np.uint64))
        drawn = np.random.Generator(bits).random(CLASSES)
        return [c for c in range(CLASSES) if c in own or drawn[c] < chance]

    def product(self, embedding: Tensor, centre: Tensor) -> Tensor:
        if self.kind == "softmax":
            return embedding @ centre[0, :-1] + centre[0, -1]
        return torch.stack([normalize(embedding, dim=0) @ normalize(sub, dim=0) for sub in centre]).max()

    def logit(self, product: Tensor, own: bool) -> Tensor:
        if self.kind == "softmax":
            return product
        if own:
            product = product - 0.2 if self.kind == "cosface" else (product.acos() + 0.3).cos()
        return 8.0 * product

    def step(self, step: int, rate: float) -> tuple[float, int, Tensor]:
        embedding, label = rows(step)
        members = self.members(label, rate, step)
        weight = self.weight.clone().requires_grad_()
        losses, correct = [], 0
        for e, y in zip(embedding, label.tolist(), strict=True):
            value = [self.product(e, weight[c]) for c in members]
            logits = torch.stack([self.logit(v, c == y) for v, c in zip(value, members, strict=True)])
            losses.append(cross_entropy(logits[None], torch.tensor([members.index(y)])))
            correct += members[int(torch.stack(value).argmax())] == y
        loss = torch.stack(losses).mean()
        loss.backward()
        assert weight.grad is not None
        assert embedding.grad is not None
        for c in members:
            self.velocity[c] = 0.9 * self.velocity[c] + weight.grad[c] + 0.05 * self.weight[c]
            self.weight[c] -= 0.5 * self.velocity[c]
        return float(loss.detach()), correct, embedding.grad


@pytest.mark.parametrize("rate", [0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_slow_softmax(kind: str, rate: float) -> None:
    made = centres(KINDS[kind], rate)
    slow = Slow(kind, made.weight.clone(), torch.zeros_like(made.weight))
    for step in range(3):
        ours, theirs = trained(made, step), slow.step(step, rate)
        assert ours[0] == pytest.approx(theirs[0], abs=1e-12)
        assert ours[1] == theirs[1]
        torch.testing.assert_close(ours[2], theirs[2], rtol=0, atol=1e-12)
        torch.testing.assert_close(made.weight, slow.weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_add_up_to_the_batch(kind: str, micro: int) -> None:
    whole, parts = centres(KINDS[kind]), centres(KINDS[kind])
    for step in range(3):
        expected, told = trained(whole, step), trained(parts, step, micro)
        assert told[:2] == (pytest.approx(expected[0], abs=1e-12), expected[1])
        torch.testing.assert_close(told[2], expected[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=0, atol=1e-12)


def test_penalty_is_the_mean_over_the_step() -> None:
    embedding, label = rows()
    made = centres(part("magface", scale=8.0))
    bare = centres(part("magface", scale=8.0))
    made.begin(label, 0)
    halves = [made(embedding[i : i + 4], label[i : i + 4]).loss for i in (0, 4)]
    bare.begin(label, 0)
    whole = bare(embedding, label).loss
    assert float(whole.detach()) == pytest.approx(sum(float(h.detach()) for h in halves), abs=1e-12)
    without = bare.head.penalty
    bare.head.penalty = lambda norm: without(norm) * 0
    less = whole - bare(embedding, label).loss
    assert float(less.detach()) == pytest.approx(float(without(embedding.norm(dim=1)).detach()), abs=1e-12)


@pytest.mark.parametrize("optimiser", [SGD, part("adamw", weight_decay=0.1)], ids=["sgd", "adamw"])
def test_centres_that_take_no_part_stay_to_the_bit(optimiser: Part) -> None:
    made = centres(rate=0.4)
    made.optimise(optimiser)
    rested = 0
    for step in range(5):
        before = {n: t.clone() for n, t in made.state_tensors().items()}
        members = taking_part(np.unique(rows(step)[1].numpy()), 0, CLASSES, CLASSES, 0.4, 4, step)
        trained(made, step)
        others = np.setdiff1d(np.arange(CLASSES), members)
        rested += len(others)
        for name, tensor in made.state_tensors().items():
            assert torch.equal(tensor[others], before[name][others]), name
            assert (tensor[members] != before[name][members]).flatten(1 if tensor.ndim > 1 else 0).any(), name
    assert rested > 40


@pytest.mark.parametrize("shards", [2, 3, 7])
@pytest.mark.parametrize("classes", [5, 103])
def test_what_is_random_does_not_know_of_shards(shards: int, classes: int) -> None:
    edges = [classes * i // shards for i in range(shards + 1)]
    pairs = list(pairwise(edges))
    present = np.array([1, 4])
    whole = taking_part(present, 0, classes, classes, 0.6, 9, 2)
    parts = [taking_part(present, a, b, classes, 0.6, 9, 2) + a for a, b in pairs]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    begun = torch.cat(list(initial_centres(0, classes, (3, 5), 9)))
    shares = [t for a, b in pairs for t in initial_centres(a, b, (3, 5), 9)]
    assert torch.equal(torch.cat(shares), begun)


def drawn(present: np.ndarray, rate: float, classes: int = 2000) -> Iterator[np.ndarray]:
    yield from (taking_part(present, 0, classes, classes, rate, 11, step) for step in range(40))


def test_about_the_share_asked_for_takes_part() -> None:
    present = np.arange(0, 300, 3)
    sizes = [len(chosen) for chosen in drawn(present, 0.1)]
    # 100 for sure and 1900 of which each has 1/19: 4 standard errors of the mean of 40 draws.
    assert np.mean(sizes) == pytest.approx(200, abs=4 * math.sqrt(1900 / 19 * 18 / 19 / 40))
    assert len(set(sizes)) > 5
    assert all(np.isin(present, chosen).all() for chosen in drawn(present, 0.1))
    # As many labels as the share allows, and more: only they.
    assert all(len(chosen) == 100 for chosen in drawn(present, 0.01))
    often = np.bincount(np.concatenate(list(drawn(present, 0.1))), minlength=2000)
    assert np.abs(np.delete(often, present) / 40 - 1 / 19).max() < 0.3


def test_centres_begin_small_and_normal() -> None:
    weight = torch.cat(list(initial_centres(0, 1000, (1, 63), 1)))
    assert weight.mean().item() == pytest.approx(0.0, abs=2e-4)
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert (weight.abs() > 0.0196).double().mean().item() == pytest.approx(0.05, abs=0.005)
    flat = weight.flatten(1)
    assert torch.corrcoef(flat.T).fill_diagonal_(0).abs().max().item() < 0.2
    assert not torch.equal(weight, torch.cat(list(initial_centres(0, 1000, (1, 63), 2))))


def test_full_rate_copies_no_centres() -> None:
    made = centres(rate=1.0)
    embedding, label = rows()
    made.begin(label, 0)
    made(embedding, label).loss.backward()
    place = made.weight.data_ptr()
    assert made._step is not None
    assert made._step.leaf_CKD.data_ptr() == place
    made.step(0.1)
    assert made.weight.data_ptr() == place
    assert not made.weight.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one(kind: str) -> None:
    made = centres(KINDS[kind])
    embedding, label = rows(count=1)
    made.begin(label, 0)
    result = made(embedding, label)
    result.loss.backward()
    made.step(0.1)
    assert (result.rows, result.own.shape, result.correct.shape) == (1, (1,), ())
    assert made.weight.isfinite().all()


def test_of_equal_products_the_lower_class_wins() -> None:
    made = centres(rate=1.0)
    made.begin(torch.tensor([0, 1, 2]), 0)
    assert int(made(torch.zeros((3, DIMENSION), dtype=torch.float64), torch.tensor([0, 1, 2])).correct) == 1


@pytest.mark.parametrize("kind", heads.KINDS)
def test_heads_bear_a_process_without_a_class_in_the_step(kind: str) -> None:
    head = heads.build(part(kind))
    logits = head(torch.zeros((2, 0)), torch.tensor([-1, -1]), torch.ones(2), torch.zeros(2))
    assert logits.shape == (2, 0)


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_a_label_outside_the_classes_is_named(label: int) -> None:
    with pytest.raises(DatasetInvalid, match=f"label {label} in step 6 is none of the {CLASSES} classes"):
        centres().begin(torch.tensor([3, label, 4]), 6)


def test_no_rows_are_no_step() -> None:
    with pytest.raises(DatasetInvalid, match="have 0 rows in step 6"):
        centres().begin(torch.zeros(0, dtype=torch.int64), 6)


def test_order_of_calls() -> None:
    made, (embedding, label) = centres(), rows()
    with pytest.raises(TrainingError, match="call begin"):
        made(embedding, label)
    made.begin(label, 0)
    with pytest.raises(TrainingError, match="backward"):
        made.step(0.1)
    with pytest.raises(TrainingError, match="was not begun with"):
        made(embedding, (label + 1) % CLASSES)
    made(embedding, label).loss.backward()
    made.step(0.1)
    with pytest.raises(TrainingError, match="call begin"):
        made.step(0.1)
    bare = PartialFC(heads.build(part("cosface")), 3, DIMENSION)
    bare.begin(torch.tensor([1]), 0)
    with pytest.raises(TrainingError, match="optimise"):
        bare.step(0.1)


def test_a_discarded_step_leaves_no_trace() -> None:
    made, expected = centres(), centres()
    embedding, label = rows(9)
    made.begin(label, 9)
    (made(embedding, label).loss * math.inf).backward()
    assert not made.gradients_finite()
    made.discard()
    assert made.gradients_finite()
    trained(made, 0)
    trained(expected, 0)
    assert torch.equal(made.weight, expected.weight)


def test_gradients_are_divided_by_their_scale() -> None:
    made, expected = centres(), centres()
    told, plain = trained(made, 0, scale=1024.0), trained(expected, 0)
    torch.testing.assert_close(told[2], plain[2], rtol=0, atol=1e-13)
    torch.testing.assert_close(made.weight, expected.weight, rtol=0, atol=1e-13)


def test_rows_of_other_shards_go_in() -> None:
    old, new = centres(), centres()
    trained(old, 0)
    saved = {n: t.clone() for n, t in old.state_tensors().items()}
    assert set(saved) == {"weight", "state.momentum"}
    for first, last in ((0, 13), (13, 14), (14, CLASSES)):
        part_of = {n: t[first:last] for n, t in saved.items()}
        new.load_rows(first, part_of.pop("weight"), part_of)
    assert trained(new, 1)[0] == trained(old, 1)[0]
    assert all(torch.equal(t, old.state_tensors()[n]) for n, t in new.state_tensors().items())


def test_rows_beside_this_shard_are_passed_over() -> None:
    made = centres()
    # As on the second of three processes.
    made.first, made.last = 10, 20
    made.weight = made.weight[10:20].clone()
    made.load_rows(5, torch.full((8, 1, DIMENSION), 7.0, dtype=torch.float64), {})
    made.load_rows(0, torch.full((5, 1, DIMENSION), 8.0, dtype=torch.float64), {})
    assert (made.weight == 7.0).flatten(1).all(1).tolist() == [True] * 3 + [False] * 7
    assert not (made.weight == 8.0).any()


def test_rows_of_another_run_are_refused() -> None:
    made, values = centres(), torch.zeros((4, 1, DIMENSION), dtype=torch.float64)
    with pytest.raises(CheckpointInvalid, match="classes 28 to 31"):
        made.load_rows(28, values, {})
    with pytest.raises(CheckpointInvalid, match=r"state\.mean"):
        made.load_rows(0, values, {"mean": values})
    with pytest.raises(CheckpointInvalid, match=r"weight of the checkpoint is \(4, 1, 4\)"):
        made.load_rows(0, values[..., 1:], {})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": 0}, "0 classes"),
        ({"sample_rate": 0.0}, "sample_rate = 0"),
        ({"sample_rate": 1.5}, "sample_rate = 1.5"),
        ({"seed": -1}, "seed = -1"),
        ({"dtype": torch.bfloat16}, "bfloat16"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, says: str) -> None:
    with pytest.raises(RecipeInvalid, match=says):
        PartialFC(heads.build(KINDS["cosface"]), **{"classes": 4, "dimension": 5, **options})


@pytest.mark.parametrize("sub_centres", [1, 3])
def test_gradient_of_cosines_is_that_of_the_value(sub_centres: int) -> None:
    embedding = rows(count=3)[0]
    weight = torch.randn((4, sub_centres, DIMENSION), dtype=torch.float64).requires_grad_()

    def cosines(e: Tensor, w: Tensor) -> Tensor:
        return products(normalize(e), w, cosine=True)

    expected = (normalize(embedding) @ normalize(weight, dim=2).transpose(1, 2)).amax(2).T
    torch.testing.assert_close(cosines(embedding, weight), expected, rtol=0, atol=1e-15)
    assert torch.autograd.gradcheck(cosines, (embedding, weight))


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["cosface", "softmax"])
def test_under_autocast_only_the_product_is_coarse(kind: str, lower: torch.dtype) -> None:
    results, gradients = [], []
    for enabled in (False, True):
        made = PartialFC(heads.build(KINDS[kind]), CLASSES, DIMENSION, sample_rate=0.5)
        embedding, label = rows()
        made.begin(label, 0)
        with torch.autocast("cpu", dtype=lower, enabled=enabled):
            result = made(embedding.to(lower), label)
        result.loss.backward()
        assert made._step is not None
        results.append(result)
        gradients.append(made._step.leaf_CKD.grad)
    plain, coarse = results
    assert coarse.loss.dtype == coarse.own.dtype == gradients[1].dtype == torch.float32
    torch.testing.assert_close(coarse.loss, plain.loss, rtol=2e-2, atol=0)
    torch.testing.assert_close(
        gradients[1], gradients[0], rtol=0.05, atol=0.02 * gradients[0].abs().max().item()
    )
    assert not torch.equal(coarse.own, plain.own)


@pytest.mark.parametrize("lower", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "chosen", [part("sphereface"), part("arcface"), part("combined", m1=1.35, m2=0.0, m3=0.0)]
)
def test_gradients_are_finite_at_the_poles_in_half_precision(chosen: Part, lower: torch.dtype) -> None:
    """Cosines come from autocast's type, which tells apart fewer angles: so far a margin may steepen."""
    for seed in range(8):
        torch.manual_seed(seed)
        centres = PartialFC(heads.build(chosen), 8, 16)
        centres.optimise(part("sgd", momentum=0.9))
        label = torch.tensor([0, 1])
        own = centres.weight[label, 0]
        embedding = torch.stack([own[0], -own[1]]).mul(30.0).requires_grad_()
        centres.begin(label, seed)
        with torch.autocast("cpu", lower):
            result = centres(embedding, label)
        result.loss.backward()
        assert torch.isfinite(result.loss) and torch.isfinite(embedding.grad).all()
        assert centres.gradients_finite()


@pytest.mark.parametrize("kind", sorted(heads.KINDS))
def test_running_values_of_a_head_are_where_the_centres_are(kind: str) -> None:
    centres = PartialFC(heads.build(part(kind)), 4, 8, device="meta")
    assert {buffer.device.type for buffer in centres.buffers()} == {"meta"}
