"""The database: made, opened, migrated; and every way in which it can be in no state to be used."""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, insert, select, update
from tests.gallery_twins import Brute, Twin, direction, sample

from lineament.core.errors import (
    CollectionExists,
    CollectionNotFound,
    GalleryBroken,
    GalleryError,
    GalleryLocked,
    InvalidArgument,
    LineamentError,
    OutputFailed,
    TemplateMismatch,
)
from lineament.gallery import collections, migrations, schema, truth
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.gallery import Gallery
from lineament.gallery.truth import Truth, take
from lineament.gallery.values import Settings

REPOSITORY = Path(__file__).resolve().parents[3]
WHO = Actor("tester", "tests")


def make(url: str, name: str = "staff", **options: object) -> Gallery:
    return Gallery.create(url, name, recognizer=Twin(), index=Brute(), actor=WHO, **options)


def reopen(url: str, name: str = "staff") -> Gallery:
    return Gallery.open(url, name, recognizer=Twin(), index=Brute(), actor=WHO)


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def in_child(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """Another process, with the same modules."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


class TestCollections:
    def test_made_opened_listed_and_dropped(self, truth_url: str) -> None:
        settings = Settings(review="strict", keep_crops=True, retain_days=30, fpir=0.01)
        with (
            make(truth_url, settings=settings) as staff,
            make(truth_url, "guests", kind="watchlist") as guests,
        ):
            assert (staff.collection.kind, guests.collection.kind) == ("gallery", "watchlist")
            guests.enroll("anna", b"anna/1")
        with reopen(truth_url) as staff:
            here = staff.collection
            assert here.settings == settings
            assert (here.model, here.dimension, here.sealed) == (Twin().model, 32, False)
        with Truth(truth_url) as store:
            audit = Audit(store, None)
            with store.read() as connection:
                rows = [(c.name, people, samples) for c, people, samples in collections.listed(connection)]
            assert rows == [("guests", 1, 1), ("staff", 0, 0)]
            with pytest.raises(InvalidArgument, match="holds 1 subjects"):
                collections.drop(store, audit, WHO, "guests")
            assert collections.drop(store, audit, WHO, "staff").name == "staff"
            with store.read() as connection, pytest.raises(CollectionNotFound, match="there are guests"):
                collections.row_of(connection, "staff")
            assert audit.check().ok

    def test_a_name_is_taken_once_and_free_again_after_the_drop(self, truth_url: str) -> None:
        with make(truth_url) as first:
            with pytest.raises(CollectionExists):
                make(truth_url)
            number = first.collection.id
        with Truth(truth_url) as store:
            collections.drop(store, Audit(store, None), WHO, "staff")
        with make(truth_url) as second:
            assert second.collection.id > number, "numbers are never used again"

    @pytest.mark.parametrize(
        "name", ["", " staff", "a/b", "x" * 201, "a\nb", "a\0b", "-a", "'; drop table--"]
    )
    def test_a_name_that_cannot_be(self, sqlite_url: str, name: str) -> None:
        with pytest.raises(InvalidArgument, match="cannot be the name"):
            make(sqlite_url, name)

    @pytest.mark.parametrize("name", ["Zoë", "顧客", "a.b-c_d@e+f", "x" * 200, "two words"])
    def test_a_name_that_can(self, truth_url: str, name: str) -> None:
        with make(truth_url, name), reopen(truth_url, name) as again:
            assert again.collection.name == name

    @pytest.mark.parametrize(
        "settings",
        [
            Settings(review_fmr=0.0), Settings(fpir=1.0), Settings(review_fmr=float("nan")),
            Settings(retain_days=-1), Settings(transform=True),
        ],
    )  # fmt: skip
    def test_settings_that_cannot_be(self, sqlite_url: str, settings: Settings) -> None:
        with pytest.raises(InvalidArgument):
            make(sqlite_url, settings=settings)

    def test_another_models_recognizer(self, truth_url: str) -> None:
        make(truth_url).close()
        with pytest.raises(TemplateMismatch):
            Gallery.open(truth_url, "staff", recognizer=Twin(name="other"), index=Brute())

    def test_a_collection_dropped_by_another_process(self, truth_url: str) -> None:
        with make(truth_url) as g:
            g.enroll("anna", b"anna/1")
            g.remove("anna")
            with Truth(truth_url) as store:
                collections.drop(store, Audit(store, None), WHO, "staff")
            assert g.identify(b"anna/1", threshold=0.5) == []
            with pytest.raises(GalleryError):
                g.enroll("anna", b"anna/1")
            with g.truth.read() as connection:
                for table in (schema.subject, schema.reference, schema.outbox):
                    assert connection.execute(select(func.count()).select_from(table)).scalar() == 0


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "", "   ", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://people.db",
            "sqlite:people.db", "postgresql:host/people",
            "mysql://u:hunter2@h/d", "postgres://u:hunter2@h/d", "://", "x://[::1",
            "postgresql://host:hunter2/people", "postgresql+psycopg://u:p@h:port/d", "oracle+x://u:hunter2@h/d",
        ],
    )  # fmt: skip
    def test_that_cannot_be_one(self, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InvalidArgument) as caught:
            Truth(url, create=True)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
        assert list(tmp_path.iterdir()) == [], "no file of an odd name is made"

    def test_a_path_is_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Truth("people.db", create=True).close()
        Truth("sqlite:///people.db").close()
        Truth(str(tmp_path / "people.db")).close()
        assert (tmp_path / "people.db").stat().st_mode & 0o777 == 0o600

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="make one"):
            Truth(f"sqlite:///{tmp_path / 'none.db'}")
        assert not (tmp_path / "none.db").exists()
        with pytest.raises(InvalidArgument, match="folder"):
            Truth(f"sqlite:///{tmp_path}", create=True)
        with pytest.raises(OutputFailed, match="cannot make"):
            Truth(f"sqlite:///{tmp_path / 'no' / 'such' / 'people.db'}", create=True)

    def test_an_empty_database(self, truth_url: str) -> None:
        if truth_url.startswith("sqlite"):
            file_of(truth_url).touch()
        with pytest.raises(InvalidArgument, match="holds no gallery"):
            Truth(truth_url)

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql+psycopg://anna:hunter2@127.0.0.1:1/people",
            "postgresql://anna@127.0.0.1:1/people?password=hunter2",
            "postgresql+psycopg://127.0.0.1:1/people?user=anna&password=hunter2&connect_timeout=2",
        ],
    )
    def test_no_server_and_no_password_in_the_message(self, url: str) -> None:
        with pytest.raises(GalleryError, match=r"127\.0\.0\.1") as caught:
            Truth(url)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    def test_no_such_database_on_the_server(self, postgres_server: object) -> None:
        url = str(postgres_server.new_database()) + "_not"  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(GalleryError, match="does not exist"):
            Truth(url, create=True)


class TestTransactions:
    def test_what_raises_leaves_nothing(self, truth_url: str) -> None:
        with make(truth_url) as g:
            with pytest.raises(ZeroDivisionError), g.truth.write() as connection:
                take(connection, "seq", 10)
                raise ZeroDivisionError
            with g.truth.read() as connection:
                assert connection.execute(select(schema.counter.c.value)).scalars().all()[0] >= 0
                assert truth.current(connection, "seq") == 0

    def test_a_reader_sees_one_state(self, truth_url: str) -> None:
        with make(truth_url) as g:
            g.enroll("anna", b"anna/1")
            count = select(func.count()).select_from(schema.reference)
            with g.truth.read() as connection:
                assert connection.execute(count).scalar() == 1
                g.enroll("bob", b"bob/1")
                assert connection.execute(count).scalar() == 1
            with g.truth.read() as connection:
                assert connection.execute(count).scalar() == 2

    def test_a_writer_that_waits_too_long(self, truth_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(truth, "WAIT", 0.3)
        with make(truth_url) as g, Truth(truth_url) as other, other.write() as connection:
            take(connection, "seq", 0)
            with pytest.raises(GalleryLocked, match="others have been writing"):
                g.enroll("anna", b"anna/1")
            assert g.subjects() == [], "readers do not wait"

    def test_two_processes_make_one_store_at_the_same_time(self, truth_url: str) -> None:
        code = (
            "import sys\n"
            "from lineament.gallery.gallery import Gallery\n"
            "from tests.gallery_twins import Brute, Twin\n"
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            "g = Gallery.create(sys.argv[1], sys.argv[2], recognizer=Twin(), index=Brute())\n"
            "print(g.enroll(sys.argv[2], sys.argv[2].encode()).items[0].status)\n"
        )
        children = [in_child(code, truth_url, name) for name in ("anna", "bob", "carl")]
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        said = [child.communicate(timeout=120) for child in children]
        assert [out.strip() for out, _ in said] == ["enrolled"] * 3, "".join(err[-800:] for _, err in said)
        with Truth(truth_url) as store:
            with store.read() as connection:
                assert len(collections.listed(connection)) == 3
                assert connection.execute(select(schema.audit.c.seq)).scalars().all() == list(range(1, 7))
            assert Audit(store, None).check().ok

    def test_many_threads_make_one_store_at_the_same_time(self, truth_url: str) -> None:
        from concurrent.futures import ThreadPoolExecutor

        def one(_: int) -> int:
            with Truth(truth_url, create=True) as store, store.read() as connection:
                return migrations.present_version(connection)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(one, range(16))) == [migrations.PRESENT] * 16


class TestSequence:
    """Numbers come in the order of commits, so that who has seen one has seen all before it."""

    def test_the_second_writer_waits_for_the_first(self, truth_url: str) -> None:
        if truth_url.startswith("sqlite"):
            pytest.skip("SQLite has one writer by its own rules")
        Truth(truth_url, create=True).close()
        # Past `Truth.write`, which would let only one in: the counter alone must keep the order.
        with Truth(truth_url) as store, store.engine.connect() as first, store.engine.connect() as second:
            seven = take(first, "seq", 1)
            second.exec_driver_sql("SET lock_timeout = '300ms'")
            second.commit()
            with pytest.raises(GalleryLocked), truth.named_errors("here"):
                take(second, "seq", 1)
            second.rollback()
            first.commit()
            assert take(second, "seq", 1) == seven + 1
            second.rollback()

    def test_a_follower_misses_no_writer_that_commits_late(self, truth_url: str) -> None:
        if truth_url.startswith("sqlite"):
            pytest.skip("SQLite has one writer by its own rules")
        code = (
            "import sys\n"
            "from lineament.gallery import enrol\n"
            "from lineament.gallery.gallery import Gallery\n"
            "from tests.gallery_twins import Brute, Twin\n"
            "real = enrol.Audit.append\n"
            "def slow(self, *a, **k):\n"
            "    print('numbered', flush=True)\n"
            "    sys.stdin.readline()\n"
            "    return real(self, *a, **k)\n"
            "enrol.Audit.append = slow\n"
            "g = Gallery.open(sys.argv[1], 'staff', recognizer=Twin(), index=Brute())\n"
            "g.enroll('anna', b'anna/1', review='off')\n"
            "print('committed', flush=True)\n"
        )
        make(truth_url).close()
        child = in_child(code, truth_url)
        try:
            assert child.stdout is not None and child.stdin is not None
            assert child.stdout.readline().strip() == "numbered", "anna has her number, and has not committed"
            from threading import Thread

            with reopen(truth_url) as g:

                def bob() -> None:
                    with reopen(truth_url) as other:
                        other.enroll("bob", b"bob/1", review="off")

                later = Thread(target=bob)
                later.start()
                later.join(0.5)
                # Here a sequence of PostgreSQL would let bob commit with a larger number than anna's.
                g.follower.catch_up()
                assert later.is_alive() or g.follower.index.count() == 1
                child.stdin.write("\n")
                child.stdin.flush()
                assert child.stdout.readline().strip() == "committed"
                later.join(30)
                assert g.size == 2
                found = [g.identify(p, threshold=0.7)[0].subject for p in (b"anna/2", b"bob/2")]
                assert found == ["anna", "bob"]
        finally:
            child.communicate("\n", timeout=60)


WRITER = """
import resource, signal, sys
from lineament.core.errors import OutputFailed
from lineament.gallery.gallery import Gallery
from tests.gallery_twins import Brute, Twin
g = Gallery.open(sys.argv[1], "staff", recognizer=Twin(), index=Brute())
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
done = 0
try:
    for i in range(400):
        g.enroll(f"p{i}", [f"p{i}/{j}".encode() for j in range(4)], review="off")
        done = i + 1
except OutputFailed as error:
    print(done, "OutputFailed", error)
"""


class TestDisk:
    def check(self, url: str, acknowledged: int) -> None:
        with reopen(url) as g:
            people = g.subjects(limit=1000)
            names = {p.id for p in people}
            assert names >= {f"p{i}" for i in range(acknowledged)}
            assert len(names) <= acknowledged + 1
            assert all(p.references == 4 for p in people), "half a request is there"
            assert g.size == 4 * len(people)
            assert g.audit.check().ok
            g.enroll("later", b"later/1")

    def test_a_limit_of_the_file_size(self, sqlite_url: str) -> None:
        make(sqlite_url).close()
        out, err = in_child(WRITER, sqlite_url, "600000").communicate(timeout=120)
        assert "OutputFailed" in out, out + err[-2000:]
        assert "make room" in out
        assert "\\x" not in out, "no template in the message"
        self.check(sqlite_url, int(out.split()[0]))

    def test_a_full_disk(self, tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.mkdir()
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("needs the right to mount")
        options = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(small)]
        if subprocess.run(options, check=False, capture_output=True).returncode != 0:
            pytest.skip("needs the right to mount")
        try:
            url = f"sqlite:///{small / 'people.db'}"
            make(url).close()
            out, err = in_child(WRITER, url).communicate(timeout=120)
            assert "OutputFailed" in out, out + err[-2000:]
            copy = tmp_path / "copy"
            shutil.copytree(small, copy)
        finally:
            subprocess.run(["umount", str(small)], check=True)
        self.check(f"sqlite:///{copy / 'people.db'}", int(out.split()[0]))

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users as POSIX has them")
    def test_a_file_that_may_only_be_read(self, sqlite_url: str) -> None:
        with make(sqlite_url) as g:
            g.enroll("anna", b"anna/1")
        file = file_of(sqlite_url)
        file.chmod(0o444)
        file.parent.chmod(0o555)
        code = (
            "import os, sqlite3, sys\n"
            "from lineament.core.errors import OutputFailed\n"
            "from lineament.gallery.gallery import Gallery\n"
            "from tests.gallery_twins import Brute, Twin\n"
            "if os.geteuid() == 0:\n"
            "    os.setgid(65534); os.setuid(65534)\n"
            "try:\n"
            "    g = Gallery.open(sys.argv[1], 'staff', recognizer=Twin(), index=Brute())\n"
            "    g.enroll('bob', b'bob/1')\n"
            "except OutputFailed as error:\n"
            "    print('OutputFailed', error)\n"
        )
        try:
            for folder in file.parents:
                if os.geteuid() == 0 and folder.stat().st_mode & 0o005 != 0o005 and folder.owner() == "root":
                    if "pytest" not in str(folder):
                        pytest.skip("another user cannot reach the folder of temporary files")
                    folder.chmod(0o755 if folder != file.parent else 0o555)
            out, err = in_child(code, sqlite_url).communicate(timeout=60)
        finally:
            file.parent.chmod(0o755)
        assert out.startswith("OutputFailed"), out + err[-2000:]
        assert "give them the right" in out
        with reopen(sqlite_url) as g:
            assert [s.id for s in g.subjects()] == ["anna"]


class TestDamage:
    def filled(self, url: str) -> Path:
        with make(url, settings=Settings(review="off")) as g:
            for i in range(30):
                g.enroll(
                    f"person-{i}", [f"p{i}/1".encode(), f"p{i}/2".encode()], metadata={"site": f"s{i % 3}"}
                )
        file = file_of(url)
        with sqlite3.connect(file) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.close()
        return file

    def test_a_page_of_a_table(self, sqlite_url: str) -> None:
        file = self.filled(sqlite_url)
        with sqlite3.connect(file) as raw:
            (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'reference'").fetchone()
            (size,) = raw.execute("PRAGMA page_size").fetchone()
        raw.close()
        data = bytearray(file.read_bytes())
        data[(page - 1) * size : (page - 1) * size + 64] = bytes(
            b ^ 0xFF for b in data[(page - 1) * size :][:64]
        )
        file.write_bytes(data)
        with reopen(sqlite_url) as g:
            for what in (lambda: g.identify(b"p1/3", threshold=0.7), lambda: g.rebuild()):
                with pytest.raises(GalleryBroken, match="restore a backup"):
                    what()

    def test_a_file_that_is_something_else(self, sqlite_url: str) -> None:
        file_of(sqlite_url).write_bytes(b"not a database, but 4096 bytes of something else" * 100)
        for create in (False, True):
            with pytest.raises(GalleryBroken):
                Truth(sqlite_url, create=create)

    def test_a_file_cut_short(self, sqlite_url: str) -> None:
        file = self.filled(sqlite_url)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(GalleryBroken), reopen(sqlite_url) as g:
            g.rebuild()
            g.audit.check()

    @pytest.mark.parametrize(
        ("table", "column", "value", "said"),
        [
            ("reference", "vector", b"\x00" * 133, "template:1"),
            ("reference", "vector", b"", "template:1"),
            ("subject", "metadata", "{not json", "JSON"),
            ("subject", "metadata", b"\xff\xfe{", "damaged"),
            ("subject", "external_id", b"\xff\xfe\xfd", ""),
            ("collection", "settings", "[1]", "settings"),
            ("collection", "settings", '{"review"', "JSON"),
        ],
    )
    def test_a_value_of_a_row(
        self, sqlite_url: str, table: str, column: str, value: object, said: str
    ) -> None:
        file = self.filled(sqlite_url)
        with sqlite3.connect(file) as raw:
            kind = "BLOB" if column == "vector" else "TEXT"
            first = f"SELECT MIN(id) FROM {table}"  # noqa: S608 - names from above
            change = f"UPDATE {table} SET {column} = CAST(? AS {kind}) WHERE id = ({first})"  # noqa: S608 - as above
            raw.execute(change, [value])
        raw.close()
        with pytest.raises(GalleryBroken) as caught, reopen(sqlite_url) as g:
            g.subjects()
            g.rebuild()
        assert said in str(caught.value)

    def test_bytes_flipped_anywhere_never_raise_what_has_no_name(
        self, sqlite_url: str, tmp_path: Path
    ) -> None:
        file = self.filled(sqlite_url)
        whole, outcomes = file.read_bytes(), dict[str, int]()
        rng = random.Random(5)  # noqa: S311 - the same bytes in each run
        right = {f"person-{i}" for i in range(30)}
        for _ in range(50):
            for leftover in tmp_path.glob("people.db-*"):
                leftover.unlink()
            data = bytearray(whole)
            for _ in range(rng.choice((1, 1, 8))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            try:
                with reopen(sqlite_url) as g:
                    found = {c.subject for i in (0, 15) for c in g.investigate(b"p%d/3" % i, k=1).candidates}
                    g.subjects(limit=50)
                    outcome = "right" if found <= right else "wrong"
                    outcome = outcome if g.audit.check().ok else "audit"
            except LineamentError as error:
                outcome = type(error).__name__
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert outcomes.get("GalleryBroken", 0) > 3
        assert outcomes.get("wrong", 0) <= 6, outcomes

    def test_no_template_in_a_message(self, truth_url: str) -> None:
        with make(truth_url) as g:
            g.enroll("anna", b"anna/1")
            vector = sample("anna/1", 32)
            with pytest.raises(GalleryError) as caught, g.truth.write() as connection:
                row = connection.execute(select(schema.reference)).one()
                connection.execute(insert(schema.reference).values(**row._mapping))
            text = "".join(traceback.format_exception(caught.value))
            assert vector.tobytes()[:8].hex() not in text and repr(vector.tobytes()[:8])[2:-1] not in text
            assert not re.search(r"\\x[0-9a-f]{2}\\x", text)


class TestClock:
    def test_it_goes_backwards(self, truth_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        import datetime as real

        from lineament.gallery import clock

        class Yesterday(real.datetime):
            @classmethod
            def now(cls, tz: real.tzinfo | None = None) -> "real.datetime":
                return real.datetime.now(tz) - real.timedelta(days=400)

        with make(truth_url, settings=Settings(retain_days=10)) as g:
            g.enroll("anna", b"anna/1")
            with monkeypatch.context() as back:
                back.setattr(clock, "datetime", type("d", (), {"datetime": Yesterday, "UTC": real.UTC}))
                g.enroll("bob", b"bob/1")
                g.rename("anna", "anne")
                assert [c.subject for c in g.identify(b"bob/2", threshold=0.7)] == ["bob"]
                assert g.remove("bob") == 1
            g.enroll("carl", b"carl/1")
            assert [c.subject for c in g.identify(b"anna/2", threshold=0.7)] == ["anne"]
            assert g.identify(b"bob/2", threshold=0.7) == []
            checked = g.audit.check()
            assert checked.ok, checked.problems
            assert any("clock_went_back" in remark for remark in checked.remarks)
            assert g.rebuild() == 2
            updated = (
                update(schema.counter)
                .where(schema.counter.c.name == "seq")
                .values(value=schema.counter.c.value)
            )
            with g.truth.write() as connection:
                connection.execute(updated)
                assert truth.current(connection, "seq") == 4, "numbers do not follow the clock"


def test_the_twin_is_what_its_notes_say() -> None:
    same = [float(sample(f"a{i}/1", 32) @ sample(f"a{i}/2", 32)) for i in range(200)]
    other = [float(direction(f"a{i}", 32) @ direction(f"b{i}", 32)) for i in range(200)]
    assert 0.85 < np.mean(same) < 0.95 and max(other) < 0.75
