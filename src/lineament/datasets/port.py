"""What the rest of the package sees of a set of pictures: names, and the encoded bytes of each."""

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from lineament.vision.sources import Limits

MAX_PICTURE_BYTES: Final = Limits().max_bytes
"""Largest encoded picture that is read from a set, as for a single photograph."""


@runtime_checkable
class Pictures(Protocol):
    """Encoded pictures by name. `read` may be called from several threads at once."""

    @property
    def names(self) -> Sequence[str]:
        """Every picture, sorted, with `/` between folders."""
        ...

    def read(self, name: str) -> bytes:
        """The encoded picture, as it was stored.

        Raises:
            ImageNotFound: there is no picture of that name in the set.
            ImageEmpty, ImageTooLarge, ImageError: it is there and cannot be read.
        """
        ...

    def stamp(self, name: str) -> str:
        """Something that changes when the picture does, found without reading it; empty when it is not "
        "there."""
        ...

    def describe(self) -> str:
        """What the set is, in a few words for people."""
        ...

    def close(self) -> None:
        """Let go of open files. Nothing can be read afterwards."""
        ...
