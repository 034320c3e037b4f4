"""Sealing: templates, crops and metadata as bytes that only a key opens, and only in their own place.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce for every call:

    0x01 | 12 bytes nonce | ciphertext | 16 bytes tag          associated data: 0x01 and the context

The context names the place of the bytes (see `place`). Bytes that were moved to another row do not open
there, so nobody who can write to the database can give one person another one's face.

A gallery without encryption stores

    0x00 | 4 bytes CRC-32 of context and data, big endian | data

whose checksum finds damage and mistakes, not intent. The first byte keeps the two apart: neither is ever read
as the other. One data key may seal 2³² times (SP 800-38D, 8.3); a subject's key never comes near.
"""

import hashlib
import hmac
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from threading import Lock
from typing import Protocol, runtime_checkable

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jaxtyping import Float32

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable, TemplateInvalid
from lineament.gallery.keys import KEY_BYTES, NONCE_BYTES, TAG_BYTES, KeySource
from lineament.gallery.secret import KeptSecret

PLAIN = b"\x00"
SEALED = b"\x01"
_LITTLE = np.dtype("<f4")
_BODY = 1 + NONCE_BYTES
_SHORTEST = _BODY + TAG_BYTES
_CHECK = 5  # first byte and CRC-32


@runtime_checkable
class Sealer(Protocol):
    """What seals and opens: `Seal` with a key, `NoSeal` without."""

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to read what it writes."""
        ...

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Bytes to store for `data` at the place that `context` names."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed.

        Raises:
            GalleryBroken: the bytes were changed, cut, moved from another place, or are of the other kind.
            KeyUnavailable: they are encrypted and there is no key.
        """
        ...


def place(kind: str, collection: int, subject: int, item: int = 0) -> bytes:
    """The context of one stored thing: a short ASCII text, different for different places.

    Contexts are shown in errors, so they hold numbers of rows and nothing about a person.

    Args:
        kind: what it is, lower-case: `template`, `crop`, `metadata`, `data_key`.
        collection: number of the collection's row.
        subject: number of the subject's row.
        item: number of the reference, where a subject has several.
    """
    return f"{kind}:{collection}:{subject}:{item}".encode("ascii")


class Seal(KeptSecret):
    """One data key.

    Args:
        data_key: 32 bytes, see `lineament.gallery.keys.new_data_key`.

    Raises:
        InvalidArgument: not 32 bytes.
    """

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != KEY_BYTES:
            raise InvalidArgument(
                f"a data key has {KEY_BYTES} bytes, not {len(data_key)}; see new_data_key()"
            )
        cipher = AESGCM(data_key)
        self._encrypt = cipher.encrypt
        self._decrypt = cipher.decrypt

    @property
    def encrypted(self) -> bool:
        """True."""
        return True

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate; 29 bytes longer than `data`, and different each time."""
        nonce = os.urandom(NONCE_BYTES)
        return b"".join((SEALED, nonce, self._encrypt(nonce, data, SEALED + context)))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed; errors as for `Sealer.open`."""
        if type(sealed) is bytes and sealed[:1] == SEALED and len(sealed) >= _SHORTEST:
            try:
                return self._decrypt(sealed[1:_BODY], sealed[_BODY:], SEALED + context)
            except InvalidTag:
                pass
            raise GalleryBroken(
                f"the sealed bytes at {_shown(context)} were changed, moved from another row, or sealed with "
                "another key; run `lineament gallery verify`, and restore the row from a backup"
            )
        raise _not_mine(sealed, context, encrypted=True)


class NoSeal:
    """No encryption: the same interface, a checksum, and no key."""

    __slots__ = ()

    @property
    def encrypted(self) -> bool:
        """False."""
        return False

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Data with its checksum; 5 bytes longer."""
        return b"".join((PLAIN, zlib.crc32(data, zlib.crc32(context)).to_bytes(4, "big"), data))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The data; errors as for `Sealer.open`."""
        if type(sealed) is bytes and sealed[:1] == PLAIN and len(sealed) >= _CHECK:
            data = sealed[_CHECK:]
            if zlib.crc32(data, zlib.crc32(context)).to_bytes(4, "big") == sealed[1:_CHECK]:
                return data
            raise GalleryBroken(
                f"the bytes at {_shown(context)} are damaged or belong to another row: their checksum does "
                "not fit; run `lineament gallery verify`, and restore the row from a backup"
            )
        raise _not_mine(sealed, context, encrypted=False)

    def __repr__(self) -> str:
        return "NoSeal()"


def seal_vectors(
    sealers: Sealer | Iterable[Sealer], vectors: Float32[np.ndarray, "n d"], contexts: Sequence[bytes]
) -> list[bytes]:
    """Templates as bytes to store: float32, little endian, sealed.

    Args:
        sealers: one for all rows, or one for each.
        vectors: the rows.
        contexts: the place of each.

    Raises:
        TemplateInvalid: a number that is not finite; nothing of it is repeated in the message.
        InvalidArgument: not as many contexts, or sealers, as rows.
    """
    if not np.isfinite(vectors).all():
        bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise TemplateInvalid(f"row {bad} holds a number that is not finite; it is not stored")
    plain = np.ascontiguousarray(vectors, dtype=_LITTLE)
    _same_length(len(plain), contexts, "contexts")
    one_each = _one_each(sealers, len(plain))
    return [s.seal(row.tobytes(), c) for s, row, c in zip(one_each, plain, contexts, strict=False)]


def open_vectors(
    sealers: Sealer | Iterable[Sealer],
    sealed: Sequence[bytes],
    contexts: Sequence[bytes],
    out: Float32[np.ndarray, "n d"],
) -> None:
    """Templates from stored bytes, into rows that exist already.

    Args:
        sealers: one for all rows, or one for each (an iterator will do).
        sealed: what `seal_vectors` returned.
        contexts: the place of each.
        out: where they go; after an error its rows are in part the new ones.

    Raises:
        GalleryBroken: as for `Sealer.open`, or a template of another length than `out` has.
        KeyUnavailable: as for `Sealer.open`.
        InvalidArgument: not as many contexts, or sealers, or rows of `out`, as sealed templates.
    """
    _same_length(len(sealed), contexts, "contexts")
    _same_length(len(sealed), out, "rows")
    width = out.shape[1] * 4
    one_each = _one_each(sealers, len(sealed))
    for row, (sealer, blob, context) in enumerate(zip(one_each, sealed, contexts, strict=False)):
        data = sealer.open(blob, context)
        if len(data) != width:
            raise GalleryBroken(
                f"the template at {_shown(context)} has {len(data)} bytes where {width} were expected; "
                "it is of another model, or the row is damaged"
            )
        out[row] = np.frombuffer(data, _LITTLE)


class SubjectKeys(KeptSecret):
    """Seals by wrapped key, the most recently used ones kept; each costs about 3 KB.

    Wrapping and place together name an entry, so a wrapped key that was copied to another row is not found
    here and is then refused by the source. Threads may share one.

    Args:
        source: who unwraps.
        capacity: how many are kept.

    Raises:
        InvalidArgument: `capacity` below 1.
    """

    def __init__(self, source: KeySource, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise InvalidArgument(f"capacity is 1 or more, not {capacity}")
        self._source = source
        self._capacity = capacity
        self._seals: OrderedDict[tuple[bytes, bytes], Seal] = OrderedDict()
        self._guard = Lock()

    def seal_of(self, wrapped: bytes, context: bytes) -> Seal:
        """The subject's seal.

        Args:
            wrapped: the data key as the database holds it.
            context: its place.

        Raises:
            KeyUnavailable: the key that wrapped it is not here.
            GalleryBroken: it was changed, or stands in another place.
        """
        name = (wrapped, context)
        with self._guard:
            seal = self._seals.get(name)
            if seal is not None:
                self._seals.move_to_end(name)
                return seal
        # Outside the lock: a key service may take its time.
        seal = Seal(self._source.unwrap(wrapped, context))
        with self._guard:
            self._seals[name] = seal
            while len(self._seals) > self._capacity:
                self._seals.popitem(last=False)
        return seal

    def forget(self, wrapped: bytes) -> None:
        """Drop a key, as when its subject is erased; one that is not kept is no fault."""
        with self._guard:
            for name in [name for name in self._seals if name[0] == wrapped]:
                del self._seals[name]

    def clear(self) -> None:
        """Drop all."""
        with self._guard:
            self._seals.clear()

    def __len__(self) -> int:
        return len(self._seals)


def source_digest(data: bytes, pepper: bytes | None = None) -> str:
    """Digest of a photograph, by which the same file is known when it comes again; 64 hexadecimal digits.

    Without a pepper it is SHA-256, and whoever holds a photograph can find out whether it was enrolled. With
    one it is HMAC-SHA256 (RFC 2104), and only who knows the pepper can.

    Args:
        data: the file's bytes.
        pepper: a secret of 16 bytes or more.

    Raises:
        InvalidArgument: a shorter pepper.
    """
    if pepper is None:
        return hashlib.sha256(data).hexdigest()
    if len(pepper) < 16:
        raise InvalidArgument(f"a pepper has 16 bytes or more, not {len(pepper)}")
    return hmac.digest(pepper, data, "sha256").hex()


def _not_mine(sealed: object, context: bytes, *, encrypted: bool) -> GalleryBroken | KeyUnavailable:
    """The error for bytes of the other kind, or of none."""
    first = sealed[:1] if isinstance(sealed, bytes) else b""
    if encrypted and first == PLAIN:
        return GalleryBroken(
            f"the bytes at {_shown(context)} are not encrypted, and this gallery is; somebody wrote them "
            "past the key; restore the row from a backup"
        )
    if not encrypted and first == SEALED:
        return KeyUnavailable(
            f"the bytes at {_shown(context)} are sealed, and the gallery was opened without a key; "
            "open it with the key it was made with"
        )
    return GalleryBroken(
        f"the bytes at {_shown(context)} are cut short, damaged, or of a later version of this package; "
        "run `lineament gallery verify`, and restore the row from a backup"
    )


def _shown(context: bytes) -> str:
    return context.decode("ascii", "replace")


def _one_each(sealers: Sealer | Iterable[Sealer], count: int) -> Iterable[Sealer]:
    return repeat(sealers, count) if isinstance(sealers, Sealer) else _counted(sealers, count)


def _counted(sealers: Iterable[Sealer], count: int) -> Iterator[Sealer]:
    done = 0
    for sealer in sealers:
        if done == count:
            raise InvalidArgument(f"more sealers than the {count} templates; each needs exactly one")
        done += 1
        yield sealer
    if done < count:
        raise InvalidArgument(f"{done} sealers for {count} templates; each needs exactly one")


def _same_length(count: int, other: Sequence[object] | np.ndarray, what: str) -> None:
    if len(other) != count:
        raise InvalidArgument(f"{len(other)} {what} for {count} templates; each needs exactly one")
