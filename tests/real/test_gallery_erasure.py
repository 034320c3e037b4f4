"""Erasure: afterwards no file on the disk holds a byte of what was stored of the person.

Before it, everything is gathered that the database held of her, as stored and as it was before sealing; then
every file is read: database, write-ahead log, whatever lies beside them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from tests.gallery_twins import Brute, Twin, sample

from lineament.core.errors import SubjectNotFound
from lineament.gallery import schema
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.receipt import check
from lineament.gallery.values import Settings

TWIN = Twin(128)
NAME, OTHER = "anna-the-subject-to-be-erased", "somebody-else-who-stays"
PICTURES = ["anna/1", "anna/2", "anna/3"]
PIECE = 24
"""Bytes of a run that nobody else has by chance."""


def pieces(data: bytes) -> set[bytes]:
    """Parts of a stored value: a page of a database may hold half of it."""
    return {data[i : i + PIECE] for i in range(0, len(data) - PIECE + 1, max(PIECE, len(data) // 12))}


def traces(g: Gallery) -> dict[str, set[bytes]]:
    """What must not be found afterwards, by kind."""
    names = [*PICTURES, "anna/rejected"]
    vectors = g.vault.turn(np.stack([sample(name, 128) for name in names]))
    plain = np.concatenate([np.stack([sample(name, 128) for name in names]), vectors])
    found: dict[str, set[bytes]] = {
        "float32": set().union(*(pieces(v.astype("<f4").tobytes()) for v in plain)),
        "float16": set().union(*(pieces(v.astype("<f2").tobytes()) for v in plain)),
        "name": {NAME.encode()},
        "sensitive": {b"0123456789-secret"},
    }
    with g.truth.read() as connection:
        row = connection.execute(select(schema.subject).where(schema.subject.c.external_id == NAME)).one()
        found["key"] = pieces(row.data_key) if row.data_key else set()
        found["subject"] = pieces(row.template) | pieces(row.sensitive)
        seal = g.vault.of(row.id, row.data_key)
        for table in (schema.reference, schema.not_this_person):
            for r in connection.execute(select(table).where(table.c.subject_id == row.id)):
                found.setdefault("sealed", set()).update(pieces(r.vector))
                if table is schema.reference:
                    png = seal.open(r.crop, g.vault.place("crop", row.id, r.id))
                    # Past the beginning, which all pictures share.
                    found.setdefault("crop", set()).update(pieces(r.crop[40:]) | pieces(png[48:-16]))
                    found.setdefault("digest", set()).add(r.source_digest.encode())
    return found


def seen(folder: Path, wanted: dict[str, set[bytes]]) -> set[tuple[str, str]]:
    """(kind, file) of every trace in any file."""
    found: set[tuple[str, str]] = set()
    for file in folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            found |= {
                (kind, file.name) for kind, parts in wanted.items() if any(part in data for part in parts)
            }
    return found


def fill(g: Gallery) -> None:
    """The person's whole life in the gallery: every way in which something of her is written."""
    g.enroll(OTHER, [b"bob/1", b"bob/2"], sensitive={"phone": "999"})
    g.enroll("second-name", [b"anna/3"])
    pictures = [name.encode() for name in PICTURES[:2]]
    about: dict[str, Any] = {"metadata": {"site": "north"}, "sensitive": {"phone": "0123456789-secret"}}
    g.enroll("old-name-of-hers", pictures, idempotency_key="key-1", review="off", **about)
    g.rename("old-name-of-hers", NAME)
    g.merge("second-name", NAME)
    g.not_this_person(NAME, TWIN.template("anna/rejected"))
    # Somebody who looks like her: the answer that is kept for the key must not name her.
    g.enroll("looks-alike", b"anna/like", idempotency_key="key-2")
    g.identify(b"anna/7", threshold=0.7)
    g.investigate(b"anna/7")
    for i in range(10):
        g.enroll(f"filler{i}", f"filler{i}/1".encode(), review="off")


@pytest.fixture(params=["plain", "sealed", "turned"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    keys = None if request.param == "plain" else FileKeys.create(tmp_path / "keys.json")
    settings = Settings(keep_crops=True, transform=request.param == "turned")
    yield {"recognizer": TWIN, "index": Brute(128), "keys": keys, "settings": settings}


def erased(g: Gallery, folder: Path) -> None:
    """Erase, and look everywhere."""
    wanted = traces(g)
    before = seen(folder, wanted)
    assert {"sealed", "name", "subject", "crop"} <= {kind for kind, _ in before}, (
        "the search finds what is there"
    )
    done = g.erase(NAME, signing=folder / "signing.pem")
    assert seen(folder, wanted) == set()
    receipt = check(json.loads(json.dumps(done.receipt)))
    assert receipt.subject == NAME and receipt.collection == "staff"
    assert (
        done.removed["references"] == 3
        and done.removed["crops"] == 3
        and done.removed["rejected_probes"] == 1
    )
    assert (receipt.audit_seq, receipt.audit_hash) == next(
        (r.seq, r.hash) for r in g.audit.read(action="erase")
    )
    with pytest.raises(SubjectNotFound):
        g.erase(NAME, signing=folder / "signing.pem")
    assert [c.subject for c in g.identify(b"anna/1", threshold=0.7)] == ["looks-alike"]
    assert [c.subject for c in g.identify(b"bob/3", threshold=0.7)] == [OTHER]
    assert g.check().well


def test_no_byte_in_any_file_of_sqlite(tmp_path: Path, options: dict[str, Any]) -> None:
    with Gallery.create(f"sqlite:///{tmp_path / 'people.db'}", "staff", **options) as g:
        fill(g)
        erased(g, tmp_path)
    assert not list(tmp_path.glob("people.db-wal"))


def test_while_another_process_has_it_open(tmp_path: Path, options: dict[str, Any]) -> None:
    """Another opened gallery has read her from the same files, and knows her key: it finds her no more."""
    url = f"sqlite:///{tmp_path / 'people.db'}"
    with Gallery.create(url, "staff", **options) as g:
        fill(g)
        both = {k: v for k, v in options.items() if k != "settings"} | {"index": Brute(128)}
        with Gallery.open(url, "staff", **both) as other:
            assert NAME in {c.subject for c in other.identify(b"anna/1", threshold=0.7)}
            erased(g, tmp_path)
            assert [c.subject for c in other.identify(b"anna/1", threshold=0.7)] == ["looks-alike"]
            assert other.size == other.follower.index.count() == 13


def test_removal_alone_overwrites_the_database(tmp_path: Path, options: dict[str, Any]) -> None:
    """`remove` rewrites no files, but overwrites what it deletes; the close empties the write-ahead log."""
    with Gallery.create(f"sqlite:///{tmp_path / 'people.db'}", "staff", **options) as g:
        fill(g)
        wanted = traces(g)
        g.remove(NAME)
    assert seen(tmp_path, wanted) == set()


def test_no_byte_in_the_tables_of_postgresql(
    postgres_server: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Its write-ahead log keeps what was written, and the receipt says so; the tables do not."""
    with Gallery.create(postgres_server.new_database(), "staff", **options) as g:
        fill(g)
        with g.truth.engine.connect() as connection:
            connection.exec_driver_sql("CHECKPOINT")
            own = "SELECT pg_relation_filepath('reference')"
            place = Path(postgres_server._place, connection.exec_driver_sql(own).scalar_one()).parent
        wanted = traces(g)
        assert {"name", "sealed"} <= {kind for kind, _ in seen(place, wanted)}
        g.erase(NAME, signing=tmp_path / "signing.pem")
        assert seen(place, wanted) == set()
        assert g.check().well


def test_all_whose_time_is_over(tmp_path: Path) -> None:
    settings = Settings(keep_crops=True, review="off")
    url = f"sqlite:///{tmp_path / 'people.db'}"
    with Gallery.create(url, "staff", recognizer=TWIN, index=Brute(128), settings=settings) as g:
        for i in range(6):
            g.enroll(f"p{i}", f"p{i}/1".encode(), retain_until=f"2026-0{i + 1}-01")
        assert g.due("2026-03-15") == ["p0", "p1", "p2"]
        data = [sample(f"p{i}/1", 128).tobytes() for i in range(6)]
        done = list(g.sweep(moment="2026-03-15", signing=tmp_path / "signing.pem"))
        assert [d.subject for d in done] == ["p0", "p1", "p2"]
        assert [check(d.receipt).subject for d in done] == ["p0", "p1", "p2"]
        here = b"".join(p.read_bytes() for p in tmp_path.glob("people.db*"))
        assert [d[:PIECE] in here for d in data] == [False] * 3 + [True] * 3
        assert g.due("2026-03-15") == [] and g.size == 3 and g.check().well
