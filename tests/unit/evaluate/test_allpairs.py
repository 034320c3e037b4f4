"""All pairs, tile by tile, against all pairs at once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import (
    DatasetInvalid,
    EvidenceInsufficient,
    InvalidArgument,
    ScoresInvalid,
    TemplateInvalid,
)
from lineament.evaluate import account, allpairs, checkpoint, largest
from lineament.evaluate.allpairs import AllPairs, all_pairs
from lineament.evaluate.largest import Largest
from lineament.metrics.operating import allowed, at_fmr
from lineament.metrics.scores import Histogram


def random_units(n: int, d: int = 512, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).standard_normal((n, d))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def signs(n: int, seed: int = 0) -> np.ndarray:
    """Unit vectors of ±1/4 in 16 dimensions: products are multiples of 1/8, exact, and most are tied."""
    return np.random.default_rng(seed).choice([-0.25, 0.25], (n, 16)).astype(np.float32)


@dataclass
class Whole:
    """All pairs at once, in float64; pairs of rows lower first, ascending."""

    mated: np.ndarray
    mated_pairs: np.ndarray
    nonmated: np.ndarray
    nonmated_pairs: np.ndarray
    total: int


def at_once(
    vectors: np.ndarray,
    subject: np.ndarray,
    *,
    keep: float = 1e-3,
    group: np.ndarray | None = None,
    rule: str = "all",
    exclude: np.ndarray | None = None,
    **_: Any,
) -> Whole:
    i, j = np.triu_indices(len(vectors), 1)
    similarity = (vectors.astype(np.float64) @ vectors.astype(np.float64).T)[i, j]
    use = np.ones(len(i), bool)
    if rule == "same_group" and group is not None:
        use &= group[i] == group[j]
    for a, b in [] if exclude is None else exclude:
        use &= ~((i == min(a, b)) & (j == max(a, b)))
    i, j, similarity = i[use], j[use], similarity[use]
    same = subject[i] == subject[j]
    order = np.argsort(-similarity[~same], kind="stable")
    total = len(order)
    count = total if keep == 1 else min(total, allowed(keep, total) + 1)
    pairs = np.stack([i, j], axis=1)
    return Whole(
        similarity[same], pairs[same], similarity[~same][order][:count], pairs[~same][order][:count], total
    )


def check(found: AllPairs, whole: Whole, atol: float = 0.0) -> None:
    """Everything but groups and histograms."""
    scores = found.scores
    assert scores.nonmated_total == whole.total
    assert np.array_equal(found.mated_pairs, whole.mated_pairs)
    assert len(scores.nonmated) == len(whole.nonmated)
    assert np.allclose(scores.mated, whole.mated, rtol=0, atol=atol)
    assert np.allclose(scores.nonmated, whole.nonmated, rtol=0, atol=atol)
    if not atol:
        assert np.array_equal(found.nonmated_pairs, whole.nonmated_pairs)


def same(a: AllPairs, b: AllPairs) -> bool:
    """Whether two answers have the same bits."""
    names = ("mated", "nonmated", "nonmated_total", "mated_subject", "nonmated_subjects", "samples")
    columns = [(getattr(a.scores, n), getattr(b.scores, n)) for n in (*names, "nonmated_moments")]
    columns += [(a.mated_pairs, b.mated_pairs), (a.nonmated_pairs, b.nonmated_pairs)]
    histograms = [(a.scores.histogram, b.scores.histogram)]
    for c, d in zip(a.group_cells, b.group_cells, strict=True):
        columns += [(c.nonmated_rows, d.nonmated_rows), (c.mated_rows, d.mated_rows), (c.floor, d.floor)]
        histograms.append((c.histogram, d.histogram))
    for h, k in histograms:
        assert h is not None
        assert k is not None
        columns += [(h.mated, k.mated), (h.nonmated, k.nonmated)]
    return all(np.array_equal(x, y) for x, y in columns)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller similarities are dropped often."""
    monkeypatch.setattr(largest, "ROOM", 3)
    monkeypatch.setattr(account, "SLAB", 40)


# --- against all pairs at once


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    n = draw(st.integers(2, 30))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    vectors = signs(n, draw(st.integers(0, 10**6)))
    vectors = vectors[generator.integers(0, max(1, n // draw(st.sampled_from([1, 4, 40]))), n)]
    subject = generator.integers(-3, draw(st.sampled_from([-2, 1, 5, 200])), n)
    arguments: dict[str, Any] = {
        "keep": draw(st.sampled_from([1e-3, 0.03, 0.29, 0.57, 1.0])),
        "block": draw(st.sampled_from([1, 2, 5, 8, 64])),
    }
    if draw(st.booleans()):
        arguments["group"] = generator.choice([-7, 0, 3, 90], n)
        arguments["rule"] = draw(st.sampled_from(["all", "same_group"]))
    if draw(st.booleans()):
        pairs = generator.integers(0, n, (draw(st.integers(0, 12)), 2))
        arguments["exclude"] = pairs[pairs[:, 0] != pairs[:, 1]]
    return vectors, subject, arguments


@pytest.mark.usefixtures("little_room")
@settings(max_examples=150, deadline=None)
@given(comparisons())
def test_equals_all_pairs_at_once(case: tuple[np.ndarray, np.ndarray, dict[str, Any]]) -> None:
    vectors, subject, arguments = case
    found, whole = all_pairs(vectors, subject, **arguments), at_once(vectors, subject, **arguments)
    check(found, whole)
    scores = found.scores
    everything = at_once(vectors, subject, **{**arguments, "keep": 1.0})
    if everything.total:
        moments = (everything.nonmated.mean(), everything.nonmated.var())
        assert scores.nonmated_moments == pytest.approx(moments, abs=1e-12)
    else:
        assert scores.nonmated_moments is None
    numbers = np.unique(subject, return_inverse=True)[1]
    assert scores.mated_subject is not None
    assert np.array_equal(scores.mated_subject, numbers[whole.mated_pairs[:, 0]])
    assert np.array_equal(scores.nonmated_subjects, numbers[whole.nonmated_pairs])
    check_histogram(scores.histogram, whole.mated, everything.nonmated)
    check_cells(found, whole, everything, arguments)


def check_histogram(histogram: Histogram | None, mated: np.ndarray, nonmated: np.ndarray) -> None:
    assert histogram is not None
    bins, ends = len(histogram.nonmated), (histogram.low, histogram.high)
    assert np.array_equal(histogram.mated, np.histogram(mated, bins, ends)[0])
    assert np.array_equal(histogram.nonmated, np.histogram(nonmated, bins, ends)[0])


def check_cells(found: AllPairs, whole: Whole, everything: Whole, arguments: dict[str, Any]) -> None:
    group = arguments.get("group")
    if group is None:
        assert found.group_cells == ()
        return
    names = np.unique(group)
    pairs = [(a, b) for a in names for b in names if a <= b and (a == b or arguments["rule"] == "all")]
    assert [(c.a, c.b) for c in found.group_cells] == pairs
    samples = found.scores.samples
    assert (samples is None) == (arguments["rule"] == "same_group" and len(names) > 1)

    def of(rows: np.ndarray, a: int, b: int) -> np.ndarray:
        return (np.sort(group[rows], axis=1) == sorted([a, b])).all(axis=1)

    for cell in found.group_cells:
        assert np.array_equal(cell.mated, whole.mated[of(whole.mated_pairs, cell.a, cell.b)])
        assert np.array_equal(cell.nonmated, whole.nonmated[of(whole.nonmated_pairs, cell.a, cell.b)])
        assert np.array_equal(found.scores.nonmated[cell.nonmated_rows], cell.nonmated)
        assert np.array_equal(found.scores.mated[cell.mated_rows], cell.mated)
        here = everything.nonmated[of(everything.nonmated_pairs, cell.a, cell.b)]
        assert cell.nonmated_total == len(here)
        check_histogram(cell.histogram, cell.mated, here)
        for threshold in (float(np.nextafter(np.float32(cell.floor), np.float32(2))), 0.0, 0.25, 1.0):
            if threshold > cell.floor or len(here) == len(cell.nonmated):
                assert cell.false_matches(threshold) == (here >= threshold).sum()
            else:
                with pytest.raises(EvidenceInsufficient, match="larger false match rate"):
                    cell.false_matches(threshold)
            assert cell.false_nonmatches(threshold) == (cell.mated < threshold).sum()


@pytest.mark.parametrize("block", [100, 333, 2048])
def test_random_templates(block: int) -> None:
    vectors, subject = random_units(900), np.random.default_rng(1).integers(0, 250, 900)
    found = all_pairs(vectors, subject, keep=0.01, block=block)
    whole = at_once(vectors, subject, keep=0.01)
    check(found, whole, atol=1e-6)
    exact = np.einsum("kd,kd->k", *(vectors[found.nonmated_pairs[:, side]].astype(float) for side in (0, 1)))
    assert np.allclose(found.scores.nonmated, exact, rtol=0, atol=1e-6)
    assert (subject[found.nonmated_pairs[:, 0]] != subject[found.nonmated_pairs[:, 1]]).all()
    everything = at_once(vectors, subject, keep=1.0).nonmated
    assert found.scores.nonmated_moments == pytest.approx((everything.mean(), everything.var()), abs=1e-8)


def test_every_rate_up_to_keep_has_its_exact_threshold() -> None:
    vectors, subject = signs(300), np.arange(300) // 2
    found = all_pairs(vectors, subject, keep=0.01, block=64).scores
    everything = at_once(vectors, subject, keep=1.0)
    for count in range(1, allowed(0.01, everything.total) + 1):
        point = at_fmr(found, f"{count / everything.total:.9f}")
        bar = everything.nonmated[point.allowed]
        assert point.bar == bar
        assert point.false_matches == (everything.nonmated > bar).sum()
        assert point.false_nonmatches == (everything.mated <= bar).sum()
    with pytest.raises(EvidenceInsufficient):
        at_fmr(found, 0.0102)


def test_identical_templates_keep_the_first_pairs_of_many_equal_ones() -> None:
    vectors, subject = np.repeat(signs(1), 700, axis=0), np.arange(700)
    found = all_pairs(vectors, subject, keep=1e-3, block=64)
    assert found.scores.nonmated_total == 700 * 699 // 2
    assert len(found.scores.nonmated) == 245
    assert (found.scores.nonmated == 1).all()
    assert np.array_equal(found.nonmated_pairs, [(0, j) for j in range(1, 246)])


def test_one_subject_has_mated_pairs_only() -> None:
    found = all_pairs(signs(40), np.full(40, 9), block=16)
    assert len(found.scores.mated) == 780
    assert found.scores.nonmated_total == len(found.scores.nonmated) == 0
    assert found.scores.nonmated_moments is None
    assert found.scores.samples is not None
    assert found.scores.samples.tolist() == [40]


def test_single_samples_have_nonmated_pairs_only() -> None:
    found = all_pairs(signs(40), np.arange(40), keep=1.0, block=16)
    assert len(found.scores.mated) == 0
    assert found.scores.complete
    assert len(found.scores.nonmated) == 780


def test_groups_of_one_compared_within_are_nothing() -> None:
    found = all_pairs(signs(5), np.arange(5), group=np.arange(5), rule="same_group")
    assert found.scores.nonmated_total == 0
    assert [cell.nonmated_total for cell in found.group_cells] == [0] * 5


def test_similarities_above_one_are_counted() -> None:
    vectors = random_units(60) * np.float32(1.0009)
    vectors[30:] = vectors[:30]
    found = all_pairs(vectors, np.arange(60), keep=1.0)
    assert (found.scores.nonmated[:30] > 1.0015).all()
    assert found.scores.histogram is not None
    assert found.scores.histogram.nonmated.sum() == 60 * 59 // 2


def test_bins_have_exact_edges() -> None:
    edges = (np.arange(-33_024, 33_024) / 32_768).astype(np.float32)
    below = np.nextafter(edges[1:], np.float32(-2))
    below[edges[1:] == 0] = -1e-15  # what is nearer to 0 counts as 0
    counts = account.bin_counts(np.concatenate([edges, below]))
    assert counts.tolist() == [2] * 66_047 + [1]
    assert account.bin_counts(np.empty(0, np.float32)).sum() == 0
    outside = np.array([np.inf, -np.inf, -2, 1.0078125, np.float32(-1.008)], np.float32)
    assert account.bin_counts(outside).sum() == 0


def test_a_memory_map_and_half_precision(tmp_path: Path) -> None:
    vectors, subject = random_units(200, 64).astype(np.float16), np.arange(200)[::-1] // 3
    np.save(tmp_path / "templates.npy", vectors)
    mapped = np.load(tmp_path / "templates.npy", mmap_mode="r")
    found = all_pairs(mapped, subject, keep=0.1, block=32)
    check(found, at_once(vectors, subject, keep=0.1), atol=1e-6)
    assert same(found, all_pairs(vectors.astype(np.float32), subject, keep=0.1, block=32))


def test_progress_reaches_the_total() -> None:
    told: list[tuple[int, int]] = []
    all_pairs(signs(50), np.arange(50), block=16, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 10
    assert told[-1] == (1225, 1225)
    assert told == sorted(told)


# --- the largest of a stream


@pytest.mark.parametrize("count", [1, 7, 100, 400])
def test_largest_does_not_depend_on_the_order(count: int) -> None:
    generator = np.random.default_rng(count)
    values, keys = generator.integers(0, 30, 400).astype(np.float32), generator.permutation(400)
    expected = np.lexsort((keys, -values))[:count]
    for part in (1, 13, 400):
        kept = Largest(count, 400)
        for start in range(0, 400, part):
            kept.offer(values[start : start + part], keys[start : start + part])
        found, found_keys = kept.descending()
        assert np.array_equal(found, values[expected])
        assert np.array_equal(found_keys, keys[expected])


def test_largest_refuses_more_than_there_should_be() -> None:
    kept = Largest(3, 3)
    with pytest.raises(ScoresInvalid, match="more than the 3"):
        kept.offer(np.ones(4, np.float32), np.arange(4))


# --- stopping and going on


def interrupted(after: int) -> Callable[[int, int], None]:
    calls = 0

    def progress(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    generator = np.random.default_rng(5)
    arguments = {"keep": 0.02, "block": 50, "group": generator.integers(0, 2, 300)}
    return random_units(300, 32), generator.integers(0, 60, 300), arguments


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("stops", [(1,), (5,), (3, 4, 2), (28,)])
def test_goes_on_to_the_same_bits(
    case: tuple[np.ndarray, np.ndarray, dict[str, Any]], stops: tuple[int, ...], tmp_path: Path
) -> None:
    vectors, subject, arguments = case
    path = tmp_path / "pairs.checkpoint"
    straight = all_pairs(vectors, subject, **arguments)
    for after in stops:
        with pytest.raises(KeyboardInterrupt):
            all_pairs(vectors, subject, checkpoint=path, progress=interrupted(after), **arguments)
        assert path.exists()
    told: list[int] = []
    resumed = all_pairs(
        vectors, subject, checkpoint=path, progress=lambda done, _: told.append(done), **arguments
    )
    assert same(straight, resumed)
    assert len(told) == 28 - sum(stops)
    assert not list(tmp_path.iterdir())


def test_saves_from_time_to_time(
    case: tuple[np.ndarray, np.ndarray, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, subject, arguments = case
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    path = tmp_path / "pairs.checkpoint"

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise OSError("the machine stops")

    with pytest.raises(OSError, match="stops"):
        all_pairs(vectors, subject, checkpoint=path, progress=stop, **arguments)
    resumed = all_pairs(vectors, subject, checkpoint=path, **arguments)
    assert same(all_pairs(vectors, subject, **arguments), resumed)


@pytest.mark.parametrize("change", ["keep", "block", "vectors", "subject", "group", "exclude", "rule"])
def test_a_checkpoint_of_something_else_is_refused(
    case: tuple[np.ndarray, np.ndarray, dict[str, Any]], change: str, tmp_path: Path
) -> None:
    vectors, subject, arguments = case
    path = tmp_path / "pairs.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        all_pairs(vectors, subject, checkpoint=path, progress=interrupted(2), **arguments)
    before = path.read_bytes()
    other = dict(arguments)
    match change:
        case "vectors":
            vectors = vectors[:, ::-1]
        case "subject":
            subject = subject[::-1]
        case "group":
            other["group"] = 1 - other["group"]
        case _:
            other[change] = {
                "keep": 0.03,
                "block": 60,
                "exclude": np.array([[0, 1]]),
                "rule": "same_group",
            }[change]
    with pytest.raises(DatasetInvalid, match=r"pairs\.checkpoint is the checkpoint of .* delete the file"):
        all_pairs(vectors, subject, checkpoint=path, **other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["cut", "text", "empty", "flipped", "npz"])
def test_a_damaged_checkpoint_is_refused(
    case: tuple[np.ndarray, np.ndarray, dict[str, Any]], how: str, tmp_path: Path
) -> None:
    vectors, subject, arguments = case
    path = tmp_path / "pairs.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        all_pairs(vectors, subject, checkpoint=path, progress=interrupted(20), **arguments)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "npz":
        with path.open("wb") as stream:
            np.savez(stream, values=np.zeros(3))
    else:
        whole = path.read_bytes()
        damaged = {"cut": whole[:-200], "text": b"not this\n", "empty": b"", "flipped": bytes(data)}
        path.write_bytes(damaged[how])
    with pytest.raises(DatasetInvalid, match=r"is damaged .* delete it to start again"):
        all_pairs(vectors, subject, checkpoint=path, **arguments)


# --- what is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1.1])
def test_a_row_that_is_no_template_is_refused(bad: float) -> None:
    vectors = random_units(10_000, 8)
    vectors[9_321] *= np.float32(bad)
    with pytest.raises(TemplateInvalid, match="row 9321 is not a unit vector"):
        all_pairs(vectors, np.arange(10_000))


@pytest.mark.parametrize("vectors", [np.eye(3, dtype=int), np.ones(3), np.ones((3, 0))])
def test_other_arrays_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(TemplateInvalid, match="give \\(n, d\\)"):
        all_pairs(vectors, np.arange(3))


def test_a_template_that_changes_meanwhile_is_noticed() -> None:
    vectors = random_units(300, 8)

    def damage(done: int, total: int) -> None:
        vectors[-1] = np.nan

    with pytest.raises(ScoresInvalid, match="changed the templates"):
        all_pairs(vectors, np.arange(300), block=30, progress=damage)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"subject": np.arange(9)}, ScoresInvalid, "subject is int64 of shape"),
        ({"subject": np.arange(10.0)}, ScoresInvalid, "whole number"),
        ({"group": np.arange(9)}, ScoresInvalid, "group is"),
        ({"keep": 0.0}, InvalidArgument, "keep is"),
        ({"keep": 1.5}, InvalidArgument, "keep is"),
        ({"block": 0}, InvalidArgument, "block is"),
        ({"block": 5000}, InvalidArgument, "block is"),
        ({"rule": "same_group"}, InvalidArgument, "there are no groups"),
        ({"exclude": np.array([[0, 10]])}, InvalidArgument, "from 0 to 9"),
        ({"exclude": np.array([[-1, 3]])}, InvalidArgument, "from -1 to 3"),
        ({"exclude": np.array([[4, 4]])}, InvalidArgument, "1 are of one row"),
        ({"exclude": np.array([4, 5])}, InvalidArgument, r"\(k, 2\)"),
        ({"exclude": np.array([[4.0, 5.0]])}, InvalidArgument, "float64"),
        ({"vectors": signs(1), "subject": np.arange(1)}, ScoresInvalid, "at least two"),
    ],
)
def test_arguments_that_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"vectors": signs(10), "subject": np.arange(10)}
    with pytest.raises(error, match=message):
        all_pairs(**arguments | changes)


def test_too_many_groups_are_refused_unless_apart() -> None:
    vectors, group = signs(220), np.arange(220) // 2
    with pytest.raises(InvalidArgument, match="110 groups make 6105 pairs"):
        all_pairs(vectors, np.arange(220), group=group)
    assert len(all_pairs(vectors, np.arange(220), group=group, rule="same_group").group_cells) == 110


def test_keeping_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allpairs, "MAX_KEPT", 100)
    with pytest.raises(InvalidArgument, match="keep a smaller false match rate"):
        all_pairs(signs(40), np.arange(40), keep=0.5)
