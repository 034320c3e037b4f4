"""Erasure receipts: signed, checked without the gallery, and broken by any change."""

import copy
import dataclasses
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable, OutputFailed
from lineament.gallery.receipt import STATEMENT, Receipt, SigningKey, check, open_or_create, sign

RECEIPT = Receipt(
    collection="staff",
    subject="person-17 (Zoë)",
    removed={"references": 5, "crops": 5, "metadata": 1},
    at="2026-11-24T10:00:00.000000Z",
    actor="anna",
    purpose="request by the person",
    audit_seq=812,
    audit_hash="ab" * 32,
    key_id="0123456789abcdef",
)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "receipts.pem")


def test_a_receipt_holds_after_a_way_through_json(key: SigningKey) -> None:
    document = json.loads(json.dumps(sign(RECEIPT, key), indent=2))
    assert check(document) == RECEIPT
    assert check(document, key.public_key) == RECEIPT
    assert check(document, key.public_key.upper()) == RECEIPT
    plain = dataclasses.replace(RECEIPT, key_id=None, removed={})
    assert check(sign(plain, key)) == plain
    assert plain.statement == STATEMENT


def test_the_signature_is_ed25519_as_documented(key: SigningKey) -> None:
    document = sign(RECEIPT, key)
    line = json.dumps(dataclasses.asdict(RECEIPT), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    message = b"lineament-erasure-receipt/1\n" + line.encode("utf-8")
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(document["public_key"]))
    public.verify(bytes.fromhex(document["signature"]), message)


def test_a_known_answer_of_ed25519() -> None:
    # RFC 8032, section 7.1, test 2.
    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(secret))
    assert key.public_key == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72") == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize("field", [one.name for one in dataclasses.fields(Receipt)])
def test_any_changed_field_is_found(key: SigningKey, field: str) -> None:
    document = sign(RECEIPT, key)
    value = document["receipt"][field]
    others: list[Any] = (
        [value + "x", value[1:], "", 7, None] if isinstance(value, str) else [813, "812", 812.5]
    )
    if field == "removed":
        others = [{}, {**value, "crops": 6}, {**value, "x": 0}, [], {"crops": 5.0}, None]
    for other in others:
        if other != value:
            with pytest.raises(GalleryBroken, match="does not hold"):
                check({**document, "receipt": {**document["receipt"], field: other}})


def test_every_flipped_character_of_the_document_is_found(key: SigningKey) -> None:
    text = json.dumps(sign(RECEIPT, key), ensure_ascii=False)
    for i in range(len(text)):
        for bit in (1, 0x20):
            try:
                document = json.loads(text[:i] + chr(ord(text[i]) ^ bit) + text[i + 1 :])
            except ValueError:
                continue
            if document != json.loads(text):
                with pytest.raises(GalleryBroken):
                    check(document)


def test_numbers_keep_their_kind(key: SigningKey) -> None:
    document = sign(dataclasses.replace(RECEIPT, audit_seq=1), key)
    for other in (1.0, True, "1"):
        with pytest.raises(GalleryBroken):
            check({**document, "receipt": {**document["receipt"], "audit_seq": other}})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"format": "lineament-erasure-receipt/1", "receipt": None, "public_key": "", "signature": ""},
        {"format": ["x"], "receipt": {}, "public_key": 7, "signature": b""},
    ],
)
def test_what_is_no_receipt_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(GalleryBroken, match="not a receipt"):
        check(document)


def test_additions_and_removals_are_found(key: SigningKey) -> None:
    document = sign(RECEIPT, key)
    for name in document:
        with pytest.raises(GalleryBroken):
            check({k: v for k, v in document.items() if k != name})
    with pytest.raises(GalleryBroken):
        check({**document, "note": "also the backups"})
    with pytest.raises(GalleryBroken):
        check({**document, "receipt": {**document["receipt"], "note": "also the backups"}})
    with pytest.raises(GalleryBroken):
        check({**document, "signature": document["signature"].upper()})


def test_another_signer_is_refused_where_the_key_is_known(key: SigningKey, tmp_path: Path) -> None:
    forger = SigningKey.create(tmp_path / "forger.pem")
    document = sign(dataclasses.replace(RECEIPT, subject="person-18"), forger)
    assert check(document).subject == "person-18"
    with pytest.raises(GalleryBroken, match="another key"):
        check(document, key.public_key)
    with pytest.raises(GalleryBroken, match="changed"):
        check({**document, "public_key": key.public_key})


def test_fields_that_cannot_be_signed_are_refused(key: SigningKey) -> None:
    for change in (
        {"subject": "\ud800"},
        {"removed": {"x": 1.5}},
        {"removed": {1: 1}},
        {"audit_seq": True},
        {"actor": None},
    ):
        wrong = copy.copy(RECEIPT)
        for name, value in change.items():
            object.__setattr__(wrong, name, value)
        with pytest.raises(InvalidArgument, match="wrong kind"):
            sign(wrong, key)


def test_a_key_comes_back_from_its_file(key: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "receipts.pem"
    assert SigningKey.open(path).public_key == key.public_key == open_or_create(path).public_key
    fresh = open_or_create(tmp_path / "fresh.pem")
    assert open_or_create(tmp_path / "fresh.pem").public_key == fresh.public_key != key.public_key
    with pytest.raises(OutputFailed, match="exists already"):
        SigningKey.create(path)
    with pytest.raises(KeyUnavailable, match="signing key"):
        SigningKey.open(tmp_path / "none.pem")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")
def test_a_key_that_others_may_read_is_refused(key: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "receipts.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        SigningKey.open(path)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        open_or_create(path)


def test_other_files_are_refused_and_not_shown(key: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "receipts.pem"
    pem = path.read_text()
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data in (b"", b"not a key", pem[:60].encode(), other):
        path.write_bytes(data)
        with pytest.raises(KeyUnavailable, match="not Ed25519") as caught:
            SigningKey.open(path)
        assert pem.splitlines()[1][:20] not in repr(caught.value)


def test_nothing_shows_the_key_or_lets_it_travel(key: SigningKey, tmp_path: Path) -> None:
    secret = (tmp_path / "receipts.pem").read_text().splitlines()[1]
    assert repr(key) == str(key) == f"SigningKey(public_key={key.public_key})"
    assert secret not in repr(key) + json.dumps(sign(RECEIPT, key))
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(InvalidArgument, match="holds a key"):
            act(key)
