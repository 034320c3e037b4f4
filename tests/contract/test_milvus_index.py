"""An index in Milvus keeps the promise of VectorIndex: on milvus-lite, and on a server, which is killed."""

import itertools
import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.contract.index_checks import IndexChecks, MakeIndex, faces
from tests.gallery_twins import Twin
from tests.servers import MILVUS_TOKEN, Milvus, free_ports

from lineament.core.errors import GalleryBroken, IndexUnavailable, InvalidArgument
from lineament.core.template import ModelId
from lineament.gallery.gallery import Gallery
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


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What pymilvus logs; it keeps its records from the root."""
    import pymilvus  # noqa: F401 - it takes away the handlers there were, when it is imported

    talker = logging.getLogger("pymilvus")
    talker.addHandler(caplog.handler)
    yield caplog
    talker.removeHandler(caplog.handler)


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


def test_two_writers_of_the_same_rows_leave_them_once(open_index: Open) -> None:
    """Two processes that catch up write the same rows at the same time; no search misses or doubles one."""
    collection = next(numbers)
    ids, vectors = some(50)
    writers = [open_index(collection) for _ in range(3)]
    reader = open_index(collection)
    writers[0].upsert(ids, vectors, 1)
    done, seen = threading.Event(), set[tuple[int, int]]()

    def write(index: MilvusIndex) -> None:
        for seq in range(2, 15):
            index.upsert(ids, vectors, seq)

    def read() -> None:
        while not done.is_set():
            seen.add((len(reader.search(vectors[:1], k=50)[0]), reader.count()))

    threads = [threading.Thread(target=write, args=(index,)) for index in writers]
    watching = threading.Thread(target=read)
    for thread in (*threads, watching):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watching.join()
    assert seen == {(50, 50)}
    assert len(reader.search(vectors[:1], k=60)[0]) == 50


def test_more_equal_rows_than_were_asked_for(make_index: MakeIndex) -> None:
    """Rounding decides between equal rows: all of them are proposed, as is the best row behind them."""
    index = make_index(16)
    ids, vectors = some(300)
    vectors[100:180] = vectors[100]
    index.upsert(ids, vectors, 1)
    (hits,) = index.search(vectors[100:101], k=3)
    assert hits.complete and set(range(101, 181)) <= set(hits.ids.tolist())
    (hits,) = index.search(vectors[100:101], k=81, among=np.sort(ids[90:]))
    second = ids[90:][np.argsort(-(vectors[90:] @ vectors[100]), kind="stable")[80]]
    assert hits.complete and second in hits.ids


def test_more_rows_than_milvus_lists_at_once(open_index: Open) -> None:
    """Beyond 16,384: a long list of ids is searched in pieces, and what cannot be had is admitted."""
    index = open_index(next(numbers), d=8)
    ids, vectors = some(34_000, 8)
    counts: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            counts.add(index.count())

    watching = threading.Thread(target=watch)
    watching.start()
    index.upsert(ids, vectors, 1)  # three messages, one update
    done.set()
    watching.join()
    assert counts <= {0, 34_000}
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
    milvus_server: Milvus, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    for token in ("root:hunter2", ""):
        monkeypatch.setenv("LINEAMENT_MILVUS_TOKEN", token)
        with pytest.raises(IndexUnavailable, match="set LINEAMENT_MILVUS_TOKEN") as raised:
            MilvusIndex(milvus_server.url, 1, MODEL, 16)
        assert "hunter2" not in "".join(traceback.format_exception(raised.value))
    assert logged.text == ""


def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    start = time.monotonic()
    with pytest.raises(
        IndexUnavailable, match=rf"no Milvus answers at 127\.0\.0\.1:{port} .*refused.* untouched"
    ):
        MilvusIndex(f"milvus+http://127.0.0.1:{port}", 1, MODEL, 16)
    assert time.monotonic() - start < 3


def test_what_others_log_is_not_hidden(logged: pytest.LogCaptureFixture, open_index: Open) -> None:
    open_index(next(numbers))
    logging.getLogger("pymilvus.decorators").error("of another part of the program")
    assert "of another part" in logged.text


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
    assert run(code) == "3 4\n"
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
    start_milvus: Callable[[int], Milvus], logged: pytest.LogCaptureFixture
) -> None:
    """What was said is kept, what was half-written is not claimed, and an open index goes on by itself."""
    server = start_milvus(2)
    index, writer = (MilvusIndex(server.url + "?partitions=1", 1, MODEL, 16) for _ in range(2))
    ids, vectors = some(500)
    index.upsert(ids, vectors, 7)
    index.delete(ids[:100], 8)
    many, rows = some(100_000)
    failed: list[Exception] = []

    def write() -> None:
        try:
            writer.upsert(many + 1000, rows, 9)
        except IndexUnavailable as error:
            failed.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    while index.count() == 400:
        time.sleep(0.01)
    server.kill()
    writing.join()
    assert len(failed) == 1
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
    assert logged.text == ""
    server.start(int(server.url.rpartition(":")[2]))
    fresh = MilvusIndex(server.url, 1, MODEL, 16)
    for one in (index, fresh):
        assert one.applied_seq() == 8
        for k, hits in zip(range(0, 500, 10), one.search(vectors[::10], k=1, among=ids), strict=True):
            assert (k >= 100) == (hits.ids[0] == ids[k])
            assert hits.ids[0] > 100
    fresh.upsert(many[:2000] + 1000, rows[:2000], 9)
    assert index.applied_seq() == 9


def test_two_galleries_share_the_server(milvus_server: Milvus, tmp_path: Path) -> None:
    """Enrolled by the one, found by the other; removed by the one, gone for the other."""
    twin, truth_db = Twin(16), f"sqlite:///{tmp_path / 'people.db'}"
    options = {"recognizer": twin, "index": milvus_server.url}
    with (
        Gallery.create(truth_db, "staff", **options) as one,
        Gallery.open(truth_db, "staff", **options) as two,
    ):
        for name in ("anna", "bob", "carl"):
            one.enroll(name, [f"{name}/{i}".encode() for i in range(2)], review="off")
        probe = twin.template("bob/7")
        assert [c.subject for c in two.identify(probe, threshold=0.75)] == ["bob"]
        assert two.size == 6
        one.remove("bob")
        assert [c.subject for c in two.identify(probe, threshold=0.75)] == []
        two.enroll("dora", [b"dora/1"], review="off")
        assert [c.subject for c in one.identify(twin.template("dora/2"), threshold=0.75)] == ["dora"]
        assert two.rebuild() == 5
        assert one.check().problems == two.check().problems == ()
        assert [c.subject for c in one.identify(twin.template("anna/2"), threshold=0.75)] == ["anna"]
