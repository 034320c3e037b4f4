"""The default pack behind the door."""

import pytest

from lineament.app import FaceAnalysis
from lineament.packs.card import Pack
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def pack(store: Store) -> Pack:
    return open_pack(None, store)


@pytest.fixture
def app(pack: Pack) -> FaceAnalysis:
    made = FaceAnalysis(pack, providers=["CPUExecutionProvider"], threads=1)
    made.prepare(ctx_id=-1)
    return made
