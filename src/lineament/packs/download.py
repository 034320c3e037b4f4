"""Fetching one file over HTTP so that it arrives whole or not at all.

The bytes go to `<target>.part`; beside it `<target>.part.json` remembers which version of which address they
belong to, so that a second run continues (RFC 9110, Range and If-Range) and never glues
two versions together.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lineament.core.errors import DownloadFailed, InvalidArgument, OutputFailed
from lineament.packs.card import sha256_of

if TYPE_CHECKING:
    from httpx import Client, Response

Progress = Callable[[int, int | None], None]
"""Called with bytes so far and bytes in all (None when the server does not say)."""

_PROGRESS = 1 << 18
"""Bytes that make an attempt worth another one."""
_SLOWEST = 256.0
"""Bytes per second below which a transfer counts as stalled."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to try again.

    Attributes:
        connect: seconds for a connection.
        read: seconds without a single byte before a transfer counts as stalled.
        attempts: tries in all; one that brought new bytes does not count.
        backoff: seconds before the second try, doubled each time.
        longest_wait: upper limit of one such pause, and of a server's Retry-After.
    """

    connect: float = 15.0
    read: float = 30.0
    attempts: int = 4
    backoff: float = 1.0
    longest_wait: float = 30.0


class _TryAgain(Exception):
    """This attempt failed in a way that another may not.

    Attributes:
        what: for people.
        wait: seconds the server asked for, or None.
    """

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.wait = wait


def download(
    url: str,
    target: Path,
    *,
    sha256: str = "",
    proxy: str | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
    max_bytes: int = 4 * 2**30,
) -> str:
    """Fetch `url` to `target`; returns the file's SHA-256.

    Args:
        url: http or https.
        target: appears only when every byte is there.
        sha256: what the digest must be; empty when nobody knows.
        proxy: address of a proxy; by default what the environment says.
        patience: time limits and number of tries.
        progress: told how far it is.
        max_bytes: larger answers are refused.

    Raises:
        InvalidArgument: not an http(s) address, or not a proxy address.
        DownloadFailed: with the address, what went wrong and what to do. What has arrived is kept for a
            second run, unless its digest is wrong.
        OutputFailed: the folder cannot be written.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidArgument(f"{url!r} is not an http or https address; give one, or the path of a file")
    limits = patience or Patience()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _Part(target)
        with _client(proxy, limits) as client:
            fetch = _Fetch(client, url, part, limits, progress, max_bytes)
            resumed = fetch.run()
            if resumed and sha256 and sha256_of(part.path) != sha256.lower():
                # Old and new bytes may not belong together, whatever the server said: once from the start.
                part.discard()
                fetch.run()
        return _accept(url, part, target, sha256.lower())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadFailed(
                f"{url}: the disk of {target.parent} is full; free space there and run the command again, "
                "it continues where it stopped"
            ) from error
        raise OutputFailed(f"{target} cannot be written: {error.strerror or error}") from error


def _client(proxy: str | None, limits: Patience) -> Client:
    import httpx

    timeout = httpx.Timeout(limits.read, connect=limits.connect)
    # Identity: a compressed transfer has no byte positions to continue from.
    headers = {"Accept-Encoding": "identity", "User-Agent": "lineament"}
    try:
        return httpx.Client(proxy=proxy, timeout=timeout, headers=headers, follow_redirects=True)
    except (ValueError, httpx.InvalidURL, ImportError) as error:
        raise InvalidArgument(
            f"the proxy {proxy or 'from the environment'} cannot be used: {error}; "
            "give one like http://host:port"
        ) from error


class _Part:
    """The bytes that have arrived, and which version of which address they are."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self.facts = target.with_name(target.name + ".part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, url: str) -> str:
        """What If-Range must say to continue, or nothing when these bytes cannot be continued."""
        try:
            facts: Any = json.loads(self.facts.read_text(encoding="utf-8"))
            values = cast(dict[str, Any], facts)
            return str(values["validator"]) if values["url"] == url else ""
        except (OSError, ValueError, LookupError, TypeError):
            return ""

    def begin(self, url: str, response: Response) -> None:
        """Start over: forget old bytes and remember what the new ones will be."""
        self.path.write_bytes(b"")
        tag = response.headers.get("etag", "")
        # A weak tag promises only the same meaning, not the same bytes (RFC 9110, 8.8.1).
        validator = response.headers.get("last-modified", "") if not tag or tag.startswith("W/") else tag
        self.facts.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One file on its way."""

    client: Client
    url: str
    part: _Part
    limits: Patience
    progress: Progress | None
    max_bytes: int

    def run(self) -> bool:
        """Fetch until complete; returns whether older bytes were continued."""
        resumed, failures, wait = False, 0, self.limits.backoff
        while True:
            before = self.part.size()
            try:
                return self._attempt() or resumed
            except _TryAgain as trouble:
                # Progress earns another try: a flaky line that moves forward will get there.
                moved = self.part.size() > before + _PROGRESS
                failures, wait = (0, self.limits.backoff) if moved else (failures + 1, wait)
                if failures >= self.limits.attempts:
                    raise DownloadFailed(_given_up(self.url, trouble.what, self.part.size())) from trouble
                time.sleep(min(self.limits.longest_wait, wait if trouble.wait is None else trouble.wait))
                wait *= 2
                resumed = resumed or self.part.size() > 0

    def _attempt(self) -> bool:
        """One request, appended to what is there; True when it continued older bytes."""
        import httpx

        start = self.part.size()
        validator = self.part.validator(self.url) if start else ""
        headers = {"Range": f"bytes={start}-", "If-Range": validator} if validator else {}
        try:
            with self.client.stream("GET", self.url, headers=headers) as response:
                _check_status(self.url, response, self.part)
                continues = response.status_code == HTTPStatus.PARTIAL_CONTENT
                if continues and not _continues_at(response, start):
                    self.part.discard()
                    raise _TryAgain("the server sent another part of the file than was asked for")
                if not continues:
                    self.part.begin(self.url, response)
                    start = 0
                self._receive(response, start)
                return continues
        except httpx.TimeoutException as error:
            seconds = self.limits.connect if isinstance(error, httpx.ConnectTimeout) else self.limits.read
            raise _TryAgain(f"it stalled: not a byte for {seconds:g} s") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise DownloadFailed(f"{self.url}: {error}; check the address") from error
        except httpx.TransportError as error:
            what = "the connection ended before the end of the file" if self.part.size() else "no connection"
            raise _TryAgain(f"{what} ({error})") from error

    def _receive(self, response: Response, start: int) -> None:
        total = _total(response, start)
        self._check_room(start, total)
        arrived, mark, since = start, start, time.monotonic()
        with self.part.path.open("ab") as stream:
            # Raw: what is counted, hashed and continued are the bytes of the file itself.
            for piece in response.iter_raw():
                arrived += len(piece)
                if arrived > self.max_bytes:
                    raise DownloadFailed(
                        f"{self.url}: more than the limit of {self.max_bytes} bytes; check the address"
                    )
                stream.write(piece)
                if self.progress is not None:
                    self.progress(arrived, total)
                if time.monotonic() - since > self.limits.read:
                    if arrived - mark < _SLOWEST * self.limits.read:
                        raise _TryAgain(f"it stalled: {arrived - mark} bytes in {self.limits.read:g} s")
                    mark, since = arrived, time.monotonic()
        if total is not None and arrived != total:
            raise _TryAgain(f"it was cut off: {arrived} of {total} bytes arrived")

    def _check_room(self, start: int, total: int | None) -> None:
        folder = self.part.path.parent
        if total is not None and total > self.max_bytes:
            raise DownloadFailed(
                f"{self.url}: {total} bytes, more than the limit of {self.max_bytes}; check the address"
            )
        free = shutil.disk_usage(folder).free
        if total is not None and total - start > free:
            raise DownloadFailed(
                f"{self.url}: {total - start} bytes are to come and the disk of {folder} has {free}; free "
                "space there and run the command again"
            )


def _given_up(url: str, what: str, arrived: int) -> str:
    kept = (
        f"{arrived} bytes are kept; run the command again to continue from there"
        if arrived
        else ("check the connection (or --proxy, --mirror) and run the command again")
    )
    return f"{url}: {what}; {kept}"


def _check_status(url: str, response: Response, part: _Part) -> None:
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size():
        part.discard()
        raise _TryAgain("the file on the server is shorter than what had arrived before")
    if status in _TRANSIENT:
        raise _TryAgain(f"the server answered {status}", _retry_after(response))
    what = (
        "there is no such file (404)" if status == HTTPStatus.NOT_FOUND else f"the server answered {status}"
    )
    raise DownloadFailed(
        f"{url}: {what}; check the name or address, or fetch the file yourself and install its path"
    )


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("retry-after", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _continues_at(response: Response, start: int) -> bool:
    return response.headers.get("content-range", "").startswith(f"bytes {start}-")


def _total(response: Response, start: int) -> int | None:
    _, _, total = response.headers.get("content-range", "").partition("/")
    if total.isdigit():
        return int(total)
    length = response.headers.get("content-length", "")
    return start + int(length) if length.isdigit() else None


def _accept(url: str, part: _Part, target: Path, wanted: str) -> str:
    digest = sha256_of(part.path)
    if wanted and digest != wanted:
        part.discard()
        raise DownloadFailed(
            f"{url}: the file has sha256 {digest}, not {wanted}; it was deleted. Run the command again, and "
            "if the digest stays the same do not use this source"
        )
    part.path.replace(target)
    with suppress(OSError):
        part.facts.unlink(missing_ok=True)
    return digest
