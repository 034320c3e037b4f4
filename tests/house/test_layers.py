"""Imports point one way: the contracts of import-linter hold, and would notice if they did not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(place: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the project at `place`, whose package need not be the installed one."""
    environment = {**os.environ, "PYTHONPATH": str(place / "src"), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [str(LINTER), "--no-cache"], cwd=place, env=environment, capture_output=True, text=True, timeout=120
    )


def test_imports_point_one_way() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/image.py", "from lineament.pipeline.recognizer import Recognizer", "imports point one way"),
        ("core/image.py", "import cv2", "core is numpy only"),
        ("embed/onnx.py", "import onnxruntime", "engines stay in the runtime"),
    ],
)
def test_a_planted_import_breaks_its_contract(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(
        REPOSITORY / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    victim = tmp_path / "src" / "lineament" / file
    victim.write_text(f"{victim.read_text('utf-8')}\n{line}\n", "utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
