"""From the name that insightface users give to a pack; nothing is downloaded."""

from pathlib import Path

from lineament.core.errors import PackNotFound
from lineament.packs.card import Pack
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store


def find_pack(
    name: str | Path | Pack, root: str | Path = "~/.insightface", store: Store | None = None
) -> Pack:
    """The pack called `name`.

    Looked for in this order: an existing folder of that path, `<root>/models/<name>` (where insightface
    keeps its packs), and this package's own store, whose default pack is `default`.

    Args:
        name: a name, a folder, or a `Pack`.
        root: insightface's folder.
        store: where this package's packs lie; None for the user's own store.

    Raises:
        PackNotFound: nowhere; says where it was looked for and which command installs it.
        PackBroken, PackUnrecognised: there is something, and it cannot be used.
    """
    if isinstance(name, Pack):
        return name
    direct = Path(name).expanduser()
    if direct.is_dir():
        return open_pack(direct.resolve(), store)
    kept = Path(root).expanduser() / "models" / str(name)
    if kept.is_dir():
        return open_pack(kept.resolve(), store)
    try:
        return open_pack(name, store)
    except PackNotFound as error:
        raise PackNotFound(
            f"{error.message}. Looked in {kept} as well. The default pack needs no installation and is free "
            "for commercial use: FaceAnalysis('default')"
        ) from error
