"""What an index of templates promises, whatever engine it runs on.

SQL holds the truth. An index only *proposes*: every row it names is fetched from the truth, which knows
whether it is still there, and is scored again exactly. So an index can miss a face but never bring one
back, and what it can miss is bounded by `search`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What an index proposes for one probe, best first by its own score.

    Attributes:
        ids: (n,) references.
        scores: (n,) the index's own similarities, which may be coarse; cosine, −1..1.
        complete: whether the promise of `VectorIndex.search` is kept for this probe.
    """

    ids: Int64[np.ndarray, "n"]
    scores: Float32[np.ndarray, "n"]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class VectorIndex(Protocol):
    """References of one collection by one model, found by likeness.

    Any number of threads may search while one writes. A search sees the index as it was after some whole
    `upsert` or `delete`, never half of one.
    """

    @property
    def dimension(self) -> int:
        """Length of a template."""
        ...

    def upsert(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"], seq: int) -> None:
        """Add rows, or put them in place of those of the same id; the same call twice changes nothing.

        Args:
            ids: reference ids of the truth, which never uses one twice.
            vectors: unit rows.
            seq: sequence number of the truth that the index has now seen.

        Raises:
            TemplateInvalid: a row that is not finite, not of unit length, or not of this dimension.
            IndexUnavailable: the engine cannot be reached.
        """
        ...

    def delete(self, ids: Int64[np.ndarray, "n"], seq: int) -> None:
        """Take rows out; ids that are not there are no fault. Arguments and errors as for `upsert`."""
        ...

    def search(
        self,
        queries: Float32[np.ndarray, "m d"],
        *,
        k: int,
        floor: float = -1.0,
        among: Int64[np.ndarray, "a"] | None = None,
    ) -> list[Hits]:
        """Rows alike to each probe.

        Of the rows (those of `among`, where given) whose exact cosine is at or over `floor`, the `k` best are
        among the ids returned. There may be others besides; the caller scores all of them exactly.
        `Hits.complete` is False where the engine cannot assure that.

        Args:
            queries: unit rows.
            k: how many of the best are wanted, 1 or more.
            floor: cosine under which nothing is wanted.
            among: the only ids to look at, in rising order.

        Raises:
            TemplateInvalid: a probe that is not finite, not of unit length, or not of this dimension.
            InvalidArgument: `k` or `floor` out of range.
            IndexUnavailable: the engine cannot be reached.
        """
        ...

    def applied_seq(self) -> int:
        """The last sequence number that was told, 0 before any."""
        ...

    def count(self) -> int:
        """Rows that a search can find."""
        ...

    def clear(self) -> None:
        """Forget all rows and the sequence number."""
        ...

    def close(self) -> None:
        """Let go of memory and connections; nothing can be called afterwards."""
        ...
