"""The audit chain: known answers, every flipped byte, cut and reordered logs, and what may not be logged."""

import base64
import dataclasses
import hashlib
import hmac
import itertools
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument
from lineament.gallery.chain import GENESIS, Entry, Record, append, body_text, link, verify

KEY = b"an audit key of 26 bytes.."
BODY = {"found": 3, "threshold": 0.4, "why": 'Zürich "a"\n', "ids": [1, 2, 3], "ok": True, "none": None}


def record(seq: int, /, **changes: Any) -> Record:
    one = Record(
        seq, f"2026-11-24T10:00:{seq % 60:02d}.000000Z", "anna", "access", "search", "staff", None, BODY
    )
    return dataclasses.replace(one, **changes)


def chain(count: int, key: bytes | None = None) -> list[Entry]:
    entries: list[Entry] = []
    for seq in range(1, count + 1):
        entries.append(append(entries[-1].hash if entries else GENESIS, record(seq), key))
    return entries


def tampered(entry: Entry, **changes: Any) -> Entry:
    """What a database without strict types may hand back."""
    return Entry.stored({**dataclasses.asdict(entry), **changes}.values())


def kinds(entries: list[Entry], **options: Any) -> list[tuple[int, str]]:
    return [(problem.seq, problem.kind) for problem in verify(entries, **options).problems]


def test_the_hash_is_the_documented_one_by_hand() -> None:
    body = '{"found":3,"ids":[1,2,3],"none":null,"ok":true,"threshold":0.4,"why":"Zürich \\"a\\"\\n"}'
    line = (
        '{"action":"search","actor":"anna","at":"2026-11-24T10:00:01.000000Z","body":'
        + json.dumps(body, ensure_ascii=False)
        + ',"collection":"staff","purpose":"access","seq":1,"subject":null}'
    )
    message = b"lineament-audit-1\n" + b"0" * 64 + b"\n" + line.encode("utf-8")
    entry = append(GENESIS, record(1))
    assert entry.body == body == body_text(BODY)
    assert (
        entry.hash == hashlib.sha256(message).hexdigest() == link(GENESIS, record(1)) == link("0" * 64, entry)
    )
    assert link(GENESIS, record(1), KEY) == hmac.new(KEY, message, hashlib.sha256).hexdigest()


def test_the_order_of_keys_does_not_matter_and_numbers_stay_what_they_are() -> None:
    assert body_text({"b": 1, "a": {"d": 1, "c": 2}}) == body_text({"a": {"c": 2, "d": 1}, "b": 1})
    assert body_text({"x": 1.0, "y": 1, "z": 1e16, "w": 0.1 + 0.2}) == (
        '{"w":0.30000000000000004,"x":1.0,"y":1,"z":1e+16}'
    )
    assert body_text({"x": np.float64(0.5)}) == '{"x":0.5}'


@pytest.mark.parametrize("key", [None, KEY])
def test_a_whole_chain_holds(key: bytes | None) -> None:
    entries = chain(20, key)
    found = verify(iter(entries), key, anchor=(12, entries[11].hash))
    assert found.ok
    assert (found.count, found.head, found.problems, found.remarks) == (20, (20, entries[-1].hash), (), ())


def test_an_empty_chain_holds_unless_there_was_an_anchor() -> None:
    assert verify([]).head == (0, GENESIS)
    assert verify([]).ok
    assert verify([], anchor=(0, GENESIS)).ok
    assert kinds([], anchor=(3, "ab" * 32)) == [(1, "cut")]


def test_every_flipped_byte_of_every_column_is_found() -> None:
    entries = chain(3)
    for name in ("at", "actor", "purpose", "action", "collection", "body", "hash"):
        text = getattr(entries[1], name)
        for i in range(len(text)):
            for bit in (1, 0x20):
                flipped = text[:i] + chr(ord(text[i]) ^ bit) + text[i + 1 :]
                changed = [entries[0], tampered(entries[1], **{name: flipped}), entries[2]]
                assert kinds(changed)[0] == (2, "changed"), (name, i)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": ""},
        {"collection": None},
        {"seq": "2"},
        {"seq": 2.0},
        {"seq": True},
        {"hash": None},
        {"body": b"{}"},
        {"body": None},
        {"at": 7},
        {"actor": "\ud800"},
        {"purpose": float("nan")},
    ],
)
def test_columns_of_a_wrong_kind_are_found(change: dict[str, Any]) -> None:
    entries = chain(3)
    entries[1] = tampered(entries[1], **change)
    found = kinds(entries)
    assert found[0][0] == 2
    assert found[0][1] in ("changed", "unreadable")


def test_text_moved_between_columns_is_found() -> None:
    entries = chain(2)
    moved = dataclasses.replace(entries[1], actor="ann", purpose="aaccess")
    assert kinds([entries[0], moved]) == [(2, "changed")]


def test_one_edit_is_one_problem_at_its_place() -> None:
    entries = chain(50)
    entries[16] = dataclasses.replace(entries[16], actor="eve")
    assert kinds(entries) == [(17, "changed")]
    entries[16] = dataclasses.replace(entries[16], hash=link(entries[15].hash, entries[16]))
    assert kinds(entries) == [(18, "changed")]


def test_removed_records_are_found() -> None:
    entries = chain(10)
    assert kinds(entries[:4] + entries[5:]) == [(5, "missing")]
    assert kinds(entries[:4] + entries[7:]) == [(5, "missing")]
    assert kinds(entries[3:]) == [(1, "missing")]
    renumbered = entries[:4] + [dataclasses.replace(e, seq=e.seq - 1) for e in entries[5:]]
    assert kinds(renumbered)[0] == (5, "changed")


def test_reordered_and_repeated_records_are_found() -> None:
    entries = chain(6)
    swapped = [*entries[:2], entries[3], entries[2], *entries[4:]]
    assert kinds(swapped) == [(3, "missing"), (3, "order")]
    assert kinds([*entries[:3], entries[2], *entries[3:]]) == [(3, "order")]
    exchanged = [*entries[:2], dataclasses.replace(entries[3], seq=3), dataclasses.replace(entries[2], seq=4)]
    assert kinds(exchanged)[0] == (3, "changed")


def test_a_cut_tail_is_found_by_the_anchor_alone() -> None:
    entries = chain(10)
    anchor = (10, entries[-1].hash)
    assert verify(entries[:7]).ok
    assert kinds(entries[:7], anchor=anchor) == [(8, "cut")]
    assert kinds(entries[:7] + chain(10)[9:], anchor=anchor)[0] == (8, "missing")


def test_a_chain_written_anew_is_found_by_anchor_or_key() -> None:
    def forged(key: bytes | None) -> list[Entry]:
        made = chain(3, key)
        for seq in range(4, 11):
            made.append(append(made[-1].hash, record(seq, actor="eve"), key))
        return made

    entries = chain(10)
    assert verify(forged(None)).ok
    assert kinds(forged(None), anchor=(10, entries[-1].hash)) == [(10, "anchor")]
    keyed = chain(3, KEY) + forged(None)[3:]
    assert kinds(keyed, key=KEY)[0] == (4, "changed")
    assert kinds(chain(3), key=KEY)[0] == (1, "changed")
    assert kinds(chain(3, KEY))[0] == (1, "changed")
    assert kinds(chain(3, KEY), key=KEY[::-1])[0] == (1, "changed")


def test_a_walk_goes_on_from_a_verified_head() -> None:
    entries = chain(10)
    head = verify(entries[:6]).head
    assert verify(entries[6:], start=head, anchor=head).ok
    assert kinds(entries[6:], start=(6, "0" * 64))[0] == (7, "changed")
    assert kinds(entries[6:], start=head, anchor=(6, "1" * 64)) == [(6, "anchor")]
    assert kinds(entries[7:], start=head) == [(7, "missing")]
    assert kinds(entries[7:], start=head, anchor=(7, entries[6].hash)) == [(7, "missing"), (7, "anchor")]


def test_a_clock_that_went_back_is_a_remark() -> None:
    times = [
        "2026-11-24T10:00:00Z",
        "2026-11-24T09:59:59.9+00:00",
        "2026-11-24T10:00:00Z",
        "2026-11-24T10:00:00Z",
    ]
    previous, entries = GENESIS, []
    for seq, at in enumerate(times, 1):
        entries.append(append(previous, record(seq, at=at)))
        previous = entries[-1].hash
    found = verify(entries)
    assert found.ok
    assert found.remarks == ("clock_went_back at seq 2",)
    assert entries[1].at == times[1]


def test_many_problems_are_counted_and_a_hundred_are_told() -> None:
    entries = [dataclasses.replace(entry, actor="eve") for entry in chain(300)]
    found = verify(entries)
    assert (found.problem_count, len(found.problems), found.ok) == (300, 100, False)


def test_a_long_log_is_not_held_in_memory() -> None:
    one = chain(1)[0]
    tracemalloc.start()
    found = verify(itertools.repeat(one, 5000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.count == 5000
    assert peak < 200_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seq": 0}, "counts from 1"),
        ({"actor": ""}, "actor"),
        ({"purpose": "  "}, "purpose"),
        ({"action": ""}, "action"),
        ({"at": "yesterday"}, "UTC"),
        ({"at": "2026-11-24T10:00:00"}, "UTC"),
        ({"at": "2026-11-24T10:00:00+01:00"}, "UTC"),
        ({"subject": "\ud800"}, "plain"),
    ],
)
def test_records_that_say_too_little_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        append(GENESIS, dataclasses.replace(record(1), **change))


VECTOR = np.random.default_rng(3).standard_normal(128).astype(np.float32)


@pytest.mark.parametrize(
    "value",
    [
        VECTOR,
        VECTOR[0],
        VECTOR.tobytes(),
        bytearray(4),
        memoryview(b"x"),
        [float(x) for x in VECTOR],
        tuple(float(x) for x in VECTOR),
        [float(x) for x in VECTOR[:17]],
        [[float(x) for x in VECTOR[:16]], [float(VECTOR[0])]],
        {str(i): float(x) for i, x in enumerate(VECTOR)},
        [{"v": float(x)} for x in VECTOR],
        VECTOR.tobytes().hex(),
        VECTOR.astype(np.float16).tobytes().hex(),
        base64.b64encode(VECTOR.astype(np.float16).tobytes()).decode(),
        {base64.b64encode(VECTOR.tobytes()).decode(): 1},
        {1, 2},
        object(),
        1 + 2j,
    ],
)
def test_templates_and_pictures_stay_out_of_the_log(value: Any) -> None:
    for body in ({"deep": {"deeper": [value]}}, {"probe": value}):
        with pytest.raises(InvalidArgument) as caught:
            append(GENESIS, record(1, body=body))
        told = str(caught.value)
        assert len(told) < 300
        assert f"{VECTOR[0]:.5f}" not in told
        assert caught.value.__context__ is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800"])
def test_values_without_one_text_are_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="plain values") as caught:
        link(GENESIS, record(1, body={"x": value}))
    assert caught.value.__context__ is None


def test_keys_must_be_text_and_bodies_flat() -> None:
    with pytest.raises(InvalidArgument, match="not text"):
        body_text({"x": {1: 2}})
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(InvalidArgument, match="nested"):
        body_text(loop)


def test_ordinary_details_are_welcome() -> None:
    body = {
        "ids": list(range(5000)),
        "scores": [0.1] * 16,
        "digest": "ab" * 64,
        "path": "/srv/" + "folder/" * 60 + "photo.jpg",
        "reason": "a long reason in words " * 100,
        "by_kind": {"references": 3, "crops": 0},
    }
    assert json.loads(append(GENESIS, record(1, body=body)).body) == body


def test_a_short_key_is_refused() -> None:
    for act in (
        lambda: verify([], b"short"),
        lambda: append(GENESIS, record(1), b"short"),
        lambda: link(GENESIS, record(1), b""),
    ):
        with pytest.raises(InvalidArgument, match="16 bytes"):
            act()
