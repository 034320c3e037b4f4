"""Where packs lie: one folder, nothing in it half done.

    <root>/packs/<name>/card.json and the files it names     an installed pack
    <root>/packs/.staging-*                                   being prepared; never listed, swept when old
    <root>/stamps/<name>.json                                 what the files looked like when last hashed
    <root>/read/<digest of a zip>/                            zips that were read and not installed: a cache

A pack appears by one rename and disappears by one rename, so a crash, a full disk or a second process never
leaves a folder that looks installed and is not.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lineament.core.errors import InvalidArgument, OutputFailed, PackBroken, PackNotFound
from lineament.packs.card import CARD_NAME, Pack, PackCard
from lineament.packs.catalogue import CATALOGUE, install_hint
from lineament.packs.integrity import (
    Verification,
    check_files,
    damage,
    read_card,
    same_networks,
    verify_folder,
)
from lineament.packs.stamps import Stamps

HOME_VARIABLE = "LINEAMENT_HOME"
STALE_SECONDS = 24 * 3600.0
"""Staging folders older than this belong to nobody any more."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_STAGING = ".staging-"
_RETIRED = ".retired-"


def check_name(name: str) -> str:
    """`name`, if it may be the name of a pack.

    Raises:
        InvalidArgument: empty, longer than 64, or with characters other than letters, digits, `.`, `_`, `-`
            (it may not begin with `.` or `-`).
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot be the name of a pack: use 1 to 64 letters, digits, '.', '_' or '-', "
            "not beginning with '.' or '-'"
        )
    return name


def default_root() -> Path:
    """The folder for packs: `LINEAMENT_HOME` if set, else the user's data folder of this system."""
    if place := os.environ.get(HOME_VARIABLE):
        return Path(place).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("lineament", appauthor=False))


class Store:
    """Installed packs.

    Args:
        root: the folder; by default `default_root()`. It is made when something is first installed.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root
        self.packs = self.root / "packs"
        self._stamps = Stamps(self.root / "stamps")

    def shelf(self) -> "Store":
        """Where zips that are only read are unpacked, by digest; a cache, and nothing in it is listed."""
        shelf = Store(self.root)
        shelf.packs = self.root / "read"
        shelf._stamps = Stamps(self.root / "stamps" / "read")
        return shelf

    def list(self) -> tuple[str, ...]:
        """Names of the installed packs, sorted."""
        if not self.packs.is_dir():
            return ()
        return tuple(
            sorted(
                entry.name
                for entry in self.packs.iterdir()
                if _NAME.fullmatch(entry.name) and (entry / CARD_NAME).is_file()
            )
        )

    def __contains__(self, name: str) -> bool:
        return _NAME.fullmatch(name) is not None and (self.packs / name / CARD_NAME).is_file()

    def get(self, name: str) -> Pack:
        """An installed pack, its files checked against the card.

        A file is hashed the first time it is seen and whenever its size, time or inode has changed since.

        Raises:
            InvalidArgument: not a possible name.
            PackNotFound: no such pack here.
            PackBroken: the card cannot be read, or a file is missing or differs from it.
        """
        pack = Pack(self.card(name), self.packs / name)
        check_files(pack, self._stamps, name)
        return pack

    def open_folder(self, folder: Path) -> Pack:
        """A pack that lies elsewhere, its files checked against its card; the stamps are kept here.

        Raises:
            PackBroken: the card cannot be read, or a file is missing or differs from it.
        """
        pack = Pack(read_card(folder), folder)
        # A dot cannot begin a pack's name, so these stamps never meet those of an installed pack.
        key = f".at-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}"
        check_files(pack, self._stamps, key)
        return pack

    def card(self, name: str) -> PackCard:
        """The card of an installed pack; its files are not looked at.

        Raises:
            InvalidArgument: not a possible name.
            PackNotFound: no such pack here.
            PackBroken: the card cannot be read.
        """
        if check_name(name) not in self:
            raise PackNotFound(self._missing(name))
        return read_card(self.packs / name)

    def _missing(self, name: str) -> str:
        names = self.list()
        have = f"installed there: {', '.join(names)}" if names else "nothing is installed there"
        if name in CATALOGUE:
            how = f"install it with {install_hint(name)}"
        else:
            how = "see `lineament models list` for what can be installed"
        return (
            f"no pack called {name!r} in {self.packs} ({have}); {how}, or set {HOME_VARIABLE} to the folder "
            "that has it"
        )

    @contextmanager
    def staging(self) -> Generator[Path]:
        """A new empty folder on the store's own disk, gone afterwards unless `add` took it.

        Raises:
            OutputFailed: the store's folder cannot be written.
        """
        try:
            self.packs.mkdir(parents=True, exist_ok=True)
            self._sweep()
            folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.packs))
            # Readable like any other data folder; mkdtemp makes it private.
            folder.chmod(0o755)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, staged_folder: Path, card: PackCard, *, replacing: bool = True) -> Pack:
        """Install the files of `staged_folder` under `card.name`, all or nothing.

        A folder made by `staging` is moved; any other is copied and left alone. Only the files that the
        card names are installed. When two processes install the same pack at once, one result stays and
        both return it.

        Args:
            staged_folder: the files.
            card: what they are.
            replacing: put it in the place of a different pack of the same name; otherwise refuse. One that
                makes the same templates, or whose card cannot be read, is replaced in any case.

        Raises:
            InvalidArgument: not a possible name, or the name of a different pack without `replacing`.
            PackBroken: a staged file is missing or differs from the card.
            OutputFailed: the store's folder cannot be written.
        """
        check_name(card.name)
        if staged_folder.parent != self.packs or not staged_folder.name.startswith(_STAGING):
            with self.staging() as folder:
                _copy(staged_folder, folder, card)
                return self.add(folder, card, replacing=replacing)
        verification = verify_folder(card, staged_folder)
        verification.require()
        try:
            for extra in verification.extra:
                (staged_folder / extra).unlink()
            write_durably(staged_folder / CARD_NAME, card.to_json())
            for model in card.models:
                _flush(staged_folder / model.file)
            self._publish(staged_folder, card, replacing)
        except OSError as error:
            raise self._unwritable(error) from error
        pack = Pack(card, self.packs / card.name)
        self._stamps.remember(card.name, pack.folder, {m.file: m.sha256 for m in card.models})
        return pack

    def _publish(self, staged: Path, card: PackCard, replacing: bool) -> None:
        """Rename `staged` into place; whoever comes second uses or replaces what the first one put there."""
        target = self.packs / card.name
        for _ in range(100):
            try:
                staged.rename(target)
                _flush(self.packs)
                return
            except OSError:
                if not target.exists():
                    raise
            there = self._card_in(target)
            if there is not None and there.models == card.models and verify_folder(card, target).sound:
                write_durably(target / CARD_NAME, card.to_json())
                return
            if there is not None and not replacing and not same_networks(there, card):
                raise InvalidArgument(_taken(there, card.name, self.packs))
            self._retire(target)
        raise OutputFailed(f"{target} keeps being replaced by other processes; try again when they are done")

    @staticmethod
    def _card_in(folder: Path) -> PackCard | None:
        """The card there, or None when there is none that can be read."""
        try:
            return read_card(folder)
        except PackBroken:
            return None

    def _retire(self, folder: Path) -> None:
        """Make `folder` vanish by one rename, then delete it; another process may have done so already."""
        grave = self.packs / f"{_RETIRED}{os.getpid()}-{time.monotonic_ns()}"
        with suppress(FileNotFoundError):
            folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete an installed pack.

        Raises:
            InvalidArgument: not a possible name.
            PackNotFound: no such pack here.
            OutputFailed: the store's folder cannot be written.
        """
        if not (self.packs / check_name(name)).is_dir():
            raise PackNotFound(self._missing(name))
        try:
            self._retire(self.packs / name)
        except OSError as error:
            raise self._unwritable(error) from error
        self._stamps.forget(name)

    def verify(self, name: str) -> Verification:
        """Hash every file of an installed pack again.

        Raises:
            InvalidArgument: not a possible name.
            PackNotFound: no such pack here.
            PackBroken: the card cannot be read.
        """
        card = self.card(name)
        return verify_folder(card, self.packs / name, name)

    def _sweep(self) -> None:
        """Delete what crashed processes left behind."""
        for entry in self.packs.iterdir():
            if not entry.name.startswith((_STAGING, _RETIRED)):
                continue
            with suppress(OSError):
                if time.time() - entry.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(entry, ignore_errors=True)

    def _unwritable(self, error: OSError) -> OutputFailed:
        return OutputFailed(
            f"the model store {self.packs} cannot be written: {error.strerror or error}; "
            f"free space or rights there, or set {HOME_VARIABLE} to another folder"
        )


def _taken(there: PackCard, name: str, packs: Path) -> str:
    tasks = ", ".join(model.task for model in there.models)
    return (
        f"a different pack called {name!r} is already installed in {packs} ({tasks}; from {there.source}); "
        "give this one another name with --name, or put it in the place of that one with --replace"
    )


def _copy(source: Path, target: Path, card: PackCard) -> None:
    for model in card.models:
        try:
            (target / model.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / model.file, target / model.file)
        except FileNotFoundError as error:
            raise PackBroken(damage(card.name, f"{source / model.file} is missing")) from error
        except OSError as error:
            raise OutputFailed(
                f"{source / model.file} cannot be copied to {target}: {error.strerror}"
            ) from error


def write_durably(path: Path, text: str) -> None:
    """Write a small text file so that it is there whole or not at all, even after a power cut."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Ask the disk to keep a file or folder; folders cannot be opened everywhere, and need not be."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
