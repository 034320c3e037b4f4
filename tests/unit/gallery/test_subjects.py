"""People of a collection: looked up, changed, renamed, merged, removed, page by page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from tests.gallery_twins import Brute, Twin, sample

from lineament.core.errors import InvalidArgument, SubjectExists, SubjectNotFound
from lineament.gallery import schema
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.template_of import subject_template
from lineament.gallery.values import Settings

SETTINGS = Settings(review="off", keep_crops=True)


@pytest.fixture
def g(truth_url: str, tmp_path: Path) -> Iterator[Gallery]:
    keys = FileKeys.create(tmp_path / "keys.json")
    with Gallery.create(
        truth_url, "staff", recognizer=Twin(), index=Brute(), keys=keys, settings=SETTINGS
    ) as made:
        yield made


def template_of(g: Gallery, name: str) -> np.ndarray:
    with g.truth.read() as connection:
        row = connection.execute(select(schema.subject).where(schema.subject.c.external_id == name)).one()
    plain = g.vault.of(row.id, row.data_key).open(row.template, g.vault.place("template", row.id))
    return np.frombuffer(plain, "<f4")


def expected(*names: str) -> np.ndarray:
    return subject_template(np.stack([sample(name, 32) for name in names])).vector


def who(g: Gallery, probe: bytes) -> list[str]:
    return [c.subject for c in g.identify(probe, threshold=0.7)]


class TestPages:
    def test_every_subject_once_in_order(self, g: Gallery) -> None:
        names = sorted(f"person {i % 7}-{i}" for i in range(23))
        for name in reversed(names):
            g.enroll(name, name.replace(" ", "").encode())
        found: list[str] = []
        while page := g.subjects(after=found[-1] if found else None, limit=5):
            assert len(page) <= 5
            found += [s.id for s in page]
        assert found == names
        assert g.subjects(after="zzz") == []
        with pytest.raises(InvalidArgument):
            g.subjects(limit=0)

    def test_another_collection_is_not_seen(self, g: Gallery, truth_url: str) -> None:
        g.enroll("anna", b"anna/1")
        with Gallery.create(truth_url, "guests", recognizer=Twin(), index=Brute(), keys=g.keys) as guests:
            guests.enroll("anna", b"bob/1")
            guests.enroll("zoe", b"zoe/1")
            assert [s.id for s in g.subjects()] == ["anna"]
            assert who(g, b"bob/2") == [] and who(guests, b"bob/2") == ["anna"]
            assert guests.remove("anna") == 1
        assert who(g, b"anna/2") == ["anna"]


class TestTemplate:
    def test_is_renewed_with_each_change(self, g: Gallery) -> None:
        done = g.enroll("anna", [f"anna/{i}".encode() for i in range(5)])
        np.testing.assert_array_equal(template_of(g, "anna"), expected(*(f"anna/{i}" for i in range(5))))
        g.remove("anna", done.items[1].reference)
        np.testing.assert_array_equal(
            template_of(g, "anna"), expected("anna/0", "anna/2", "anna/3", "anna/4")
        )
        g.enroll("anne", b"anna/9")
        g.merge("anne", "anna")
        names = ("anna/0", "anna/2", "anna/3", "anna/4", "anna/9")
        np.testing.assert_array_equal(template_of(g, "anna"), expected(*names))

    def test_a_foreign_sample_does_not_pull_it(self, g: Gallery) -> None:
        g.enroll("anna", [b"anna/0", b"anna/1", b"anna/2", b"anna/3", b"bob/1"])
        np.testing.assert_array_equal(
            template_of(g, "anna"), expected("anna/0", "anna/1", "anna/2", "anna/3")
        )
        assert who(g, b"bob/2") == ["anna"], "the sample itself stays"


class TestRename:
    def test_all_of_it_moves(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1", metadata={"a": 1}, sensitive={"p": 1}, idempotency_key="k")
        before = g.subject("anna", sensitive=True)
        after = g.rename("anna", "anne")
        assert (after.id, after.references, after.metadata) == ("anne", 1, {"a": 1})
        assert g.subject("anne", sensitive=True).sensitive == before.sensitive
        assert after.updated_at >= before.updated_at and after.created_at == before.created_at
        assert who(g, b"anna/2") == ["anne"]
        with pytest.raises(SubjectNotFound):
            g.subject("anna")

    def test_to_one_that_is_there(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        g.enroll("bob", b"bob/1")
        with pytest.raises(SubjectExists, match="merge"):
            g.rename("anna", "bob")
        assert g.rename("anna", "anna").id == "anna"
        with pytest.raises(SubjectNotFound):
            g.rename("nobody", "somebody")
        with pytest.raises(InvalidArgument):
            g.rename("anna", "")
        assert [s.id for s in g.subjects()] == ["anna", "bob"]


class TestMerge:
    def test_samples_crops_and_all(self, g: Gallery) -> None:
        g.enroll("anna", [b"anna/1", b"anna/2"], metadata={"a": 1})
        g.enroll("anne", [b"anna/2", b"anna/3"], metadata={"b": 2}, sensitive={"p": 1})
        merged = g.merge("anne", "anna")
        assert merged.references == 3 and merged.metadata == {"a": 1}
        assert [s.id for s in g.subjects()] == ["anna"]
        with g.truth.read() as connection:
            rows = connection.execute(
                select(schema.reference, schema.subject.c.data_key).join(schema.subject)
            ).all()
        for row in rows:
            seal = g.vault.of(row.subject_id, row.data_key)
            assert seal.open(row.crop, g.vault.place("crop", row.subject_id, row.id)).startswith(b"\x89PNG")
        assert who(g, b"anna/3") == ["anna"] and g.size == 3
        assert g.check().well

    def test_that_cannot_be(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        with pytest.raises(InvalidArgument):
            g.merge("anna", "anna")
        for pair in (("anna", "nobody"), ("nobody", "anna")):
            with pytest.raises(SubjectNotFound):
                g.merge(*pair)
        assert g.subject("anna").references == 1


class TestRemove:
    def test_nothing_of_it_stays(self, g: Gallery) -> None:
        g.enroll("bob", b"bob/1")
        g.enroll("anna", [b"anna/1", b"anna/2"], sensitive={"p": 1}, idempotency_key="k")
        g.not_this_person("anna", Twin().template("anna/9"))
        assert g.remove("anna") == 2
        with g.truth.read() as connection:
            for table in (schema.subject, schema.reference):
                assert connection.execute(select(func.count()).select_from(table)).scalar() == 1
            for table in (schema.request, schema.not_this_person):
                assert connection.execute(select(func.count()).select_from(table)).scalar() == 0
        assert g.size == 1 and who(g, b"anna/3") == []
        with pytest.raises(SubjectNotFound):
            g.remove("anna")

    def test_one_reference(self, g: Gallery) -> None:
        done = g.enroll("anna", [b"anna/1", b"anna/2"])
        other = g.enroll("bob", b"bob/1").items[0].reference
        first, second = (i.reference for i in done.items)
        for reference in (other, 999, 0, -1):
            with pytest.raises(SubjectNotFound):
                g.remove("anna", reference)
        assert g.remove("anna", first) == 1
        assert g.identify(b"anna/3", threshold=0.5)[0].reference == second
        assert g.remove("anna", second) == 1
        assert g.subject("anna").references == 0 and who(g, b"anna/1") == []
        assert g.search_subject("anna").reasons[0].code == "no_reference"
        assert g.enroll("anna", b"anna/1").complete and who(g, b"anna/1") == ["anna"]
        assert g.enroll("anna", b"anna/1").items[0].reference not in (first, second), (
            "numbers are not used again"
        )


class TestLookingUp:
    def test_sensitive_values_are_noted(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1", sensitive={"p": 1})
        assert g.subject("anna").sensitive is None
        assert [e.action for e in g.audit.read()] == ["create", "enrol"]
        assert g.subject("anna", sensitive=True).sensitive == {"p": 1}
        assert [e.action for e in g.audit.read()][-1] == "read_sensitive"

    @pytest.mark.parametrize(
        "act",
        [
            lambda g: g.subject("x"), lambda g: g.update("x", metadata={}), lambda g: g.rename("x", "y"),
            lambda g: g.remove("x"), lambda g: g.verify(b"anna/1", "x"), lambda g: g.search_subject("x"),
        ],
    )  # fmt: skip
    def test_nobody_of_that_id(self, g: Gallery, act: Any) -> None:
        records = len(list(g.audit.read()))
        with pytest.raises(SubjectNotFound, match="'x'"):
            act(g)
        assert len(list(g.audit.read())) == records
