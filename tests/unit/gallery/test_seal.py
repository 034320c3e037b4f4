"""Sealing: known answers, every flipped byte, swapped places, and templates in bulk."""

import copy
import hashlib
import hmac
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable, TemplateInvalid
from lineament.gallery.keys import FileKeys, new_data_key
from lineament.gallery.seal import (
    NoSeal,
    Seal,
    Sealer,
    SubjectKeys,
    open_vectors,
    place,
    seal_vectors,
    source_digest,
)

KEY = bytes(range(32))
HERE, THERE = place("template", 1, 2, 3), place("template", 1, 4, 3)
DATA = np.linspace(-1, 1, 128, dtype="<f4").tobytes()


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def sealer(request: pytest.FixtureRequest) -> Sealer:
    return Seal(KEY) if request.param else NoSeal()


def rows(count: int, length: int = 16) -> np.ndarray:
    values = np.random.default_rng(5).standard_normal((count, length)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def places(count: int) -> list[bytes]:
    return [place("template", 1, i) for i in range(count)]


def test_what_is_sealed_opens(sealer: Sealer) -> None:
    assert isinstance(sealer, Sealer)
    assert sealer.open(sealer.seal(DATA, HERE), HERE) == DATA
    assert sealer.open(sealer.seal(b"", HERE), HERE) == b""


def test_the_bytes_are_aes_gcm_as_documented() -> None:
    sealed = Seal(KEY).seal(DATA, HERE)
    assert sealed[:1] == b"\x01"
    assert len(sealed) == len(DATA) + 29
    assert AESGCM(KEY).decrypt(sealed[1:13], sealed[13:], b"\x01" + HERE) == DATA
    nonce = bytes(range(12))
    made = b"\x01" + nonce + AESGCM(KEY).encrypt(nonce, DATA, b"\x01" + HERE)
    assert Seal(KEY).open(made, HERE) == DATA


def test_a_known_answer_of_aes_gcm() -> None:
    # McGrew & Viega 2004, "The Galois/Counter Mode of Operation", test case 14: zero key, nonce and block.
    answer = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    assert AESGCM(bytes(32)).encrypt(bytes(12), bytes(16), None) == answer


def test_equal_data_is_never_equal_sealed() -> None:
    seal = Seal(KEY)
    assert len({seal.seal(DATA, HERE) for _ in range(1000)}) == 1000
    assert len({seal.seal(DATA, HERE)[1:13] for _ in range(1000)}) == 1000


def test_no_byte_of_the_data_is_left_in_the_open() -> None:
    sealed = Seal(KEY).seal(DATA, HERE)
    assert not any(DATA[i : i + 8] in sealed for i in range(0, len(DATA), 8))


def test_every_flipped_bit_and_every_cut_is_refused(sealer: Sealer) -> None:
    sealed = sealer.seal(DATA[:64], HERE)
    for i in range(len(sealed)):
        for bit in range(8):
            with pytest.raises((GalleryBroken, KeyUnavailable)):
                sealer.open(sealed[:i] + bytes([sealed[i] ^ (1 << bit)]) + sealed[i + 1 :], HERE)
        with pytest.raises(GalleryBroken):
            sealer.open(sealed[:i], HERE)
    with pytest.raises(GalleryBroken):
        sealer.open(sealed + b"\x00", HERE)


def test_bytes_moved_to_another_row_are_refused_and_the_row_named(sealer: Sealer) -> None:
    with pytest.raises(GalleryBroken, match="template:1:4:3"):
        sealer.open(sealer.seal(DATA, HERE), THERE)


def test_another_key_is_refused() -> None:
    with pytest.raises(GalleryBroken, match="another key"):
        Seal(new_data_key()).open(Seal(KEY).seal(DATA, HERE), HERE)


def test_sealed_and_plain_are_never_taken_for_each_other() -> None:
    with pytest.raises(KeyUnavailable, match="without a key"):
        NoSeal().open(Seal(KEY).seal(DATA, HERE), HERE)
    with pytest.raises(GalleryBroken, match="not encrypted"):
        Seal(KEY).open(NoSeal().seal(DATA, HERE), HERE)
    assert Seal(KEY).encrypted
    assert not NoSeal().encrypted


def test_a_later_version_is_refused(sealer: Sealer) -> None:
    with pytest.raises(GalleryBroken, match="later version"):
        sealer.open(b"\x02" + bytes(60), HERE)


@pytest.mark.parametrize("size", [0, 16, 24, 33])
def test_a_data_key_has_32_bytes(size: int) -> None:
    with pytest.raises(InvalidArgument, match="32 bytes"):
        Seal(b"x" * size)


def test_places_differ() -> None:
    found = {
        place(k, c, s, i) for k in ("template", "crop") for c in (1, 11) for s in (1, 11) for i in (0, 1, 11)
    }
    assert len(found) == 24
    assert place("crop", 1, 2) == b"crop:1:2:0"


def test_templates_in_bulk(sealer: Sealer) -> None:
    vectors = rows(50)
    out = np.zeros_like(vectors)
    open_vectors(sealer, seal_vectors(sealer, vectors, places(50)), places(50), out)
    np.testing.assert_array_equal(out, vectors)


def test_templates_are_stored_as_little_endian_float32(sealer: Sealer) -> None:
    sealed = seal_vectors(sealer, rows(1), [HERE])
    assert sealer.open(sealed[0], HERE) == rows(1).astype("<f4").tobytes()
    strided = np.asfortranarray(rows(4))
    again = seal_vectors(sealer, strided, places(4))
    assert sealer.open(again[2], places(4)[2]) == rows(4)[2].astype("<f4").tobytes()


def test_a_key_for_each_template() -> None:
    vectors, keys = rows(20), [new_data_key() for _ in range(20)]
    sealed = seal_vectors([Seal(key) for key in keys], vectors, places(20))
    out = np.zeros_like(vectors)
    open_vectors((Seal(key) for key in keys), sealed, places(20), out)
    np.testing.assert_array_equal(out, vectors)
    with pytest.raises(GalleryBroken):
        open_vectors((Seal(key) for key in reversed(keys)), sealed, places(20), out)


def test_swapped_templates_are_found(sealer: Sealer) -> None:
    sealed = seal_vectors(sealer, rows(4), places(4))
    sealed[1], sealed[2] = sealed[2], sealed[1]
    with pytest.raises(GalleryBroken, match="template:1:1:0"):
        open_vectors(sealer, sealed, places(4), np.zeros((4, 16), np.float32))


def test_templates_of_another_length_are_refused(sealer: Sealer) -> None:
    sealed = seal_vectors(sealer, rows(2, 1), places(2))  # one number would fill a whole row
    with pytest.raises(GalleryBroken, match="4 bytes where 64"):
        open_vectors(sealer, sealed, places(2), np.zeros((2, 16), np.float32))


def one_seal_less(count: int) -> Iterator[Sealer]:
    return iter([Seal(KEY)] * (count - 1))


def test_lists_of_different_lengths_are_refused(sealer: Sealer) -> None:
    sealed, out = seal_vectors(sealer, rows(4), places(4)), np.zeros((4, 16), np.float32)
    for wrong in (
        lambda: seal_vectors(sealer, rows(4), places(3)),
        lambda: seal_vectors(one_seal_less(4), rows(4), places(4)),
        lambda: open_vectors(sealer, sealed, places(5), out),
        lambda: open_vectors(sealer, sealed, places(4), out[:3]),
        lambda: open_vectors([sealer] * 3, sealed, places(4), out),
        lambda: open_vectors([sealer] * 5, sealed, places(4), out),
    ):
        with pytest.raises(InvalidArgument, match="exactly one"):
            wrong()


def test_nothing_at_all_is_fine(sealer: Sealer) -> None:
    assert seal_vectors(sealer, np.zeros((0, 16), np.float32), []) == []
    open_vectors(sealer, [], [], np.zeros((0, 16), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_stored(sealer: Sealer, value: float) -> None:
    vectors = rows(3)
    vectors[1, 7] = value
    with pytest.raises(TemplateInvalid, match="row 1") as caught:
        seal_vectors(sealer, vectors, places(3))
    assert f"{vectors[1, 0]:.4f}" not in str(caught.value)


def test_nothing_shows_a_key_or_lets_it_travel(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys.json")
    for secret in (Seal(KEY), SubjectKeys(keys)):
        shown = repr(secret) + str(secret)
        assert KEY.hex() not in shown
        assert repr(KEY) not in shown
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(InvalidArgument, match="holds a key"):
                act(secret)
    with pytest.raises(GalleryBroken) as caught:
        Seal(KEY).open(Seal(new_data_key()).seal(b"a secret sentence", HERE), HERE)
    assert "secret sentence" not in repr(caught.value)


def test_subject_keys_are_kept_and_forgotten(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys.json")
    spots = [place("data_key", 1, i) for i in range(5)]
    wrapped = [keys.wrap(new_data_key(), spot) for spot in spots]
    kept = SubjectKeys(keys, capacity=3)
    seals = [kept.seal_of(*pair) for pair in zip(wrapped, spots, strict=True)]
    assert len(kept) == 3
    assert kept.seal_of(wrapped[4], spots[4]) is seals[4]
    assert kept.seal_of(wrapped[2], spots[2]) is seals[2]  # and is the newest now
    assert kept.seal_of(wrapped[0], spots[0]) is not seals[0]
    assert kept.seal_of(wrapped[2], spots[2]) is seals[2]
    assert kept.seal_of(wrapped[3], spots[3]) is not seals[3]
    kept.forget(wrapped[2])
    assert kept.seal_of(wrapped[2], spots[2]) is not seals[2]
    kept.clear()
    assert len(kept) == 0
    with pytest.raises(InvalidArgument):
        SubjectKeys(keys, capacity=0)


def test_a_copied_subject_key_is_refused_though_it_is_kept(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys.json")
    wrapped = keys.wrap(new_data_key(), place("data_key", 1, 1))
    kept = SubjectKeys(keys)
    kept.seal_of(wrapped, place("data_key", 1, 1))
    with pytest.raises(GalleryBroken):
        kept.seal_of(wrapped, place("data_key", 1, 2))


def test_threads_share_subject_keys(tmp_path: Path) -> None:
    keys = FileKeys.create(tmp_path / "keys.json")
    spots = [place("data_key", 1, i) for i in range(30)]
    raw = [new_data_key() for _ in spots]
    wrapped = [keys.wrap(key, spot) for key, spot in zip(raw, spots, strict=True)]
    kept, wrong = SubjectKeys(keys, capacity=7), list[int]()

    def read(first: int) -> None:
        for turn in range(300):
            i = (first + turn * 7) % 30
            sealed = Seal(raw[i]).seal(b"x", HERE)
            if kept.seal_of(wrapped[i], spots[i]).open(sealed, HERE) != b"x":
                wrong.append(i)
            if turn % 50 == 0:
                kept.forget(wrapped[i])

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(kept) <= 7


def test_digest_of_a_photograph() -> None:
    assert source_digest(b"photo") == hashlib.sha256(b"photo").hexdigest()
    pepper = b"sixteen bytes of"
    assert source_digest(b"photo", pepper) == hmac.new(pepper, b"photo", "sha256").hexdigest()
    assert source_digest(b"photo", pepper) != source_digest(b"photo", pepper[::-1])
    with pytest.raises(InvalidArgument, match="16 bytes"):
        source_digest(b"photo", b"short")
