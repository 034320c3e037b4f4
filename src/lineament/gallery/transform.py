"""A keyed rotation per collection: the same scores inside, meaningless templates outside.

Cancellable and renewable templates in the sense of ISO/IEC 24745:2022 (renewability, unlinkability). Every
template v of a collection becomes Q·v, where Q is an orthogonal matrix that the collection's secret
determines. Angles between templates do not change, so neither do scores, thresholds and error rates; a
template that leaves the collection compares with nothing, and a leaked collection is renewed under another
secret without new photographs.

Q is drawn uniformly (Haar) from the orthogonal matrices: QR of a matrix of independent normal numbers, with
the signs of R's diagonal moved into Q (Mezzadri 2007, "How to generate random matrices from the classical
compact groups", Notices of the AMS 54(5), section 5). The normal numbers come from a ChaCha20 key stream (RFC
8439) whose key is HKDF-SHA256 (RFC 5869) of the secret, by the formula of Box & Muller 1958; nothing depends
on a library's random generator. Machines may differ in the last bits of a double (about 1e-13 in Q), which
float32 does not see.

**What this does not protect.** It is a second layer, and no replacement for encryption:

- Pairs give it away. Who knows d independent templates both before and after (d is the template's length)
  solves a linear system for Q; with fewer pairs, in part. Enrolling known photographs is a way to get pairs.
- The set keeps its shape. All angles inside a collection are what they were: who is alike to whom, how many
  people there are, and who appears twice can be seen without the secret.
- A large collection betrays its rotation. Face templates are not spread evenly over the sphere; mean and main
  axes of many rotated templates can be lined up with those of any public set under the same model, which
  reveals it in part.
- With the secret it is undone exactly; it is then no protection at all.

Legend: B templates, D their length.
"""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jaxtyping import Float32, Float64

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.gallery.keys import KEY_BYTES, fingerprint
from lineament.gallery.secret import KeptSecret

_BLOCK = 16_384  # rows in double precision at a time: 64 MiB at 512 numbers
_LONGEST = 8192


class Transform(KeptSecret):
    """The rotation of one collection.

    Rounding to float32 is all that a score notices: over 10,000 pairs of random unit templates of cosine 0.65
    it moved by 2e-8 at most, at 128 and at 512 numbers. Sums in float32, which round by
    themselves with or without a transform, differ by 7e-7 at most (20 million pairs).

    Args:
        secret: 32 random bytes, see `lineament.gallery.keys.new_data_key`; kept sealed, one per collection.
        dimension: length of a template, 2 to 8192.

    Raises:
        InvalidArgument: another length of secret or template.
    """

    __slots__ = ("_key_id", "_q_DD")

    def __init__(self, secret: bytes, dimension: int) -> None:
        if len(secret) != KEY_BYTES:
            raise InvalidArgument(f"the secret of a transform has {KEY_BYTES} bytes, not {len(secret)}")
        if not 2 <= dimension <= _LONGEST:
            raise InvalidArgument(f"dimension is 2 to {_LONGEST}, not {dimension}")
        self._key_id = fingerprint(secret)
        self._q_DD = _orthogonal(secret, dimension)

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return len(self._q_DD)

    @property
    def key_id(self) -> str:
        """Name of the secret, to see whether two collections, or a backup, have the same; no secret."""
        return self._key_id

    def apply(self, vectors: Float32[np.ndarray, "b d"]) -> Float32[np.ndarray, "b d"]:
        """Rotated templates, a new array; their lengths and angles stay.

        A row's result does not depend on which rows come with it, but for the last bit of a float32 in rare
        cases.

        Raises:
            TemplateInvalid: rows of another length, or numbers that are not finite.
        """
        return self._times(vectors, self._q_DD.T)

    def undo(self, vectors: Float32[np.ndarray, "b d"]) -> Float32[np.ndarray, "b d"]:
        """Templates as they were before `apply`, to about 1e-7; errors as there."""
        return self._times(vectors, self._q_DD)

    def _times(
        self, vectors_BD: Float32[np.ndarray, "b d"], matrix_DD: Float64[np.ndarray, "e e"]
    ) -> Float32[np.ndarray, "b d"]:
        if vectors_BD.shape[1] != self.dimension:
            raise TemplateInvalid(
                f"templates of {vectors_BD.shape[1]} numbers in a collection whose transform is for "
                f"{self.dimension}; they are of another model"
            )
        if not np.isfinite(vectors_BD).all():
            raise TemplateInvalid("a template holds a number that is not finite; embed the photograph again")
        out_BD = np.empty_like(vectors_BD, order="C")
        for start in range(0, len(vectors_BD), _BLOCK):
            rows = slice(start, start + _BLOCK)
            out_BD[rows] = vectors_BD[rows].astype(np.float64) @ matrix_DD
        return out_BD

    def __repr__(self) -> str:
        return f"Transform(dimension={self.dimension}, key_id={self._key_id})"


def _orthogonal(secret: bytes, d: int) -> Float64[np.ndarray, "d d"]:
    """Haar-distributed orthogonal matrix, Mezzadri 2007, section 5."""
    q_DD, r_DD = np.linalg.qr(_normals(secret, d * d, d).reshape(d, d))
    return np.ascontiguousarray(q_DD * np.where(np.diagonal(r_DD) < 0, -1.0, 1.0))


def _normals(secret: bytes, count: int, d: int) -> Float64[np.ndarray, "n"]:
    """Independent normal numbers by Box & Muller 1958: √(−2·ln u)·(cos 2πw, sin 2πw)."""
    half = (count + 1) // 2
    words = np.frombuffer(_stream(secret, half * 16, d), "<u8")
    # 53 bits of each word, in the middle of their cell: never 0, so the logarithm is finite.
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:half])), 2.0 * np.pi * uniform[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def _stream(secret: bytes, size: int, d: int) -> bytes:
    """Bytes that nobody without the secret can tell from random ones."""
    info = f"lineament transform 1 d={d}".encode("ascii")
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
    # An all-zero nonce is right here: the key is used for this one stream only.
    return Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(size))
