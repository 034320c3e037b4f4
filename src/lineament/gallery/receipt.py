"""Erasure receipts: a signed statement of what was removed, which anyone can check without the gallery.

A receipt is one JSON document: the statement, the public key, and an Ed25519 signature (RFC 8032) over
"lineament-erasure-receipt/1\\n" and the statement as one line of JSON (keys sorted, no spaces, UTF-8).

A signature proves that the holder of the key said so and that nothing was changed since. Who the holder is,
it proves only to a reader who knows the public key from elsewhere: anyone can sign another statement with
another key.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable
from lineament.gallery.secret import KeptSecret, create_private, read_private

FORMAT = "lineament-erasure-receipt/1"
STATEMENT = (
    "What is counted under 'removed' was deleted from the database and the search indexes of this gallery. "
    "Where 'key_id' is given, the key under which it was stored was destroyed as well. Exports, and backups "
    "of database and keys that were made before, are not within the reach of this statement."
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased.

    Attributes:
        collection: name of the collection.
        subject: the subject's external id, or a digest of it where the receipt must not name a person.
        removed: how many of each kind: `references`, `crops`, `metadata` …
        at: when, UTC, ISO 8601.
        actor: who did it.
        purpose: why: a request by the person, the end of retention …
        audit_seq: the record of the audit log that tells of it.
        audit_hash: that record's hash.
        key_id: name of the destroyed data key (`lineament.gallery.keys.fingerprint`), None where nothing was
            encrypted.
        statement: what is claimed, in words.
    """

    collection: str
    subject: str
    removed: dict[str, int]
    at: str
    actor: str
    purpose: str
    audit_seq: int
    audit_hash: str
    key_id: str | None = None
    statement: str = STATEMENT


class SigningKey(KeptSecret):
    """An Ed25519 key in a PEM file (PKCS #8) that only its owner may read; see `create` and `open`."""

    __slots__ = ("_private", "_public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key().public_bytes_raw().hex()

    @classmethod
    def create(cls, path: str | Path) -> "SigningKey":
        """Make a key and its file.

        Raises:
            OutputFailed: there is a file already, or the place cannot be written.
        """
        private = Ed25519PrivateKey.generate()
        create_private(Path(path), private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return cls(private)

    @classmethod
    def open(cls, path: str | Path) -> "SigningKey":
        """The key of a file.

        Raises:
            KeyUnavailable: no such file, one that others may read, or not an Ed25519 key.
        """
        data = read_private(Path(path), "signing key")
        try:
            private = load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyUnavailable(f"the signing key {path} is damaged, locked by a password, or not Ed25519")
        return cls(private)

    @property
    def public_key(self) -> str:
        """The public half, 64 hexadecimal digits: to be made known, so that receipts can be checked."""
        return self._public

    def sign(self, message: bytes) -> str:
        """Signature of a message, 128 hexadecimal digits."""
        return self._private.sign(message).hex()

    def __repr__(self) -> str:
        return f"SigningKey(public_key={self._public})"


def open_or_create(path: str | Path) -> SigningKey:
    """The key of a file, made where there is none; errors as for `SigningKey.open` and `.create`."""
    return SigningKey.open(path) if os.path.lexists(path) else SigningKey.create(path)


def sign(receipt: Receipt, key: SigningKey) -> dict[str, Any]:
    """A receipt as a document for JSON.

    Raises:
        InvalidArgument: a field that JSON cannot hold exactly.
    """
    content = asdict(receipt)
    if _read(content) is None:
        raise InvalidArgument(
            "a field of the receipt is of a wrong kind: texts and whole numbers can be signed"
        )
    return {
        "format": FORMAT,
        "receipt": content,
        "public_key": key.public_key,
        "signature": key.sign(_message(content)),
    }


def check(document: Mapping[str, Any], public_key: str | None = None) -> Receipt:
    """The receipt in a document, if nothing of it was changed.

    Args:
        document: what `sign` returned, also after a way through JSON.
        public_key: the key that it must be signed with. Without one any key will do, and a forger's too.

    Raises:
        GalleryBroken: another format, something added, removed or changed, or another key.
    """
    problem = "it is not a receipt of this format, or something was added or taken away"
    if set(document) == {"format", "receipt", "public_key", "signature"} and document["format"] == FORMAT:
        receipt, signer = _read(document["receipt"]), document["public_key"]
        if receipt is not None and _is_hex(signer, 64) and _is_hex(document["signature"], 128):
            if public_key is not None and signer != public_key.lower():
                problem = "it is signed with another key than the one expected"
            elif _holds(signer, document["signature"], _message(asdict(receipt))):
                return receipt
            else:
                problem = "its signature does not fit; it was changed after it was signed"
    raise GalleryBroken(f"the erasure receipt does not hold: {problem}; ask for it again where it was made")


def _holds(public_key: str, signature: str, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
            bytes.fromhex(signature), message
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(content: dict[str, Any]) -> bytes:
    line = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"{FORMAT}\n{line}".encode()


def _read(content: object) -> Receipt | None:
    """The receipt in a dictionary, None where a field is missing, too many or of a wrong kind."""
    if not isinstance(content, dict):
        return None
    found = cast(dict[str, Any], content)
    if set(found) != {one.name for one in fields(Receipt)}:
        return None
    texts = [
        found[name] for name in ("collection", "subject", "at", "actor", "purpose", "audit_hash", "statement")
    ]
    removed = found["removed"]
    counts = cast(dict[Any, Any], removed) if isinstance(removed, dict) else {None: None}
    good = (
        all(_is_text(text) for text in texts)
        and all(_is_text(name) and type(count) is int for name, count in counts.items())
        and type(found["audit_seq"]) is int
        and (found["key_id"] is None or _is_text(found["key_id"]))
    )
    return Receipt(**found) if good else None


def _is_text(value: object) -> bool:
    # A lone surrogate has no UTF-8, so it cannot be signed.
    return type(value) is str and not re.search("[\ud800-\udfff]", value)


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", value) is not None
