"""Fixed numbers for searches, likelihood ratios, cohorts, discards, attacks and groups.

`evaluation_golden.json` was computed once with scikit-learn, scipy, bob.measure and llreval. Numbers written
here in full, rounded as printed, are from the same packages.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.metrics import groups
from lineament.metrics.attack import bpcer_at_apcer, pad
from lineament.metrics.cohorts import as_norm, s_norm, t_norm, z_norm
from lineament.metrics.discard import edc, ideal, partial_area, threshold_at_fnmr
from lineament.metrics.identification import (
    Searches,
    at_fpir,
    cmc,
    fmr_for_fpir,
    fnir,
    fpir,
    fpir_from_fmr,
    ranks,
)
from lineament.metrics.likelihood import act_dcf, cllr, fit_logistic, min_cllr, min_dcf, pav

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "evaluation_golden.json").read_text("utf-8"))
MATED = np.array([0.9, 0.8, 0.8, 0.6, 0.5, 0.3])
NONMATED = np.array([0.7, 0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1, 0, 0])
MATED_LLR = np.log([9, 4, 1.5, 0.5])
NONMATED_LLR = np.log([0.1, 0.25, 0.8, 2])


# Searches.

GALLERY = np.array([[0.9, 0.2, 0.1, 0.3], [0.4, 0.5, 0.6, 0.1], [0.7, 0.7, 0.2, 0.1], [0.1, 0.3, 0.2, 0.25]])
MATES = np.array([0, 1, 0, 3])
SEARCHES = Searches(
    mate_similarity=np.array([0.9, 0.8, 0.6, 0.4]),
    mate_rank=np.array([1, 1, 2, 1]),
    top_nonmated=np.array([0.75, 0.55, 0.5, 0.3, 0.2]),
    gallery=10,
)


@pytest.mark.parametrize(("ties", "curve"), [("pessimistic", "cmc_p"), ("optimistic", "cmc_o")])
def test_ranks_and_cmc_with_ties(ties: Any, curve: str) -> None:
    want = GOLDEN["C.ranks"]
    found = ranks(GALLERY, MATES, ties)
    assert found.tolist() == want[ties]
    np.testing.assert_allclose(cmc(found, 4), want[curve], rtol=0, atol=0)


@pytest.mark.parametrize("threshold", GOLDEN["C.open"])
def test_open_set_errors(threshold: str) -> None:
    at = float(threshold)
    errors = [fpir(SEARCHES, at), fnir(SEARCHES, at, rank=1), fnir(SEARCHES, at, rank=2)]
    assert errors == pytest.approx(GOLDEN["C.open"][threshold], abs=1e-15)


@pytest.mark.parametrize("target", [0.2, 0.4])
def test_fnir_at_fpir(target: float) -> None:
    point = at_fpir(SEARCHES, target, rank=1)
    assert [point.bar, point.fnir, point.fpir] == pytest.approx(GOLDEN[f"C.fnir@fpir={target}"], abs=1e-15)
    assert (point.status, point.reliable, point.rank) == ("ok", False, 1)
    assert point.threshold == math.nextafter(point.bar or 0, math.inf)


@pytest.mark.parametrize("case", GOLDEN["C.binomial_1N_from_fmr"])
def test_fpir_from_fmr(case: str) -> None:
    fmr, gallery = case.split("@")
    exact, linear = GOLDEN["C.binomial_1N_from_fmr"][case]
    # The fixture has 1 − (1 − f)^N in plain float64, which rounds 1 − f.
    assert fpir_from_fmr(float(fmr), int(gallery)) == pytest.approx(exact, rel=1e-7)
    assert fpir_from_fmr(float(fmr), int(gallery)) < linear


@pytest.mark.parametrize(("gallery", "fmr"), [(10**5, 3.0e-8), (10**6, 3.0e-9)])
def test_what_an_fpir_of_three_in_a_thousand_asks_of_a_comparison(gallery: int, fmr: float) -> None:
    assert fmr_for_fpir(0.003, gallery) == pytest.approx(fmr, rel=2e-3)
    assert fpir_from_fmr(fmr, gallery) == pytest.approx(0.003, rel=2e-3)


# Likelihood ratios.


def test_cllr() -> None:
    assert cllr(MATED_LLR, NONMATED_LLR) == pytest.approx(GOLDEN["D.cllr"], abs=1e-12)
    assert cllr(np.zeros(3), np.zeros(5)) == GOLDEN["D.cllr_zero"] == 1
    assert cllr(MATED, NONMATED) == pytest.approx(0.906358, abs=5e-7)


def test_min_cllr() -> None:
    assert min_cllr(MATED_LLR, NONMATED_LLR) == pytest.approx(GOLDEN["D.min_cllr"], abs=1e-12)
    assert min_cllr(MATED, NONMATED) == pytest.approx(GOLDEN["A.min_cllr"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "mated", "nonmated"), [("A", MATED, NONMATED), ("D", MATED_LLR, NONMATED_LLR)]
)
def test_pav_keeps_infinite_ends(name: str, mated: np.ndarray, nonmated: np.ndarray) -> None:
    want_mated, want_nonmated = GOLDEN[f"{name}.pav_llr"]
    found = pav(mated, nonmated)
    np.testing.assert_allclose(found[0], want_mated, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], want_nonmated, rtol=0, atol=1e-12)
    assert np.isposinf(found[0]).any()
    assert np.isneginf(found[1]).any()


def test_logistic_calibration() -> None:
    line = fit_logistic(MATED, NONMATED)
    assert (line.a, line.b) == pytest.approx((7.182202, -3.215412), abs=1e-6)
    assert cllr(line.llr(MATED), line.llr(NONMATED)) == pytest.approx(0.590040, abs=5e-7)


def test_the_same_evidence_at_two_priors() -> None:
    line = fit_logistic(MATED, NONMATED)
    assert float(line.llr(0.5)) == pytest.approx(0.375689, abs=5e-7)
    assert float(line.probability(0.5, prior=0.01)) == pytest.approx(0.014494, abs=5e-7)
    assert float(line.probability(0.5, prior=0.5)) == pytest.approx(0.5928, abs=5e-5)


@pytest.mark.parametrize("prior", [0.5, 0.1, 0.01])
def test_min_dcf(prior: float) -> None:
    cost = min_dcf(MATED, NONMATED, prior)
    found = [cost.value, cost.normalised, cost.threshold]
    assert found == pytest.approx(GOLDEN[f"A.min_dcf p={prior}"], abs=1e-15)


def test_act_dcf() -> None:
    cost = act_dcf(MATED_LLR, NONMATED_LLR, 0.5)
    assert (cost.value, cost.threshold) == (GOLDEN["D.act_dcf_p0.5"], 0)
    assert cost.normalised == 0.5


# Cohorts.


@pytest.mark.parametrize("ddof", [0, 1])
def test_norms(ddof: int) -> None:
    reference, probe = np.array([0.1, 0.2, 0.3]), np.array([0, 0.1, 0.2, 0.1])
    found = [
        float(z_norm(0.6, reference, ddof)),
        float(t_norm(0.6, probe, ddof)),
        float(s_norm(0.6, reference, probe, ddof)),
    ]
    assert found == pytest.approx(GOLDEN[f"D.znorm,tnorm,snorm(ddof{ddof})"], rel=1e-12)
    # By hand: the two nearest are [.2, .3] and [.1, .2].
    nearest = ((0.6 - 0.25) + (0.6 - 0.15)) / 2 / np.std([0.2, 0.3], ddof=ddof)
    assert float(as_norm(0.6, reference, probe, top=2, ddof=ddof)) == pytest.approx(nearest, rel=1e-12)


# Discards.

SIMILARITY = np.array([0.9, 0.2, 0.8, 0.3, 0.7, 0.95, 0.85, 0.6, 0.75, 0.65])
QUALITY = np.array([0.9, 0.1, 0.8, 0.4, 0.5, 0.95, 0.7, 0.3, 0.6, 0.2])


def test_error_versus_discard() -> None:
    # The other sample of each pair is the better one, so that the minimum is the listed quality.
    curve = edc(SIMILARITY, QUALITY, np.ones(10), threshold=0.62)
    np.testing.assert_allclose(curve.discarded, np.arange(10) / 10)
    want = GOLDEN["E.edc fnmr after discarding d lowest"]
    np.testing.assert_allclose(curve.error, want, rtol=0, atol=1e-15)
    assert (curve.comparisons, curve.errors) == (10, 3)
    assert threshold_at_fnmr(SIMILARITY, 0.3) == 0.65  # the same three errors as at 0.62


def test_partial_areas() -> None:
    curve = edc(SIMILARITY, np.ones(10), QUALITY, threshold=0.62)
    assert partial_area(curve, 0.3) == pytest.approx(GOLDEN["E.pAUC step 0..0.3"], abs=1e-15)
    lines = partial_area(curve, 0.3, how="trapezoid")
    assert lines == pytest.approx(GOLDEN["E.pAUC trapz 0..0.3"], abs=1e-15)
    assert partial_area(ideal(curve), 0.3) == pytest.approx(GOLDEN["E.ideal 0..0.3 step"], abs=1e-15)


# Attacks.


def test_attack_detection() -> None:
    presentations = {"print": (3, 100), "replay": (10, 100), "mask": (5, 20)}
    score, species = [], []
    for name, (passed, trials) in presentations.items():
        score += [0.9] * passed + [0.1] * (trials - passed)
        species += [name] * trials
    score += [0.1] * 4 + [0.9] * 196
    species += [""] * 200
    found = pad(np.array(score), species, threshold=0.5)
    want = GOLDEN["F.pad"]
    assert {kind.name: kind.rate for kind in found.species} == want["apcer"]
    assert (found.worst.name, found.apcer, found.bpcer) == ("mask", want["apcer_max"], want["bpcer"])
    assert found.acer == pytest.approx(want["acer"], abs=1e-15)
    # Pooling all attacks gives 18/220 = 0.0818 and a mean error of 0.0509, a third of the truth: a wrong
    # number (`pooled` and `acer_pooled_wrong` of the fixture) that nothing here computes.
    assert found.acer > 2.5 * want["acer_pooled_wrong"]
    assert [point.name for point in bpcer_at_apcer(np.array(score), species)] == [
        "BPCER10",
        "BPCER20",
        "BPCER100",
    ]


# Groups.

FMR, FNMR = [1e-4, 2e-4, 4e-4, 8e-4], [0.02, 0.02, 0.03, 0.05]


def test_differences_between_groups() -> None:
    assert [groups.gini(FMR), groups.gini(FNMR)] == pytest.approx(GOLDEN["G.gini"], abs=1e-12)
    assert groups.garbe(FMR, FNMR, a=0.5) == pytest.approx(GOLDEN["G.garbe_a0.5"], abs=1e-12)
    of_geomean = [groups.max_over_geomean(FMR), groups.max_over_geomean(FNMR)]
    assert of_geomean == pytest.approx(GOLDEN["G.max/geomean"], abs=1e-12)
    of_min = [groups.max_over_min(FMR), groups.max_over_min(FNMR)]
    assert of_min == pytest.approx(GOLDEN["G.max/min"], abs=1e-12)
    assert [groups.max_over_mean(FMR)] == pytest.approx(GOLDEN["G.max/mean"], abs=1e-12)
    assert groups.fairness_discrepancy_rate(FMR, FNMR) == pytest.approx(GOLDEN["G.FDR_a0.5"], abs=1e-12)
    assert groups.inequity_rate(FMR, FNMR) == pytest.approx(GOLDEN["G.IR_a0.5"], abs=1e-12)
