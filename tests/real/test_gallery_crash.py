"""A hundred crashes: `kill -9` in the middle of enrolment, and nothing acknowledged is lost or half there.

What the writer does is a fixed script: act number 17 is the same in each run, down to the numbers of
references. It prints each act that has returned. So after a crash there are two states that the store may be
in, and no other: that after the last act that was acknowledged, or, where the crash came between its commit
and the print, that after the next one.

A round must be short, and importing the package takes longer than enrolling. So one server process, started
once with everything imported and nothing opened, forks a child for each round, which opens the store and goes
on with the script until it is killed, at a random time after a random act.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from tests.gallery_twins import Brute, Twin, sample

from lineament.gallery import schema
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.template_of import subject_template
from lineament.gallery.truth import take
from lineament.gallery.values import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
TWIN = Twin(32)
KEPT = 8
"""A person leaves when so many have come after, which keeps the rounds short."""

State = dict[str, dict[int, str]]
"""Pictures by reference, by subject."""

SERVER = """
import os, sys
import psycopg, sqlalchemy.dialects.postgresql, sqlalchemy.dialects.sqlite
from tests.real.test_gallery_crash import go_on
for line in sys.stdin:
    child = os.fork()
    if child:
        print("pid", child, flush=True)
        os.waitpid(child, 0)
        print("end", flush=True)
    else:
        go_on(sys.argv[1], sys.argv[2], int(line))
"""


def leaves(person: int) -> str:
    """What becomes of a person once enrolled: `stays`, `removed`, or `merged` into the one before."""
    return {3: "merged", 4: "removed"}.get(person % 5, "stays")


def acts_of(person: int) -> list[tuple[str, str, list[str]]]:
    """(act, subject, pictures or other subject) of one person, in order."""
    name, old = f"p{person}", person - KEPT
    acts = [("enroll", name, [f"{name}/0"]), ("enroll", name, [f"{name}/1", f"{name}/2"])]
    if leaves(person) == "removed":
        acts.append(("remove", name, []))
    if leaves(person) == "merged":
        acts.append(("merge", name, [f"p{person - 1}"]))
    if old >= 0 and leaves(old) == "stays":
        acts.append(("remove", f"p{old}", []))
    return acts


def script() -> Iterator[tuple[str, str, list[str]]]:
    """All acts, without end."""
    person = 0
    while True:
        yield from acts_of(person)
        person += 1


def after(acts: int) -> tuple[State, int]:
    """State after so many acts, and the last sequence number."""
    state: State = {}
    seq = 0
    for _, (act, name, rest) in zip(range(acts), script(), strict=False):
        if act == "enroll":
            for picture in rest:
                seq += 1
                state.setdefault(name, {})[seq] = picture
        elif act == "merge":
            for _, picture in sorted(state[name].items()):
                seq += 1
                state[rest[0]][seq] = picture
            seq += len(state.pop(name))
        else:
            seq += len(state.pop(name))
    return state, seq


def answer(number: int) -> list[str]:
    """What the child says of an act: the references that it gave, or how many went or are there."""
    act, name, rest = next(islice(script(), number, None))
    before, now = after(number)[0], after(number + 1)[0]
    if act == "enroll":
        return [act, *(str(i) for i, picture in now[name].items() if picture in rest)]
    return [act, str(len(now[rest[0]]) if act == "merge" else len(before[name]))]


def go_on(url: str, keys: str, start: int) -> None:
    """Open the store and do the script from act `start`; in the child, until it is killed."""
    g = Gallery.open(url, "staff", recognizer=TWIN, index=Brute(32), keys=keys or None)
    for number, (act, name, rest) in enumerate(script()):
        if number < start:
            continue
        if act == "enroll":
            about: dict[str, Any] = {"sensitive": {"n": number}, "idempotency_key": rest[0]}
            done = g.enroll(name, [p.encode() for p in rest], review="off", **about)
            said = [str(item.reference) for item in done.items]
        else:
            said = [str(g.merge(name, *rest).references if act == "merge" else g.remove(name))]
        # One write: a line is there whole or not at all.
        os.write(1, f"{number} {act} {' '.join(said)}\n".encode())


@contextlib.contextmanager
def writers(url: str, keys: str) -> Iterator[subprocess.Popen[str]]:
    """The process that forks a child for each line it is sent."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, url, keys], cwd=REPOSITORY, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield server
    finally:
        server.communicate()
        assert server.returncode == 0


def crash(server: subprocess.Popen[str], start: int, acts: int, seconds: float) -> list[list[str]]:
    """What a child said until it was killed, `seconds` after it had done so many acts."""
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(f"{start}\n")
    server.stdin.flush()
    word, pid = server.stdout.readline().split()
    assert word == "pid"
    said = [server.stdout.readline().split() for _ in range(acts)]
    time.sleep(seconds)
    os.kill(int(pid), signal.SIGKILL)
    while (line := server.stdout.readline()) != "end\n":
        assert line, "the server of the writers ended"
        said.append(line.split())
    return said


def stored(g: Gallery) -> tuple[State, int]:
    """What the database holds, in the same words; everything is opened, and the rules between rows asked."""
    with g.truth.write() as connection:
        # PostgreSQL may still be busy with the last statement of a writer that is dead.
        take(connection, "seq", 0)
    with g.truth.read() as connection:
        people = {r.id: r for r in connection.execute(select(schema.subject))}
        references = connection.execute(select(schema.reference).order_by(schema.reference.c.id)).all()
        events = connection.execute(select(schema.outbox).order_by(schema.outbox.c.seq)).all()
        answers = connection.execute(select(schema.request)).all()
        counters = dict(connection.execute(select(schema.counter.c.name, schema.counter.c.value)).all())
    newest = max((int(p.external_id[1:]) for p in people.values()), default=0)
    names = [f"p{i}/{j}" for i in range(max(0, newest - KEPT - 3), newest + 2) for j in range(3)]
    picture = {sample(name, 32).tobytes(): name for name in names}
    state: State = {r.external_id: {} for r in people.values()}
    vectors: dict[int, list[np.ndarray]] = {}
    for r in references:
        assert r.subject_id in people, "a reference without its subject"
        who = people[r.subject_id]
        vector = g.vault.unseal([(r.id, who.id, r.vector, who.data_key)])[0]
        vectors.setdefault(who.id, []).append(vector)
        state[who.external_id][int(r.id)] = picture[vector.tobytes()]
        assert g.vault.of(who.id, who.data_key).open(r.crop, g.vault.place("crop", who.id, r.id))
    for who in people.values():
        place = g.vault.place("template", who.id)
        template = g.vault.of(who.id, who.data_key).open(who.template, place)
        assert template == subject_template(np.stack(vectors[who.id])).vector.astype("<f4").tobytes()
    added, removed = ({e.reference_id for e in events if e.act == act} for act in ("add", "remove"))
    assert {r.id for r in references} == added - removed, "references and outbox tell two stories"
    assert [e.seq for e in events] == list(range(1, counters["seq"] + 1)), "a number was lost"
    assert all(a.subject_id in people for a in answers)
    return state, counters["seq"]


def rounds(url: str, keys: str, number: int) -> int:
    """So many crashes; how many acts were acknowledged."""
    dice = random.Random(7)  # noqa: S311 - the same times in each run
    options: dict[str, Any] = {"recognizer": TWIN, "keys": keys or None}
    settings = Settings(review="off", keep_crops=True)
    Gallery.create(url, "staff", index=Brute(32), settings=settings, **options).close()
    done = acknowledged = 0
    with writers(url, keys) as server:
        for _ in range(number):
            said = crash(server, done, dice.randrange(5), dice.uniform(0.0, 0.03))
            assert [int(words[0]) for words in said] == list(range(done, done + len(said)))
            assert all(words[1:] == answer(int(words[0])) for words in said)
            acknowledged += len(said)
            done += len(said)
            with Gallery.open(url, "staff", index=Brute(32), **options) as g:
                state = stored(g)
                if state != after(done):
                    assert state == after(done + 1), "neither the last acknowledged state nor the next"
                    done += 1
                ids = sorted(i for person in state[0].values() for i in person)
                assert g.size == len(ids) and sorted(g.follower.index._ids.tolist()) == ids
                assert g.rebuild() == len(ids)
                for name in list(state[0])[-1:]:
                    probe = TWIN.template(name)
                    assert g.identify(probe, threshold=0.7)[0].subject == name
                assert g.audit.check().ok
    return acknowledged


@pytest.mark.slow
def test_a_hundred_crashes_of_a_sealed_store(tmp_path: Path) -> None:
    FileKeys.create(tmp_path / "keys.json")
    url = f"sqlite:///{tmp_path / 'people.db'}"
    assert rounds(url, f"file:{tmp_path / 'keys.json'}", 100) > 100


def test_crashes_of_a_client_of_postgresql(postgres_server: Any) -> None:
    assert rounds(postgres_server.new_database(), "", 15) > 15


def test_the_script_is_what_it_says() -> None:
    assert after(0) == ({}, 0)
    assert after(3) == ({"p0": {1: "p0/0", 2: "p0/1", 3: "p0/2"}, "p1": {4: "p1/0"}}, 4)
    acts = [len(acts_of(person)) for person in range(20)]
    state, _ = after(sum(acts))
    assert all(leaves(int(name[1:])) == "stays" and len(r) in (3, 6) for name, r in state.items())
    assert min(int(name[1:]) for name in state) == 20 - KEPT
