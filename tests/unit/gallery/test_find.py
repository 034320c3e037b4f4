"""Search: the candidates of float64 over a dictionary, whatever the index says, whoever writes meanwhile."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.gallery_twins import Brute, Twin, card, sample

from lineament.core.candidate import Candidate
from lineament.core.errors import InvalidArgument, SubjectNotFound, ThresholdMissing
from lineament.core.template import Template, Templates
from lineament.core.threshold import Threshold
from lineament.gallery import find
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.gallery import Gallery
from lineament.gallery.port import Hits, VectorIndex
from lineament.gallery.values import Settings

REPOSITORY = Path(__file__).resolve().parents[3]
TWIN = Twin()


def make(url: str, index: VectorIndex | None = None, **options: Any) -> Gallery:
    settings = options.pop("settings", Settings(review="off"))
    return Gallery.create(url, "staff", recognizer=TWIN, index=index or Brute(), settings=settings, **options)


@pytest.fixture
def g(truth_url: str) -> Iterator[Gallery]:
    with make(truth_url) as gallery:
        yield gallery


def best(
    people: dict[str, dict[int, np.ndarray]], probe: np.ndarray, floor: float, k: int
) -> list[tuple[str, int, float]]:
    """(subject, reference, cosine) of the k best subjects, by float64; of equal ones the older reference."""
    found: list[tuple[float, int, str]] = []
    for name, references in people.items():
        scores = [
            (-float(find.exact(probe, vector[None])[0]), number) for number, vector in references.items()
        ]
        if scores and -min(scores)[0] >= floor:
            found.append((*min(scores), name))
    return [(name, number, -score) for score, number, name in sorted(found)[:k]]


def plain(candidates: Any) -> list[tuple[str, int, float]]:
    assert [c.rank for c in candidates] == list(range(1, len(candidates) + 1))
    return [(c.subject, c.reference, c.similarity) for c in candidates]


def crowd(g: Gallery, subjects: int, per: int, clusters: int = 4) -> dict[str, dict[int, np.ndarray]]:
    """Subjects of `per` references near a few centres, so that many are alike."""
    people: dict[str, dict[int, np.ndarray]] = {}
    for i in range(subjects):
        name, pictures = f"s{i}", [f"c{i % clusters}/{i}.{j}".encode() for j in range(per)]
        done = g.enroll(name, pictures, metadata={"cluster": i % clusters})
        people[name] = {
            int(x.reference or 0): sample(p.decode(), 32) for x, p in zip(done.items, pictures, strict=True)
        }
    return people


@pytest.mark.parametrize("index", [Brute, GrowingIndex])
@pytest.mark.parametrize(("subjects", "per"), [(40, 1), (40, 7), (4, 60)])
def test_the_same_lists_as_float64_over_a_dictionary(
    truth_url: str, index: Any, subjects: int, per: int
) -> None:
    if index is GrowingIndex and truth_url.startswith("postgresql"):
        pytest.skip("once is enough")
    with make(truth_url, index(32)) as g:
        people = crowd(g, subjects, per)
        probes = [f"c{i % 4}/probe{i}" for i in range(6)] + ["stranger/1"]
        rows = Templates(np.stack([sample(p, 32) for p in probes]), np.ones(7, np.float32), TWIN.model)
        for floor, k in ((-1.0, 1), (-1.0, 5), (-1.0, 100), (0.9, 3), (0.9, 100), (0.99, 5)):
            together = g.identify_faces(rows, threshold=floor, k=k)
            for name, found in zip(probes, together, strict=True):
                expected = best(people, sample(name, 32), floor, k)
                assert plain(found.candidates) == expected
                assert found.complete and found.searched == subjects * per
                assert plain(g.identify(TWIN.template(name), threshold=floor, k=k)) == expected
        leads = g.investigate(TWIN.template("c1/probe"))
        assert plain(leads.candidates) == best(people, sample("c1/probe", 32), -1.0, 50)
        assert leads.threshold is None and all(c.lead for c in leads.candidates)


class TestTies:
    def test_the_oldest_reference_wins_however_many_are_equal(self, truth_url: str) -> None:
        class Backwards(Brute):
            """Of equal rows it proposes the newest, which it may."""

            def search(self, queries: np.ndarray, **options: Any) -> list[Hits]:
                k = options.pop("k")
                hits = super().search(queries, k=10**6, **options)
                cut: list[Hits] = []
                for hit in hits:
                    order = np.lexsort((-hit.ids, -np.round(hit.scores, 5)))[:k]
                    cut.append(Hits(hit.ids[order], hit.scores[order]))
                return cut

        with make(truth_url, Backwards()) as g:
            for i in range(40):
                g.enroll(f"twin{i}", [b"same/1", b"same/1 "[: 6 + i % 2]])
            found = g.identify(b"same/1", threshold=0.5, k=3)
            assert [c.subject for c in found] == ["twin0", "twin1", "twin2"]
            assert [c.reference for c in found] == sorted(c.reference for c in found)
            assert all(c.similarity == 1.0 for c in found)

    def test_exactly_at_the_threshold(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        score = float(find.exact(sample("anna/2", 32), sample("anna/1", 32)[None])[0])
        assert score == pytest.approx(TWIN.template("anna/1").similarity(TWIN.template("anna/2")), abs=1e-15)
        assert [c.similarity for c in g.identify(b"anna/2", threshold=score)] == [score]
        assert g.identify(b"anna/2", threshold=float(np.nextafter(score, 1))) == []

    def test_a_picture_and_itself(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        assert g.identify(b"anna/1", threshold=1.0)[0].similarity == 1.0


class TestManyReferences:
    def test_one_subject_does_not_crowd_out_the_others(self, truth_url: str) -> None:
        asked: list[int] = []

        class Counting(Brute):
            def search(self, queries: np.ndarray, **options: Any) -> list[Hits]:
                asked.append(options["k"])
                return super().search(queries, **options)

        with make(truth_url, Counting()) as g:
            g.enroll("anna", [f"anna/{i}".encode() for i in range(300)])
            g.enroll("bob", [b"bob/1"])
            found = g.investigate(b"anna/x", k=2)
            assert [c.subject for c in found.candidates] == ["anna", "bob"] and found.complete
            assert asked == [8, 32, 128, 512]

    def test_more_than_there_are(self, g: Gallery) -> None:
        people = crowd(g, 5, 2)
        found = g.investigate(b"c1/x", k=10_000)
        assert plain(found.candidates) == best(people, sample("c1/x", 32), -1.0, 10_000) and found.complete

    def test_an_empty_collection(self, g: Gallery) -> None:
        assert g.identify(b"anna/1") == []
        assert g.investigate(b"anna/1").candidates == ()
        assert g.size == 0


class TestWhere:
    VALUES: tuple[Any, ...] = (1, 1.0, True, "1", 0, False, "", None, 0.1, "true", "null", 2**40, -1.5, "Zoë")

    def test_kinds_are_told_apart(self, g: Gallery) -> None:
        for i, value in enumerate(self.VALUES):
            g.enroll(f"s{i}", f"p{i}/1".encode(), metadata={"v": value, "other": i})
        g.enroll("none", b"none/1")

        def found(value: Any) -> set[str]:
            return {c.subject for c in g.investigate(b"x/1", k=99, where={"v": value}).candidates}

        def kind(value: Any) -> tuple[Any, ...]:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return ("number", float(value)) if number else (type(value), value)

        for value in self.VALUES:
            expected = {f"s{i}" for i, v in enumerate(self.VALUES) if kind(v) == kind(value)}
            assert found(value) == expected | ({"none"} if value is None else set()), value
        assert found("s") == set() == found(7)

    def test_several_names_all_hold(self, g: Gallery) -> None:
        for i in range(12):
            g.enroll(f"s{i}", f"p{i}/1".encode(), metadata={"a": i % 2, "b-c": f"v{i % 3}"})
        found = g.investigate(b"p0/2", k=99, where={"a": 0, "b-c": "v0"})
        assert {c.subject for c in found.candidates} == {"s0", "s6"}
        assert found.candidates[0].subject == "s0"

    def test_it_follows_the_metadata(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1", metadata={"site": "north"})
        assert g.identify(b"anna/2", threshold=0.7, where={"site": "south"}) == []
        g.update("anna", metadata={"site": "south"})
        assert [c.subject for c in g.identify(b"anna/2", threshold=0.7, where={"site": "south"})] == ["anna"]
        assert g.identify(b"anna/2", threshold=0.7, where={"site": "north"}) == []

    @pytest.mark.parametrize("where", [{"a b": 1}, {"a": [1]}, {"a": float("nan")}, {"a'": 1}, {"a": "\0"}])
    def test_that_cannot_be(self, g: Gallery, where: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument):
            g.investigate(b"anna/1", where=where)

    def test_a_long_value_is_searched_for_and_logged_short(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1", metadata={"note": "x" * 5000})
        assert g.investigate(b"anna/2", where={"note": "x" * 5000}).candidates[0].subject == "anna"
        assert max(len(e.body) for e in g.audit.read()) < 1500

    def test_against_the_dictionary(self, g: Gallery) -> None:
        people = crowd(g, 24, 3)
        for cluster in range(5):
            there = {n: r for n, r in people.items() if int(n[1:]) % 4 == cluster}
            found = g.investigate(b"c2/x", k=9, where={"cluster": cluster})
            assert plain(found.candidates) == best(there, sample("c2/x", 32), -1.0, 9)


class TestStaleIndex:
    def test_what_was_deleted_is_never_returned(self, truth_url: str) -> None:
        class Forgetful(Brute):
            """Never deletes."""

            def delete(self, ids: np.ndarray, seq: int) -> None:
                super().delete(np.zeros(0, np.int64), seq)

        with make(truth_url, Forgetful()) as g:
            for i in range(60):
                g.enroll(f"s{i}", f"anna/{i}".encode())
            for i in range(55):
                g.remove(f"s{i}")
            found = g.investigate(b"anna/x", k=3).candidates
            assert len(found) == 3 and {c.subject for c in found} <= {f"s{i}" for i in range(55, 60)}
            g.merge("s55", "s56")
            g.remove("s57")
            assert {c.subject for c in g.investigate(b"anna/x", k=50).candidates} == {"s56", "s58", "s59"}

    def test_an_index_that_names_what_never_was(self, truth_url: str) -> None:
        class Inventive(Brute):
            def search(self, queries: np.ndarray, **options: Any) -> list[Hits]:
                hits = super().search(queries, **options)
                return [
                    Hits(np.r_[hit.ids, 999_999, 0], np.r_[hit.scores, np.float32(1), np.float32(1)])
                    for hit in hits
                ]

        with make(truth_url, Inventive()) as g:
            g.enroll("anna", b"anna/1")
            assert [c.subject for c in g.investigate(b"anna/2").candidates] == ["anna"]

    def test_references_of_another_collection_in_a_shared_index(self, truth_url: str) -> None:
        shared = Brute()
        with (
            make(truth_url, shared) as g,
            Gallery.create(truth_url, "guests", recognizer=TWIN, index=shared) as h,
        ):
            g.enroll("anna", b"anna/1")
            h.enroll("bob", b"anna/2")
            g.rebuild()
            h.follower._from_references()
            assert [c.subject for c in g.investigate(b"anna/2").candidates] == ["anna"]

    def test_merged_while_the_search_is_under_way(self, truth_url: str) -> None:
        """The index has proposed the old references, which are gone when the truth is asked, and the new ones
        are not in it: one person, enrolled all the time, must be found all the same."""

        class Slow(Brute):
            then: Any = None

            def search(self, queries: np.ndarray, **options: Any) -> list[Hits]:
                hits = super().search(queries, **options)
                then, self.then = self.then, None
                if then is not None:
                    then()
                return hits

        index = Slow()
        with (
            make(truth_url, index) as g,
            Gallery.open(truth_url, "staff", recognizer=TWIN, index=Brute()) as other,
        ):
            for where in (None, {"site": "north"}):
                g.enroll("anna", [b"anna/1"], metadata={"site": "north"})
                g.enroll("anne", [b"bob/1"], metadata={"site": "north"})
                index.then = lambda: other.merge("anna", "anne")
                found = g.identify(b"anna/2", threshold=0.7, where=where)
                assert [c.subject for c in found] == ["anne"]
                g.remove("anne")

    def test_rebuilt_between_the_look_at_the_outbox_and_the_search(self, sqlite_url: str) -> None:
        """The search falls into the moment in which the index is empty."""

        class Meeting(Brute):
            rebuild: Any = None
            searched = threading.Event()

            def upsert(self, ids: np.ndarray, vectors: np.ndarray, seq: int) -> None:
                if self.rebuild is not None:
                    assert self.searched.wait(20)
                super().upsert(ids, vectors, seq)

            def search(self, queries: np.ndarray, **options: Any) -> list[Hits]:
                if self.rebuild is not None and not self.searched.is_set():
                    self.rebuild.start()
                    while self.count():
                        time.sleep(0.001)
                    hits = super().search(queries, **options)
                    self.searched.set()
                    return hits
                return super().search(queries, **options)

        index = Meeting()
        with make(sqlite_url, index) as g:
            g.enroll("anna", b"anna/1")
            assert g.size == 1
            index.rebuild = threading.Thread(target=g.rebuild)
            assert [c.subject for c in g.identify(b"anna/2", threshold=0.7)] == ["anna"]
            index.rebuild.join()

    def test_rebuilt_while_others_search(self, sqlite_url: str) -> None:
        with make(sqlite_url) as g:
            crowd(g, 60, 2)
            stop, wrong = threading.Event(), list[Any]()

            def look() -> None:
                while not stop.is_set():
                    found = g.identify(TWIN.template("c1/1.0"), threshold=0.999)
                    if [c.subject for c in found] != ["s1"]:
                        wrong.append(found)

            threads = [threading.Thread(target=look) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(15):
                assert g.rebuild() == 120
            stop.set()
            for thread in threads:
                thread.join()
            assert wrong == []

    def test_a_filling_that_was_interrupted(self, truth_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from lineament.gallery import follow

        with make(truth_url) as g, Gallery.open(truth_url, "staff", recognizer=TWIN, index=Brute()) as late:
            crowd(g, 10, 1)
            monkeypatch.setattr(follow, "AT_ONCE", 4)
            real, calls = late.follower._unseal, [0]

            def fails(rows: Any) -> Any:
                calls[0] += 1
                if calls[0] == 2:
                    raise MemoryError
                return real(rows)

            late.follower._unseal = fails
            with pytest.raises(MemoryError):
                late.investigate(b"c1/x")
            assert late.follower.index.count() == 4
            g.remove("s0")
            assert len(late.investigate(b"c1/x", k=50).candidates) == 9
            assert late.size == 9


class TestNotThisPerson:
    def test_the_probe_and_what_is_like_it_finds_the_subject_no_more(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        g.enroll("carl", b"anna/2")
        probe = TWIN.template("anna/probe")
        assert {c.subject for c in g.identify(probe, threshold=0.7)} == {"anna", "carl"}
        g.not_this_person("anna", probe)
        assert [c.subject for c in g.identify(probe, threshold=0.7)] == ["carl"]
        near = Template(sample("anna/probe", 32), 3.0, TWIN.model)
        assert [c.subject for c in g.investigate(near, k=1).candidates] == ["carl"]
        assert "anna" in {c.subject for c in g.identify(b"anna/1", threshold=0.7)}, (
            "her own picture still does"
        )
        g.rename("anna", "anne")
        assert [c.subject for c in g.identify(probe, threshold=0.7)] == ["carl"]

    def test_it_is_kept_when_the_subject_is_merged(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        g.enroll("anne", b"anna/2")
        probe = TWIN.template("anna/probe")
        g.not_this_person("anna", probe)
        g.merge("anna", "anne")
        assert g.identify(probe, threshold=0.7) == []
        assert [c.subject for c in g.identify(b"anna/1", threshold=0.7)] == ["anne"]

    def test_it_goes_with_the_subject(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        probe = TWIN.template("anna/probe")
        g.not_this_person("anna", probe)
        g.remove("anna")
        g.enroll("anna", b"anna/1")
        assert [c.subject for c in g.identify(probe, threshold=0.7)] == ["anna"]
        with pytest.raises(SubjectNotFound):
            g.not_this_person("nobody", probe)

    def test_rejected_ones_do_not_use_up_places(self, g: Gallery) -> None:
        for i in range(12):
            g.enroll(f"s{i}", f"anna/{i}".encode())
        probe = TWIN.template("anna/probe")
        every = [c.subject for c in g.investigate(probe, k=12).candidates]
        for name in every[:8]:
            g.not_this_person(name, probe)
        assert [c.subject for c in g.investigate(probe, k=2).candidates] == every[8:10]


CHILD = """
import sys
from lineament.gallery.gallery import Gallery
from tests.gallery_twins import Brute, Twin
g = Gallery.open(sys.argv[1], "staff", recognizer=Twin(), index=Brute())
for line in sys.stdin:
    act, *words = line.split()
    if act == "find":
        print(*[c.subject for c in g.identify(words[0].encode(), threshold=0.7)], flush=True)
    elif act == "enroll":
        print(g.enroll(words[0], words[1].encode(), review="off").items[0].reference, flush=True)
    elif act == "remove":
        print(g.remove(words[0]), flush=True)
    elif act == "merge":
        print(g.merge(*words).references, flush=True)
g.close()
"""


class TestAnotherProcess:
    def test_the_next_search_finds_what_it_enrolled_and_not_what_it_removed(self, truth_url: str) -> None:
        with make(truth_url) as g:
            g.enroll("anna", b"anna/1")
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, truth_url], cwd=REPOSITORY, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip

            def there(words: str) -> str:
                assert child.stdin is not None and child.stdout is not None
                child.stdin.write(words + "\n")
                child.stdin.flush()
                return child.stdout.readline().strip()

            def here(probe: bytes) -> list[str]:
                return [c.subject for c in g.identify(probe, threshold=0.7)]

            try:
                assert there("find anna/2") == "anna"
                for i in range(5):
                    assert there(f"enroll bob{i} bob/{i}") == str(2 + 4 * i)
                    assert here(b"bob/x") == [f"bob{i}"]
                    g.enroll(f"carl{i}", f"carl/{i}".encode())
                    assert there("find carl/x") == f"carl{i}"
                    assert there(f"remove bob{i}") == "1"
                    assert here(b"bob/x") == []
                    g.remove(f"carl{i}")
                    assert there("find carl/x") == ""
                assert there("enroll dora dora/1") == "22"
                assert there("merge dora anna") == "2"
                assert here(b"dora/2") == ["anna"]
                assert g.size == 2
            finally:
                child.communicate()


class TestGroup:
    def test_one_to_one(self, g: Gallery) -> None:
        g.enroll("anna", [b"anna/1", b"anna/2"])
        g.enroll("bob", b"bob/1")
        both = g.identify_group(b"anna/7+anna/8+bob/9+stranger/1", threshold=0.7)
        firsts = [a.candidates[0].subject if a.candidates else None for a in both]
        assert sorted(f for f in firsts if f) == ["anna", "bob"] and firsts[2:] == ["bob", None]
        loser = next(a for a, f in zip(both[:2], firsts, strict=False) if f is None)
        assert [r.code for r in loser.reasons] == ["assigned_elsewhere"]
        free = g.identify_group(b"anna/7+anna/8+bob/9+stranger/1", threshold=0.7, one_to_one=False)
        assert [a.candidates[0].subject if a.candidates else None for a in free] == [
            "anna",
            "anna",
            "bob",
            None,
        ]

    def test_one_face_keeps_its_other_candidates(self, g: Gallery) -> None:
        for name in ("anna", "anne", "hannah"):
            g.enroll(name, f"anna/{name}".encode())
        (one,) = g.identify_group(b"anna/x", threshold=0.7)
        assert list(one.candidates) == g.identify(b"anna/x", threshold=0.7)
        assert len(one.candidates) == 3 and one.reasons == ()

    def test_the_largest_sum(self) -> None:
        from itertools import permutations

        from lineament.gallery.assign import assigned
        from lineament.gallery.values import Found

        rng = np.random.default_rng(3)
        for _ in range(60):
            scores = rng.uniform(0.5, 1, (3, 4))
            answers = [
                Found(
                    tuple(
                        Candidate(f"s{j}", float(row[j]), r, 1, "c")
                        for r, j in enumerate(np.argsort(-row), 1)
                    ),
                    None,
                )
                for row in scores
            ]
            made = assigned(answers)
            firsts = [int(a.candidates[0].subject[1:]) for a in made]
            assert len(set(firsts)) == 3
            most = max(sum(scores[i, j] for i, j in enumerate(p)) for p in permutations(range(4), 3))
            assert sum(scores[i, j] for i, j in enumerate(firsts)) == pytest.approx(most)
            assert all([c.rank for c in a.candidates] == list(range(1, len(a.candidates) + 1)) for a in made)

    def test_no_face(self, g: Gallery) -> None:
        assert g.identify_group(b"nobody") == []


class TestOperatingPoint:
    def test_the_threshold_follows_the_size(self, g: Gallery) -> None:
        for i in range(9):
            g.enroll(f"s{i}", f"s{i}/1".encode())
        assert g.threshold(1e-3).value == 0.6 and g.threshold(1e-3).gallery_size == 9
        g.enroll("more", [f"more/{i}".encode() for i in range(10)])
        assert g.threshold(1e-3).value == 0.75
        with pytest.raises(ThresholdMissing):
            g.identify(b"s1/2", fpir=1e-5)
        measured: Threshold = card(TWIN.model, 0.1, None, fpir=1e-5, gallery_size=50)
        assert g.identify(b"s1/2", threshold=measured)[0].subject == "s1"

    def test_verify_and_search_subject(self, g: Gallery) -> None:
        g.enroll("anna", [b"anna/1", b"anna/2"])
        g.enroll("hannah", b"anna/3")
        g.enroll("bob", b"bob/1")
        (same,) = g.verify(b"anna/9", "anna").candidates
        scores = [TWIN.template("anna/9").similarity(TWIN.template(f"anna/{i}")) for i in (1, 2)]
        assert same.similarity == pytest.approx(max(scores), abs=1e-15) and same.reference == 1 + int(
            np.argmax(scores)
        )
        assert g.verify(b"bob/9", "anna").candidates == ()
        assert [c.subject for c in g.search_subject("anna", threshold=0.7).candidates] == ["hannah"]
        with pytest.raises(SubjectNotFound):
            g.search_subject("nobody")

    def test_pictures_that_cannot_be_searched_for(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        found = g.identify_faces([b"nobody", b"anna/2", b"", b"anna/3+bob/1", b"bob/1"], threshold=0.7)
        assert [[c.subject for c in f.candidates] for f in found] == [[], ["anna"], [], [], []]
        assert [[r.code for r in f.reasons] for f in found] == [
            ["no_face"], [], ["image_empty"], ["multiple_faces"], [],
        ]  # fmt: skip
        with pytest.raises(InvalidArgument, match="no face"):
            g.identify(b"nobody")
        with pytest.raises(InvalidArgument, match="k is 1"):
            g.identify(b"anna/2", threshold=0.7, k=0)


@pytest.mark.real
class TestPhotographs:
    """The default pack, real faces."""

    def test_one_portrait(self, sqlite_url: str, astronaut: np.ndarray, shared: Path) -> None:
        from PIL import Image

        import lineament as ln

        portrait = Image.fromarray(astronaut)
        others = sorted((shared / "fixtures" / "images" / "cc0").glob("*.jpg"))[:6]
        with Gallery.create(
            sqlite_url, "real", recognizer=ln.Recognizer(), settings=Settings(keep_crops=True)
        ) as g:
            done = [g.enroll(f"p{i}", path) for i, path in enumerate([portrait, *others])]
            assert all(d.items[0].status in ("enrolled", "rejected") for d in done) and done[0].complete
            turned = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            (found, *more) = g.identify(turned, fpir=1e-2)
            assert found.subject == "p0" and found.similarity > 0.6 and more == []
            assert [i.status for i in g.enroll("p0", portrait).items] == ["already_enrolled"]
            assert g.enroll("twin", turned).items[0].candidate is not None
            g.remove("p0")
            g.remove("twin")
            assert g.identify(turned, fpir=1e-2) == []
            assert g.audit.check().ok
