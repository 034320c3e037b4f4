"""One script runs the gates, for people and for continuous integration alike."""

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = ("scripts/setup", "scripts/test", "scripts/try", ".ci/run")
GATES = (
    "ruff check",
    "ruff format --check",
    "basedpyright",
    "lint-imports",
    "mkdocs build --strict",
    "timeout --kill-after=60 3000 pytest",
)


def test_continuous_integration_runs_the_developers_script() -> None:
    commands = [
        line.strip()
        for line in (REPOSITORY / ".ci" / "run").read_text("utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert re.search(r"(^|\s)(\./)?scripts/test$", commands[-1])
    assert not any("pytest" in command for command in commands)


def test_the_script_runs_every_gate() -> None:
    script = (REPOSITORY / "scripts" / "test").read_text("utf-8")
    assert [gate for gate in GATES if f"step {gate}" not in script] == []
    assert "scripts/setup test" in script
    assert "set -euo pipefail" in script


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_run(name: str) -> None:
    path = REPOSITORY / name
    assert os.access(path, os.X_OK)
    assert path.read_text("utf-8").startswith("#!/usr/bin/env bash\n")
    checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_two_commands_of_the_front_page_exist(page: str) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    if page == "README.md" and not text.strip():
        pytest.skip("README.md is not written yet")
    named = re.findall(r"^\s*(\./[\w./-]+)", text, re.MULTILINE)
    assert {"./scripts/try", "./scripts/test"} <= set(named)
    assert [name for name in named if not os.access(REPOSITORY / name, os.X_OK)] == []


def test_configuration_is_strict() -> None:
    import tomllib

    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]
    options = tool["pytest"]["ini_options"]
    assert options["filterwarnings"] == ["error"]
    assert "--jaxtyping-packages=lineament,beartype.beartype" in options["addopts"]
    assert tool["basedpyright"]["typeCheckingMode"] == "strict"
    assert "strict: true" in (REPOSITORY / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in (REPOSITORY / "mkdocs.yml").read_text("utf-8")
