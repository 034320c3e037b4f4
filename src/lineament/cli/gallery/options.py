"""Options that every command about galleries shares, and what they open.

@click.command()
@click.argument("name")
@place_options(index=True)
@recognizer_options
def identify(name: str, place: Place, **shared: Any) -> int:
    with opened(place, name, shared) as gallery: ...
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lineament.core.errors import InvalidArgument, OutputFailed, RuntimeUnavailable

if TYPE_CHECKING:
    from lineament.gallery.audit import Actor, Audit
    from lineament.gallery.gallery import Gallery
    from lineament.gallery.keys import KeySource
    from lineament.gallery.truth import Truth
    from lineament.gallery.values import Settings

F = TypeVar("F", bound=Callable[..., Any])

NEEDED = ("sqlalchemy", "cryptography", "faiss")
"""Packages of the extra `gallery`."""

FILE = "gallery.db"
"""The database where nobody names one, in the user's data folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where galleries are and who acts, as the shared options say.

    Attributes:
        address: of the database; None for the one in the user's data folder.
        key: `file:PATH` or `env:NAME`, or None.
        index: engine of the search, or None for one in memory.
        actor, purpose: who acts and why; None for what the environment says.
    """

    address: str | None = None
    key: str | None = None
    index: str | None = None
    actor: str | None = None
    purpose: str | None = None

    @property
    def url(self) -> str:
        """Address of the database."""
        if self.address is not None:
            return self.address
        from lineament.packs.store import default_root

        return str(default_root() / FILE)

    def acting(self) -> Actor:
        """Who acts.

        Raises:
            InvalidArgument: nobody was named, and the user of the machine has no name.
        """
        from lineament.gallery.desk import current_actor

        return current_actor(self.actor, self.purpose)

    def keys(self) -> KeySource | None:
        """The master keys, or None where none were named."""
        from lineament.gallery.keys import open_keys

        return None if self.key is None else open_keys(self.key)

    @contextmanager
    def database(self) -> Generator[tuple[Truth, Audit]]:
        """The database with its audit log, where no collection is needed."""
        require_packages()
        from lineament.gallery.audit import Audit
        from lineament.gallery.truth import Truth

        with Truth(self.url) as truth:
            yield truth, Audit(truth, self.keys())


def place_options(*, index: bool = False) -> Callable[[F], F]:
    """`--gallery`, `--key`, `--actor`, `--purpose` and perhaps `--index`, handed on as one `place: Place`."""
    options = [
        click.option(
            "--gallery",
            "address",
            metavar="URL",
            envvar="LINEAMENT_GALLERY",
            show_envvar=True,
            help="Database: a file, sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.  "
            f"[default: {FILE} in the user's data folder]",
        ),
        click.option(
            "--key",
            metavar="KEY",
            help="Master key of sealed collections: file:PATH, or env:NAME of a variable such as "
            "LINEAMENT_KEY (older keys, while it is being changed, in LINEAMENT_KEY_PREVIOUS).",
        ),
        click.option(
            "--actor", help="Who acts, for the audit log.  [env var: LINEAMENT_ACTOR; default: the user]"
        ),
        click.option(
            "--purpose", help="Why, for the audit log.  [env var: LINEAMENT_PURPOSE; default: not stated]"
        ),
    ]
    if index:
        options.append(
            click.option(
                "--index",
                metavar="ENGINE",
                help="What searches: memory, milvus+http://HOST:PORT or milvus-lite:///FILE.  "
                "[default: memory]",
            )
        )

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(*args: Any, **values: Any) -> Any:
            names = ("address", "key", "index", "actor", "purpose")
            return command(*args, place=Place(**{n: values.pop(n, None) for n in names}), **values)

        made: Any = run
        for option in reversed(options):
            made = option(made)
        return made

    return decorate


class Pair(click.ParamType[tuple[str, Any]]):
    """`NAME=TEXT`, or `NAME:=VALUE` with a number, true, false or null."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """(name, value), or a usage error."""
        if isinstance(value, tuple):
            return value
        name, found, text = str(value).partition("=")
        if not found or not name.rstrip(":"):
            self.fail(
                f"{value!r} is not NAME=TEXT (or NAME:=VALUE for a number, true, false or null)", param, ctx
            )
        if not name.endswith(":"):
            return name, text
        try:
            return name[:-1], json.loads(text)
        except ValueError:
            self.fail(f"{text!r} after := is not a number, true, false or null", param, ctx)


PAIR = Pair()


def require_packages() -> None:
    """Refuse in one sentence where the extra is not installed.

    Raises:
        RuntimeUnavailable: it is not.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RuntimeUnavailable(
            f'a gallery needs {missing[0]}, which is not installed: run `pip install "lineament[gallery]"`'
        )


@contextmanager
def opened(place: Place, name: str, shared: dict[str, Any] | None = None) -> Generator[Gallery]:
    """A collection: a `Gallery`, or a `Watchlist` where it is one.

    Args:
        place: where.
        name: of the collection.
        shared: values of `recognizer_options`; then the collection's own model is found and opened. None
            where no picture will be looked at.

    Raises:
        GalleryError, PackError, TemplateMismatch: as each says.
    """
    require_packages()
    from lineament.cli.gallery.own_model import recognizer_of
    from lineament.gallery.collections import row_of
    from lineament.gallery.gallery import Gallery
    from lineament.gallery.truth import Truth
    from lineament.gallery.watchlist import Watchlist

    with Truth(place.url) as truth:
        with truth.read() as connection:
            collection, _ = row_of(connection, name)
        kind = Watchlist if collection.kind == "watchlist" else Gallery
        recognizer = None if shared is None else recognizer_of(collection, **shared)
        with kind(
            truth, name, recognizer=recognizer, index=place.index, keys=place.keys(), actor=place.acting()
        ) as gallery:
            yield gallery


def names_of(place: Place, name: str | None) -> list[str]:
    """The collection that was named, or all of the database."""
    if name is not None:
        return [name]
    from lineament.gallery.collections import listed

    with place.database() as (truth, _), truth.read() as connection:
        return [collection.name for collection, _, _ in listed(connection)]


def made(place: Place, name: str, recognizer: Any, kind: str, settings: Settings) -> Gallery:
    """A new collection, opened; the default database and a key file are made where there are none.

    Raises:
        CollectionExists: the name is taken.
        ThresholdMissing: the review of new faces needs a threshold that was not measured.
    """
    require_packages()
    from lineament.gallery.gallery import Gallery
    from lineament.gallery.operating import pair_threshold
    from lineament.gallery.watchlist import Watchlist

    if settings.review != "off":
        # Now, and not at the first enrolment, which may be a long time from now.
        pair_threshold(recognizer.thresholds, recognizer.model, settings.review_fmr)
    actor = place.acting()
    prepare(place)
    opener = Watchlist if kind == "watchlist" else Gallery
    return opener.create(
        place.url, name, recognizer=recognizer, kind=kind, settings=settings, keys=place.keys(), actor=actor,
        index=place.index,
    )  # fmt: skip


def prepare(place: Place, *, key_file: bool = True) -> None:
    """Before a collection is made: the folder of the default database, and a key file that is not there.

    Raises:
        OutputFailed: one of them cannot be made.
    """
    if place.address is None:
        _make_folder(Path(place.url).parent)
    if key_file:
        _make_key_file(place.key)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless --yes was given; a refusal, or nobody to ask, ends the command.

    Raises:
        InvalidArgument: nobody said yes.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidArgument(f"{question} Nobody can be asked here: say so with --yes")
    if not click.confirm(question, err=True):
        raise InvalidArgument("nothing was changed: nobody said yes")


def described(
    pairs: Iterable[tuple[str, Any]], sealed: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values to show and values to seal.

    Raises:
        InvalidArgument: a name is to be sealed and has no value.
    """
    given, hidden = dict(pairs), set(sealed)
    if missing := sorted(hidden - set(given)):
        raise InvalidArgument(
            f"--sensitive names {missing[0]!r}, which has no value: add --set {missing[0]}=…"
        )
    return (
        {name: value for name, value in given.items() if name not in hidden},
        {name: value for name, value in given.items() if name in hidden},
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(
            f"cannot make {folder}: {error.strerror}; name another place with --gallery"
        ) from error


def _make_key_file(key: str | None) -> None:
    """A key file that is named and not there is made: the collection that it seals is made as well."""
    kind, _, path = (key or "").partition(":")
    if kind == "file" and path and not Path(path).exists():
        from lineament.gallery.keys import FileKeys

        FileKeys.create(path)
        click.echo(
            f"Made the key file {path}. Keep a copy of it apart from the database: without it nothing can be "
            "read.",
            err=True,
        )
