"""An index in Milvus keeps the promise of VectorIndex: on milvus-lite, and on a server, which is killed."""

import itertools
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.contract.index_checks import IndexChecks, MakeIndex, faces
from tests.servers import MILVUS_TOKEN, Milvus, free_ports

from lineament.core.errors import GalleryBroken, IndexUnavailable, InvalidArgument
from lineament.core.template import ModelId
from lineament.gallery.milvus import MilvusIndex
from lineament.gallery.milvus_address import parse_address
from lineament.gallery.port import VectorIndex

pytest.importorskip("pymilvus")
MODEL = ModelId("test/one", "a1" * 32)
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("milvus_lite")
    return f"milvus-lite://{tmp_path_factory.mktemp('milvus')}/faces.db"


@pytest.fixture(params=["milvus-lite", "milvus-server"])
def make_index(request: pytest.FixtureRequest) -> Iterator[MakeIndex]:
    """Each index has a collection of its own; those of one dimension share a collection of Milvus."""
    on_server = request.param == "milvus-server"
    place = request.getfixturevalue("milvus_server" if on_server else "lite")
    url = f"{place.url}?partitions=2" if on_server else place
    made: list[VectorIndex] = []

    def make(dimension: int) -> VectorIndex:
        made.append(MilvusIndex(url, next(numbers), MODEL, dimension))
        return made[-1]

    yield make
    for index in made:
        index.clear()
        index.close()


class TestMilvusIndex(IndexChecks):
    rows = 200
    steps = 25
    writes = 6
    readers = 4
    score_error = 1e-5
    complete = True


Open = Callable[..., MilvusIndex]


@pytest.fixture
def open_index(milvus_server: Milvus) -> Iterator[Open]:
    """`open_index(collection, …)`: on the server, for templates of 16 numbers; each call is a client."""
    made: list[MilvusIndex] = []

    def open_one(
        collection: int, query: str = "", model: ModelId = MODEL, d: int = 16, **more: str
    ) -> MilvusIndex:
        made.append(MilvusIndex(milvus_server.url + query, collection, model, d, **more))
        return made[-1]

    yield open_one
    for index in made:
        index.close()


def some(n: int, d: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(ids, vectors) of n faces."""
    return np.arange(1, n + 1), faces(np.random.default_rng(seed), n, d)


def test_another_client_sees_each_write_at_once(open_index: Open) -> None:
    collection = next(numbers)
    writer, reader = open_index(collection), open_index(collection)
    ids, vectors = some(12)
    for seq, (number, vector) in enumerate(zip(ids, vectors, strict=True), start=1):
        writer.upsert(np.array([number]), vector[None], 2 * seq)
        assert reader.search(vector[None], k=1)[0].ids.tolist() == [number]
        writer.delete(np.array([number]), 2 * seq + 1)
        assert len(reader.search(vector[None], k=1)[0]) == 0
        assert (reader.count(), reader.applied_seq()) == (0, 2 * seq + 1)


def test_collections_and_stores_do_not_meet(open_index: Open) -> None:
    one, two = open_index(next(numbers)), open_index(next(numbers))
    elsewhere = open_index(next(numbers), store="another_database")
    ids, vectors = some(20)
    one.upsert(ids[:10], vectors[:10], 5)
    two.upsert(ids[10:], vectors[10:], 6)
    elsewhere.upsert(ids, vectors[::-1].copy(), 7)
    assert [index.count() for index in (one, two, elsewhere)] == [10, 10, 20]
    assert [index.applied_seq() for index in (one, two, elsewhere)] == [5, 6, 7]
    assert set(one.search(vectors[15:16], k=20)[0].ids.tolist()) == set(ids[:10].tolist())
    one.clear()
    assert [index.count() for index in (one, two, elsewhere)] == [0, 10, 20]
    assert [index.applied_seq() for index in (one, two, elsewhere)] == [0, 6, 7]


def test_a_cleared_index_does_not_believe_an_older_writer(open_index: Open) -> None:
    """One process rebuilds while another, which does not know, goes on writing: nothing false is claimed."""
    collection = next(numbers)
    late, rebuilding = open_index(collection), open_index(collection)
    ids, vectors = some(10)
    late.upsert(ids[:9], vectors[:9], 40)
    rebuilding.clear()
    late.upsert(ids[9:], vectors[9:], 41)
    assert open_index(collection).applied_seq() == 0
    rebuilding.upsert(ids, vectors, 41)
    assert open_index(collection).applied_seq() == 41


def test_rows_that_are_replaced_are_never_missing(open_index: Open) -> None:
    """Milvus deletes them and then adds them; a search of the same process waits for both."""
    index = open_index(next(numbers))
    ids, vectors = some(50)
    index.upsert(ids, vectors, 1)
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(len(index.search(vectors[:1], k=50)[0]))

    done = threading.Event()
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seq in range(2, 40):
        index.upsert(ids, vectors, seq)
    done.set()
    for thread in threads:
        thread.join()
    assert seen == {50}


def test_a_repeated_insert_is_one_face(open_index: Open) -> None:
    """The client repeats a write whose answer was lost; the same row twice must not push others out."""
    index = open_index(next(numbers))
    ids, vectors = some(6)
    for _ in range(3):
        rows = [index._row(int(ids[0]), vectors[0], 1)]
        index._do("add rows", "insert", data=rows)
    index.upsert(ids[1:], vectors[1:], 2)
    (hits,) = index.search(vectors[:1], k=2)
    assert len(set(hits.ids.tolist())) == len(hits) >= 2
    index.delete(ids[:1], 3)
    assert ids[0] not in index.search(vectors[:1], k=6)[0].ids


def test_more_rows_than_milvus_lists_at_once(open_index: Open) -> None:
    """Beyond 16,384: a long list of ids is searched in pieces, and what cannot be had is admitted."""
    index = open_index(next(numbers), d=8)
    ids, vectors = some(34_000, 8)
    index.upsert(ids, vectors, 1)
    assert index.count() == 34_000
    probe = vectors[:1]
    order = np.argsort(-(vectors @ probe[0]).astype(np.float64), kind="stable")
    among = np.sort(ids[order[16_900:]])
    assert len(among) > 16_384
    (hits,) = index.search(probe, k=5, among=among)
    assert hits.complete and set(ids[order[16_900:16_905]].tolist()) <= set(hits.ids.tolist())
    (hits,) = index.search(probe, k=20_000)
    assert not hits.complete and len(hits) == 16_384
    (hits,) = index.search(probe, k=20_000, floor=0.5)
    assert hits.complete and len(hits) >= int((vectors @ probe[0] >= 0.5).sum()) > 0
    index.clear()
    assert index.count() == 0


def test_an_approximate_index_admits_it(open_index: Open) -> None:
    model = ModelId("test/hnsw", "b2" * 32)
    index = open_index(1, "?index=HNSW&M=8&efConstruction=64&ef=32&partitions=1", model)
    ids, vectors = some(100)
    index.upsert(ids, vectors, 1)
    answers = index.search(vectors[:10], k=3)
    assert [hits.ids[0] for hits in answers] == ids[:10].tolist()
    assert not any(hits.complete for hits in answers)
    with pytest.raises(InvalidArgument, match=r"index of type HNSW, not FLAT: say \?index=HNSW"):
        open_index(2, "", model)


def test_reads_that_may_be_stale_admit_it(open_index: Open) -> None:
    index = open_index(next(numbers), "?consistency=bounded")
    assert not index.search(some(1)[1], k=1)[0].complete


def test_an_index_type_that_the_server_does_not_know(open_index: Open) -> None:
    for _ in range(2):  # nothing half-made is left by the first
        with pytest.raises(IndexUnavailable, match=r"v2\.3\.5.* could not make an index of type IVF_RABITQ"):
            open_index(1, "?index=IVF_RABITQ&partitions=1", ModelId("test/rabitq", "c3" * 32))


def test_a_collection_that_is_not_ours(milvus_server: Milvus, open_index: Open) -> None:
    from pymilvus import MilvusClient

    uri = milvus_server.url.removeprefix("milvus+")
    client = MilvusClient(uri, token=MILVUS_TOKEN, timeout=20, dedicated=True)
    client.create_collection(f"lineament_{'d4' * 6}_16", 32, timeout=60)
    client.close()
    with pytest.raises(GalleryBroken, match=r"not laid out .* drop it there and rebuild"):
        open_index(1, "", ModelId("test/other", "d4" * 32))
    open_index(1, "?partitions=1", ModelId("test/like", "e5" * 32))
    with pytest.raises(GalleryBroken, match="16 numbers by test/unlike"):
        open_index(1, "?partitions=1", ModelId("test/unlike", "e5" * 31 + "ff"))


def test_a_wrong_token_is_refused_and_not_told(
    milvus_server: Milvus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for token in ("root:hunter2", ""):
        monkeypatch.setenv("LINEAMENT_MILVUS_TOKEN", token)
        with pytest.raises(IndexUnavailable, match="set LINEAMENT_MILVUS_TOKEN") as raised:
            MilvusIndex(milvus_server.url, 1, MODEL, 16)
        assert "hunter2" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    start = time.monotonic()
    with pytest.raises(
        IndexUnavailable, match=rf"no Milvus answers at 127\.0\.0\.1:{port} .*refused.* untouched"
    ):
        MilvusIndex(f"milvus+http://127.0.0.1:{port}", 1, MODEL, 16)
    assert time.monotonic() - start < 3
    assert capfd.readouterr() == ("", "")


def test_what_others_log_is_not_hidden(caplog: pytest.LogCaptureFixture, milvus_server: Milvus) -> None:
    MilvusIndex(milvus_server.url, next(numbers), MODEL, 16).close()
    talker = logging.getLogger("pymilvus.decorators")
    talker.addHandler(caplog.handler)
    talker.error("of another part of the program")
    talker.removeHandler(caplog.handler)
    assert "of another part" in caplog.text


def test_milvus_lite_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    url = f"milvus-lite://{tmp_path}/one.db"
    ids, vectors = some(3)
    first, second = (MilvusIndex(url, number, MODEL, 16) for number in (1, 2))
    first.upsert(ids, vectors, 4)
    code = f"""
from lineament.core.template import ModelId
from lineament.gallery.milvus import MilvusIndex
index = MilvusIndex({url!r}, 1, ModelId("test/one", "a1" * 32), 16)
print(index.count(), index.applied_seq())
"""
    first.close()
    assert "only one process at a time may hold it" in run(code)
    second.close()
    assert run(code).endswith("3 4\n")
    with pytest.raises(IndexUnavailable, match="its folder must be in one that is there"):
        MilvusIndex(f"milvus-lite://{tmp_path}/none/one.db", 1, MODEL, 16)
    with pytest.raises(IndexUnavailable, match="closed"):
        first.count()


def run(code: str) -> str:
    """What a fresh Python prints; of what it raises, too."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


def test_the_package_is_imported_late_and_may_be_absent() -> None:
    code = """
import sys
from lineament.gallery.milvus import MilvusIndex
from lineament.core.template import ModelId
assert not {"pymilvus", "grpc", "milvus_lite"} & set(sys.modules)
sys.modules["pymilvus"] = None
MilvusIndex("milvus+http://127.0.0.1", 1, ModelId("x", "00" * 32), 8)
"""
    assert "searching in Milvus needs a package: pip install 'lineament[milvus]'" in run(code)


def test_addresses() -> None:
    plain = parse_address("milvus+http://db.example")
    assert (plain.uri, plain.host, plain.port) == ("http://db.example", "db.example", 19530)
    assert (plain.index, plain.consistency, plain.lite) == ("FLAT", "Strong", False)
    full = parse_address("milvus+https://[::1]:443/faces?index=hnsw&ef=512&shards=2&replicas=3&timeout=60")
    assert (full.uri, full.host, full.database) == ("https://[::1]:443", "::1", "faces")
    assert (full.search, full.build["M"], full.timeout_s) == ({"ef": 512}, 16, 60.0)
    assert (full.shards, full.replicas, full.partitions) == (2, 3, 16)
    lite = parse_address("milvus-lite:///folder/faces.db")
    assert (lite.uri, lite.lite) == ("/folder/faces.db", True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("milvus+http://root:hunter2@host", "set LINEAMENT_MILVUS_TOKEN"),
        ("milvus+http://", "is no address of Milvus"),
        ("milvus+http://host:port", "the port is no number"),
        ("http://host", "is no address of Milvus"),
        ("milvus-lite:///folder/faces", "ending in .db"),
        ("milvus-lite://folder/faces.db", "ending in .db"),
        ("milvus+http://host?index=BEST", "index=BEST is not one of FLAT, "),
        ("milvus+http://host?consistency=weak", "consistency=Weak is not one of Strong, "),
        ("milvus+http://host?effort=9", "effort is no parameter"),
        ("milvus+http://host?shards=0", "shards=0: give a whole number"),
    ],
)
def test_addresses_that_are_none(url: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_address(url)
    assert says in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_numbers_and_names_out_of_range(milvus_server: Milvus, open_index: Open) -> None:
    for collection, store in ((0, ""), (1 << 22, ""), (1, "a-b"), (1, "é"), (1, "x" * 33)):
        with pytest.raises(InvalidArgument):
            open_index(collection, store=store)
    index = open_index(next(numbers))
    ids, vectors = some(2)
    for seq in (-1, 1 << 42):
        with pytest.raises(InvalidArgument, match="seq"):
            index.upsert(ids, vectors, seq)
    assert index.count() == 0


def test_a_killed_server_loses_nothing(
    start_milvus: Callable[[int], Milvus], capfd: pytest.CaptureFixture[str]
) -> None:
    server = start_milvus(2)
    index = MilvusIndex(server.url + "?timeout=3&partitions=1", 1, MODEL, 16)
    ids, vectors = some(500)
    index.upsert(ids, vectors, 7)
    index.delete(ids[:100], 8)
    server.kill()
    start = time.monotonic()
    for call in (
        lambda: index.search(vectors[:1], k=1),
        lambda: index.upsert(ids[:1], vectors[:1], 9),
        lambda: index.delete(ids[:1], 9),
        index.applied_seq,
        index.count,
    ):
        with pytest.raises(IndexUnavailable, match=r"127\.0\.0\.1"):
            call()
    assert time.monotonic() - start < 15
    assert capfd.readouterr().err == ""
    server.start(int(server.url.rpartition(":")[2]))
    fresh = MilvusIndex(server.url, 1, MODEL, 16)
    for one in (index, fresh):
        assert (one.applied_seq(), one.count()) == (8, 400)
        answers = one.search(vectors, k=1)
        assert [hits.ids[0] for hits in answers[100:]] == ids[100:].tolist()
        assert not {int(hits.ids[0]) for hits in answers} & set(ids[:100].tolist())
