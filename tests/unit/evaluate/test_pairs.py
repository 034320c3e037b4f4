"""Lists of pairs: folds, failures, arcface_torch's own figures, the worst errors."""

import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.evaluate.pairs import Compared, pairs

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "verification_parity.npz"


def made(n: int = 2000, folds: int = 10, seed: int = 0) -> Compared:
    rng = np.random.default_rng(seed)
    mated = np.tile([True, False], n // 2)
    similarity = np.clip(np.where(mated, 0.6, 0.05) + rng.normal(0, 0.18, n), -1, 1)
    names = ([f"a{i}" for i in range(n)], [f"b{i}" for i in range(n)])
    quality = rng.uniform(5, 15, (n, 2))
    return Compared(similarity, mated, np.repeat(np.arange(folds), n // folds), None, quality, names)


def test_accuracy_by_the_slow_obvious_way() -> None:
    compared = made()
    done, _ = pairs(compared, replicates=0)
    accuracies = []
    for k in range(10):
        test = compared.fold == k
        s, y = compared.similarity[~test], compared.mated[~test]
        cuts = np.sort(np.concatenate([[-2.0], (np.sort(s)[1:] + np.sort(s)[:-1]) / 2, [2.0]]))
        right = [((s >= c) == y).mean() for c in cuts]
        best = [c for c, r in zip(cuts, right, strict=True) if r == max(right)]
        at = np.median(best)
        low, high = min(best), max(best)
        accuracies.append(((compared.similarity[test] >= at) == compared.mated[test]).mean())
        assert low <= done.results["accuracy"]["thresholds"][k] <= high
    section = done.results["accuracy"]
    assert section["mean"] == pytest.approx(np.mean(accuracies), abs=2e-3)
    assert section["standard_error"] == pytest.approx(
        np.std(section["folds"], ddof=1) / np.sqrt(10), rel=1e-9
    )
    assert section["interval"][0] < section["mean"] < section["interval"][1]


def test_failures_are_rejections_or_left_out_and_counted() -> None:
    compared = made()
    similarity = compared.similarity.copy()
    similarity[:40] = np.nan
    failing = dataclasses.replace(compared, similarity=similarity)
    rejected, scores = pairs(failing, replicates=0)
    assert (scores.mated_failed, scores.nonmated_failed) == (20, 20)
    left_out, fewer = pairs(failing, policy="exclude", replicates=0)
    assert (fewer.mated_count, scores.mated_count) == (980, 1000)
    kept = similarity[compared.mated & ~np.isnan(similarity)]
    for done, lost in ((rejected, 20), (left_out, 0)):
        point = done.results["verification"]["points"][0]
        assert point["mated"] == len(kept) + lost
        assert point["false_nonmatches"] == int((kept < point["threshold"]).sum()) + lost


def test_insightface_mode_gives_arcface_torch_s_own_figures() -> None:
    with np.load(GOLDEN) as golden:
        emb, same, accuracy = golden["ver_emb"], golden["ver_same"], golden["ver_acc"]
    a, b = emb[0::2], emb[1::2]
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    compared = Compared(np.einsum("nd,nd->n", a, b), same, vectors=(a, b))
    done, _ = pairs(compared, mode="insightface", replicates=0)
    section = done.results["accuracy"]
    np.testing.assert_allclose(section["folds"], accuracy, atol=1e-9)
    assert section["spread"] == pytest.approx(accuracy.std(), abs=1e-9)
    assert section["standard_error"] is None
    assert "not a standard error" in " ".join(done.notes)


def test_insightface_mode_rejects_failed_pairs_at_any_threshold() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, 8))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    similarity = np.ones(200)
    similarity[::20] = np.nan
    mated = np.tile([True, True, False, False], 50)
    b = np.where(mated[:, None], a, -a)
    similarity[~mated & ~np.isnan(similarity)] = -1.0
    done, _ = pairs(Compared(similarity, mated, vectors=(a, b)), mode="insightface", replicates=0)
    assert done.results["accuracy"]["mean"] == pytest.approx(1 - 10 / 200)


def test_without_folds_no_accuracy_is_claimed() -> None:
    done, _ = pairs(dataclasses.replace(made(), fold=None), replicates=0)
    assert "accuracy" not in done.results
    assert "Add a column `fold`" in " ".join(done.notes)


def test_the_worst_errors_are_named() -> None:
    compared = made()
    errors = pairs(compared, replicates=0)[0].results["errors"]
    top = int(np.argmax(np.where(compared.mated, -9, compared.similarity)))
    low = int(np.argmin(np.where(compared.mated, compared.similarity, 9)))
    assert errors["false_matches"][0] == {
        "a": f"a{top}",
        "b": f"b{top}",
        "similarity": compared.similarity[top],
    }
    assert errors["false_nonmatches"][0]["a"] == f"a{low}"
    assert len(errors["false_matches"]) == 50


def test_error_versus_discard_starts_at_the_whole_error() -> None:
    compared = made()
    done, _ = pairs(compared, replicates=0)
    section = done.results["discard"]
    mated = compared.similarity[compared.mated]
    assert section["fnmr_at_start"] == pytest.approx((mated < section["threshold"]).mean())
    assert done.curves["edc"]["discarded"][0] == 0


@pytest.mark.parametrize("column", ["mated", "fold", "quality"])
def test_columns_of_another_length_are_refused(column) -> None:
    compared = made()
    with pytest.raises(ScoresInvalid, match="give one per comparison"):
        dataclasses.replace(compared, **{column: getattr(compared, column)[:-1]})


def test_one_class_folds_are_refused() -> None:
    compared = made()
    order = np.argsort(compared.mated, kind="stable")
    sorted_by_label = dataclasses.replace(
        compared, similarity=compared.similarity[order], mated=compared.mated[order], names=((), ())
    )
    with pytest.raises(ScoresInvalid, match="fold"):
        pairs(sorted_by_label, replicates=0)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="not 'best'"):
        inspect.unwrap(pairs)(made(), mode="best")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="templates"):
        pairs(made(), mode="insightface", replicates=0)
