"""From what a person says to a pack: a name, a path, or nothing."""

import os
from dataclasses import replace
from pathlib import Path

from lineament.core.errors import PackNotFound
from lineament.packs.card import CARD_NAME, Pack
from lineament.packs.catalogue import CATALOGUE, install_hint
from lineament.packs.default import DEFAULT_NAME, default_pack
from lineament.packs.insightface import kind_of, read_insightface, read_onnx
from lineament.packs.store import Store


def open_pack(what: str | Path | Pack | None = None, store: Store | None = None) -> Pack:
    """The pack meant by `what`; nothing is downloaded or installed.

    Args:
        what: None or `default` for the default pack; a pack; the name of an installed one; the path of a
            folder with a card, of an InsightFace folder, of a zip or of an .onnx file. A bare name is
            looked up in the store first, then as a path, then in InsightFace's own folder.
        store: where packs are installed; by default the user's store.

    Raises:
        PackNotFound: no such pack; says what is installed and how to get a known one.
        PackBroken: a file is missing, damaged or not what its card says.
        PackUnrecognised: the files are not models known here.
        OutputFailed: the store cannot be written, and something had to be prepared in it.
    """
    if isinstance(what, Pack):
        return what
    where = Store() if store is None else store
    if what is None or what in ("default", DEFAULT_NAME):
        return default_pack(where)
    if isinstance(what, str) and not _looks_like_path(what):
        if what in where:
            return where.get(what)
        if not Path(what).exists():
            return _from_insightface_home(what, where)
    return _from_path(Path(what).expanduser(), where)


def _looks_like_path(what: str) -> bool:
    return os.sep in what or "/" in what or what.startswith("~") or what.endswith((".onnx", ".zip"))


def _from_path(path: Path, store: Store) -> Pack:
    if not path.exists():
        raise PackNotFound(f"there is no folder or file {path}; {_offer(store)}")
    kind = kind_of(path)
    if kind == "folder" and (path / CARD_NAME).is_file():
        return store.open_folder(path)
    return read_onnx(path) if kind == "onnx" else read_insightface(path, store=store)


def insightface_home() -> Path:
    """Where the insightface package keeps its packs."""
    return Path("~/.insightface/models").expanduser()


def _from_insightface_home(name: str, store: Store) -> Pack:
    folder = insightface_home() / name
    if name in CATALOGUE and folder.is_dir():
        pack = read_insightface(folder, name=name)
        card = replace(pack.card, source=f"found in insightface's own folder, {pack.folder}")
        return Pack(card, pack.folder)
    hint = f"install it with {install_hint(name)}; " if name in CATALOGUE else ""
    raise PackNotFound(f"no pack called {name!r}; {hint}{_offer(store)}")


def _offer(store: Store) -> str:
    names = store.list()
    have = (
        f"installed in {store.packs}: {', '.join(names)}"
        if names
        else f"nothing is installed in {store.packs}"
    )
    return f"{have}; can be installed: default, {', '.join(CATALOGUE)}"
