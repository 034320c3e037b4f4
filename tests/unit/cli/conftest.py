"""Sample photographs, written once."""

from pathlib import Path

import pytest

from lineament.cli.main import main


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    assert main(["samples", str(folder)]) == 0
    return folder
