"""Putting a pack into the store, from wherever it is: the catalogue, an address, or a path."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lineament.core.errors import (
    DownloadFailed,
    InvalidArgument,
    LicenceNotAccepted,
    OutputFailed,
    PackBroken,
    PackNotFound,
)
from lineament.packs.card import CARD_NAME, Licence, Pack, sha256_of
from lineament.packs.catalogue import CATALOGUE, DEFAULT_NAMES, Entry
from lineament.packs.default import prepare_default
from lineament.packs.download import Patience, Progress, download
from lineament.packs.insightface import (
    import_files,
    import_zip,
    kind_of,
    place_name,
    read_insightface,
    read_onnx,
)
from lineament.packs.integrity import read_card
from lineament.packs.locks import exclusive
from lineament.packs.recognise import Overrides
from lineament.packs.store import Store, check_name
from lineament.packs.terms import terms_of

MIRROR_VARIABLE = "LINEAMENT_MIRROR"


def install(
    what: str | Path,
    store: Store,
    *,
    name: str | None = None,
    sha256: str = "",
    mirror: str | None = None,
    proxy: str | None = None,
    accept_licence: bool = False,
    overrides: Overrides | None = None,
    skip_broken: bool = False,
    replace: bool = False,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Pack:
    """Install a pack; it is in the store whole or not at all.

    Args:
        what: `default`, a name of the catalogue, an http(s) address of a zip or .onnx, or the path of a
            folder, zip or .onnx file.
        store: where it goes.
        name: what to call it; by default what it is called already. The default pack's names are its own,
            and those of the catalogue are not for single files.
        sha256: what the digest of the zip or .onnx file must be.
        mirror: address prefix that takes the place of the catalogue's; by default `LINEAMENT_MIRROR`.
        proxy: address of a proxy; by default what the environment says.
        accept_licence: the caller has read and accepts the weights' terms.
        overrides: preprocessing by task, where structure cannot tell it.
        skip_broken: leave unreadable files out instead of refusing the pack.
        replace: put it in the place of a different pack of the same name instead of refusing.
        patience: time limits of a download.
        progress: told how far a download is.

    Raises:
        InvalidArgument: an impossible or reserved name, digest or address, or the name of a different
            pack that is installed, without `replace`.
        LicenceNotAccepted: the weights have terms, and `accept_licence` was not given.
        DownloadFailed: it could not be fetched.
        PackNotFound: there is no such name or path.
        PackBroken: files are damaged or do not have the digest they should.
        PackUnrecognised: the files are not models known here.
        OutputFailed: the store cannot be written.
    """
    if name is not None:
        check_name(name)
    text = str(what)
    if text in DEFAULT_NAMES:
        if name is not None and name not in DEFAULT_NAMES:
            raise InvalidArgument(f"the default pack is always called {DEFAULT_NAMES[-1]}; leave --name out")
        return prepare_default(store)
    job = _Job(store, name, _check_digest(sha256), accept_licence, overrides, skip_broken, replace)
    remote = _remote(text, mirror)
    if remote is None:
        return job.from_path(Path(what).expanduser())

    def get(address: str, target: Path) -> str:
        return download(
            address,
            target,
            sha256=job.wanted or remote.sha256,
            proxy=proxy,
            patience=patience,
            progress=progress,
        )

    return job.from_remote(remote, get)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is asked for, wherever the files come from; fields as in `install`."""

    store: Store
    name: str | None
    wanted: str
    accepted: bool
    overrides: Overrides | None
    skip_broken: bool
    replacing: bool

    def from_remote(self, entry: Entry, get: Callable[[str, Path], str]) -> Pack:
        """Download with `get` (address and target to digest), then install."""
        name = free_name(self.name or entry.name, single=entry.file.endswith(".onnx"))
        require_acceptance(entry.licence, entry.urls[0], self.accepted)
        archive = self.store.root / "downloads" / f"{name}-{entry.file}"
        try:
            # Two processes that want the same pack take turns; the second finds it installed.
            with exclusive(archive.with_name(archive.name + ".lock")):
                if (there := self._installed(name, entry)) is not None:
                    return there
                url, digest = _first(entry.urls, lambda address: get(address, archive))
                try:
                    return self._from_download(archive, name, url, digest, bool(self.wanted or entry.sha256))
                finally:
                    archive.unlink(missing_ok=True)
        except OSError as error:
            raise OutputFailed(f"{archive.parent} cannot be written: {error.strerror or error}") from error

    def _installed(self, name: str, entry: Entry) -> Pack | None:
        """The pack, when the same download is there already and whole."""
        if self.overrides or name not in self.store:
            return None
        source = self.store.card(name).source
        same = any(source.startswith(f"{url}, sha256 {self.wanted}") for url in entry.urls)
        return self.store.get(name) if same else None

    def _from_download(self, archive: Path, name: str, url: str, digest: str, pinned: bool) -> Pack:
        source = f"{url}, sha256 {digest}"
        unpinned = (
            f"Its publisher gives no digest: these are the bytes that {urlsplit(url).hostname} sent. Compare "
            f"or pin them with --sha256 {digest}."
        )
        notes = () if pinned else (unpinned,)
        if archive.suffix == ".zip":
            return self._from_zip(archive, name, source, notes)
        pack = read_onnx(archive, name=name, overrides=self.overrides)
        card = replace(pack.card, source=source, notes=pack.card.notes + notes)
        return import_files(Pack(card, pack.folder), self.store, replacing=self.replacing)

    def _from_zip(self, archive: Path, name: str, source: str, notes: tuple[str, ...] = ()) -> Pack:
        return import_zip(
            archive,
            self.store,
            name=name,
            source=source,
            overrides=self.overrides,
            skip_broken=self.skip_broken,
            notes=notes,
            replacing=self.replacing,
        )

    def from_path(self, path: Path) -> Pack:
        """Install what lies at `path`."""
        if not path.exists():
            raise PackNotFound(
                f"{path} is no path, no address and no known pack; known: default, {', '.join(CATALOGUE)}"
            )
        kind = kind_of(path)
        self._check_path(path)
        if kind == "folder" and (path / CARD_NAME).is_file():
            card = read_card(path)
            name = free_name(self.name or card.name, single=False)
            require_acceptance(card.licence, str(path), self.accepted)
            return self.store.add(path, replace(card, name=name), replacing=self.replacing)
        name = free_name(self.name or place_name(path), single=kind == "onnx")
        if kind == "zip":
            # The terms follow from the names inside, so they are looked at before anything is kept.
            require_acceptance(terms_of(name, zip_members(path)), str(path), self.accepted)
            return self._from_zip(path, name, f"{path.name}, sha256 {sha256_of(path)}")
        if kind == "folder":
            pack = read_insightface(path, name=name, overrides=self.overrides, skip_broken=self.skip_broken)
        else:
            pack = read_onnx(path, name=name, overrides=self.overrides)
        require_acceptance(pack.card.licence, str(path), self.accepted)
        return import_files(pack, self.store, replacing=self.replacing)

    def _check_path(self, path: Path) -> None:
        if not self.wanted:
            return
        if path.is_dir():
            raise InvalidArgument(f"{path} is a folder and has no single sha256; leave --sha256 out")
        if (digest := sha256_of(path)) != self.wanted:
            raise PackBroken(f"{path} has sha256 {digest}, not {self.wanted}; get the right file")


def free_name(name: str, *, single: bool) -> str:
    """`name`, if a pack of the user's may have it; `single`: it is one .onnx file.

    Raises:
        InvalidArgument: not a possible name, or one by which people expect a certain pack.
    """
    check_name(name)
    # Some file systems do not tell upper case from lower.
    if name.lower() in DEFAULT_NAMES:
        raise InvalidArgument(
            f"{name!r} is the default pack's own name, so no other pack can have it; give another with --name"
        )
    if single and name.lower() in CATALOGUE:
        raise InvalidArgument(
            f"{name!r} is the name of a pack that InsightFace publishes, and a single .onnx file is not that "
            "pack; give another with --name"
        )
    return name


def require_acceptance(licence: Licence, what: str, accepted: bool) -> None:
    """Refuse weights with terms that nobody has accepted.

    Raises:
        LicenceNotAccepted: commercial use is not allowed, and `accepted` is False.
    """
    if licence.commercial is False and not accepted:
        raise LicenceNotAccepted(
            f"the weights of {what} are for {licence.weights} ({licence.url}); if you have read these terms "
            "and they allow what you do, repeat the command with --accept-licence"
        )


def _check_digest(sha256: str) -> str:
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InvalidArgument(f"a sha256 has 64 hexadecimal digits, this has {len(sha256)} characters")
    return sha256.lower()


def _remote(what: str, mirror: str | None) -> Entry | None:
    """Where to download from, or None when `what` is not to be downloaded."""
    if what.lower().startswith(("http://", "https://")):
        file = unquote(urlsplit(what).path).rsplit("/", 1)[-1]
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", file).lstrip(".-")
        if not safe.endswith((".zip", ".onnx")):
            raise InvalidArgument(f"{what} does not name a .zip or .onnx file; give the address of one")
        stem = safe.rsplit(".", 1)[0][:64]
        return Entry(stem, "", (what,), terms_of(stem, [safe]))
    entry = CATALOGUE.get(what)
    prefix = mirror or os.environ.get(MIRROR_VARIABLE, "")
    if entry is None or not prefix:
        return entry
    return replace(entry, urls=(f"{prefix.rstrip('/')}/{entry.file}",))


def _first(urls: tuple[str, ...], get: Callable[[str], str]) -> tuple[str, str]:
    """(address, digest) of the first address that delivers."""
    failures: list[DownloadFailed] = []
    for url in urls:
        try:
            return url, get(url)
        except DownloadFailed as error:
            failures.append(error)
    raise DownloadFailed("; and ".join(failure.message for failure in failures)) from failures[-1]


def zip_members(archive: Path) -> list[str]:
    """Names (without folders) of the files in a zip.

    Raises:
        PackBroken: not a zip.
    """
    import zipfile

    try:
        with zipfile.ZipFile(archive) as opened:
            return [info.filename.rsplit("/", 1)[-1] for info in opened.infolist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise PackBroken(f"{archive} is not a readable zip ({error}); get the file again") from error
