"""Many pictures at a time on one machine: in order, bad ones reported in their place."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lineament.core.errors import LineamentError

T = TypeVar("T")

# Enough waiting work that no worker idles while the caller handles a result, and not so much that pictures
# pile up in memory.
AHEAD_PER_WORKER = 2


@dataclass(frozen=True, slots=True, eq=False)
class Result(Generic[T]):
    """What became of one source.

    Attributes:
        index: position in the input, from 0.
        source: the input itself when it is a path or a string, else its kind, for example `<bytes>`.
        value: the result, or None.
        error: why there is none, or None.
    """

    index: int
    source: str
    value: T | None
    error: LineamentError | None

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None

    @property
    def faces(self) -> Any:
        """The faces of the picture; raises the picture's own error when it could not be used."""
        if self.error is not None:
            raise self.error
        return getattr(self.value, "faces", self.value)


def in_order(sources: Iterable[Any], work: Callable[[Any], T], workers: int) -> Iterator[Result[T]]:
    """Apply `work` to every source on `workers` threads; results come in the order of the sources.

    Only errors of this package are turned into results: a mistake in the code still raises. Closing the
    iterator, or Ctrl-C, cancels what has not begun.
    """
    pending: deque[tuple[int, str, Future[T]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="lineament")
    numbered = enumerate(sources)
    try:
        while True:
            while len(pending) < workers * AHEAD_PER_WORKER:
                item = next(numbered, None)
                if item is None:
                    break
                pending.append((item[0], _name(item[1]), pool.submit(work, item[1])))
            if not pending:
                return
            index, name, future = pending.popleft()
            try:
                yield Result(index, name, future.result(), None)
            except LineamentError as error:
                yield Result(index, name, None, error)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _name(source: Any) -> str:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "<bytes>"
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        return str(source)
    return f"<{type(source).__name__}>"
