"""The worst errors of a run: by name, and as small photographs only when somebody asks for them."""

import base64
from collections.abc import Sequence

from lineament.core.errors import DatasetInvalid, ImageError, ImageNotFound
from lineament.datasets.matching import resolve_names
from lineament.datasets.port import Pictures
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, escaped, joined, tag
from lineament.evaluate.report_tables import foot, table
from lineament.evaluate.report_words import plain
from lineament.vision.decode import read_image

THUMBNAIL = 144
"""Longer side of a small photograph, pixels."""
_KINDS = (
    ("false_matches", "Most similar pairs of different people"),
    ("false_nonmatches", "Least similar pairs of one person"),
)
_WARNING = (
    "This page holds photographs of people. Keep it, pass it on and delete it as you would the photographs "
    "themselves; made without --thumbnails it holds none."
)


def errors(view: View, pictures: Pictures | None, worst: int) -> Markup | None:
    """Lists of the worst errors.

    Args:
        view: the run.
        pictures: where its pictures are; None lists names only.
        worst: how many of each kind.

    Raises:
        DatasetInvalid: not one of the pictures is there.
    """
    block = view.results.block("errors")
    if block is None:
        return None
    known = [(title, block.blocks(key)) for key, title in _KINDS]
    album = None if pictures is None else _Album(pictures, [r for _, rows in known for r in rows[:worst]])
    parts: list[Child] = []
    for title, rows in known:
        shown = rows[:worst]
        if shown:
            listed = _names(shown) if album is None else _faces(shown, album)
            more = len(rows) - len(shown)
            parts += [tag("h3", title), listed, foot(f"{more} more are in the run file.") if more else None]
    if album is None:
        return joined(parts) if parts else None
    album.require_one()
    return joined([tag("p", _WARNING, class_="warning", role="note") if album.shown else None, *parts])


class _Album:
    """Small photographs by the names that a run has for them."""

    def __init__(self, pictures: Pictures, rows: Sequence[Fields]) -> None:
        self.pictures = pictures
        self.asked = {row.text(side) for row in rows for side in ("a", "b")}
        # Names are looked up as they are in the run; what is shown of them is made harmless elsewhere.
        self.found = resolve_names(sorted(self.asked), pictures.names)
        self.shown = 0

    def thumbnail(self, name: str) -> Markup:
        try:
            data = _small(self.pictures.read(self.found.get(name, name)))
        except ImageError as error:
            # Not the error's own message: it may name folders of the machine that the page was made on.
            absent = isinstance(error, ImageNotFound)
            why = f"there is no picture {name}" if absent else f"{name} cannot be shown: {error.reason}"
            return tag("span", why, class_="missing muted")
        self.shown += 1
        return Markup(f'<img alt="{escaped(name)}" src="data:image/jpeg;base64,{data}">')

    def require_one(self) -> None:
        """Refuse a folder that has nothing to do with the run."""
        if self.asked and not self.shown:
            raise DatasetInvalid(
                f"not one of the {len(self.asked)} pictures asked for can be read from "
                f"{self.pictures.describe()}: name the folder or zip that was evaluated"
            )


def _names(rows: Sequence[Fields]) -> Markup:
    listed: list[list[Child]] = [
        [str(i + 1), row.text("a"), row.text("b"), plain(row.number("similarity"))]
        for i, row in enumerate(rows)
    ]
    return tag("div", table(["", "first", "second", "similarity"], listed), class_="names")


def _faces(rows: Sequence[Fields], album: _Album) -> Markup:
    cards = (
        tag(
            "figure",
            tag("div", album.thumbnail(row.text("a")), album.thumbnail(row.text("b"))),
            tag(
                "figcaption",
                tag("b", plain(row.number("similarity"))),
                f" {row.text('a')} – {row.text('b')}",
            ),
            class_="pair",
        )
        for row in rows
    )
    return tag("div", *cards, class_="faces")


def _small(data: bytes) -> str:
    """A JPEG of at most `THUMBNAIL` pixels a side in base 64; made of pixels, so without metadata."""
    import cv2

    pixels = read_image(data).pixels
    scale = min(1.0, THUMBNAIL / max(pixels.shape[:2]))
    size = tuple(max(1, round(scale * side)) for side in (pixels.shape[1], pixels.shape[0]))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, packed = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(packed.tobytes()).decode("ascii")
