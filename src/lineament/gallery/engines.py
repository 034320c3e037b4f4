"""Which index a gallery asks: one in this process's memory, or Milvus."""

from lineament.core.errors import InvalidArgument
from lineament.gallery.port import VectorIndex
from lineament.gallery.values import Collection


def open_index(
    engine: str | VectorIndex | None, collection: Collection, *, rows: int = 0, store: str = ""
) -> VectorIndex:
    """An index for one collection.

    Args:
        engine: None or `memory` for one in memory; `milvus+http://host:port` or `milvus-lite:///FILE`; or an
            index that exists.
        collection: whose references.
        rows: how many there are already.
        store: tells the database from others that share a server.

    Raises:
        InvalidArgument: no such engine, or an index of another dimension.
        IndexUnavailable: its package is not installed, or its server does not answer.
    """
    dimension = collection.dimension
    if engine is None or engine == "memory":
        from lineament.gallery import choose

        return choose.open_index(dimension, rows)
    if not isinstance(engine, str):
        ready = engine
        if ready.dimension != dimension:
            raise InvalidArgument(
                f"the index holds templates of {ready.dimension} numbers, not of {dimension}"
            )
        return ready
    if engine.startswith(("milvus+http://", "milvus+https://", "milvus-lite:")):
        from lineament.gallery.milvus import MilvusIndex

        return MilvusIndex(engine, collection.id, collection.model, dimension, store=store)
    raise InvalidArgument(
        f"no index engine is called {engine[:60]!r}: use memory, milvus+http://host:port or "
        f"milvus-lite:///FILE"
    )
