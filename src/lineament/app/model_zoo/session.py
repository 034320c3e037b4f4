"""Sessions in the shape that code written against ONNX Runtime expects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lineament.app.devices import Devices
from lineament.core.errors import InvalidArgument
from lineament.runtime.onnx import OnnxSession
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network


class DoorSession(OnnxSession):
    """A session that shows its engine to this door."""

    def engine(self) -> Any:
        """The `onnxruntime.InferenceSession`, opened when first asked for."""
        return self._engine()


class PickableInferenceSession:
    """An ONNX Runtime session that can be pickled: it is opened again on the other side.

    Args:
        model_path: the ONNX file.
        providers: names, first choice first; None tries CUDA, then the processor.
        provider_options: one mapping per provider, or a mapping from name to mapping.
        sess_options: an `onnxruntime.SessionOptions`.

    Raises:
        PackBroken: the file is missing or no model.
        RuntimeUnavailable: a provider is not there and the list does not name the processor.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        sess_options: Any = None,
    ) -> None:
        options = Devices.of(providers, provider_options, sess_options).options
        self._session = DoorSession(Network(Path(model_path).expanduser()), options)
        self._session.open()

    @classmethod
    def over(cls, session: DoorSession) -> "PickableInferenceSession":
        """The same engine as another session of this door."""
        shown = cls.__new__(cls)
        shown._session = session
        return shown

    @property
    def model_path(self) -> str:
        """The ONNX file."""
        return str(self._session.network.path)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
    ) -> list[Any]:
        """Outputs by name, or all of them in graph order."""
        return self._session.engine().run(output_names, dict(input_feed), run_options)

    def get_inputs(self) -> list[Any]:
        """Name, shape and type of each input."""
        return self._session.engine().get_inputs()

    def get_outputs(self) -> list[Any]:
        """Name, shape and type of each output."""
        return self._session.engine().get_outputs()

    def get_providers(self) -> list[str]:
        """Providers that really run, first choice first."""
        return self._session.engine().get_providers()

    def get_provider_options(self) -> dict[str, Any]:
        """Options of each provider that runs."""
        return self._session.engine().get_provider_options()

    def get_session_options(self) -> Any:
        """The `onnxruntime.SessionOptions` in use."""
        return self._session.engine().get_session_options()


class BorrowedSession(DoorSession):
    """A session that the caller opened, used as it is.

    On the other side of a pickle, the file is opened anew.

    Args:
        network: the file it runs.
        options: for opening the file anew.
        session: anything with `run`, `get_inputs` and `get_outputs` like `onnxruntime.InferenceSession`.
    """

    def __init__(self, network: Network, options: RuntimeOptions, session: Any) -> None:
        super().__init__(network, options)
        if not all(callable(getattr(session, n, None)) for n in ("run", "get_inputs", "get_outputs")):
            raise InvalidArgument(
                f"a session has run, get_inputs and get_outputs; {type(session).__name__} has not"
            )
        self._opened = session
