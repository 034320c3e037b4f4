"""Keys that wrap keys: where the master key of a gallery comes from, and how it is changed.

Every subject's templates are sealed with a data key of their own (`lineament.gallery.seal`); the database
holds data keys only wrapped by a master key that lies elsewhere (envelope encryption). Changing the master
key means wrapping short keys again, not templates; destroying one wrapped key destroys one subject's
templates, in every copy of the database that holds no older copy of that wrapped key.

Wrapped keys are AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces:

    1 byte version | 8 bytes key id | 12 bytes nonce | 32 bytes data key, encrypted | 16 bytes tag

with version, key id and the caller's context as associated data. SP 800-38D allows 2³² random nonces per key,
so one master key serves four thousand million subjects.
"""

import base64
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable, OutputFailed
from lineament.gallery.key_text import (
    ID_BYTES,
    KEY_BYTES,
    fingerprint,
    key_document,
    key_entry,
    key_from_text,
    parsed_keys,
)
from lineament.gallery.secret import KeptSecret, create_private, read_private, replace_private, unreadable
from lineament.packs.locks import exclusive

NONCE_BYTES = 12
TAG_BYTES = 16
ENVIRONMENT = "LINEAMENT_KEY"

_VERSION = b"\x01"
_HEADER = len(_VERSION) + ID_BYTES
_WRAPPED = _HEADER + NONCE_BYTES + KEY_BYTES + TAG_BYTES


@runtime_checkable
class KeySource(Protocol):
    """Who wraps data keys: a key file, the environment, or a key service of your own.

    A key service needs these four members and nothing from us. In outline, for a service whose client offers
    `encrypt(key, plain, bound_to)` and `decrypt(key, cipher, bound_to)`:

    ```python
    class ServiceKeys:
        def __init__(self, client: Client, key_id: str) -> None:
            self.client, self.key_id = client, key_id  # the key that new data keys are wrapped with

        def wrap(self, data_key: bytes, context: bytes) -> bytes:
            name = self.key_id.encode("ascii")
            return name + b":" + self.client.encrypt(self.key_id, data_key, bound_to=context)

        def key_of(self, wrapped: bytes) -> str:
            return wrapped.partition(b":")[0].decode("ascii")

        def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
            try:
                return self.client.decrypt(self.key_of(wrapped), wrapped.partition(b":")[2], bound_to=context)
            except ServiceError as error:
                raise KeyUnavailable(f"key {self.key_of(wrapped)}: {error.reason}") from error
    ```

    `unwrap` must refuse another context than `wrap` was given, and must raise `KeyUnavailable` where the key
    is not to be had. Wrapped keys may have any length up to 4 KiB. Methods are called from many threads.
    """

    @property
    def key_id(self) -> str:
        """Name of the key that `wrap` uses now; no secret."""
        ...

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key of 32 bytes for the place that `context` names."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The data key again.

        Raises:
            KeyUnavailable: the key that wrapped it is not here.
            GalleryBroken: these bytes were changed, or belong to another place.
        """
        ...

    def key_of(self, wrapped: bytes) -> str:
        """Name of the key that wrapped these bytes, without unwrapping them."""
        ...


def new_data_key() -> bytes:
    """32 random bytes from the operating system."""
    return os.urandom(KEY_BYTES)


def new_key_text() -> str:
    """A fresh master key as base64, for the environment variable that `EnvKeys` reads."""
    return base64.b64encode(new_data_key()).decode("ascii")


def rewrap(source: KeySource, wrapped: bytes, context: bytes) -> bytes:
    """The same data key under the current master key; `wrapped` itself where it is under that one already.

    Raises:
        KeyUnavailable: the older key is not here.
        GalleryBroken: the bytes were changed, or belong to another place.
    """
    if source.key_of(wrapped) == source.key_id:
        return wrapped
    return source.wrap(source.unwrap(wrapped, context), context)


class HeldKeys(KeptSecret, ABC):
    """Master keys in this process's memory, one of them current."""

    def __init__(self) -> None:
        # Name of the current key, and all by name. Replaced, never changed: other threads may be reading.
        self._held: tuple[str, dict[str, AESGCM]] = ("", {})

    @property
    @abstractmethod
    def _place(self) -> str:
        """Where the keys are from, for messages."""

    def _look_again(self) -> None:
        """Take notice of keys that were added or removed meanwhile, where the source can change."""

    @property
    def key_id(self) -> str:
        """Name of the key that `wrap` uses now."""
        self._look_again()
        return self._held[0]

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Names of all keys that `unwrap` can use."""
        self._look_again()
        return tuple(self._held[1])

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key under the current master key; see `KeySource`.

        Raises:
            InvalidArgument: not 32 bytes.
            KeyUnavailable: the key file is gone or damaged.
        """
        if len(data_key) != KEY_BYTES:
            raise InvalidArgument(
                f"a data key has {KEY_BYTES} bytes, not {len(data_key)}; see new_data_key()"
            )
        self._look_again()
        current, ciphers = self._held
        header = _VERSION + bytes.fromhex(current)
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + ciphers[current].encrypt(nonce, data_key, header + context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The data key; see `KeySource`."""
        name = self.key_of(wrapped)
        cipher = self._held[1].get(name)
        if cipher is None:
            self._look_again()
            cipher = self._held[1].get(name)
        if cipher is None:
            raise KeyUnavailable(
                f"this data key was wrapped with key {name}, and {self._place} holds only "
                f"{', '.join(self._held[1])}; bring that key back (as a previous key), or restore its file"
            )
        nonce, rest = wrapped[_HEADER : _HEADER + NONCE_BYTES], wrapped[_HEADER + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, rest, wrapped[:_HEADER] + context)
        except InvalidTag:
            raise GalleryBroken(
                f"a data key wrapped with key {name} was changed, or belongs to another row; "
                "run `lineament gallery verify`, and restore the row from a backup"
            ) from None

    def key_of(self, wrapped: bytes) -> str:
        """Name of the key that wrapped these bytes.

        Raises:
            GalleryBroken: not a wrapped key of this package.
        """
        if len(wrapped) != _WRAPPED or not wrapped.startswith(_VERSION):
            raise GalleryBroken(
                f"{len(wrapped)} bytes that are not a wrapped data key (version 1 has {_WRAPPED}); "
                "the row is damaged, or another kind of key source wrote it"
            )
        return wrapped[len(_VERSION) : _HEADER].hex()


class EnvKeys(HeldKeys):
    """Master keys from environment variables, base64 of 32 bytes each.

    `NAME` is the current key and `NAME_PREVIOUS` holds older ones, separated by commas. To rotate: move the
    value of `NAME` to the front of `NAME_PREVIOUS`, put a new key into `NAME` (see `new_key_text`), restart,
    wrap again, and only then drop the older key.

    Args:
        name: the variable.

    Raises:
        KeyUnavailable: the variable is not set, or does not hold keys.
    """

    def __init__(self, name: str = ENVIRONMENT) -> None:
        super().__init__()
        self._name = name
        text = os.environ.get(name, "").strip()
        if not text:
            raise KeyUnavailable(
                f"the environment variable {name} is not set; set it to the base64 of 32 random bytes"
            )
        current = _key_of_variable(text, name)
        parts = [part.strip() for part in os.environ.get(f"{name}_PREVIOUS", "").split(",")]
        previous = [_key_of_variable(part, f"{name}_PREVIOUS") for part in parts if part]
        self._held = (fingerprint(current), {fingerprint(key): AESGCM(key) for key in (current, *previous)})

    @property
    def _place(self) -> str:
        return f"the environment variable {self._name}"

    def __repr__(self) -> str:
        return f"EnvKeys({self._name!r}, current={self._held[0]}, held={len(self._held[1])})"


class FileKeys(HeldKeys):
    """Master keys in a JSON file that only its owner may read.

    Other processes notice a rotation by themselves: before wrapping the file is looked at, and an unknown key
    is looked for in it again. Keep a copy of the file apart from the database: without it nothing can be
    read.

    Args:
        path: the file, made by `FileKeys.create`.

    Raises:
        KeyUnavailable: no such file, one that others may read, or one that is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._look_again()

    @classmethod
    def create(cls, path: str | Path) -> "FileKeys":
        """Make the file with one fresh key.

        Raises:
            OutputFailed: there is a file already, or the place cannot be written.
        """
        key = new_data_key()
        create_private(Path(path), key_document({fingerprint(key): key_entry(key)}, fingerprint(key)))
        return cls(path)

    def rotate(self) -> str:
        """Add a fresh key and make it current; older ones stay for unwrapping.

        Returns:
            Name of the new key.

        Raises:
            OutputFailed: the file cannot be written; nothing has changed then.
            KeyUnavailable: the file cannot be read.
        """
        key = new_data_key()
        with self._alone():
            entries, _ = self._read()
            replace_private(
                self._path, key_document({**entries, fingerprint(key): key_entry(key)}, fingerprint(key))
            )
        self._look_again()
        return fingerprint(key)

    def retire(self, key_id: str) -> None:
        """Destroy an older key. What is still wrapped with it can never be read again.

        Raises:
            InvalidArgument: the current key, or one that the file does not hold.
            OutputFailed: the file cannot be written.
            KeyUnavailable: the file cannot be read.
        """
        with self._alone():
            entries, current = self._read()
            if key_id == current:
                raise InvalidArgument(
                    f"{key_id} is the current key; rotate first, wrap again, then retire it"
                )
            if key_id not in entries:
                raise InvalidArgument(f"{self._path} has no key {key_id}; it has {', '.join(entries)}")
            replace_private(
                self._path, key_document({k: v for k, v in entries.items() if k != key_id}, current)
            )
        self._look_again()

    @contextmanager
    def _alone(self) -> Generator[None]:
        # Two processes that rotate at once would each write a file without the other's key.
        try:
            with exclusive(self._path.with_name(self._path.name + ".lock")):
                yield
        except OSError as error:
            raise OutputFailed(
                f"cannot change {self._path}: {error.strerror}; its folder must be one that you may write to"
            ) from error

    def _look_again(self) -> None:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise unreadable(self._path, error, "key file") from None
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return
        entries, current = self._read()
        ciphers = {name: AESGCM(base64.b64decode(entry["key"])) for name, entry in entries.items()}
        # Remembered last: whoever comes in between reads the file once more, which does no harm.
        self._held = (current, ciphers)
        self._seen = seen

    def _read(self) -> tuple[dict[str, dict[str, str]], str]:
        found = parsed_keys(read_private(self._path, "key file"))
        if found is None:
            raise KeyUnavailable(
                f"the key file {self._path} is damaged or not one of ours; restore it from its copy"
            )
        return found

    @property
    def _place(self) -> str:
        return f"the key file {self._path}"

    def __repr__(self) -> str:
        return f"FileKeys({str(self._path)!r}, current={self._held[0]}, held={len(self._held[1])})"


def open_keys(spec: str) -> HeldKeys:
    """Keys by a short text: `file:/path/of/keys.json` or `env:NAME`.

    Raises:
        InvalidArgument: another kind of text. It is not repeated in the message, as it may be a key itself.
        KeyUnavailable: the file or variable is missing or holds no keys.
    """
    kind, _, rest = spec.partition(":")
    if kind == "file" and rest:
        return FileKeys(rest)
    if kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        return EnvKeys(rest)
    raise InvalidArgument(
        "keys are named as file:/path/of/keys.json or env:NAME_OF_A_VARIABLE, not like this"
    )


def _key_of_variable(text: str, variable: str) -> bytes:
    key = key_from_text(text)
    if key is None:
        raise KeyUnavailable(
            f"the environment variable {variable} does not hold a key: it must be the base64 of 32 random "
            "bytes (44 characters)"
        )
    return key
