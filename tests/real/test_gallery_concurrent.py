"""Sixty-four readers and four writers at once, in threads of several processes: every answer is right.

Each writer has people of its own and leads them through enrolment, renaming, a second subject, a merge into
it, and removal, over and over. Each reader searches for a random one of them. Both note when they began and
ended. An answer is right if it is that of a state which the person may have been in at some moment between
the beginning and the end of the search: so who was acknowledged before it began and not touched since must be
found, and who was removed and acknowledged before it began must not.

It takes a few seconds; `LINEAMENT_TEST_SECONDS=300` makes the five minutes that are promised.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from tests.gallery_twins import Twin

from lineament.gallery.choose import GrowingIndex
from lineament.gallery.gallery import Gallery
from lineament.gallery.port import Hits
from lineament.gallery.values import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
TWIN = Twin(64)
SECONDS = float(os.environ.get("LINEAMENT_TEST_SECONDS", "4"))
PROCESSES, READERS, WRITERS = 2, 32, 2
PEOPLE = 2
"""Of each writer."""


class Unhurried(GrowingIndex):
    """As one of many rows: time passes between its answer and the look into the truth."""

    def search(self, queries: np.ndarray, **options: Any) -> list[Hits]:
        """See `VectorIndex`."""
        hits = super().search(queries, **options)
        time.sleep(0.02)
        return hits


Names = tuple[str, ...]
Change = tuple[float, float, Names]
"""When an act began, when it had returned, and who is found from then on."""


def people() -> list[str]:
    """Everybody there may be, by the names of their pictures."""
    return [f"w{w}.{i}" for w in range(PROCESSES * WRITERS) for i in range(PEOPLE)]


def life(g: Gallery, person: str, note: Any, stop: threading.Event) -> None:
    """Once from nothing to nothing."""
    a, b, c = (f"{person}.{letter}" for letter in "abc")
    acts: list[tuple[Any, Names]] = [
        (lambda: g.enroll(a, f"{person}/1".encode(), review="off"), (a,)),
        (lambda: g.rename(a, b), (b,)),
        (lambda: g.enroll(c, f"{person} by mistake/2".encode(), review="off"), (b,)),
        (lambda: g.merge(b, c), (c,)),
        (lambda: g.enroll(c, [f"{person}/3".encode(), b""], review="off"), (c,)),
        (lambda: g.remove(c), ()),
    ]
    for act, then in acts:
        if stop.is_set():
            return
        start = time.monotonic()
        act()
        note({"person": person, "start": start, "end": time.monotonic(), "then": then})


def work(url: str, number: int, seconds: float, path: str) -> None:
    """One process: its threads, and what they noted as lines of JSON."""
    stop, lock, notes = threading.Event(), threading.Lock(), list[dict[str, Any]]()
    g = Gallery.open(url, "staff", recognizer=TWIN, index=Unhurried(64))

    def note(entry: dict[str, Any]) -> None:
        with lock:
            notes.append(entry)

    def guarded(task: Any, *given: Any) -> None:
        try:
            while not stop.is_set():
                task(*given)
        except Exception as error:
            note({"error": f"{type(error).__name__}: {error}"})
            stop.set()

    def write(writer: int, dice: random.Random) -> None:
        life(g, f"w{writer}.{dice.randrange(PEOPLE)}", note, stop)

    def read(dice: random.Random) -> None:
        person = dice.choice(people())
        start = time.monotonic()
        found = g.identify(TWIN.template(f"{person}/probe"), threshold=0.7, k=5)
        names = sorted(c.subject for c in found)
        note({"person": person, "start": start, "end": time.monotonic(), "found": names})

    def dice(seed: int) -> random.Random:
        return random.Random(1000 * number + seed)  # noqa: S311 - a load, not a secret

    threads = [threading.Thread(target=guarded, args=(read, dice(i))) for i in range(READERS)]
    threads += [
        threading.Thread(target=guarded, args=(write, WRITERS * number + i, dice(100 + i)))
        for i in range(WRITERS)
    ]
    # All processes begin together.
    os.write(1, b"ready\n")
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    g.close()
    Path(path).write_text("\n".join(json.dumps(entry) for entry in notes))


def histories(notes: list[dict[str, Any]]) -> dict[str, list[Change]]:
    """The changes of each person, in order, beginning with nobody."""
    changes: dict[str, list[Change]] = {person: [(-1.0, -1.0, ())] for person in people()}
    for entry in sorted((n for n in notes if "then" in n), key=lambda n: n["start"]):
        changes[entry["person"]].append((entry["start"], entry["end"], tuple(entry["then"])))
    return changes


def possible(history: list[Change], start: float, end: float) -> set[Names]:
    """States that may have been the present one at a moment between `start` and `end`."""
    found: set[Names] = set()
    # An act may be committed from its beginning on; the state before it lasts until it returns, at most.
    i = bisect_right(history, end, key=lambda change: change[0]) - 1
    while i >= 0 and (i + 1 == len(history) or history[i + 1][1] >= start):
        found.add(tuple(sorted(history[i][2])))
        i -= 1
    return found


def run(url: str, seconds: float, place: Path) -> dict[str, int]:
    """All processes for so long; checks every answer, and counts what happened."""
    Gallery.create(url, "staff", recognizer=TWIN, settings=Settings(review="off")).close()
    code = (
        "import sys\nfrom tests.real.test_gallery_concurrent import work\n"
        "work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])"
    )
    files = [place / f"notes{i}.jsonl" for i in range(PROCESSES)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, str(i), str(seconds), str(file)], cwd=REPOSITORY, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for i, file in enumerate(files)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0] * PROCESSES, said
    notes = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    errors = [n["error"] for n in notes if "error" in n]
    assert errors == []
    changes, searches, during = histories(notes), 0, 0
    for entry in notes:
        if "found" in entry:
            fits = possible(changes[entry["person"]], entry["start"], entry["end"])
            assert tuple(entry["found"]) in fits, (entry, fits)
            searches += 1
            during += len(fits) > 1
    with Gallery.open(url, "staff", recognizer=TWIN, index=GrowingIndex(64)) as g:
        for person, history in changes.items():
            found = g.identify(TWIN.template(f"{person}/probe"), threshold=0.7, k=5)
            assert tuple(sorted(c.subject for c in found)) == tuple(sorted(history[-1][2]))
        health = g.check()
        assert health.well, health.problems
    return {"searches": searches, "acts": sum(len(h) - 1 for h in changes.values()), "while changing": during}


def test_on_sqlite(tmp_path: Path) -> None:
    counts = run(f"sqlite:///{tmp_path / 'people.db'}", SECONDS, tmp_path)
    assert counts["searches"] > 10 * SECONDS and counts["acts"] >= SECONDS, counts


def test_on_postgresql(postgres_server: Any, tmp_path: Path) -> None:
    counts = run(postgres_server.new_database(), SECONDS, tmp_path)
    assert counts["searches"] > 10 * SECONDS and counts["acts"] >= SECONDS, counts


def test_a_wrong_answer_would_be_seen() -> None:
    history: list[Change] = [(-1.0, -1.0, ()), (1.0, 2.0, ("a",)), (3.0, 4.0, ("b",)), (5.0, 6.0, ())]
    assert possible(history, 0.0, 0.5) == {()}
    assert possible(history, 0.0, 1.5) == {(), ("a",)}
    assert possible(history, 2.5, 2.6) == {("a",)}
    assert possible(history, 4.5, 4.6) == {("b",)}
    assert possible(history, 2.5, 4.6) == {("a",), ("b",)}
    assert possible(history, 7.0, 8.0) == {()}
