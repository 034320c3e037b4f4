"""Who did what: every act is on record, in the transaction that did it, and no change goes unseen."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from tests.gallery_twins import Brute, Twin, sample

from lineament.core.errors import InvalidArgument, KeyUnavailable, SubjectNotFound
from lineament.gallery import schema
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.values import Settings

TWIN = Twin()
WHO = Actor("maria", "onboarding")


@pytest.fixture(params=["plain", "keyed"])
def g(request: pytest.FixtureRequest, truth_url: str, tmp_path: Path) -> Iterator[Gallery]:
    keys = FileKeys.create(tmp_path / "keys.json") if request.param == "keyed" else None
    options: dict[str, Any] = {"recognizer": TWIN, "index": Brute(), "keys": keys, "actor": WHO}
    with Gallery.create(truth_url, "staff", settings=Settings(review="warn"), **options) as made:
        yield made


def busy(g: Gallery) -> None:
    g.enroll("anna", [b"anna/1", b"nobody"], metadata={"site": "north"}, sensitive={"phone": "0123"})
    g.enroll("hannah", b"anna/2")
    g.identify(b"anna/3", threshold=0.7, where={"site": "north"})
    g.investigate(b"anna/3")
    g.identify_group(b"anna/3+bob/1", threshold=0.7)
    g.verify(b"anna/3", "anna")
    g.search_subject("anna", threshold=0.7)
    g.update("anna", metadata={"site": "south"})
    g.subject("anna", sensitive=True)
    g.not_this_person("hannah", TWIN.template("anna/9"))
    g.rename("anna", "anne")
    g.merge("hannah", "anne")
    g.remove("anne", 1)
    g.remove("anne")


ACTIONS = [
    "create", "enrol", "enrol", "identify", "investigate", "identify_group", "verify", "search_subject",
    "update", "read_sensitive", "not_this_person", "rename", "merge", "remove", "remove",
]  # fmt: skip


def test_every_act_is_on_record(g: Gallery) -> None:
    busy(g)
    records = list(g.audit.read())
    assert [r.action for r in records] == ACTIONS
    assert [r.seq for r in records] == list(range(1, len(ACTIONS) + 1))
    assert {(r.actor, r.purpose, r.collection) for r in records} == {("maria", "onboarding", "staff")}
    assert g.audit.check().ok and g.audit.check().count == len(ACTIONS)
    found = json.loads(records[3].body)
    assert found["threshold"] == 0.7 and found["measured"] is False and found["where"] == {"site": "north"}
    (outcome,) = found["outcomes"]
    assert outcome["found"][0]["subject"] == records[1].subject


def test_no_name_and_no_template_stays_in_it(g: Gallery) -> None:
    busy(g)
    text = " ".join(f"{r.subject} {r.body}" for r in g.audit.read())
    assert "ann" not in text and "0123" not in text, "row numbers only, which mean nothing after an erasure"
    vector = sample("anna/1", 32)
    assert vector.tobytes().hex() not in text and f"{vector[0]:.5f}" not in text


def test_a_failed_act_leaves_no_record(g: Gallery) -> None:
    before = g.audit.anchor()
    for act in (
        lambda: g.remove("x"),
        lambda: g.rename("x", "y"),
        lambda: g.merge("x", "y"),
        lambda: g.update("x"),
    ):
        with pytest.raises(SubjectNotFound):
            act()
    with pytest.raises(ZeroDivisionError), g.truth.write() as connection:
        g.audit.append(connection, WHO, "enrol", "staff")
        raise ZeroDivisionError
    assert g.audit.anchor() == before and g.audit.check().ok


def test_what_is_asked_for(g: Gallery) -> None:
    busy(g)
    read = g.audit.read
    assert [r.action for r in read(action="enrol")] == ["enrol"] * 2
    assert list(read(actor="nobody")) == [] and len(list(read(actor="maria"))) == len(ACTIONS)
    assert list(read(collection="guests")) == []
    number = int(str(next(read(action="enrol")).subject))
    assert {r.action for r in read(subject=number)} >= {"enrol", "update", "rename", "remove"}
    middle = list(read())[7].at
    assert len(list(read(until=middle))) == 7 and len(list(read(since=middle))) == len(ACTIONS) - 7


class TestTampering:
    """Whoever can write to the database changes one thing."""

    COLUMNS = ("at", "actor", "purpose", "action", "collection", "subject", "body", "hash")

    @pytest.mark.parametrize("column", COLUMNS)
    def test_one_letter_of_any_column_of_any_record(self, g: Gallery, column: str) -> None:
        busy(g)
        table = schema.audit
        rows = list(g.audit.read())
        for row in rows[:: 1 if column in ("hash", "body") else 4]:
            value = getattr(row, column)
            for changed in {None, (value or "")[:-1] + "~", (value or "")[:-2] + "0"} - {value}:
                if changed is None and column in ("at", "actor", "purpose", "action", "body", "hash"):
                    continue
                with g.truth.write() as connection:
                    connection.execute(update(table).where(table.c.seq == row.seq).values({column: changed}))
                checked = g.audit.check()
                assert not checked.ok and row.seq in {p.seq for p in checked.problems} | {
                    p.seq - 1 for p in checked.problems
                }
                with g.truth.write() as connection:
                    connection.execute(update(table).where(table.c.seq == row.seq).values({column: value}))
        assert g.audit.check().ok

    def test_each_byte_of_one_record(self, g: Gallery) -> None:
        busy(g)
        row, table = list(g.audit.read())[3], schema.audit
        for i in range(0, len(row.body), 7):
            body = row.body[:i] + chr(ord(row.body[i]) ^ 1) + row.body[i + 1 :]
            with g.truth.write() as connection:
                connection.execute(update(table).where(table.c.seq == row.seq).values(body=body))
            assert not g.audit.check().ok, i

    def test_records_removed_swapped_added_or_cut_off(self, g: Gallery) -> None:
        busy(g)
        table, last = schema.audit, len(ACTIONS)
        anchor = g.audit.anchor()

        def after(*statements: Any, against: tuple[int, str] | None = None) -> bool:
            """Whether the chain holds after these changes, which are then undone."""
            connection = g.truth.engine.connect()
            ok = True
            try:
                with g.truth.write() as writing:
                    for statement in statements:
                        writing.execute(statement)
                ok = g.audit.check(against).ok
            finally:
                connection.close()
                with g.truth.write() as writing:
                    writing.execute(delete(table))
                    writing.execute(insert(table), rows)
                    writing.execute(update(schema.audit_head).values(seq=anchor[0], hash=anchor[1]))
            return ok

        with g.truth.read() as connection:
            rows = [dict(r._mapping) for r in connection.execute(select(table).order_by(table.c.seq))]
        assert after()
        for seq in (1, 5, last):
            assert not after(delete(table).where(table.c.seq == seq))
        swap = [table.c.seq == 5, table.c.seq == 6]
        assert not after(
            update(table).where(swap[0]).values(seq=999), update(table).where(swap[1]).values(seq=5),
            update(table).where(table.c.seq == 999).values(seq=6),
        )  # fmt: skip
        assert not after(insert(table).values(**{**rows[4], "seq": last + 1}))
        cut = delete(table).where(table.c.seq > 9)
        assert not after(cut)
        head = update(schema.audit_head).values(seq=9, hash=rows[8]["hash"])
        assert after(cut, head), "a log cut together with its head holds in itself"
        assert not after(cut, head, against=anchor), "an anchor kept elsewhere finds it"
        assert not after(
            delete(table), update(schema.audit_head).values(seq=0, hash="0" * 64), against=anchor
        )

    def test_made_anew_by_somebody_without_the_key(self, truth_url: str, tmp_path: Path) -> None:
        from lineament.gallery.chain import GENESIS, Record
        from lineament.gallery.chain import append as chained

        keys = FileKeys.create(tmp_path / "keys.json")
        with Gallery.create(truth_url, "staff", recognizer=TWIN, index=Brute(), keys=keys) as g:
            busy(g)
            hashed, rows = GENESIS, list(g.audit.read())
            with g.truth.write() as connection:
                for r in rows:
                    body = {**json.loads(r.body), "forged": True}
                    record = Record(r.seq, r.at, r.actor, r.purpose, r.action, r.collection, r.subject, body)
                    forged = chained(hashed, record)
                    hashed = forged.hash
                    values = {"body": forged.body, "hash": forged.hash}
                    connection.execute(update(schema.audit).where(schema.audit.c.seq == r.seq).values(values))
                connection.execute(update(schema.audit_head).values(hash=hashed))
            assert not g.audit.check().ok


def test_a_keyed_log_needs_its_key(truth_url: str, tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys.json")
    with Gallery.create(truth_url, "staff", recognizer=TWIN, index=Brute(), keys=keys) as g:
        busy(g)
        for act in (Audit(g.truth, None).check, lambda: Gallery.open(truth_url, "staff", index=Brute())):
            with pytest.raises(KeyUnavailable, match="--key"):
                act()
        with pytest.raises(KeyUnavailable):
            Gallery.create(truth_url, "open", recognizer=TWIN, index=Brute())
        other = FileKeys.create(tmp_path / "other.json")
        with pytest.raises(KeyUnavailable):
            Gallery.open(truth_url, "staff", index=Brute(), keys=other)


def test_many_threads_write_one_chain(g: Gallery) -> None:
    def look() -> None:
        for _ in range(5):
            g.investigate(b"anna/1")

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checked = g.audit.check()
    assert checked.ok and checked.count == 41


@pytest.mark.parametrize(("name", "purpose"), [("", "x"), (" ", "x"), ("x", ""), ("x", "\t")])
def test_somebody_must_act_to_some_end(name: str, purpose: str) -> None:
    with pytest.raises(InvalidArgument):
        Actor(name, purpose)
