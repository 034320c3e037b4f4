"""What runs is what the card says, whenever it is opened: a pack replaced meanwhile is noticed."""

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lineament as ln
from lineament.core.errors import PackBroken
from lineament.packs.card import Pack
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, open_session

NAME = "faces"
REPLACED = r"\.onnx was replaced since this recognizer was made: make a new Recognizer"
Replace = Callable[[], Pack]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the default networks under another name."""
    pack = open_pack()
    store = Store(tmp_path)
    store.add(pack.folder, replace(pack.card, name=NAME))
    return store


@pytest.fixture
def replace_pack(store: Store) -> Replace:
    """Installs another pack of the same name, as a second process might."""

    def act() -> Pack:
        old = store.get(NAME)
        models = []
        with store.staging() as folder:
            for model in old.card.models:
                # One more field of ModelProto, its documentation: another file, still a network.
                content = old.path(model).read_bytes() + b"\x32\x05other"
                (folder / model.file).write_bytes(content)
                models.append(replace(model, sha256=hashlib.sha256(content).hexdigest()))
            return store.add(folder, replace(old.card, models=tuple(models)))

    return act


def recognizer(store: Store, **options: object) -> ln.Recognizer:
    return ln.Recognizer(NAME, store=store, runtime=RuntimeOptions(threads=2, **options))


def test_between_making_and_first_use(store: Store, replace_pack: Replace, astronaut: np.ndarray):
    old = recognizer(store)
    replace_pack()
    with pytest.raises(PackBroken, match=REPLACED):
        old.analyze(astronaut, colour="rgb")
    assert len(recognizer(store).analyze(astronaut, colour="rgb")) == 1


def test_between_two_networks_of_one_recognizer(store: Store, replace_pack: Replace, astronaut: np.ndarray):
    old = recognizer(store)
    crops = old.align(astronaut, colour="rgb")
    replace_pack()
    assert len(old.embed_aligned(crops)) == 1, "what is open stays"
    with pytest.raises(PackBroken, match=REPLACED):
        list(old.analyze_many([astronaut], workers=2, colour="rgb"))


def test_on_the_way_to_another_process(store: Store, replace_pack: Replace, astronaut: np.ndarray):
    parcel = pickle.dumps(recognizer(store))
    assert len(pickle.loads(parcel).analyze(astronaut, colour="rgb")) == 1  # noqa: S301
    replace_pack()
    with pytest.raises(PackBroken, match=REPLACED):
        pickle.loads(parcel).analyze(astronaut, colour="rgb")  # noqa: S301


def test_an_open_session_that_travels(store: Store, replace_pack: Replace):
    pack = store.get(NAME)
    card = pack.card.model("recognition")
    session = open_session(Network(pack.path(card), sha256=card.sha256), RuntimeOptions(threads=1))
    session.open()
    replace_pack()
    with pytest.raises(PackBroken, match=REPLACED):
        pickle.loads(pickle.dumps(session)).open()  # noqa: S301


def test_the_same_pack_installed_again_is_no_change(store: Store, astronaut: np.ndarray):
    old = recognizer(store)
    store.remove(NAME)
    store.add(open_pack().folder, replace(old.pack.card, name=NAME))
    assert len(old.analyze(astronaut, colour="rgb")) == 1


def test_openvino_looks_as_well(store: Store, replace_pack: Replace, astronaut: np.ndarray):
    pytest.importorskip("openvino")
    old = recognizer(store, engine="openvino")
    replace_pack()
    with pytest.raises(PackBroken, match=REPLACED):
        old.analyze(astronaut, colour="rgb")


def test_a_network_without_a_digest_is_not_checked(store: Store, replace_pack: Replace):
    pack = store.get(NAME)
    session = open_session(Network(pack.path(pack.card.model("recognition"))), RuntimeOptions(threads=1))
    replace_pack()
    assert session.run(np.zeros((1, 3, 112, 112), np.float32))[0].shape == (1, 128)


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_a_file_that_is_gone_or_a_folder(tmp_path: Path, sha256: str):
    for path in (tmp_path / "x.onnx", tmp_path):
        with pytest.raises(PackBroken, match="install the pack again"):
            open_session(Network(path, sha256=sha256), RuntimeOptions()).open()


def test_the_bytes_are_not_kept(store: Store):
    """Tens of megabytes for each session otherwise."""
    pack = store.get(NAME)
    card = pack.card.model("recognition")
    session = open_session(Network(pack.path(card), sha256=card.sha256), RuntimeOptions(threads=1))
    session.open()
    assert not [k for k, v in vars(session._opened).items() if isinstance(v, bytes) and v]
