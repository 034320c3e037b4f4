"""Rates by group at one threshold, counted one comparison at a time."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.evaluate.allpairs import all_pairs
from lineament.evaluate.group_counts import GroupCounts
from lineament.evaluate.groups import Groups, groups, groups_of_all_pairs, measures
from lineament.evaluate.run import Data, Run, System
from lineament.metrics.bootstrap import draws

NAMES = ("ash", "birch", "cedar")


def listed(seed: int, count: int = 400) -> SimpleNamespace:
    """Comparisons of thirty people in three groups; similarities with ties, some failed."""
    generator = np.random.default_rng(seed)
    group = generator.integers(0, 3, 30)
    a, b = generator.integers(0, 30, (2, count))
    b = np.where(generator.random(count) < 0.4, a, b)
    similarity = generator.normal(size=count).round(1) + 1.5 * (a == b) - 0.3 * group[a]
    similarity[generator.random(count) < 0.05] = np.nan
    return SimpleNamespace(
        similarity=similarity, mated=a == b, a=group[a], b=group[b], subjects=np.stack([a, b], axis=1)
    )


def run(d: SimpleNamespace, **options: object) -> Groups:
    return groups(d.similarity, d.mated, d.a, d.b, NAMES, **options)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([-0.5, 0.3, 1.0]), exclude=st.booleans())
def test_counts_by_brute_force(seed: int, threshold: float, exclude: bool) -> None:
    d = listed(seed)
    counts = run(d, threshold=threshold, policy="exclude" if exclude else "reject").counts
    tally = {"mated": [0] * 3, "rejected": [0] * 3, "across": 0}
    other, accepted = np.zeros((3, 3), int), np.zeros((3, 3), int)
    for s, mated, a, b in zip(d.similarity, d.mated, d.a, d.b, strict=True):
        if np.isnan(s) and exclude:
            continue
        hit = bool(s >= threshold)
        if mated:
            tally["mated"][a] += 1
            tally["rejected"][a] += not hit
        else:
            for i, j in {(a, b), (b, a)}:
                other[i, j] += 1
                accepted[i, j] += hit
    assert counts.mated.tolist() == tally["mated"]
    assert counts.false_nonmatches.tolist() == tally["rejected"]
    assert counts.nonmated.tolist() == other.tolist()
    assert counts.false_matches.tolist() == accepted.tolist()
    assert counts.mated_across == 0


@pytest.mark.parametrize("reference", ["", "birch"])
def test_one_threshold_by_the_floor_rule(reference: str) -> None:
    d = listed(1)
    result = run(d, target=0.1, reference=reference)
    chosen = ~d.mated
    if reference:
        chosen &= (d.a == 1) & (d.b == 1)
    values = d.similarity[chosen]
    bar = np.sort(values[~np.isnan(values)])[::-1][int(0.1 * chosen.sum())]
    assert result.counts.threshold == np.nextafter(bar, 9)
    block = result.results()
    assert block["reference"] == reference
    assert block["target"] == 0.1
    if reference:
        assert block["fmr"][1] <= 0.1
    # Every group is at this one threshold.
    rejected = ~(d.similarity >= result.counts.threshold)
    for g in range(3):
        mine = d.mated & (d.a == g)
        assert block["fnmr"][g] == pytest.approx(rejected[mine].mean())
        assert block["cross_fmr"][g][g] == block["fmr"][g]


def golden() -> GroupCounts:
    """evaluation_golden.json, G: FMR 1e-4, 2e-4, 4e-4, 8e-4 and FNMR .02, .02, .03, .05."""
    nonmated = np.full((4, 4), 100_000)
    false = np.diag([10, 20, 40, 80])
    return GroupCounts(
        names=("a", "b", "c", "d"),
        threshold=0.5,
        mated=np.full(4, 1000),
        false_nonmatches=np.array([20, 20, 30, 50]),
        nonmated=nonmated,
        false_matches=false,
    )


def test_golden_measures() -> None:
    block = Groups(golden()).results()
    expected = {
        "gini_fmr": 0.511111, "gini_fnmr": 0.277778, "garbe": 0.394444,
        "max_over_geomean_fmr": 2.828427, "max_over_geomean_fnmr": 1.796521,
        "max_over_min_fmr": 8, "max_over_min_fnmr": 2.5, "max_over_mean_fmr": 2.133333,
        "fairness_discrepancy_rate": 0.98465, "inequity_rate": 4.472136,
    }  # fmt: skip
    for name, value in expected.items():
        assert block["measures"][name] == pytest.approx(value, abs=1e-6)
    assert [row["sufficient"] for row in block["counts"]] == [False, False, True, True]
    assert block["counts"][2]["fmr_sufficient"]
    note = next(n for n in Groups(golden()).notes() if "Fewer than 30" in n)
    assert "in a, b:" in note
    saved = Run("groups", System(), Data("g"), {"groups": block}).to_dict()
    assert saved["results"]["groups"]["cross_fmr"][3][3] == 8e-4
    assert saved["results"]["groups"]["counts"][0]["fmr_interval"][1] > 1e-4


def test_ratios_are_empty_without_errors_or_comparisons() -> None:
    d = listed(2)
    none = run(d, threshold=9.0)
    values = none.results()["measures"]
    assert values["max_over_min_fmr"] is None
    assert values["max_over_min_fnmr"] == 1
    assert any("infinite" in note for note in none.notes())
    kept = ~(d.mated & (d.a == 0))
    less = groups(d.similarity[kept], d.mated[kept], d.a[kept], d.b[kept], NAMES, threshold=0.5)
    block = less.results()
    assert block["fnmr"][0] is None
    assert block["counts"][0]["fnmr_interval"] is None
    assert block["measures"]["garbe"] is None
    assert block["measures"]["gini_fnmr"] is not None
    assert measures(less.counts.errors[:1])["gini_fmr"] is None


def test_bootstrap_is_a_set_with_people_repeated() -> None:
    """A mated comparison counts as often as its subject, a non-mated one as often as the product."""
    d = listed(5, 1500)
    d.similarity = np.nan_to_num(d.similarity, nan=-9.0)
    result = run(d, threshold=0.5, subjects=d.subjects, replicates=50, seed=3)
    assert result.bootstrap is not None
    use = d.a == d.b
    people = np.unique(d.subjects[use])
    rates = []
    for weight in draws(len(people), 50, 3):
        often = dict(zip(people.tolist(), weight.tolist(), strict=True))
        each = np.array(
            [often.get(i, 0) * (1 if i == j else often.get(j, 0)) for i, j in d.subjects.tolist()]
        )
        repeated = np.repeat(np.flatnonzero(use), each[use])
        again = groups(
            d.similarity[repeated], d.mated[repeated], d.a[repeated], d.b[repeated], NAMES, threshold=0.5
        )
        rates.append([*again.results()["fmr"], *again.results()["fnmr"]])
    low, high = np.quantile(np.array(rates, float), (0.025, 0.975), axis=0)
    got = [*result.bootstrap.fmr, *result.bootstrap.fnmr]
    assert [i.low for i in got if i] == pytest.approx(low.tolist())
    assert [i.high for i in got if i] == pytest.approx(high.tolist())
    assert result.results()["counts"][0]["fmr_interval"] == pytest.approx([low[0], high[0]])


def faces(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Templates of forty people, three each, and the group of every person."""
    generator = np.random.default_rng(seed)
    subject = np.repeat(np.arange(40), 3)
    rows = generator.normal(size=(40, 6))[subject] + 0.5 * generator.normal(size=(120, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), subject, (subject % 3) * 10


@pytest.mark.parametrize(
    "how", [{"threshold": 0.9}, {"target": 0.02}, {"target": 0.05, "reference": "birch"}]
)
def test_all_pairs_give_what_the_listed_pairs_give(how: dict[str, object]) -> None:
    vectors, subject, group = faces()
    pairs = all_pairs(vectors, subject, keep=0.2, group=group)
    named = groups_of_all_pairs(pairs, {0: "ash", 10: "birch", 20: "cedar"}, **how)  # type: ignore[arg-type]
    i, j = np.triu_indices(120, 1)
    similarity = (vectors @ vectors.T)[i, j]
    same = subject[i] == subject[j]
    expected = groups(similarity, same, group[i] // 10, group[j] // 10, NAMES, **how)  # type: ignore[arg-type]
    assert named.counts.threshold == pytest.approx(expected.counts.threshold, abs=1e-6)
    for field in ("mated", "false_nonmatches", "nonmated", "false_matches"):
        assert getattr(named.counts, field).tolist() == getattr(expected.counts, field).tolist()
    assert named.counts.names == NAMES


def test_pairs_across_groups_are_in_no_groups_fnmr() -> None:
    vectors, subject, _ = faces()
    group = np.arange(120) % 2
    named = groups_of_all_pairs(
        all_pairs(vectors, subject, keep=0.2, group=group), {0: "x", 1: "y"}, threshold=0.9
    )
    assert named.counts.mated_across == 80
    assert int(named.counts.mated.sum()) == 40
    assert any("80 mated comparisons are between two groups" in note for note in named.notes())


def test_bad_input_is_named() -> None:
    d = listed(0)
    with pytest.raises(InvalidArgument, match="give one threshold"):
        run(d)
    with pytest.raises(InvalidArgument, match="give one threshold"):
        run(d, threshold=0.1, target=0.1)
    with pytest.raises(InvalidArgument, match="must be one of ash, birch, cedar"):
        run(d, target=0.1, reference="oak")
    with pytest.raises(InvalidArgument, match="needs a false match rate"):
        run(d, threshold=0.1, reference="ash")
    with pytest.raises(ScoresInvalid, match="not one of the 2 names"):
        groups(d.similarity, d.mated, d.a, d.b, NAMES[:2], threshold=0.5)
    with pytest.raises(ScoresInvalid, match="1 group cannot"):
        groups(d.similarity, d.mated, 0 * d.a, 0 * d.b, NAMES[:1], threshold=0.5)
    with pytest.raises(ScoresInvalid, match="there is no mated"):
        groups(d.similarity[~d.mated], d.mated[~d.mated], d.a[~d.mated], d.b[~d.mated], NAMES, target=0.1)
    with pytest.raises(ScoresInvalid, match="contradict"):
        run(d, threshold=0.5, subjects=d.subjects[::-1], replicates=10)
    vectors, subject, group = faces()
    with pytest.raises(ScoresInvalid, match="no groups"):
        groups_of_all_pairs(all_pairs(vectors, subject), {}, threshold=0.9)
    pairs = all_pairs(vectors, subject, group=group)
    with pytest.raises(EvidenceInsufficient, match="larger false match rate"):
        groups_of_all_pairs(pairs, {0: "a", 10: "b", 20: "c"}, threshold=0.0)
