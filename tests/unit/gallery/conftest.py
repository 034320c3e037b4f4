"""Databases for the tests of the gallery: each test on SQLite and on a real PostgreSQL server."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def truth_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that does not hold a gallery yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'people.db'}"
    return str(request.getfixturevalue("postgres_server").new_database())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The same, in a file."""
    return f"sqlite:///{tmp_path / 'people.db'}"
