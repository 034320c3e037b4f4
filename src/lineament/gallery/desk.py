"""An opened collection: its database, its index, its keys, and who acts. What it can do stands in
`gallery.py`."""

import getpass
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from lineament.core.errors import InvalidArgument
from lineament.core.ports import Capturer
from lineament.core.template import require_same_model
from lineament.core.threshold import Threshold
from lineament.gallery import collections
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.engines import open_index
from lineament.gallery.follow import Follower
from lineament.gallery.keys import KeySource, open_keys
from lineament.gallery.operating import search_threshold
from lineament.gallery.port import VectorIndex
from lineament.gallery.truth import Truth
from lineament.gallery.values import Settings
from lineament.gallery.vault import Vault

# Not `Self`: the type checker at run time, which decorates functions one by one, does not know whose.
_Desk = TypeVar("_Desk", bound="Desk")


def current_actor(name: str | None = None, purpose: str | None = None) -> Actor:
    """Who acts: what is given, else LINEAMENT_ACTOR and LINEAMENT_PURPOSE, else the user of the machine.

    Raises:
        InvalidArgument: nobody was named, and the user of the machine has no name, as in some containers.
    """
    chosen = name or os.environ.get("LINEAMENT_ACTOR")
    if not chosen:
        try:
            chosen = getpass.getuser()
        except (KeyError, OSError) as error:
            raise InvalidArgument(
                "the user of this machine has no name: say who acts, with --actor NAME or LINEAMENT_ACTOR"
            ) from error
    return Actor(chosen, purpose or os.environ.get("LINEAMENT_PURPOSE") or "not stated")


class Desk:
    """One collection. Make it with `Gallery.create` or `Gallery.open`.

    Threads may share it. Another process opens its own; what one commits, the next search of every other
    finds, and what one deletes, none finds any more.

    Attributes:
        truth: the database.
        collection: which collection, with its settings.
        actor: who acts, in every audit record.
    """

    def __init__(
        self,
        truth: Truth,
        name: str,
        *,
        recognizer: Capturer | None = None,
        index: str | VectorIndex | None = None,
        keys: KeySource | str | None = None,
        thresholds: Sequence[Threshold] = (),
        actor: Actor | None = None,
    ) -> None:
        self.truth = truth
        self.actor = actor or current_actor()
        self.keys = open_keys(keys) if isinstance(keys, str) else keys
        self.audit = Audit(truth, self.keys)
        with truth.read() as connection:
            self.collection, wrapped = collections.row_of(connection, name)
        here = self.collection
        if recognizer is not None:
            require_same_model(recognizer.model, here.model)
        self.recognizer = recognizer
        self._given = tuple(thresholds)
        self.vault = Vault(here.id, here.dimension, self.keys, wrapped, here.settings.transform)
        rows = collections.references_in(truth, here)
        chosen = open_index(index, here, rows=rows, store=truth.identity())
        # A server's index is told by every process that has the collection open.
        shared = isinstance(index, str) and index != "memory"
        self.follower = Follower(truth, here.id, chosen, self.vault.unseal, shared=shared)

    @classmethod
    def open(cls: type[_Desk], url: str, name: str, **options: Any) -> _Desk:
        """Open a collection that exists.

        Args:
            url: of the database, see `Truth`.
            name: of the collection.
            options: `recognizer` makes templates of pictures; `index` is None for one in memory or
                `milvus+http://host:port`; `keys` is `file:PATH`, `env:NAME` or a `KeySource`; `thresholds`
                are measured ones besides the recognizer's; `actor` is who acts.

        Raises:
            CollectionNotFound: none of that name.
            TemplateMismatch: the recognizer has another model than the collection.
            KeyUnavailable: the collection is sealed and the key is not here.
            GalleryError: the database cannot be used, as the message says.
        """
        truth = Truth(url)
        try:
            return cls(truth, name, **options)
        except BaseException:
            truth.close()
            raise

    @classmethod
    def create(
        cls: type[_Desk],
        url: str,
        name: str,
        *,
        recognizer: Capturer,
        kind: str = "gallery",
        settings: Settings | None = None,
        keys: KeySource | str | None = None,
        actor: Actor | None = None,
        **options: Any,
    ) -> _Desk:
        """Make a collection for the recognizer's model, and the database where there is none, and open it.

        Args:
            url, name: as for `open`.
            recognizer: whose model the collection is bound to for good.
            kind: `gallery` or `watchlist`.
            settings: see `Settings`.
            keys: seals templates, crops and sensitive metadata; None leaves them readable by whoever reads
                the
                database.
            actor, options: as for `open`.

        Raises:
            CollectionExists: the name is taken.
        """
        source = open_keys(keys) if isinstance(keys, str) else keys
        truth = Truth(url, create=True)
        try:
            collections.create(
                truth, Audit(truth, source), actor or current_actor(), name, recognizer.model,
                recognizer.alignment, recognizer.dimension, kind=kind, settings=settings, keys=source,
            )  # fmt: skip
            return cls(truth, name, recognizer=recognizer, keys=source, actor=actor, **options)
        except BaseException:
            truth.close()
            raise

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """What was measured for the collection's model: given ones first, then the recognizer's."""
        return (*self._given, *(self.recognizer.thresholds if self.recognizer is not None else ()))

    @property
    def size(self) -> int:
        """References enrolled, by every process, at this moment."""
        self.follower.catch_up()
        return self.follower.index.count()

    def threshold(
        self, fpir: float, given: float | Threshold | None = None, size: int | None = None
    ) -> Threshold:
        """The boundary of a search at this rate in a gallery of the present size.

        Raises:
            ThresholdMissing: no evidence for this rate at this size; the message says what there is.
        """
        count = max(1, self.size if size is None else size)
        return search_threshold(self.thresholds, self.collection.model, fpir, count, given)

    def rebuild(self, progress: Any = None) -> int:
        """Make the index anew from the truth; the number of references."""
        return self.follower.rebuild(progress)

    def note(self, action: str, body: Mapping[str, Any] | None = None) -> None:
        """Leave a record in the audit log: that a watch began, that an export was handed over.

        Args:
            action: what was done, snake_case.
            body: plain values; never a template.
        """
        with self.truth.write() as connection:
            self.audit.append(connection, self.actor, action, self.collection.name, body=body)

    def close(self) -> None:
        """Let go of index and database."""
        self.follower.index.close()
        self.truth.close()

    def __enter__(self: _Desk) -> _Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recognizer(self) -> Capturer:
        if self.recognizer is None:
            raise InvalidArgument(
                "pictures need a recognizer: open the gallery with recognizer=lineament.Recognizer(), or "
                "search "
                "with templates"
            )
        return self.recognizer
