"""Class centres over two and three processes, over gloo, give what one process gives."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = Path(__file__).parent / "programs" / "partial_steps.py"
MODULE = runpy.run_path(str(PROGRAM))
CASES: dict[str, Any] = MODULE["CASES"]
Told = dict[str, np.ndarray]
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes wrote what they tell."""
    place = tmp_path_factory.mktemp("told")
    # Gloo looks for a network interface; there may be none but loopback.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": LOOPBACK}
    command = [sys.executable, "-W", "error", str(PROGRAM), str(place)]
    ran = subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return place


@pytest.fixture(params=[2, 3])
def told(request: pytest.FixtureRequest, folder: Path) -> list[Told]:
    """What each of several processes tells."""
    return [dict(np.load(folder / f"{request.param}-{rank}.npz")) for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Told]:
    return {name: MODULE["steps"](case, 0, 1) for name, case in CASES.items()}


def of(told: Told, case: str) -> Told:
    """What was told of one case."""
    return {name.partition("/")[2]: v for name, v in told.items() if name.startswith(f"{case}/")}


@pytest.mark.parametrize("case", CASES)
def test_many_processes_are_one(case: str, told: list[Told], alone: dict[str, Told]) -> None:
    shards, expected = [of(t, case) for t in told], alone[case]
    assert all(shard.keys() == expected.keys() for shard in shards)
    for name, value in expected.items():
        parts = [shard[name] for shard in shards]
        if name.startswith("centre"):
            np.testing.assert_allclose(np.concatenate(parts), value, rtol=0, atol=1e-12, err_msg=name)
        elif name == "embedding":
            np.testing.assert_allclose(np.sum(parts, axis=0), value, rtol=0, atol=1e-12, err_msg=name)
        else:
            # Losses, counts, own products, the network's averaged gradients, the head's running values.
            for part in parts:
                np.testing.assert_allclose(part, value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_the_cases_are_worth_comparing(alone: dict[str, Told], told: list[Told]) -> None:
    for name, value in alone.items():
        assert np.abs(value["gradient of weight"]).min(axis=(1, 2)).max() > 1e-6, name
        assert np.ptp(value["loss"]) > 1e-6, name
    # Each process holds a part, of sizes that differ by one at most.
    sizes = [len(of(t, "cosface")["centre weight"]) for t in told]
    assert sum(sizes) == 11
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("what", ["label", "rows"])
def test_every_process_says_what_is_wrong_on_one(what: str, told: list[Told]) -> None:
    said = {str(of(t, "refusals")[what]) for t in told}
    rows = ", ".join(["1"] * (len(told) - 1) + ["2"])
    begins = {
        "label": "DatasetInvalid: label 7 in step 3 is none of the 4 classes, 0 to 3: ",
        "rows": f"DatasetInvalid: the processes have {rows} rows in step 3: ",
    }
    assert len(said) == 1
    assert said.pop().startswith(begins[what])
