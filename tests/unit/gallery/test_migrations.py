"""Steps from one schema to the next: nothing is lost, half a step is none, and what is newer is refused."""

import pytest
from sqlalchemy import Connection, func, insert, select
from tests.gallery_twins import Brute, Twin

from lineament.core.errors import GalleryBroken, GalleryVersion
from lineament.gallery import migrations, schema, truth
from lineament.gallery.gallery import Gallery
from lineament.gallery.truth import Truth


def make(url: str) -> Gallery:
    return Gallery.create(url, "staff", recognizer=Twin(), index=Brute())


def reopen(url: str) -> Gallery:
    return Gallery.open(url, "staff", recognizer=Twin(), index=Brute())


def made_by_version_1(url: str) -> None:
    """A database as the first version of the schema left it."""
    address = truth._parsed(url)
    engine = truth._engine(address, address.get_backend_name() == "sqlite")
    with engine.begin() as connection:
        schema.metadata.create_all(connection, tables=[schema.version])
        migrations.STEPS[0][2](connection)
        connection.execute(insert(schema.version).values(version=1, at="2026-01-01T00:00:00.000000Z"))
    engine.dispose()


def test_from_the_first_to_the_present_keeps_everything(
    truth_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_version_1(truth_url)
    with monkeypatch.context() as old:
        # What this version needs of later tables is not used by an enrolment.
        old.setattr(truth, "PRESENT", 1)
        with make(truth_url) as g:
            g.enroll("anna", [b"anna/1", b"anna/2"], metadata={"site": "north"})
            before = g.subject("anna")
    with reopen(truth_url) as g:
        with g.truth.read() as connection:
            assert migrations.present_version(connection) == migrations.PRESENT
            versions = connection.execute(select(schema.version.c.version)).scalars().all()
            assert sorted(versions) == list(range(1, migrations.PRESENT + 1))
            assert connection.execute(select(func.count()).select_from(schema.alert)).scalar() == 0
        assert g.subject("anna") == before
        assert [c.subject for c in g.identify(b"anna/3", threshold=0.7)] == ["anna"]
        assert g.remove("anna") == 2, "the tables of later versions are asked, too"
        assert g.audit.check().ok


def test_twice_changes_nothing(truth_url: str) -> None:
    with Truth(truth_url, create=True) as store, store.write() as connection:
        assert migrations.migrate(connection) == (migrations.PRESENT, migrations.PRESENT)


def test_a_step_that_fails_leaves_the_old_version(truth_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_version_1(truth_url)

    second = migrations.STEPS[1][2]

    def half(connection: Connection) -> None:
        second(connection)
        raise GalleryBroken("in the middle")

    with monkeypatch.context() as broken:
        broken.setattr(migrations, "STEPS", (migrations.STEPS[0], (2, "half", half)))
        with pytest.raises(GalleryBroken, match="in the middle"):
            Truth(truth_url)
    with Truth(truth_url) as store, store.read() as connection:
        assert migrations.present_version(connection) == migrations.PRESENT


def test_newer_than_this_package(truth_url: str) -> None:
    with make(truth_url) as g:
        g.enroll("anna", b"anna/1")
        with g.truth.write() as connection:
            connection.execute(insert(schema.version).values(version=99, at=""))
    for create in (False, True):
        with pytest.raises(GalleryVersion, match=r"schema 99.*update"):
            Truth(truth_url, create=create)
