"""Keys that wrap keys: files, environment, rotation, and what an error may say."""

import base64
import copy
import json
import os
import pickle
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lineament.core.errors import GalleryBroken, GalleryError, InvalidArgument, KeyUnavailable, OutputFailed
from lineament.gallery.key_text import fingerprint, key_from_text
from lineament.gallery.keys import (
    EnvKeys,
    FileKeys,
    HeldKeys,
    KeySource,
    new_data_key,
    new_key_text,
    open_keys,
    rewrap,
)

MASTER = bytes(range(100, 132))
TEXT = base64.b64encode(MASTER).decode()
PLACE = b"data_key:1:2:0"


def said(error: BaseException) -> str:
    """Everything that an error carries, with the errors behind it."""
    parts: list[str] = []
    one: BaseException | None = error
    while one is not None:
        parts += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "doc", ""))]
        one = one.__cause__ or one.__context__
    return "".join(parts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    FileKeys.create(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LINEAMENT_KEY", TEXT)
    monkeypatch.delenv("LINEAMENT_KEY_PREVIOUS", raising=False)
    return "LINEAMENT_KEY"


@pytest.fixture(params=["file", "env"])
def keys(request: pytest.FixtureRequest, file: Path, variable: str) -> HeldKeys:
    return open_keys(f"file:{file}" if request.param == "file" else f"env:{variable}")


def test_a_wrapped_key_comes_back_and_is_never_the_same_twice(keys: HeldKeys) -> None:
    assert isinstance(keys, KeySource)
    data_key = new_data_key()
    first, second = keys.wrap(data_key, PLACE), keys.wrap(data_key, PLACE)
    assert first != second
    assert keys.unwrap(first, PLACE) == keys.unwrap(second, PLACE) == data_key
    assert data_key not in first
    assert keys.key_of(first) == keys.key_id


def test_the_bytes_are_aes_gcm_as_documented(variable: str) -> None:
    wrapped = EnvKeys(variable).wrap(b"k" * 32, PLACE)
    assert len(wrapped) == 69
    assert wrapped[:9] == b"\x01" + bytes.fromhex(fingerprint(MASTER))
    assert AESGCM(MASTER).decrypt(wrapped[9:21], wrapped[21:], wrapped[:9] + PLACE) == b"k" * 32


def test_any_changed_byte_and_any_cut_is_refused(keys: HeldKeys) -> None:
    wrapped = keys.wrap(new_data_key(), PLACE)
    for i in range(len(wrapped)):
        with pytest.raises(GalleryError):
            keys.unwrap(wrapped[:i] + bytes([wrapped[i] ^ 1]) + wrapped[i + 1 :], PLACE)
        with pytest.raises(GalleryBroken):
            keys.unwrap(wrapped[:i], PLACE)
    with pytest.raises(GalleryBroken):
        keys.unwrap(wrapped + b"\x00", PLACE)


def test_another_place_is_refused(keys: HeldKeys) -> None:
    with pytest.raises(GalleryBroken, match=keys.key_id):
        keys.unwrap(keys.wrap(new_data_key(), PLACE), b"data_key:1:3:0")


def test_another_key_is_refused_by_name(keys: HeldKeys, tmp_path: Path) -> None:
    other = FileKeys.create(tmp_path / "other.json")
    wrapped = other.wrap(new_data_key(), PLACE)
    with pytest.raises(KeyUnavailable, match=other.key_id):
        keys.unwrap(wrapped, PLACE)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_data_key_has_32_bytes(keys: HeldKeys, size: int) -> None:
    with pytest.raises(InvalidArgument, match="32 bytes"):
        keys.wrap(b"x" * size, PLACE)


def test_rotation_keeps_older_keys_until_they_are_retired(file: Path) -> None:
    keys = FileKeys(file)
    old = keys.key_id
    data_key = new_data_key()
    wrapped = keys.wrap(data_key, PLACE)
    new = keys.rotate()
    assert keys.key_id == new != old
    assert set(keys.key_ids) == {old, new}
    again = rewrap(keys, wrapped, PLACE)
    assert keys.key_of(again) == new
    assert rewrap(keys, again, PLACE) is again
    with pytest.raises(InvalidArgument, match="current"):
        keys.retire(new)
    with pytest.raises(InvalidArgument, match="no key"):
        keys.retire("0" * 16)
    keys.retire(old)
    assert keys.unwrap(again, PLACE) == data_key
    with pytest.raises(KeyUnavailable, match=old):
        keys.unwrap(wrapped, PLACE)
    assert old not in file.read_text()


def test_another_process_notices_a_rotation(file: Path) -> None:
    here, there = FileKeys(file), FileKeys(file)
    new = there.rotate()
    assert here.key_of(here.wrap(new_data_key(), PLACE)) == new
    newest = there.rotate()
    wrapped = there.wrap(b"d" * 32, PLACE)
    assert here.unwrap(wrapped, PLACE) == b"d" * 32
    there.retire(new)
    assert here.key_ids == there.key_ids
    assert here.key_id == newest


def test_rotations_at_once_lose_no_key(file: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(FileKeys(file).rotate())) for _ in range(8)]
    first = FileKeys(file).key_id
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(FileKeys(file).key_ids) == {first, *made}
    assert len(set(made)) == 8


def test_a_failed_rotation_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, before = FileKeys(file), file.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFailed, match="No space"):
        keys.rotate()
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir() if p.name.startswith(".lineament")] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o644, 0o601])
def test_a_file_that_others_may_use_is_refused(file: Path, mode: int) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(mode)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        FileKeys(file)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")
def test_files_stay_private_when_they_are_written_anew(file: Path) -> None:
    FileKeys(file).rotate()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_is_not_written_over(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(OutputFailed, match="exists already"):
        FileKeys.create(file)
    assert file.read_bytes() == before
    with pytest.raises(OutputFailed, match="cannot write"):
        FileKeys.create(file.parent / "none" / "keys.json")


def test_a_file_that_is_gone_wraps_nothing_and_still_unwraps(file: Path) -> None:
    keys = FileKeys(file)
    wrapped = keys.wrap(b"d" * 32, PLACE)
    file.unlink()
    with pytest.raises(KeyUnavailable, match="bring it back"):
        keys.wrap(b"d" * 32, PLACE)
    assert keys.unwrap(wrapped, PLACE) == b"d" * 32


def test_damage_of_the_file_is_named_and_shows_no_key(file: Path) -> None:
    whole = file.read_text()
    document = json.loads(whole)
    secret = next(iter(document["keys"].values()))["key"]
    other = {**document, "keys": {"0" * 16: next(iter(document["keys"].values()))}, "current": "0" * 16}
    urlsafe = whole.replace(secret, secret[:-1])
    for text in (whole[:-9], whole.replace(secret, ""), "[]", "7", "", json.dumps(other), urlsafe, "\x00"):
        file.write_text(text)
        with pytest.raises(KeyUnavailable, match="damaged") as caught:
            FileKeys(file)
        assert secret[:20] not in said(caught.value)
    for i in range(len(whole)):
        file.write_text(whole[:i] + chr(ord(whole[i]) ^ 1) + whole[i + 1 :])
        try:
            held = FileKeys(file)
        except KeyUnavailable as error:
            assert secret[:20] not in said(error)
        else:  # a space, or the time at which a key was made
            assert held.key_id == fingerprint(base64.b64decode(secret))


@pytest.mark.parametrize(
    "bad", ["short", "A" * 43 + "=", TEXT[:-4], TEXT + "AAAA", "é" * 44, TEXT[:5] + "!" + TEXT[6:]]
)
def test_a_variable_without_a_key_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.setenv("MY_KEY", bad)
    with pytest.raises(KeyUnavailable, match="MY_KEY") as caught:
        EnvKeys("MY_KEY")
    assert bad not in said(caught.value)
    monkeypatch.setenv("MY_KEY", TEXT)
    monkeypatch.setenv("MY_KEY_PREVIOUS", f"{new_key_text()},{bad}")
    with pytest.raises(KeyUnavailable, match="MY_KEY_PREVIOUS") as caught:
        EnvKeys("MY_KEY")
    assert bad not in said(caught.value)


def test_rotation_by_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    old = EnvKeys(variable)
    wrapped = old.wrap(b"d" * 32, PLACE)
    monkeypatch.setenv(variable, new_key_text())
    with pytest.raises(KeyUnavailable, match=old.key_id):
        EnvKeys(variable).unwrap(wrapped, PLACE)
    monkeypatch.setenv(f"{variable}_PREVIOUS", f" {new_key_text()} , {TEXT},")
    now = EnvKeys(variable)
    assert len(now.key_ids) == 3
    assert now.key_id != old.key_id
    assert now.unwrap(rewrap(now, wrapped, PLACE), PLACE) == b"d" * 32


def test_base64_may_be_url_safe() -> None:
    key = bytes([255, 239, 190] * 10 + [1, 2]) + b""
    mixed = bytes(range(224, 256))
    assert key_from_text(base64.urlsafe_b64encode(mixed).decode()) == mixed
    assert key_from_text(base64.b64encode(mixed).decode()) == mixed
    assert key_from_text(base64.b64encode(key).decode()) is None  # five different bytes: a placeholder


def test_a_missing_variable_and_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINEAMENT_KEY", raising=False)
    with pytest.raises(KeyUnavailable, match="LINEAMENT_KEY"):
        EnvKeys()
    with pytest.raises(KeyUnavailable, match="none"):
        open_keys(f"file:{tmp_path}/none.json")


@pytest.mark.parametrize("spec", ["", "file:", "env:", f"env:{TEXT}", TEXT, "kms:thing", "env:A-B"])
def test_other_specifications_are_refused_and_not_repeated(spec: str) -> None:
    with pytest.raises(InvalidArgument, match="file:/path") as caught:
        open_keys(spec)
    assert not spec or len(spec) < 6 or spec not in said(caught.value)


def test_nothing_shows_a_key_or_lets_it_travel(keys: HeldKeys, file: Path) -> None:
    secrets = [
        TEXT,
        MASTER.hex(),
        repr(MASTER),
        json.loads(file.read_text())["keys"][FileKeys(file).key_id]["key"],
    ]
    shown = repr(keys) + str(keys) + f"{keys!r}" + repr(vars(keys))
    assert keys.key_id in shown
    assert not any(secret in shown for secret in secrets)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(InvalidArgument, match="not pickled"):
            pickle.dumps(keys, protocol)
    with pytest.raises(InvalidArgument):
        copy.copy(keys)
    with pytest.raises(InvalidArgument):
        copy.deepcopy(keys)


def test_a_key_s_name_is_the_same_everywhere_and_is_not_the_key() -> None:
    assert fingerprint(MASTER) == "e0e98af3c4611830"
    assert fingerprint(MASTER) not in MASTER.hex()
    assert fingerprint(new_data_key()) != fingerprint(new_data_key())
