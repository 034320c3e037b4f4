"""The database: opened once, read by many, written in short transactions whose order is the order of
commits."""

import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from lineament.core.errors import (
    GalleryBroken,
    GalleryError,
    GalleryLocked,
    GalleryVersion,
    InvalidArgument,
    LineamentError,
    OutputFailed,
)
from lineament.gallery import schema
from lineament.gallery.migrations import IDENTITY, PRESENT, migrate, present_version
from lineament.gallery.turns import Turns
from lineament.packs.locks import exclusive

WAIT = 30.0
"""Seconds that a writer waits for another one."""

_URL = "sqlite:///people.db or postgresql+psycopg://user@host/database"
_SECRETS = ("password", "sslpassword", "passfile")
_PATIENCE = 5
"""Milliseconds that SQLite itself waits before we ask it again."""
_WRITERS = 0x6C696E65616D656E
"""Number of the lock that one writer of a PostgreSQL database holds until it commits."""


class Truth:
    """One database, SQLite or PostgreSQL.

    Args:
        url: `sqlite:///FILE`, or `postgresql+psycopg://…`; a path without a scheme means an SQLite file.
        create: make the tables where there are none; else a database without them is refused.

    Raises:
        InvalidArgument: not such an address, or no database there and `create` is False.
        GalleryVersion: another version of this package wrote it.
        GalleryBroken, GalleryLocked, OutputFailed: as each says.

    Threads share it; a process that forks must open its own.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.url = _parsed(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.path = _file_of(self.url) if self.sqlite else None
        if self.path is not None:
            _look_at(self.path, create)
        self.engine = _engine(self.url, self.sqlite)
        self._turns = Turns()
        try:
            with named_errors(self.where):
                self._to_present(create)
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def where(self) -> str:
        """The address, without its password."""
        # libpq takes a password among the options too, where SQLAlchemy does not hide it.
        hidden = {name: "***" for name in _SECRETS if name in self.url.query}
        return self.url.update_query_dict(hidden).render_as_string(hide_password=True)

    def _to_present(self, create: bool) -> None:
        with self.engine.connect() as connection:
            version = present_version(connection)
        if version == PRESENT:
            return
        if version == 0 and not create:
            raise InvalidArgument(
                f"{self.where} holds no gallery: make one with `lineament gallery create`, or check the "
                f"address"
            )
        if version > PRESENT:
            raise GalleryVersion(
                f"{self.where} has schema {version}, and this package knows {PRESENT}: update lineament"
            )
        with self.write() as connection:
            migrate(connection)

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A connection that sees one state of the database."""
        with named_errors(self.where), self.engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self) -> Generator[Connection]:
        """A transaction: all of it is kept when the block ends, nothing when it raises."""
        if not self.sqlite:
            with named_errors(self.where), self.engine.connect() as connection:
                # One writer at a time, as in SQLite: what was looked up stays true until the commit.
                connection.execute(select(func.pg_advisory_xact_lock(_WRITERS)))
                yield connection
                connection.commit()
            return
        until = time.monotonic() + WAIT
        # SQLite lets those who wait try again at odd times, and with many of them one could wait for ever.
        with self._turns.turn(WAIT) as mine:
            if not mine:
                raise GalleryLocked(f"{self.where}: {_LOCKED}")
            with named_errors(self.where), self.engine.connect() as connection:
                connection.begin()
                _begin_immediate(connection, until)
                yield connection
                connection.commit()

    def identity(self) -> str:
        """16 hexadecimal digits that no other database has."""
        table = schema.secret
        with self.read() as connection:
            found = connection.execute(select(table.c.wrapped).where(table.c.name == IDENTITY)).scalar_one()
        return bytes(found).hex()

    @contextmanager
    def alone(self, what: str) -> Generator[None]:
        """Hold a lock that one process has at a time; it ends with the process, however that ends.

        Args:
            what: name of the lock, the same for everybody; letters, digits and `-`.

        Raises:
            OutputFailed: the lock file of an SQLite database cannot be made.
        """
        if self.path is not None:
            try:
                with exclusive(self.path.with_name(f"{self.path.name}.{what}.lock")):
                    yield
            except OSError as error:
                raise OutputFailed(f"cannot lock {self.path}: {error.strerror or error}") from error
            return
        number = int.from_bytes(hashlib.sha256(f"lineament {what}".encode()).digest()[:8], "big", signed=True)
        with named_errors(self.where), self.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": number})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": number})

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def __enter__(self) -> "Truth":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _begin_immediate(connection: Connection, until: float) -> None:
    """Become the one writer, before anything is read: who reads first and writes later cannot wait.

    Raises:
        DBAPIError: another process has been writing for too long.
    """
    # SQLite's own waiting looks again each 100 ms, and the other process may have begun anew by then.
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA busy_timeout={_PATIENCE}")
    try:
        while time.monotonic() < until:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    break
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={round(WAIT * 1000)}")


def take(connection: Connection, name: str, count: int) -> int:
    """Take `count` numbers of a counter and return the first; other writers wait until this one commits."""
    table = schema.counter
    taken = update(table).where(table.c.name == name).values(value=table.c.value + count)
    last = connection.execute(taken.returning(table.c.value)).scalar_one()
    return int(last) - count + 1


def current(connection: Connection, name: str) -> int:
    """The last number that was given out and committed."""
    table = schema.counter
    return int(connection.execute(select(table.c.value).where(table.c.name == name)).scalar_one())


def chunks(values: list[Any], size: int = 500) -> Iterable[list[Any]]:
    """Parts of a list that a statement can name one by one."""
    return (values[i : i + size] for i in range(0, len(values), size))


def _parsed(url: str) -> URL:
    if "://" not in url:
        if not url.strip():
            raise InvalidArgument(f"the address of the gallery is empty: give {_URL}")
        if re.match(r"(sqlite|postgres\w*)(\+\w+)?:", url):
            raise InvalidArgument(f"the address of the gallery lacks its slashes: give {_URL}")
        return URL.create("sqlite", database=url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Not chained: a password in the wrong place would stand in the parser's own message.
        raise InvalidArgument(
            f"the address of the gallery cannot be read ({type(error).__name__}): give {_URL}"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InvalidArgument(f"a gallery lies in SQLite or PostgreSQL, not in {backend}: give {_URL}")
    if backend == "postgresql" and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidArgument(f"a gallery must outlive the process: give a file, as in {_URL}")
    return parsed


def _file_of(url: URL) -> Path:
    return Path(cast(str, url.database))


def _look_at(path: Path, create: bool) -> None:
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder: give the name of a file for the gallery")
    if path.exists():
        return
    if not create:
        raise InvalidArgument(f"there is no gallery at {path}: make one with `lineament gallery create`")
    try:
        # Templates are biometric data: readable by their owner only, from the first byte.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise OutputFailed(
            f"cannot make {path}: {error.strerror}; name a folder that exists and that you may write to"
        ) from error


def _engine(url: URL, sqlite: bool) -> Engine:
    try:
        if not sqlite:
            wait = f"-c lock_timeout={round(WAIT * 1000)}"
            given = url.query.get("options")
            options = {
                "connect_timeout": 10,
                "application_name": "lineament",
                "options": f"{given} {wait}" if isinstance(given, str) else wait,
            }
            return create_engine(url, connect_args=options, pool_pre_ping=True, pool_size=16, max_overflow=48)
        engine = create_engine(
            url, connect_args={"timeout": WAIT, "check_same_thread": False}, pool_size=16, max_overflow=112
        )
    except (NoSuchModuleError, ImportError) as error:
        raise InvalidArgument(
            f'the driver of {url.drivername} is not installed: run pip install "lineament[postgresql]"'
        ) from error
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: Any) -> None:
    """Settings of every SQLite connection."""
    # The driver would begin transactions by its own rules; ours begin where `write` says.
    connection.isolation_level = None
    for pragma in (
        # Heeded by a new file only: a row of 512 numbers fills over half a page of 4,096 bytes.
        "page_size=8192",
        "journal_mode=WAL",  # readers do not wait for writers
        "synchronous=FULL",  # what was acknowledged survives a power cut
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten
        "temp_store=MEMORY",  # no template in a temporary file
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


_LOCKED = f"others have been writing to it for {WAIT:.0f} seconds: try again, or see which process that is"
_BROKEN = (
    "the database is damaged: stop writing to it and restore a backup; `lineament gallery verify` says "
    "what can still be read"
)

# SQLite's and PostgreSQL's own words for what people can do something about.
_KINDS: tuple[tuple[re.Pattern[str], type[LineamentError], str], ...] = (
    (
        re.compile(r"database is locked|lock timeout|deadlock detected|canceling statement due to lock"),
        GalleryLocked,
        _LOCKED,
    ),
    (
        re.compile(r"disk is full|No space left|could not extend file|disk I/O error|disk full"),
        OutputFailed,
        "it could not be written (disk full?): make room; nothing that was acknowledged is lost, and "
        "nothing of "
        "this request was kept",
    ),
    (
        re.compile(
            r"malformed|not a database|invalid page|checksum|corrupt|Could not decode|invalid memory alloc"
        ),
        GalleryBroken,
        _BROKEN,
    ),
    (
        re.compile(r"readonly|read-only|permission denied|unable to open"),
        OutputFailed,
        "it may not be written by this user: give them the right, for the file and for its folder",
    ),
    (
        re.compile(
            r"connection|could not connect|authentication failed|does not exist|timeout", re.IGNORECASE
        ),
        GalleryError,
        "the server cannot be reached, or does not let this user in: check that it runs, the address and the "
        "password",
    ),
)


@contextmanager
def named_errors(where: str) -> Generator[None]:
    """Turn what the database engine raises into this package's errors, without statements and their
    values."""
    try:
        yield
    except DBAPIError as error:
        raise _named(where, error) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        # Of a column that SQLAlchemy reads as JSON, or of text.
        raise GalleryBroken(f"{where}: {_BROKEN} (a value is not {_kind(error)})") from None
    except SQLAlchemyError as error:
        raise GalleryError(f"{where}: {type(error).__name__}: the gallery could not be used") from None


def _kind(error: ValueError) -> str:
    return "text" if isinstance(error, UnicodeDecodeError) else "JSON"


def _named(where: str, error: DBAPIError) -> LineamentError:
    # Only the engine's sentence: SQLAlchemy's text holds the parameters, which may be templates.
    said = str(error.orig).strip().splitlines()[0] if error.orig and str(error.orig).strip() else ""
    for pattern, kind, advice in _KINDS:
        if pattern.search(said):
            return kind(f"{where}: {advice} (the engine says: {said[:200]})")
    return GalleryError(f"{where}: the database refused ({said[:200]})")


def vacuum(truth: Truth) -> None:
    """Leave no trace of what was deleted: overwrite, rewrite the file, empty the write-ahead log.

    In PostgreSQL the tables are rewritten; its write-ahead log, replicas and backups keep their own
    copies, which only sealing makes unreadable.

    Raises:
        GalleryLocked: another process reads or writes without end, so that the log cannot be emptied.
    """
    with named_errors(truth.where), truth.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        if not truth.sqlite:
            for table in ("reference", "subject", "request", "alert", "not_this_person", "watchlist_entry"):
                connection.execute(text(f"VACUUM (FULL) {table}"))
            connection.execute(text("CHECKPOINT"))
            return
        connection.execute(text("VACUUM"))
        end = time.monotonic() + WAIT
        while connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]:
            if time.monotonic() > end:
                raise GalleryLocked(
                    f"{truth.where}: the rows are deleted, but another process keeps its write-ahead log "
                    f"in use, "
                    "which may still hold them: end that process and run `lineament gallery rewrite`"
                )
            time.sleep(0.05)
