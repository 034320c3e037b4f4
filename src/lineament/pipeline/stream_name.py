"""Names of sources of frames: what kind one is, and its name without secrets.

Cameras are addressed with user and password in the address itself: `rtsp://user:password@host/path`, or in
its path or query (`?user=…&pwd=…`). What leaves this package (logs, alerts, errors) names a source by
`redacted`.
"""

import os
import re
import socket
from typing import Literal
from urllib.parse import urlsplit

from lineament.core.errors import InvalidArgument

Kind = Literal["file", "camera", "address"]

SCHEMES = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""What an address may begin with, and the port it then means."""

HIDDEN = "***"

_ADDRESS = re.compile(r"([a-z][a-z0-9+.\-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_SECRET = re.compile(
    r"\b(user(?:name)?|usr|login|account|pass(?:word|wd)?|pwd|psw|token|access_token|auth|api_?key|key|secret|"
    r"sig(?:nature)?|session(?:id)?|sid)=[^&/?#;]*",
    re.IGNORECASE,
)


def kind_of(source: str | int | os.PathLike[str]) -> Kind:
    """What a source is: the number of a camera, an address on a network, or a path.

    Raises:
        InvalidArgument: an address of a kind that is not read, or a negative number.
    """
    if isinstance(source, bool) or (isinstance(source, int) and source < 0):
        raise InvalidArgument(f"a camera has a number from 0 up, not {source!r}")
    text = str(source) if isinstance(source, int) else os.fspath(source)
    if not isinstance(source, (str, int)):
        if re.match(r"(rtsps?|https?):/", text, re.IGNORECASE):
            raise InvalidArgument("an address is given as text: a path object folds its slashes")
        return "file"
    # Not isdecimal, which lets other scripts' digits through.
    if re.fullmatch(r"[0-9]{1,4}", text):
        return "camera"
    found = _ADDRESS.match(text)
    if found is None:
        return "file"
    if found[1].lower() not in SCHEMES:
        raise InvalidArgument(
            f"frames are read from files, cameras (0, 1, …) and {', '.join(SCHEMES)} addresses, not from "
            f"{found[1].lower()}://"
        )
    return "address"


def redacted(source: str | int | os.PathLike[str]) -> str:
    """A source's name for people and records: of an address, without user, password and tokens.

    Where an address is unclear (an unescaped `/` or `@` in a password), more is hidden rather than less.
    """
    text = str(source) if isinstance(source, int) else os.fspath(source)
    found = _ADDRESS.match(text)
    if found is None:
        # An address without its `rtsp://`, perhaps.
        return re.sub(r"^[^/\\]*:.*@", f"{HIDDEN}@", text, flags=re.DOTALL)
    scheme, rest = found[1].lower(), found[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@")
    if end < 0 and _looks_like_user(authority):
        end = rest.rfind("@")
    if end >= 0:
        rest = f"{HIDDEN}@{rest[end + 1 :]}"
    return f"{scheme}://{_SECRET.sub(lambda m: f'{m[1]}={HIDDEN}', rest)}"


def _looks_like_user(authority: str) -> bool:
    """Whether what stands before the first `/` cannot be a host: its port would be no number."""
    host, colon, port = authority.rpartition(":")
    bracketed = authority.startswith("[") and authority.endswith("]")
    return bool(colon) and not bracketed and bool(host) and not re.fullmatch(r"[0-9]{1,5}", port)


def why_unreachable(address: str, seconds: float) -> str:
    """Why a server does not answer, in words; empty when it does, so that the fault lies behind the door.

    Args:
        address: with one of `SCHEMES`.
        seconds: how long to wait for it.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or SCHEMES.get(parts.scheme.lower(), 554)
    except ValueError:
        return "it is not a well-formed address (special characters of a password are written %40, %2F, …)"
    if not host:
        return "it names no host"
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except TimeoutError:
        return f"nothing answered within {seconds:g} s"
    except ConnectionRefusedError:
        return f"the connection was refused: nothing listens on port {port}"
    except socket.gaierror:
        return "there is no host of that name"
    except OSError as error:
        return error.strerror or "it cannot be reached"
    return ""
