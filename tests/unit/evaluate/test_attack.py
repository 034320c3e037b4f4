"""The section of presentation attack detection."""

import numpy as np
import pytest

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.attack import attack
from lineament.evaluate.run import Data, Run, System


def presentations() -> tuple[np.ndarray, list[str]]:
    """evaluation_golden.json, F.pad: errors and trials of three species; 4 of 200 people turned away."""
    kinds = {"print": (3, 100), "replay": (10, 100), "mask": (5, 20)}
    score: list[float] = []
    species: list[str] = []
    for name, (errors, trials) in kinds.items():
        score += [0.9] * errors + [0.1] * (trials - errors)
        species += [name] * trials
    return np.array(score + [0.2] * 4 + [0.95] * 196), [*species, *["bona_fide"] * 100, *[""] * 100]


def test_golden() -> None:
    block = attack(*presentations(), threshold=0.5).results()
    assert block["apcer"] == {"print": 0.03, "replay": 0.1, "mask": 0.25}
    assert (block["apcer_worst"], block["apcer_worst_species"], block["bpcer"]) == (0.25, "mask", 0.02)
    assert block["acer"] == pytest.approx(0.135)
    assert block["counts"]["mask"]["errors"] == 5
    assert block["counts"]["bona_fide"]["trials"] == 200
    assert block["apcer_worst_interval"][0] < 0.25 < block["apcer_worst_interval"][1]
    assert block["bpcer_interval"][0] < 0.02 < block["bpcer_interval"][1]
    assert not block["counts"]["mask"]["sufficient"]


def test_operating_points_by_trying_every_threshold() -> None:
    generator = np.random.default_rng(0)
    score = generator.normal(size=600).round(2)
    species = generator.choice(["a", "b", "c", ""], 600)
    score[species == ""] += 2
    block = attack(score, species, 0.0).results()
    assert [p["target"] for p in block["points"]] == [0.1, 0.05, 0.01]
    for point in block["points"]:
        best = 1.0
        for t in np.append(score, np.nextafter(score, 9)):
            worst = max((score[species == s] >= t).mean() for s in "abc")
            if worst <= point["target"]:
                best = min(best, (score[species == ""] < t).mean())
        assert point["bpcer"] == pytest.approx(best)
        assert block["bpcer_at_apcer"][f"{point['target']:g}"] == point["bpcer"]
        assert point["apcer_worst"] <= point["target"]


def test_it_is_a_section_of_a_run_and_says_what_it_cannot() -> None:
    score, species = presentations()
    result = attack(np.where(np.array(species) == "print", 0.0, score), species, 0.5)
    assert any("No print attack passed among 100" in note and "0.03" in note for note in result.notes())
    assert result.curves() == {}
    run = Run("pad", System(), Data("pad"), {"attack": result.results()})
    assert run.to_dict()["results"]["attack"]["apcer"]["print"] == 0


def test_one_kind_only_is_an_error() -> None:
    with pytest.raises(ScoresInvalid, match="both are needed"):
        attack(np.array([0.1, 0.2]), ["", ""], 0.5)
    with pytest.raises(ScoresInvalid, match="both are needed"):
        attack(np.array([0.1, 0.2]), ["print", "print"], 0.5)
