"""Reaching Milvus: what an address says, and every failure of its client as one named error.

The client is `pymilvus` (extra `milvus`); it is imported when the first index is opened and not before.
"""

import contextlib
import importlib.util
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

from lineament.core.errors import IndexUnavailable
from lineament.gallery.milvus_address import TOKEN, MilvusAddress

T = TypeVar("T")
Client = Any
"""A `pymilvus.MilvusClient`, which may not be installed when this file is read."""

UNTOUCHED = "what is enrolled is in the database, not there, and is untouched"


class MilvusLink:
    """A connection that is made when it is needed, and made again after it broke.

    Args:
        address: of the server.
        prepare: called with each new client before anything else is asked of it.
    """

    def __init__(self, address: MilvusAddress, prepare: Callable[[Client], None]) -> None:
        self.address = address
        self._prepare = prepare
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._closed = False

    def call(self, what: str, act: Callable[[Client], T]) -> T:
        """Do something with the client.

        Args:
            what: in words, for the message of a failure: "search", "add rows".
            act: what to do; it passes `timeout=` to every call.

        Raises:
            IndexUnavailable: Milvus is not there, refuses the token, takes too long, or cannot do it.
        """
        _require_packages(self.address.lite)
        import grpc
        from pymilvus.exceptions import MilvusException

        with _quietly():
            try:
                return act(self._open())
            except (MilvusException, grpc.RpcError) as error:
                if _is_broken(error):
                    self._drop()
                raise self._unavailable(what, error) from error

    def close(self) -> None:
        """Let go of the connection for good."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        """Let go of the connection; the next call makes a new one."""
        with self._lock, contextlib.suppress(Exception):
            client, self._client = self._client, None
            if client is not None:
                _close(client, self.address)

    def _open(self) -> Client:
        with self._lock:
            if self._closed:
                raise IndexUnavailable(f"the index at {self.address} was closed: open the gallery again")
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Client:
        from pymilvus import MilvusClient

        address = self.address
        if address.lite:
            logging.getLogger("grpc._server").addFilter(_LITE_FILTER)
        else:
            self._knock()
        # `dedicated`: the client's own pool would hand us a connection that others have broken.
        client = MilvusClient(
            address.uri,
            token=os.environ.get(TOKEN, ""),
            db_name=address.database,
            timeout=address.timeout_s,
            dedicated=True,
        )
        _lite_users[address.uri] += 1
        try:
            self._prepare(client)
        except BaseException:
            _close(client, address)
            raise
        return client

    def _knock(self) -> None:
        """Fail at once where nobody listens; the client alone would try again for its whole timeout."""
        address = self.address
        try:
            socket.create_connection((address.host, address.port), timeout=address.timeout_s).close()
        except OSError as error:
            raise IndexUnavailable(
                f"no Milvus answers at {address} ({error.strerror or error}): start it, or correct the "
                f"address; {UNTOUCHED}"
            ) from error

    def _unavailable(self, what: str, error: Exception) -> IndexUnavailable:
        codes = _codes(error)
        if self.address.lite and type(error).__name__ == "ConnectionConfigException":
            return IndexUnavailable(
                f"milvus-lite cannot open {self.address}: its folder must be in one that is there, and only "
                "one process at a time may hold it; several processes need a Milvus server"
            )
        if "UNAUTHENTICATED" in codes or "PERMISSION_DENIED" in codes:
            return IndexUnavailable(
                f"Milvus at {self.address} refuses the token, or wants one: "
                f"set {TOKEN} to user:password or to a key"
            )
        if "DEADLINE_EXCEEDED" in codes:
            return IndexUnavailable(
                f"Milvus at {self.address} did not {what} within {self.address.timeout_s:g} s: "
                "look at its load, or give it longer with ?timeout=60 in the address"
            )
        if "UNAVAILABLE" in codes or "2" in codes:
            return IndexUnavailable(
                f"Milvus at {self.address} could not be reached to {what}: try again when it answers; "
                f"{UNTOUCHED}"
            )
        return IndexUnavailable(f"Milvus at {self.address} could not {what}: {_reason(error)}")


_lite_users: Counter[str] = Counter()


def _close(client: Client, address: MilvusAddress) -> None:
    """Close a client; when no other of this process uses the folder of milvus-lite, another process may."""
    try:
        client.close()
    finally:
        _lite_users[address.uri] -= 1
        if address.lite and _lite_users[address.uri] <= 0:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(address.uri)


def _is_broken(error: Exception) -> bool:
    return bool({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "2"} & _codes(error))


def _codes(error: BaseException) -> set[str]:
    """Codes of an error and of what caused it. pymilvus raises errors that are their own cause."""
    seen: list[BaseException] = []
    found: set[str] = set()
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        code = getattr(cause, "code", "")
        code = code() if callable(code) else code
        found.add(str(getattr(code, "name", code)))
        cause = cause.__cause__
    return found


def _reason(error: Exception) -> str:
    """What the server said. The client's own complaints could quote a template: of them, only the kind."""
    from pymilvus.exceptions import MilvusException

    if type(error) is not MilvusException:
        return type(error).__name__
    text = error.message.splitlines()[0][:300] if error.message else type(error).__name__
    token = os.environ.get(TOKEN)
    return text.replace(token, "…") if token else text


def _require_packages(lite: bool) -> None:
    wanted = {"pymilvus": "'lineament[milvus]'"} | ({"milvus_lite": "milvus-lite"} if lite else {})
    for name, what in wanted.items():
        if importlib.util.find_spec(name) is None:
            raise IndexUnavailable(f"searching in Milvus needs a package: pip install {what}")


_ours: ContextVar[bool] = ContextVar("lineament_milvus_call", default=False)


class _NotOurs(logging.Filter):
    """Drops what a call of ours makes pymilvus log: the same failure is raised, with what to do about it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


class _NotLacking(logging.Filter):
    """Drops what grpc logs when milvus-lite is asked for what only a server has; the client does without."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind, _, trace = record.exc_info if isinstance(record.exc_info, tuple) else (None, None, None)
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
        return not (kind is NotImplementedError and where.startswith("pymilvus.grpc_gen"))


_FILTER, _LITE_FILTER = _NotOurs(), _NotLacking()
_TALKERS = (
    "pymilvus.decorators",
    "pymilvus.client.connection_manager",
    "pymilvus.client.grpc_handler",
    "milvus_lite.server_manager",
)


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    for name in _TALKERS:
        logging.getLogger(name).addFilter(_FILTER)  # adding it again changes nothing
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
