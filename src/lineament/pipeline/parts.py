"""From a pack and settings to the parts that do the work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lineament.attributes.gender_age import GenderAge
from lineament.attributes.landmarks import Landmarks
from lineament.core.checks import require_bool
from lineament.core.errors import InvalidArgument, PackUnrecognised
from lineament.core.ports import AttributeModel, Detector
from lineament.detect.family import Family
from lineament.detect.refine import Refined
from lineament.detect.scrfd import Scrfd
from lineament.detect.search import DetectionSettings, FaceSearch
from lineament.detect.yunet import YuNet
from lineament.embed.onnx import OnnxEmbedder
from lineament.packs.card import ModelCard, Pack, Task, Views
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, Session, open_session

# Tuned for each family on the CC0 portraits and on CFP, see LOG.md.
YUNET_SETTINGS = DetectionSettings(threshold=0.65, overlap=0.3)
ATTRIBUTE_TASKS: tuple[Task, ...] = ("landmarks_106", "landmarks_68", "gender_age")
SCRFD_SETTINGS = DetectionSettings(threshold=0.5, overlap=0.4)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A detector, an embedder and attribute models, ready to run."""

    detector: Detector
    embedder: OnnxEmbedder
    attributes: tuple[AttributeModel, ...]
    sessions: tuple[Session, ...]

    def open(self) -> None:
        """Load every network now."""
        for session in self.sessions:
            session.open()


@dataclass(frozen=True, slots=True)
class PartSettings:
    """What is built from a pack.

    Attributes:
        detection: how faces are searched for; None takes the detector family's own settings.
        adjust: fields of `DetectionSettings` to change in those, for example `{"angles": (0, 90, 180, 270)}`.
        refine: measure the five points a second time on an enlarged face; None does so for families
            that gain from it (YuNet).
        views: see `lineament.embed.onnx`.
        attributes: tasks to run besides, of `landmarks_106`, `landmarks_68`, `gender_age`.
    """

    detection: DetectionSettings | None = None
    adjust: Mapping[str, Any] = field(default_factory=dict[str, Any])
    refine: bool | None = None
    views: Views = "one"
    attributes: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        if self.refine is not None:
            require_bool(refine=self.refine)
        unknown = set(self.adjust) - {f.name for f in fields(DetectionSettings)}
        if unknown:
            raise InvalidArgument(f"DetectionSettings has no field {min(unknown)!r}")


def build(pack: Pack, settings: PartSettings, runtime: RuntimeOptions) -> Parts:
    """The parts of a pack.

    Raises:
        PackUnrecognised: the pack has no detector or no recognition network.
        InvalidArgument: an attribute task that the pack does not have.
    """
    sessions: list[Session] = []

    def session_for(card: ModelCard) -> Session:
        session = open_session(network_for(pack, card), _for_task(card, runtime))
        sessions.append(session)
        return session

    detection, recognition = (_require(pack, task) for task in ("detection", "recognition"))
    family = family_for(detection, session_for(detection))
    own = YUNET_SETTINGS if detection.family == "yunet" else SCRFD_SETTINGS
    search = FaceSearch(family, replace(settings.detection or own, **settings.adjust))
    gains = detection.family == "yunet" and family.fixed_size is None
    refine = gains if settings.refine is None else settings.refine
    name = f"{pack.card.name}/{recognition.file.removesuffix('.onnx')}"
    return Parts(
        Refined(search) if refine else search,
        OnnxEmbedder(recognition, session_for(recognition), name, settings.views, runtime.precision),
        tuple(_attribute(pack, task, session_for) for task in settings.attributes),
        tuple(sessions),
    )


def family_for(card: ModelCard, session: Session) -> Family:
    """The detector family that a card names.

    Raises:
        PackUnrecognised: a family we do not have.
    """
    if card.family == "yunet":
        return YuNet(card, session)
    if card.family == "scrfd":
        return Scrfd(card, session)
    raise PackUnrecognised(f"no detector family is called {card.family!r}: yunet and scrfd are known")


def network_for(pack: Pack, card: ModelCard) -> Network:
    """The model file of a card, as the runtime wants it."""
    return Network(
        path=pack.path(card),
        config=card.session,
        any_size=card.task == "detection" and card.size == (0, 0),
        sha256=card.sha256,
    )


def _attribute(pack: Pack, task: Task, session_for: Callable[[ModelCard], Session]) -> AttributeModel:
    if task not in ATTRIBUTE_TASKS:
        raise InvalidArgument(f"attributes are some of {', '.join(ATTRIBUTE_TASKS)}, not {task!r}")
    card = pack.card.model(task)
    if card is None:
        have = ", ".join(t for t in ATTRIBUTE_TASKS if pack.card.model(t)) or "none"
        raise InvalidArgument(f"the pack {pack.card.name} has no {task} network (attributes it has: {have})")
    session = session_for(card)
    return GenderAge(card, session) if task == "gender_age" else Landmarks(card, session)


def _require(pack: Pack, task: Task) -> ModelCard:
    card = pack.card.model(task)
    if card is None:
        raise PackUnrecognised(
            f"the pack {pack.card.name} has no {task} network, so it cannot compare faces: use another pack, "
            "for example the default one"
        )
    return card


def _for_task(card: ModelCard, runtime: RuntimeOptions) -> RuntimeOptions:
    # Lower precision is for the recognition network, which takes nearly all of the time; a detector's points
    # decide the accuracy of everything after it and stay exact.
    return runtime if card.task == "recognition" else replace(runtime, precision="fp32")
