"""Face detectors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from lineament.app.devices import Devices
from lineament.app.model_zoo.base import Model
from lineament.app.pictures import rgb_pixels
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Faces
from lineament.detect.refine import Refined
from lineament.detect.scrfd import LAYOUTS
from lineament.detect.search import AUTO, DetectionSettings, FaceSearch
from lineament.packs.card import ModelCard, Pack
from lineament.pipeline.parts import SCRFD_SETTINGS, YUNET_SETTINGS, family_for
from lineament.runtime.session import Session
from lineament.vision.boxes import Rule, non_maximum_suppression

RULES: Final[Mapping[str, Rule]] = {"default": "central", "max": "largest"}
"""insightface's names for which faces stay when there are too many."""

Sizes = tuple[tuple[int, int], ...]


class SCRFD(Model[FaceSearch | Refined]):
    """A detector. SCRFD and RetinaFace networks work as in insightface; the YuNet of the default pack works
    through the same calls, with points measured a second time on each face.

    Arguments as for `Model`.
    """

    TASKS = ("detection",)

    def _build(self, session: Session) -> FaceSearch | Refined:
        search = FaceSearch(family_for(self.card, session), _own_settings(self.card))
        return Refined(search) if self.card.family == "yunet" and self.card.size == (0, 0) else search

    def _begin(self, pack: Pack, card: ModelCard, devices: Devices, session: Any = None) -> None:
        super()._begin(pack, card, devices, session)
        self.settings: DetectionSettings = _own_settings(card)
        """How faces are searched for. Immutable: replacing it is atomic, and the next call sees it."""

    @property
    def use_kps(self) -> bool:
        """Whether the network gives five points."""
        return self.card.family != "scrfd" or LAYOUTS[self.card.outputs][2]

    @property
    def input_sizes(self) -> list[tuple[int, int]]:
        """(width, height) of every pass, pixels."""
        return list((self.card.size,) if self.card.size != (0, 0) else self.settings.sizes)

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the largest pass. Assign a pair, a list of pairs, or None for automatic.

        The picture is fitted inside, keeping its aspect ratio, padded right and below; sides are rounded up
        to the network's stride. Networks with a fixed input keep it.
        """
        return self.input_sizes[-1]

    @input_size.setter
    def input_size(self, value: Any) -> None:
        self.settings = replace(self.settings, sizes=sizes_of(value))

    @property
    def det_thresh(self) -> float:
        """Smallest confidence, 0..1."""
        return self.settings.threshold

    @det_thresh.setter
    def det_thresh(self, value: float) -> None:
        self.settings = replace(self.settings, threshold=float(value))

    @property
    def nms_thresh(self) -> float:
        """Overlap above which the weaker of two boxes goes, 0..1."""
        return self.settings.overlap

    @nms_thresh.setter
    def nms_thresh(self, value: float) -> None:
        self.settings = replace(self.settings, overlap=float(value))

    def prepare(self, ctx_id: int, **settings: Any) -> None:
        """Choose the device, load the network, and say how to search.

        Args:
            ctx_id: below 0 the processor, else the number of the graphics processor.
            **settings: `input_size`, `det_thresh`, `nms_thresh` (what is None or absent stays as it is), and
                fields of `DetectionSettings`.

        Raises:
            InvalidArgument: a setting is unknown or out of range.
        """
        names = {"input_size": "sizes", "det_thresh": "threshold", "nms_thresh": "overlap"}
        given = {names.get(key, key): value for key, value in settings.items() if value is not None}
        if "sizes" in given:
            given["sizes"] = sizes_of(given["sizes"])
        changed = changed_settings(self.settings, given)
        super().prepare(ctx_id)
        self.settings = changed

    def prepare_anew(
        self, ctx_id: int, det_thresh: float | None, det_size: Any, settings: Mapping[str, Any]
    ) -> None:
        """As `prepare`, from the network's own settings instead of the present ones; the overlap stays."""
        given = {"sizes": sizes_of(det_size), **settings}
        if det_thresh is not None:
            given["threshold"] = float(det_thresh)
        own = replace(_own_settings(self.card), overlap=self.nms_thresh)
        changed = changed_settings(own, given)
        super().prepare(ctx_id)
        self.settings = changed

    def detect(
        self,
        img: Any,
        input_size: Any = None,
        max_num: int = 0,
        metric: str = "default",
        det_thresh: float | None = None,
        *,
        color: str = "bgr",
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Faces of one picture.

        Args:
            img: the picture; arrays are blue-green-red unless `color="rgb"`.
            input_size: a pair or list of pairs for this call; None keeps the prepared ones.
            max_num: keep at most this many; 0 keeps all, by score.
            metric: which stay: `default`, area less twice the squared distance from the middle; `max`, area.
            det_thresh: smallest confidence for this call.

        Returns:
            float32 (n, 5) x1 y1 x2 y2 score, and float32 (n, 5, 2) points, or None for networks without.
        """
        pixels = rgb_pixels(img, color)
        settings = self.settings
        if input_size is not None:
            settings = replace(settings, sizes=sizes_of(input_size))
        if det_thresh is not None:
            settings = replace(settings, threshold=float(det_thresh))
        faces = self.find(pixels, max_num, metric, settings)
        boxes = np.concatenate([faces.boxes, faces.scores[:, None]], axis=1)
        return boxes, faces.points.copy() if self.use_kps else None

    def find(
        self,
        pixels: UInt8[np.ndarray, "h w 3"],
        max_num: int,
        metric: str,
        settings: DetectionSettings | None = None,
        threads: int | None = None,
    ) -> Faces:
        """Faces of an RGB picture; `max_num` and `metric` as in `detect`."""
        if metric not in RULES:
            raise InvalidArgument(f"a metric is 'default' or 'max', not {metric!r}")
        settings = settings or self.settings
        settings = replace(settings, max_faces=max(0, int(max_num)), keep=RULES[metric])
        return self.part(threads).detect(pixels, settings)

    def forward(self, img: Any, threshold: float) -> tuple[list[np.ndarray], ...]:
        """Candidates of one canvas before suppression, best first.

        Args:
            img: blue-green-red uint8, sides multiples of the stride; nothing is resized.
            threshold: smallest confidence.

        Returns:
            Lists of one array each: scores (n, 1), boxes (n, 4), points (n, 5, 2); insightface gives one
            array per stride.
        """
        part = self.part()
        family = (part.search if isinstance(part, Refined) else part).family
        found = family.candidates(rgb_pixels(img), threshold)
        return [found.scores[:, None]], [found.boxes], [found.points] if self.use_kps else []

    def nms(self, dets: Any) -> list[int]:
        """Rows of (n, 5) boxes with scores that stay, best first."""
        rows = np.asarray(dets, np.float32)
        return non_maximum_suppression(rows[:, :4], rows[:, 4], self.nms_thresh).tolist()


class RetinaFace(SCRFD):
    """insightface's other name for the same kind of network."""


def sizes_of(value: Any) -> Sizes:
    """A detection size, or several, as pairs.

    Args:
        value: (width, height); a list of such; None or (0, 0) for the automatic two passes.

    Raises:
        InvalidArgument: anything else.
    """
    if value is None:
        return AUTO
    entries: Any = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(entries, list | tuple) and entries:
        pairs = entries if isinstance(entries[0], list | tuple) else [entries]
        if all(isinstance(pair, list | tuple) and len(pair) == 2 and _whole(pair) for pair in pairs):
            sizes = tuple((int(width), int(height)) for width, height in pairs)
            return AUTO if sizes == ((0, 0),) else sizes
    raise InvalidArgument(
        f"a detection size is (width, height) in whole pixels, such as (640, 640), a list of such pairs, or "
        f"None for automatic, not {value!r}"
    )


def changed_settings(settings: DetectionSettings, changes: Mapping[str, Any]) -> DetectionSettings:
    """Settings with some fields replaced.

    Raises:
        InvalidArgument: no such field, or out of range.
    """
    known = DetectionSettings.__slots__
    if unknown := sorted(set(changes) - set(known)):
        raise InvalidArgument(
            f"detection has no setting {unknown[0]!r}: input_size, det_thresh, nms_thresh, {', '.join(known)}"
        )
    return replace(settings, **changes)


def _whole(pair: Any) -> bool:
    return all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in pair)


def _own_settings(card: ModelCard) -> DetectionSettings:
    # SCRFD sees the whole padded square, as in insightface: padding changes its scores a little.
    return YUNET_SETTINGS if card.family == "yunet" else replace(SCRFD_SETTINGS, tight=False, finest=False)
