"""What the networks of this door share: where they came from, where they run, changing both safely.

A network's runtime is one immutable bundle (`_Loaded`) that `prepare` replaces in a single assignment, after
the new one has been opened. A call that is under way keeps the bundle it began with, so `prepare` may race
with any other call.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

from lineament.app.devices import Devices
from lineament.app.model_zoo.session import BorrowedSession, DoorSession, PickableInferenceSession
from lineament.core.errors import InvalidArgument, PackUnrecognised
from lineament.packs.card import ModelCard, Pack, Task
from lineament.packs.insightface import read_onnx
from lineament.pipeline.parts import network_for
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, Session

TASK_NAMES: Final[dict[Task, str]] = {
    "detection": "detection",
    "recognition": "recognition",
    "landmarks_106": "landmark_2d_106",
    "landmarks_68": "landmark_3d_68",
    "gender_age": "genderage",
}
"""Our tasks → insightface's names for them."""

log = logging.getLogger("lineament.app")

P = TypeVar("P")


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded(Generic[P]):
    """Sessions with one set of options, and what works with them, by number of threads."""

    options: RuntimeOptions
    ctx_id: int | None = None
    parts: dict[int, tuple[P, DoorSession]] = field(default_factory=dict[int, tuple[P, DoorSession]])
    lock: threading.Lock = field(default_factory=threading.Lock)


class Model(ABC, Generic[P]):
    """One network.

    Args:
        model_file: an ONNX file of the right kind.
        session: a session that the caller opened; None opens one.
        providers, provider_options, sess_options: as for `FaceAnalysis`.
        threads: threads inside one call; 0 means every processor this process may use.

    Raises:
        PackNotFound: there is no such file.
        PackUnrecognised: it is another kind of network.
    """

    TASKS: ClassVar[tuple[Task, ...]] = ()

    def __init__(
        self,
        model_file: str | Path | None = None,
        session: Any = None,
        *,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        sess_options: Any = None,
        threads: int = 0,
    ) -> None:
        if model_file is None:
            raise InvalidArgument("model_file is missing: name the ONNX file, also when a session is given")
        pack = read_onnx(model_file)
        devices = Devices.of(providers, provider_options, sess_options, threads)
        self._begin(pack, pack.card.models[0], devices, session)

    @classmethod
    def of(cls, pack: Pack, card: ModelCard, devices: Devices) -> "Model[P]":
        """One network of a pack."""
        model = cls.__new__(cls)
        model._begin(pack, card, devices)
        return model

    def _begin(self, pack: Pack, card: ModelCard, devices: Devices, session: Any = None) -> None:
        if card.task not in self.TASKS:
            raise PackUnrecognised(
                f"{card.file} is a network for {TASK_NAMES[card.task]}, which {type(self).__name__} is not: "
                "let get_model choose the class"
            )
        self.card = card
        self.name = f"{pack.card.name}/{card.file.removesuffix('.onnx')}"
        self._network: Network = network_for(pack, card)
        self._devices = devices
        self._borrowed = None if session is None else BorrowedSession(self._network, devices.options, session)
        self._loaded: _Loaded[P] = _Loaded(devices.options)

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key != "_loaded"}
        return {**state, "_devices": _picklable(self._devices), "ctx_id": self._loaded.ctx_id}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update({key: value for key, value in state.items() if key != "ctx_id"})
        ctx_id: int | None = state["ctx_id"]
        options = self._devices.options if ctx_id is None else self._devices.at(ctx_id)
        self._loaded = _Loaded(options, ctx_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, taskname={self.taskname!r})"

    @property
    def taskname(self) -> str:
        """insightface's name for what the network does."""
        return TASK_NAMES[self.card.task]

    @property
    def model_file(self) -> str:
        """The ONNX file."""
        return str(self._network.path)

    @property
    def input_mean(self) -> float:
        """The network sees (pixel − mean) / std; 0 and 1 when it normalises itself."""
        return self.card.mean

    @property
    def input_std(self) -> float:
        """See `input_mean`."""
        return self.card.std

    @property
    def input_shape(self) -> list[int | None]:
        """[batch, 3, height, width]; None where any number goes."""
        width, height = self.card.size
        return [self.card.batch or None, 3, height or None, width or None]

    @property
    def output_names(self) -> list[str]:
        """Outputs in graph order."""
        return list(self._session().output_names)

    @property
    def session(self) -> Any:
        """The session, in ONNX Runtime's shape."""
        return PickableInferenceSession.over(self._session())

    @property
    def device(self) -> str:
        """What really runs the network, for example `onnxruntime:CPUExecutionProvider`."""
        return self._session().device

    @property
    def runtime(self) -> RuntimeOptions:
        """Engine options in use."""
        return self._loaded.options

    def prepare(self, ctx_id: int, **settings: Any) -> None:
        """Choose the device and load the network.

        Args:
            ctx_id: below 0 the processor, else the number of the graphics processor.
            **settings: accepted and ignored by networks that have none.

        Raises:
            RuntimeUnavailable: the device is not there and no fallback is allowed.
            PackBroken: the file cannot be loaded.
        """
        options = self._devices.at(ctx_id)
        now = self._loaded
        kept = now.parts if options == now.options else dict[int, tuple[P, DoorSession]]()
        loaded = _Loaded(options, ctx_id, kept, now.lock)
        _, session = self._take(loaded, options.thread_count)
        session.open()
        self._devices.report(session.device, ctx_id, self.card.file)
        self._loaded = loaded

    def part(self, threads: int | None = None) -> P:
        """What does the work, with `threads` threads per call (None: as the options say)."""
        loaded = self._loaded
        return self._take(loaded, threads or loaded.options.thread_count)[0]

    def _session(self) -> DoorSession:
        loaded = self._loaded
        return self._take(loaded, loaded.options.thread_count)[1]

    def _take(self, loaded: _Loaded[P], threads: int) -> tuple[P, DoorSession]:
        # A caller's own session, or own session options, fix the number of threads.
        fixed = self._borrowed is not None or loaded.options.session_options is not None
        count = loaded.options.thread_count if fixed else threads
        with loaded.lock:
            if count not in loaded.parts:
                options = loaded.options if fixed else replace(loaded.options, threads=count)
                session = self._borrowed or DoorSession(self._network, options)
                loaded.parts[count] = (self._build(session), session)
            return loaded.parts[count]

    @abstractmethod
    def _build(self, session: Session) -> P:
        """What does the work on top of a session."""


def _picklable(devices: Devices) -> Devices:
    own = devices.options.session_options
    if own is None:
        return devices
    log.warning("sess_options cannot be pickled: only its number of threads goes along")
    options = replace(devices.options, session_options=None, threads=own.intra_op_num_threads)
    return replace(devices, options=options)
