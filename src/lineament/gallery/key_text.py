"""Master keys as text: base64 in a variable, and the JSON document of a key file."""

import base64
import binascii
import hmac
import json
from datetime import UTC, datetime
from typing import Any, cast

KEY_BYTES = 32
ID_BYTES = 8

_FORMAT = "lineament-keys/1"
_FEWEST_VALUES = 9  # 32 random bytes have 30 different values on average; fewer than 9 is a placeholder


def fingerprint(key: bytes) -> str:
    """Name of a key, 16 hexadecimal digits: equal for equal keys, and of no use for finding a random key."""
    return hmac.digest(key, b"lineament key id 1", "sha256")[:ID_BYTES].hex()


def key_from_text(text: str) -> bytes | None:
    """32 bytes from ordinary or URL-safe base64; None where it is not that, or no random key."""
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES and len(set(key)) >= _FEWEST_VALUES else None


def key_entry(key: bytes) -> dict[str, str]:
    """A key as it stands in a key file, with the time at which it was made."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return {"key": _text(key), "made": made}


def key_document(entries: dict[str, dict[str, str]], current: str) -> bytes:
    """A key file: entries by their keys' names, and the name of the current one."""
    document = {"format": _FORMAT, "current": current, "keys": entries}
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def parsed_keys(data: bytes) -> tuple[dict[str, dict[str, str]], str] | None:
    """Entries by name and the name of the current one; None for bytes that are not a whole key file.

    A JSON error carries the whole text, keys and all; so it ends here instead of as the context of ours.
    """
    try:
        document: Any = json.loads(data)
        entries = cast(dict[str, dict[str, str]], document["keys"])
        good = document["format"] == _FORMAT and document["current"] in entries
        for name, entry in entries.items():
            key = key_from_text(entry["key"])
            good = good and key is not None and fingerprint(key) == name and _text(key) == entry["key"]
        current = str(document["current"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (entries, current) if good else None


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")
