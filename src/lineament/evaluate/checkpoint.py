"""Stopping a long comparison and going on later."""

import hashlib
import time
import zipfile
from pathlib import Path

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.core.files import replacing
from lineament.evaluate.account import Account

EVERY = 30.0
"""Seconds between two savings."""


class Checkpoint:
    """One file with the state of one comparison.

    Attributes:
        path: where.
        identity: hex digest of the data and settings; a file of another comparison is refused.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity
        self._saved = time.monotonic()

    def restore(self, account: Account) -> None:
        """Bring the account to where it was; nothing when there is no file.

        Raises:
            DatasetInvalid: the file is of another comparison, damaged, or something else.
        """
        if not self.path.exists():
            return
        try:
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                state = dict(archive)
            identity, digest = str(state.pop("identity")), str(state.pop("digest"))
            if digest != _digest(state):
                raise ValueError("its digest is another")
        except (OSError, EOFError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
            raise DatasetInvalid(
                f"{self.path} is no checkpoint or is damaged ({error}): delete it to start again"
            ) from error
        if identity != self.identity:
            raise DatasetInvalid(
                f"{self.path} is the checkpoint of a comparison of other data or with other settings: "
                "repeat that one, or delete the file to start this one"
            )
        account.restore(state)

    def save_when_due(self, account: Account) -> None:
        """Save when the last time is long enough ago.

        Raises:
            OutputFailed: the place cannot be written.
        """
        if time.monotonic() - self._saved >= EVERY:
            self.save(account)

    def save(self, account: Account) -> None:
        """Save now, whole or not at all.

        Raises:
            OutputFailed: the place cannot be written.
        """
        state = account.state()
        named = {"identity": np.array(self.identity), "digest": np.array(_digest(state))}
        with replacing(self.path) as stream:
            np.savez(stream, **state, **named)  # type: ignore[arg-type]  (stubs see allow_pickle)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """The comparison is complete."""
        self.path.unlink(missing_ok=True)


def _digest(state: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(state):
        values = np.ascontiguousarray(state[name])
        total.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        total.update(values.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
