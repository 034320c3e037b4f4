"""One network by path or name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lineament.app.devices import Devices
from lineament.app.model_zoo.arcface_onnx import ArcFaceONNX
from lineament.app.model_zoo.attribute import Attribute
from lineament.app.model_zoo.base import TASK_NAMES, Model
from lineament.app.model_zoo.landmark import Landmark
from lineament.app.model_zoo.scrfd import SCRFD
from lineament.app.model_zoo.session import PickableInferenceSession as PickableInferenceSession
from lineament.app.packs import find_pack
from lineament.core.errors import InvalidArgument
from lineament.packs.card import ModelCard, Pack, Task
from lineament.packs.insightface import read_onnx

CLASSES: Final[Mapping[Task, type[Model[Any]]]] = {
    "detection": SCRFD,
    "recognition": ArcFaceONNX,
    "landmarks_106": Landmark,
    "landmarks_68": Landmark,
    "gender_age": Attribute,
}


def get_model(
    name: str | Path,
    *,
    root: str | Path = "~/.insightface",
    model_task: str | None = None,
    download: bool = False,
    download_zip: bool = False,
    providers: Sequence[Any] | None = None,
    provider_options: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
    sess_options: Any = None,
    threads: int = 0,
) -> Any:
    """A network, as an object of the class for its kind.

    Args:
        name: an ONNX file, or a pack (see `FaceAnalysis`), of which the last file by name is taken, as
            insightface does, unless `model_task` says which.
        root: insightface's folder.
        model_task: insightface's name of the task, for example `recognition`.
        download, download_zip: accepted and ignored: nothing is downloaded here.
        providers, provider_options, sess_options, threads: as for `FaceAnalysis`.

    Raises:
        PackNotFound: there is no such file or pack.
        PackUnrecognised: the file is none of the networks known here (insightface returns None).
        InvalidArgument: the pack has no network for `model_task`.
    """
    path = Path(name).expanduser()
    pack = read_onnx(path) if path.suffix == ".onnx" else find_pack(name, root)
    devices = Devices.of(providers, provider_options, sess_options, threads)
    return open_model(pack, _chosen(pack, model_task), devices)


def open_model(pack: Pack, card: ModelCard, devices: Devices) -> Model[Any]:
    """A network of a pack, as an object of the class for its kind."""
    return CLASSES[card.task].of(pack, card, devices)


def _chosen(pack: Pack, task: str | None) -> ModelCard:
    there = [card for card in pack.card.models if task in (None, TASK_NAMES[card.task])]
    if not there:
        have = ", ".join(TASK_NAMES[card.task] for card in pack.card.models)
        raise InvalidArgument(f"{pack.card.name} has no network for {task!r}; it has {have}")
    return max(there, key=lambda card: card.file)
