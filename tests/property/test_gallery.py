"""A gallery against a plain dictionary: 10,000 random acts, and not one disagreement.

Both are told the same: enrol, remove, rename, merge, reject, change. Every search must give the very same
subjects, references and similarities, through an index that is rebuilt, swapped and reopened at random
moments, and through a second opened gallery that only follows.
"""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.gallery_twins import Brute, Twin, sample

from lineament.core.errors import SubjectExists, SubjectNotFound
from lineament.core.template import Templates
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.find import exact
from lineament.gallery.gallery import Gallery
from lineament.gallery.values import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
TWIN = Twin(16)
NAMES = [f"n{i}" for i in range(30)]
PICTURES = [f"c{i % 6}/{i}" for i in range(150)]
VECTORS = {name: sample(name, 16) for name in PICTURES}


@dataclass
class Person:
    """What the dictionary knows of a subject."""

    references: dict[int, str] = field(default_factory=dict[int, str])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    rejected: list[str] = field(default_factory=list[str])


class Model:
    """The dictionary, and the number that the next reference gets."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.seq = 0

    def enroll(self, name: str, pictures: list[str], metadata: dict[str, Any]) -> list[tuple[str, int]]:
        person = self.people.setdefault(name, Person())
        person.metadata.update(metadata)
        known, said = {p: i for i, p in person.references.items()}, list[tuple[str, int]]()
        for picture in pictures:
            status = "already_enrolled" if picture in known else "enrolled"
            if status == "enrolled":
                self.seq += 1
                known[picture] = self.seq
                person.references[self.seq] = picture
            said.append((status, known[picture]))
        return said

    def drop(self, name: str) -> int:
        gone = len(self.people.pop(name).references)
        self.seq += gone
        return gone

    def merge(self, name: str, into: str) -> int:
        source, target = self.people[name], self.people[into]
        have = set(target.references.values())
        for picture in [p for _, p in sorted(source.references.items()) if p not in have]:
            self.seq += 1
            target.references[self.seq] = picture
        target.rejected += source.rejected
        self.drop(name)
        return len(target.references)

    def search(
        self, probe: str, floor: float, k: int, where: dict[str, Any] | None
    ) -> list[tuple[str, int, float]]:
        found: list[tuple[float, int, str]] = []
        for name, person in self.people.items():
            if where and any(person.metadata.get(key) != value for key, value in where.items()):
                continue
            if not person.references:
                continue
            scores = exact(VECTORS[probe], np.stack([VECTORS[p] for p in person.references.values()]))
            best = min(zip((-scores).tolist(), person.references, strict=True))
            rejected = [float(exact(VECTORS[probe], VECTORS[p][None])[0]) for p in person.rejected]
            if -best[0] >= floor and not any(score > -best[0] for score in rejected):
                found.append((*best, name))
        return [(name, reference, -score) for score, reference, name in sorted(found)[:k]]


class Play:
    """One run: a gallery, a second one that follows, the dictionary, and the dice."""

    def __init__(self, url: str, seed: int) -> None:
        self.url, self.model = url, Model()
        self.dice = random.Random(seed)  # noqa: S311 - the same play in each run
        settings = Settings(review="off")
        self.first = Gallery.create(url, "c", recognizer=TWIN, index=Brute(16), settings=settings)
        self.second = Gallery.open(url, "c", recognizer=TWIN, index=GrowingIndex(16))
        self.searches = 0

    def close(self) -> None:
        self.first.close()
        self.second.close()

    def any_of(self, names: list[str]) -> str:
        return self.dice.choice(names)

    def someone(self) -> str:
        """Mostly somebody who is there."""
        there = list(self.model.people)
        return self.any_of(there) if there and self.dice.random() < 0.9 else self.any_of(NAMES)

    def enroll(self) -> None:
        name, pictures = self.any_of(NAMES), self.dice.choices(PICTURES, k=self.dice.randint(1, 3))
        metadata = {"site": self.dice.randint(0, 2)} if self.dice.random() < 0.5 else {}
        done = self.first.enroll(name, [p.encode() for p in pictures], metadata=metadata)
        assert [(i.status, i.reference) for i in done.items] == self.model.enroll(name, pictures, metadata)

    def remove(self) -> None:
        name = self.someone()
        if name in self.model.people:
            assert self.first.remove(name) == self.model.drop(name)
        else:
            with pytest.raises(SubjectNotFound):
                self.first.remove(name)

    def remove_one(self) -> None:
        name = self.someone()
        references = list(self.model.people[name].references) if name in self.model.people else []
        reference = self.dice.choice(references) if references and self.dice.random() < 0.9 else 0
        if reference:
            assert self.first.remove(name, reference) == 1
            del self.model.people[name].references[reference]
            self.model.seq += 1
        else:
            with pytest.raises(SubjectNotFound):
                self.first.remove(name, reference)

    def rename(self) -> None:
        name, to = self.someone(), self.any_of(NAMES)
        if name not in self.model.people:
            with pytest.raises(SubjectNotFound):
                self.first.rename(name, to)
        elif to in self.model.people and to != name:
            with pytest.raises(SubjectExists):
                self.first.rename(name, to)
        else:
            assert self.first.rename(name, to).id == to
            self.model.people[to] = self.model.people.pop(name)

    def merge(self) -> None:
        name, into = self.someone(), self.someone()
        if name == into:
            return
        if name in self.model.people and into in self.model.people:
            assert self.first.merge(name, into).references == self.model.merge(name, into)
        else:
            with pytest.raises(SubjectNotFound):
                self.first.merge(name, into)

    def reject(self) -> None:
        name, probe = self.someone(), self.any_of(PICTURES)
        if name in self.model.people and len(self.model.people[name].rejected) < 3:
            self.first.not_this_person(name, TWIN.template(probe))
            self.model.people[name].rejected.append(probe)

    def change(self) -> None:
        name, site = self.someone(), self.dice.randint(0, 2)
        if name in self.model.people:
            assert self.first.update(name, metadata={"site": site}).metadata == {"site": site}
            self.model.people[name].metadata["site"] = site

    def search(self) -> None:
        g = self.first if self.dice.random() < 0.5 else self.second
        probes = self.dice.choices(PICTURES, k=4)
        floor, k = self.dice.choice((-1.0, 0.5, 0.9, 0.99)), self.dice.choice((1, 3, 50))
        where = {"site": self.dice.randint(0, 2)} if self.dice.random() < 0.3 else None
        rows = Templates(np.stack([VECTORS[p] for p in probes]), np.ones(4, np.float32), TWIN.model)
        for probe, found in zip(
            probes, g.identify_faces(rows, threshold=floor, k=k, where=where), strict=True
        ):
            got = [(c.subject, c.reference, c.similarity) for c in found.candidates]
            assert got == self.model.search(probe, floor, k, where)
            assert found.complete
        self.searches += 1

    def look(self) -> None:
        there = self.second.subjects(limit=100)
        assert [(s.id, s.references) for s in there] == [
            (name, len(person.references)) for name, person in sorted(self.model.people.items())
        ]
        assert self.second.size == sum(len(p.references) for p in self.model.people.values())

    def rebuild(self) -> None:
        g = self.first if self.dice.random() < 0.5 else self.second
        assert g.rebuild() == sum(len(p.references) for p in self.model.people.values())

    def reopen(self) -> None:
        self.second.close()
        self.second = Gallery.open(self.url, "c", recognizer=TWIN, index=Brute(16))

    def swap(self) -> None:
        """What wrote now follows, and the other way round."""
        self.first, self.second = self.second, self.first

    def run(self, steps: int) -> None:
        acts: list[tuple[Callable[[], None], int]] = [
            (self.enroll, 30), (self.search, 34), (self.remove, 9), (self.remove_one, 7), (self.rename, 5),
            (self.merge, 4), (self.reject, 4), (self.change, 3), (self.look, 2), (self.rebuild, 1),
            (self.swap, 1),
        ]  # fmt: skip
        deck = [act for act, weight in acts for _ in range(weight)]
        for step in range(steps):
            act = self.reopen if step % 700 == 699 else self.dice.choice(deck)
            try:
                act()
            except AssertionError as error:
                raise AssertionError(f"step {step}, {act.__name__}: {error}") from error
        for act in (self.look, self.rebuild, self.search):
            act()
        health = self.first.check()
        assert health.well, health.problems
        assert self.searches > steps // 5


def test_ten_thousand_steps_on_sqlite(tmp_path: Path) -> None:
    """In a process of its own, where annotations are not checked at each call, which doubles the time."""
    code = (
        "import sys\nfrom tests.property.test_gallery import Play\n"
        "play = Play(sys.argv[1], 1)\nplay.run(10_000)\nplay.close()\nprint('agreed')"
    )
    url = f"sqlite:///{tmp_path / 'people.db'}"
    done = subprocess.run(
        [sys.executable, "-c", code, url], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "agreed", done.stderr[-3000:]


@pytest.mark.parametrize("server", ["sqlite", "postgresql"])
def test_five_hundred_steps(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'people.db'}"
    if server == "postgresql":
        url = request.getfixturevalue("postgres_server").new_database()
    play = Play(url, 2)
    try:
        play.run(500)
    finally:
        play.close()
