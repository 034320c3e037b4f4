"""Measured thresholds into the card of a pack of one's own."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

from lineament.core.errors import InvalidArgument, OutputFailed, PackBroken, PackNotFound
from lineament.core.threshold import Threshold
from lineament.packs.card import CARD_NAME, VIEWS, PackCard, Precision
from lineament.packs.store import write_durably

UNMEASURED = (
    "No threshold has been measured for this network, and those of other networks do not fit it: measure one "
    "with `lineament calibrate`."
)
"""Note of a card that stands until a threshold is put into it."""


def read_card(folder: Path) -> PackCard:
    """The card of a pack in a folder.

    Raises:
        PackNotFound: no card there.
        PackBroken: it cannot be read.
    """
    path = folder / CARD_NAME
    if not path.is_file():
        raise PackNotFound(
            f"{folder} is no folder with a {CARD_NAME}: name the folder of a pack, such as `lineament "
            "export` writes; the cards of installed packs stay as they are"
        )
    try:
        return PackCard.from_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PackBroken(f"cannot read {path}: {error}") from error


def put_thresholds(folder: Path, measured: Sequence[Threshold]) -> PackCard:
    """Keep thresholds in the card of the pack they were measured with.

    One for the same templates and the same rate takes the place of the card's.

    Args:
        folder: of the pack.
        measured: by any views of its recognition network, in any precision.

    Returns:
        The card, as it now stands in `folder`.

    Raises:
        PackNotFound, PackBroken: no card there, or none that can be read.
        InvalidArgument: a threshold of another network.
        OutputFailed: the card cannot be written; the old one is untouched.
    """
    card = read_card(folder)
    digests = _digests(card)
    for threshold in measured:
        if threshold.model.digest not in digests:
            raise InvalidArgument(
                f"the threshold is for templates of {threshold.model}, which the pack {card.name} does not "
                "make: measure it with this pack"
            )
    new = {_what(threshold) for threshold in measured}
    kept = tuple(threshold for threshold in card.thresholds if _what(threshold) not in new)
    notes = tuple(note for note in card.notes if note != UNMEASURED)
    card = replace(card.with_thresholds((*kept, *measured)), notes=notes)
    try:
        write_durably(folder / CARD_NAME, card.to_json())
    except OSError as error:
        raise OutputFailed(
            f"cannot write {folder / CARD_NAME}: {error}; make room, or -o elsewhere"
        ) from error
    return card


def _digests(card: PackCard) -> set[str]:
    """Of all templates that the pack's recognition network can make."""
    network = card.model("recognition")
    if network is None:
        return set()
    ways = product(VIEWS, get_args(Precision))
    return {network.identity(card.name, views, precision).digest for views, precision in ways}


def _what(threshold: Threshold) -> tuple[str, float | None, float | None, int | None]:
    """What a card has one threshold for."""
    return threshold.model.digest, threshold.fmr, threshold.fpir, threshold.gallery_size
