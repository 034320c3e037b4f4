"""Records of evaluations, and gates on them."""

import json

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, EvidenceInsufficient, GateFailed, InvalidArgument
from lineament.evaluate.gate import judge, parse, require
from lineament.evaluate.run import Data, Run, System


def run() -> Run:
    point = {"target": 1e-4, "status": "ok", "tar": 0.97, "tar_interval": [0.95, 0.98], "fnmr": 0.03}
    point |= {"fnmr_interval": [0.02, 0.05], "fmr": 1e-4, "fmr_interval": [5e-5, 2e-4]}
    short = {"target": 1e-6, "status": "insufficient", "tar": 0.5, "tar_interval": None}
    results = {
        "verification": {"points": [point, short]},
        "accuracy": {"mean": 0.99, "interval": [0.985, 0.993]},
        "identification": {"points": [], "rank_rates": [{"rank": 1, "rate": 0.9, "interval": [0.88, 0.92]}]},
        "nothing": float("nan"),
    }
    return Run(
        "pairs", System("m", "0" * 64), Data("d", nonmated=1000), results, {"roc": {"fmr": np.zeros(3)}}
    )


def test_a_run_comes_back_as_it_was_saved(tmp_path) -> None:
    saved = run()
    saved.arrays["similarity"] = np.arange(5.0)
    saved.save(tmp_path / "run.json")
    back = Run.load(tmp_path / "run.json")
    assert back.to_dict() == saved.to_dict()
    np.testing.assert_array_equal(back.arrays["similarity"], np.arange(5.0))
    assert json.loads((tmp_path / "run.json").read_text())["results"]["nothing"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 9}', '{"schema": 1, "kind": "x"}', "no"])
def test_what_is_no_run_is_refused(tmp_path, text) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DatasetInvalid, match="not the record"):
        Run.load(tmp_path / "run.json")


def test_arrays_of_another_run_are_refused(tmp_path) -> None:
    saved = run()
    saved.arrays["a"] = np.zeros(2)
    saved.save(tmp_path / "run.json")
    np.savez(tmp_path / "run.npz", a=np.ones(2))
    with pytest.raises(DatasetInvalid, match="not the file"):
        Run.load(tmp_path / "run.json")
    with pytest.raises(DatasetInvalid, match="cannot read"):
        Run.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("demand", "held"),
    [
        ("tar@1e-4>=0.95", True),
        ("tar@0.0001 >= 0.951", False),
        ("fnmr@1e-4<=0.05", True),
        ("fnmr@1e-4<=0.04", False),
        ("fmr@1e-4<=1.5e-4", False),
        ("accuracy>=0.985", True),
        ("accuracy>=0.99", False),
        ("rank@1>=0.88", True),
    ],
)
def test_gates_look_at_the_pessimistic_end(demand, held) -> None:
    (outcome,) = judge(run(), [demand])
    assert outcome.held is held
    if held:
        require([outcome])
    else:
        with pytest.raises(GateFailed, match="pessimistic end"):
            require([outcome])


@pytest.mark.parametrize("demand", ["tar>=1", "tar@1e-4=1", "auc>=0.9", "accuracy@3>=1", "x", "tar@y>=1"])
def test_gates_that_cannot_be_read_are_refused(demand) -> None:
    with pytest.raises(InvalidArgument):
        parse(demand)


def test_gates_without_evidence_are_refused() -> None:
    with pytest.raises(EvidenceInsufficient, match="too few"):
        judge(run(), ["tar@1e-6>=0.1"])
    with pytest.raises(InvalidArgument, match="no number"):
        judge(run(), ["tar@1e-3>=0.1"])
