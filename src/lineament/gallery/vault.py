"""What seals a collection: its own key, one key per subject, and the secret rotation of its templates.

The master key, which lies outside the database, wraps the key of the collection and the key of each subject.
Destroying a subject's wrapped key makes everything sealed for that subject unreadable, in backups too once
the master key has been changed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jaxtyping import Float32

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable
from lineament.gallery.keys import KeySource, fingerprint, new_data_key
from lineament.gallery.seal import NoSeal, Seal, Sealer, SubjectKeys, open_vectors, place, source_digest
from lineament.gallery.transform import Transform

CACHED = 10_000
"""Opened keys of subjects that are kept in memory, about 3 KB each; filling a larger cache takes longer than
opening them again."""


class Vault:
    """Seals and opens what one collection stores.

    Args:
        collection_id: whose.
        dimension: length of a template.
        keys: where the master key is, or None.
        wrapped: the collection's key as stored, or None for a collection that is not sealed.
        turned: whether templates are stored under the secret rotation.

    Raises:
        KeyUnavailable: the collection is sealed and `keys` is None, or holds another key.
        InvalidArgument: a rotation without a key.
    """

    def __init__(
        self, collection_id: int, dimension: int, keys: KeySource | None, wrapped: bytes | None, turned: bool
    ) -> None:
        if wrapped is not None and keys is None:
            raise KeyUnavailable(
                "the templates of this collection are sealed: give the key with --key file:PATH or --key "
                "env:NAME"
            )
        if turned and wrapped is None:
            raise InvalidArgument("a secret rotation of templates needs a key: give one with --key file:PATH")
        self.collection_id = collection_id
        self.dimension = dimension
        self.sealed = wrapped is not None
        self.own: Sealer = NoSeal()
        self._keys = keys if self.sealed else None
        self._pepper: bytes | None = None
        self._transform: Transform | None = None
        if wrapped is not None and keys is not None:
            secret = keys.unwrap(wrapped, key_place(collection_id))
            self.own = Seal(_derived(secret, b"seal"))
            self._pepper = _derived(secret, b"digest")
            self._transform = Transform(_derived(secret, b"transform"), dimension) if turned else None
            self._opened = SubjectKeys(keys, CACHED)

    def digest(self, content: str) -> str:
        """A picture's digest as stored: without the key, nobody can tell whether a picture is enrolled."""
        return source_digest(content.encode(), self._pepper)

    def turn(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Templates as stored and searched: under the rotation, where the collection has one."""
        return vectors if self._transform is None else self._transform.apply(vectors)

    def turn_back(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Templates as the model made them."""
        return vectors if self._transform is None else self._transform.undo(vectors)

    def new_key(self, subject_id: int) -> bytes | None:
        """A wrapped key for a new subject; None in a collection that is not sealed."""
        return None if self._keys is None else self._keys.wrap(new_data_key(), self._key_place(subject_id))

    def key_name(self, subject_id: int, wrapped: bytes | None) -> str | None:
        """Name of a subject's key, for a receipt; None where nothing is sealed."""
        if self._keys is None or wrapped is None:
            return None
        return fingerprint(self._keys.unwrap(wrapped, self._key_place(subject_id)))

    def of(self, subject_id: int, wrapped: bytes | None) -> Sealer:
        """What seals one subject's templates, crops and sensitive metadata."""
        if self._keys is None and wrapped is None:
            return self.own
        if self._keys is None or wrapped is None:
            raise GalleryBroken(
                f"subject row {subject_id} has a key in a collection without, or none in one with: "
                f"restore a backup"
            )
        return self._opened.seal_of(wrapped, self._key_place(subject_id))

    def forget(self, wrapped: bytes | None) -> None:
        """Drop an opened key from memory."""
        if self._keys is not None and wrapped is not None:
            self._opened.forget(wrapped)

    def place(self, kind: str, subject_id: int, item: int = 0) -> bytes:
        """Binds sealed bytes to their row, so that they open nowhere else."""
        return place(kind, self.collection_id, subject_id, item)

    def unseal(self, rows: Sequence[Any]) -> Float32[np.ndarray, "n d"]:
        """Vectors of rows (reference id, subject id, sealed vector, wrapped key), as stored, still turned.

        Raises:
            GalleryBroken: bytes that were changed, or of another length; the row is named.
        """
        vectors = np.empty((len(rows), self.dimension), np.float32)
        if self._keys is None:
            sealers: Any = self.own
        else:
            sealers = (self.of(row[1], row[3]) for row in rows)
        start = f"template:{self.collection_id}:"
        contexts = [f"{start}{row[1]}:{row[0]}".encode("ascii") for row in rows]
        open_vectors(sealers, [row[2] for row in rows], contexts, vectors)
        return vectors

    def _key_place(self, subject_id: int) -> bytes:
        return place("data_key", self.collection_id, subject_id)


def key_place(collection_id: int) -> bytes:
    """Binds a collection's wrapped key to its row."""
    return place("collection_key", collection_id, 0)


def _derived(secret: bytes, use: bytes) -> bytes:
    """One key per use, so that no key serves two algorithms (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"lineament collection " + use).derive(secret)
