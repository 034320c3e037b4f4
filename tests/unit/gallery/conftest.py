"""Databases for the tests of the gallery: each test on SQLite and on a real PostgreSQL server."""

from itertools import count
from pathlib import Path

import psycopg
import pytest

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgres_database(postgres_server: object) -> str:
    """A database that the tests of this process share; each gets a schema of its own."""
    return str(postgres_server.new_database())  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(params=["sqlite", "postgresql"])
def truth_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that does not hold a gallery yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'people.db'}"
    database, name = str(request.getfixturevalue("postgres_database")), f"test_{next(_NUMBERS)}"
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{database}?options=-csearch_path%3D{name}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The same, in a file."""
    return f"sqlite:///{tmp_path / 'people.db'}"
