"""BLUFR, on a small set by brute force and on the real splits of LFW by their counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, ScoresInvalid
from lineament.datasets.blufr import Split, read_blufr
from lineament.evaluate.blufr import blufr
from lineament.evaluate.run import Data, Run, System


def small(seed: int = 0, failures: float = 0.05) -> tuple[np.ndarray, list[str], np.ndarray, list[Split]]:
    """Two hundred pictures of fifty people, and three splits of them."""
    generator = np.random.default_rng(seed)
    subject = np.sort(generator.integers(0, 50, 200))
    rows = generator.normal(size=(50, 12))[subject] + 0.9 * generator.normal(size=(200, 12))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    vectors[generator.random(200) < failures] = np.nan
    names = [f"p{s}/{i}.jpg" for i, s in enumerate(subject)]
    splits = []
    for number in range(3):
        people = generator.permutation(50)
        enrolled, strangers, train = people[:18], people[18:36], people[36:]
        first = [int(np.flatnonzero(subject == s)[0]) for s in enrolled if (subject == s).any()]
        lists = [
            [i for i in range(200) if subject[i] in train],
            first,
            [i for i in range(200) if subject[i] in enrolled and i not in first],
            [i for i in range(200) if subject[i] in strangers],
        ]
        splits.append(Split(f"split{number}", *(tuple(names[i] for i in rows) for rows in lists)))
    return vectors, names, subject, splits


def by_hand(
    vectors: np.ndarray, names: list[str], subject: np.ndarray, split: Split
) -> tuple[float, float, int, int]:
    """(VR at FAR 0.1 %, DIR at rank 1 and FAR 1 %, mated pairs, non-mated pairs) of a split, in float64."""
    index = {name: i for i, name in enumerate(names)}
    exact = vectors.astype(np.float64)
    gallery, mated, other = (
        [index[n] for n in part] for part in (split.gallery, split.probe_mated, split.probe_nonmated)
    )
    same, different = [], []
    test = gallery + mated + other
    for k, i in enumerate(test):
        for j in test[:k]:
            (same if subject[i] == subject[j] else different).append(float(exact[i] @ exact[j]))
    # A failed comparison is never accepted.
    mates, strangers = np.nan_to_num(same, nan=-9), np.sort(np.nan_to_num(different, nan=-9))[::-1]
    verified = float((mates > strangers[int(0.001 * len(strangers))]).mean())
    tops = [np.nanmax(np.append(exact[gallery] @ exact[i], -9.0)) for i in other]
    bar = np.sort(tops)[::-1][int(0.01 * len(tops))]
    hits = 0
    for i in mated:
        similarity = np.nan_to_num(exact[gallery] @ exact[i], nan=-9)
        best = int(similarity.argmax())
        hits += similarity[best] > max(bar, -2) and subject[gallery[best]] == subject[i]
    return verified, hits / len(mated), len(same), len(different)


@pytest.mark.parametrize("failures", [0.0, 0.05])
def test_every_split_by_brute_force(failures: float) -> None:
    vectors, names, subject, splits = small(1, failures)
    result = blufr(vectors, names, subject, splits)
    expected = [by_hand(vectors, names, subject, split) for split in splits]
    assert [p.tar for p in result.points] == pytest.approx([e[0] for e in expected])
    assert [(p.mated, p.nonmated) for p in result.points] == [e[2:] for e in expected]
    found = [part.points[0].dir for part in result.searches.parts.values()]
    assert found == pytest.approx([e[1] for e in expected])
    rates = np.array([e[:2] for e in expected])
    reported = result.results()["identification"]["mean_sd"]
    for key, column in (("vr_at_far_0.001", rates[:, 0]), ("dir_at_far_0.01_rank_1", rates[:, 1])):
        assert reported[key]["mean"] == pytest.approx(column.mean())
        assert reported[key]["sd"] == pytest.approx(column.std(ddof=1))
        assert reported[key]["mean_minus_sd"] == pytest.approx(column.mean() - column.std(ddof=1))


def test_excluded_failures_are_not_counted() -> None:
    vectors, names, subject, splits = small(2, 0.2)
    kept, less = (blufr(vectors, names, subject, splits, policy=p) for p in ("reject", "exclude"))
    assert all(
        a.mated > b.mated and a.nonmated > b.nonmated for a, b in zip(kept.points, less.points, strict=True)
    )
    assert less.identification_rate.mean > kept.identification_rate.mean


def test_sections_are_those_of_a_run() -> None:
    vectors, names, subject, splits = small()
    result = blufr(vectors, names, subject, splits, replicates=20)
    sections = result.results()
    point = sections["verification"]["points"][0]
    assert point["tar"] == pytest.approx(result.verification_rate.mean)
    assert point["fmr"] <= 0.001
    assert point["tar_interval"][0] <= point["tar"] <= point["tar_interval"][1]
    assert [s["name"] for s in sections["verification"]["splits"]] == ["split0", "split1", "split2"]
    assert "fnir_bootstrap" in sections["identification"]["points"][0]
    saved = Run("openset", System(), Data("b"), sections, result.curves(), notes=result.notes()).to_dict()
    assert saved["results"]["identification"]["galleries"][0] <= 18
    one = blufr(vectors, names, subject, splits[:1])
    assert one.verification_rate.sd == 0


def test_splits_of_other_pictures_are_named() -> None:
    vectors, names, subject, splits = small()
    with pytest.raises(DatasetInvalid, match=r"1 of .* pictures are not here, the first is x/y\.jpg"):
        blufr(vectors, names, subject, [replace(splits[0], gallery=(*splits[0].gallery, "x/y.jpg"))])
    swapped = replace(splits[0], probe_mated=splits[0].probe_nonmated, probe_nonmated=splits[0].probe_mated)
    with pytest.raises(DatasetInvalid, match="not of the kind"):
        blufr(vectors, names, subject, [swapped])
    with pytest.raises(ScoresInvalid, match="no split"):
        blufr(vectors, names, subject, [])


@pytest.mark.real
def test_the_test_sets_of_lfw_are_those_of_the_paper(shared: Path) -> None:
    """156,915 mated pairs and 9,708 pictures on average, as the paper says of its ten test sets."""
    mated, pictures = [], []
    for split in read_blufr(shared / "data/lfw/blufr.json.gz"):
        test = [*split.gallery, *split.probe_mated, *split.probe_nonmated]
        sizes = np.unique([name.split("/")[0] for name in test], return_counts=True)[1]
        mated.append(int((sizes * (sizes - 1) // 2).sum()))
        pictures.append(len(test))
    assert round(float(np.mean(mated))) == 156_915
    assert round(float(np.mean(pictures))) == 9_708
    assert 9_708 * 9_707 // 2 - 156_915 == 46_960_863
