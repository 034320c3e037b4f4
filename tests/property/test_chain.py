"""Whatever is done to a log after it was written, the walk along its chain finds it."""

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.gallery.chain import GENESIS, Entry, Record, append, verify

KEY = b"an audit key of 26 bytes.."
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
FILLED = TEXT.filter(lambda text: bool(text.strip()))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
BODIES = st.dictionaries(
    TEXT, PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(TEXT, PLAIN, max_size=2), max_size=3
)
FACTS = st.tuples(FILLED, FILLED, FILLED, st.none() | TEXT, st.none() | TEXT, BODIES)
LOGS = st.lists(FACTS, min_size=2, max_size=8)
KEYS = st.sampled_from([None, KEY])


def written(log: list[tuple[Any, ...]], key: bytes | None) -> list[Entry]:
    entries: list[Entry] = []
    for seq, facts in enumerate(log, 1):
        record = Record(seq, "2026-11-24T10:00:00.000000Z", *facts)
        entries.append(append(entries[-1].hash if entries else GENESIS, record, key))
    return entries


@settings(max_examples=50, deadline=None)
@given(LOGS, KEYS)
def test_what_was_written_holds(log: list[tuple[Any, ...]], key: bytes | None) -> None:
    entries = written(log, key)
    assert verify(iter(entries), key, anchor=(len(entries), entries[-1].hash)).ok


@settings(max_examples=300, deadline=None)
@given(LOGS, KEYS, st.data())
def test_any_edit_removal_or_reorder_is_found(
    log: list[tuple[Any, ...]], key: bytes | None, data: st.DataObject
) -> None:
    entries = written(log, key)
    anchor = (len(entries), entries[-1].hash)
    place = data.draw(st.integers(0, len(entries) - 1))
    act = data.draw(st.sampled_from(["edit", "remove", "reorder", "repeat", "renumber", "cut"]))
    changed = list(entries)
    first = place + 1
    if act == "edit":
        name = data.draw(
            st.sampled_from(["at", "actor", "purpose", "action", "collection", "subject", "body", "hash"])
        )
        value = data.draw((st.none() | TEXT).filter(lambda new: new != getattr(entries[place], name)))
        changed[place] = Entry.stored({**dataclasses.asdict(entries[place]), name: value}.values())
    elif act == "remove":
        del changed[place]
    elif act == "reorder":
        changed = data.draw(st.permutations(entries).filter(lambda some: list(some) != entries))
        first = next(i for i, entry in enumerate(changed) if entry is not entries[i]) + 1
    elif act == "repeat":
        changed.insert(data.draw(st.integers(place + 1, len(entries))), entries[place])
        first = min(first, len(entries))
    elif act == "renumber":
        del changed[place]
        changed = [dataclasses.replace(entry, seq=i) for i, entry in enumerate(changed, 1)]
    else:
        del changed[place:]
    found = verify(iter(changed), key, anchor=anchor)
    assert not found.ok
    if act in ("edit", "remove", "renumber", "cut"):
        assert found.problems[0].seq == first
    elif act == "reorder":
        assert found.problems[0].seq >= first


@settings(max_examples=50, deadline=None)
@given(LOGS, st.data())
def test_a_chain_written_anew_without_the_key_is_found(
    log: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    entries = written(log, KEY)
    place = data.draw(st.integers(0, len(entries) - 1))
    forged = entries[:place]
    for seq, facts in enumerate(log[place:], place + 1):
        record = Record(seq, "2026-11-24T10:00:00.000000Z", "eve", *facts[1:])
        forged.append(append(forged[-1].hash if forged else GENESIS, record))
    assert verify(forged, KEY).problems[0].seq == place + 1
