"""The pack whose templates a collection holds: found by the model's digest, never guessed."""

from collections.abc import Iterator
from typing import Any, cast, get_args

from lineament.cli.options import make_recognizer
from lineament.core.errors import InvalidArgument, PackError, PackNotFound, TemplateMismatch
from lineament.gallery.values import Collection
from lineament.packs.card import VIEWS, ModelCard, PackCard, Precision, Views
from lineament.packs.default import DEFAULT_NAME, described_default
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store


def recognizer_of(collection: Collection, *, model: str | None, precision: Any, **shared: Any) -> Any:
    """A recognizer that makes templates for a collection.

    Args:
        collection: whose model is wanted.
        model: the pack that the caller named; None searches the default pack, then those installed.
        precision: as the caller has it.
        shared: the other values of `recognizer_options`.

    Raises:
        TemplateMismatch: the named pack is of another model.
        PackNotFound: no pack here is of that model.
        InvalidArgument: the pack is here, and the collection is of another precision than asked for.
    """
    looked: list[str] = []
    for name, card, network in _cards(model):
        looked.append(name)
        views, exact = _made_with(card, network, collection.model.digest)
        if views is None or exact is None:
            continue
        if exact != precision:
            engine = "" if exact == "fp32" else " --engine openvino"
            raise InvalidArgument(
                f"{collection.name!r} holds templates of precision {exact}: give{engine} --precision {exact}"
            )
        return make_recognizer(name, precision=precision, **shared, views=views)
    if model is not None:
        raise TemplateMismatch(
            f"{collection.name!r} holds templates of {collection.model}, and the pack {model} makes others: "
            f"leave --model out, or move the collection with `lineament gallery migrate {collection.name}`"
        )
    raise PackNotFound(
        f"no pack here makes templates of {collection.model}, which {collection.name!r} holds (looked at: "
        f"{', '.join(looked)}): install that pack, or name it with --model"
    )


def _cards(model: str | None) -> Iterator[tuple[str, PackCard, ModelCard]]:
    """Packs with a recognition network: the named one, or all that can be had without asking."""
    for name, card in _named(model) if model is not None else _installed():
        network = card.model("recognition")
        if network is not None:
            yield name, card, network


def _named(model: str) -> Iterator[tuple[str, PackCard]]:
    yield model, open_pack(model).card


def _installed() -> Iterator[tuple[str, PackCard]]:
    yield "default", described_default()
    store = Store()
    for name in store.list():
        if name == DEFAULT_NAME:
            continue
        try:
            card = store.card(name)
        except PackError:
            continue  # a damaged card says nothing; `lineament models verify` tells of it
        yield name, card


def _made_with(card: PackCard, network: ModelCard, digest: str) -> tuple[Views | None, Precision | None]:
    """Views and precision with which a network makes these templates, or None twice."""
    for views in VIEWS:
        for precision in cast(tuple[Precision, ...], get_args(Precision)):
            if network.identity(card.name, views, precision).digest == digest:
                return views, precision
    return None, None
