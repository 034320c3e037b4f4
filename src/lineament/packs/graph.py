"""Reading an ONNX graph: what goes in, what comes out, and whether it normalises its own input.

Model files come from strangers. They are parsed as data, never executed here, and every way in which they
can be broken ends in a `PackBroken` that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lineament.core.errors import PackBroken

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

Dimension = int | str
"""A number, or the name of a dimension that may take any value (`?` when it has none)."""

MAX_MODEL_BYTES = 2**31 - 1
"""A protobuf message cannot be larger."""

_THROUGH = frozenset({"Identity", "Cast", "Transpose", "Dropout", "Squeeze", "Unsqueeze"})
_ARITHMETIC = frozenset({"Sub", "Add", "Mul", "Div"})


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph: its name and shape, outermost dimension first."""

    name: str
    shape: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a graph does to its input before the first layer: (pixel − mean) / std.

    Attributes:
        mean, std: per channel, or one number for all channels.
        operators: the operator types that do it, in order.
        range: `raw` when the graph expects pixels 0..255, `unit` when it expects 0..1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    operators: tuple[str, ...]
    range: Literal["raw", "unit"]


def load_model(path: Path) -> ModelProto:
    """Parse an ONNX file; weights must be inside it.

    Raises:
        PackBroken: not a file, empty, not ONNX, without a graph, or with weights in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise PackBroken(f"{path} is {size} bytes, more than an ONNX file can be; get the file again")
        data = path.read_bytes()
    except OSError as error:
        raise PackBroken(f"{path} cannot be read: {error.strerror}; get the file again") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise PackBroken(f"{path} is not a readable ONNX file ({error}); get the file again") from error
    if not model.graph.node or not model.graph.output:
        raise PackBroken(f"{path} holds no network ({size} bytes); get the file again")
    _refuse_external_data(model, path)
    return model


def _refuse_external_data(model: ModelProto, path: Path) -> None:
    """Weights outside the file would escape the file's digest, and may point anywhere on the disk."""
    import onnx

    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = next((e.value for e in tensor.external_data if e.key == "location"), "")
        folder = path.parent.resolve()
        if not where or not (folder / where).resolve().is_relative_to(folder):
            raise PackBroken(
                f"{path} wants to read its weights from {where!r}, outside its own folder; do not use it"
            )
        raise PackBroken(
            f"{path} keeps its weights in a second file ({where}); save both as one file with "
            "onnx.save(onnx.load('model.onnx'), 'one.onnx') and use that"
        )


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _tensors(inner)


def inputs(model: ModelProto) -> tuple[Port, ...]:
    """The inputs a caller must feed: those that are not initialisers."""
    known = {tensor.name for tensor in model.graph.initializer}
    return tuple(_port(value) for value in model.graph.input if value.name not in known)


def outputs(model: ModelProto) -> tuple[Port, ...]:
    """The outputs, in the graph's order, with whatever shapes are declared or can be inferred."""
    declared = tuple(_port(value) for value in model.graph.output)
    if all(port.shape and all(isinstance(d, int) for d in port.shape[1:]) for port in declared):
        return declared
    inferred = {port.name: port for port in _inferred_outputs(model)}
    return tuple(_better(port, inferred.get(port.name, port)) for port in declared)


def _better(declared: Port, inferred: Port) -> Port:
    if len(inferred.shape) != len(declared.shape):
        return inferred if not declared.shape else declared
    pairs = zip(declared.shape, inferred.shape, strict=True)
    return Port(declared.name, tuple(a if isinstance(a, int) else b for a, b in pairs))


def _inferred_outputs(model: ModelProto) -> tuple[Port, ...]:
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        # A graph whose shapes contradict each other: what it declares is all that is known.
        return ()
    return tuple(_port(value) for value in inferred.graph.output)


def _port(value: ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape = tuple(
        int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else (d.dim_param or "?")
        for d in tensor.shape.dim
    )
    return Port(value.name, shape)


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    """Initialisers and the outputs of Constant nodes, by name.

    Raises:
        ValueError: a tensor's bytes do not fit its shape.
    """
    from onnx import numpy_helper

    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Constant" or not node.attribute:
            continue
        attribute = node.attribute[0]
        if attribute.name == "value":
            found[node.output[0]] = numpy_helper.to_array(attribute.t)
        elif attribute.name in ("value_float", "value_floats"):
            floats = [attribute.f] if attribute.name == "value_float" else list(attribute.floats)
            found[node.output[0]] = np.array(floats, np.float32)
        elif attribute.name in ("value_int", "value_ints"):
            ints = [attribute.i] if attribute.name == "value_int" else list(attribute.ints)
            found[node.output[0]] = np.array(ints, np.int64)
    return found


def attribute_of(node: NodeProto, name: str) -> object:
    """The value of a node's attribute, or None."""
    import onnx

    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def input_normalisation(model: ModelProto) -> Normalisation | None:
    """What the graph itself does to its first input, found by following operators, not by names.

    Starting at the input, `Sub`, `Add`, `Mul`, `Div` with a constant and a `BatchNormalization` of three
    channels are multiplied out to one affine map, through operators that do not change values; the first
    other operator ends the walk. A map that is the identity, or a batch normalisation that expects data
    which somebody else has scaled, is not input normalisation.

    Names say nothing: exporters call the same subtraction `Sub_0`, `node_Sub_1`, `/pre/Sub` or
    `_minusscalar0`.
    """
    ports = inputs(model)
    if not ports:
        return None
    known = constants(model)
    gain, offset = np.ones(1), np.zeros(1)
    operators: list[str] = []
    for node, value in _walk(model.graph, ports[0].name):
        step = _affine(node, value, known)
        if step is None:
            break
        gain, offset = gain * step[0], offset * step[0] + step[1]
        if node.op_type not in _THROUGH:
            operators.append(node.op_type)
    if not operators or not np.all(np.isfinite(gain)) or np.any(gain == 0):
        return None
    return _classify(-offset / gain, 1.0 / np.abs(gain), tuple(operators))


def _walk(graph: GraphProto, value: str) -> Iterator[tuple[NodeProto, str]]:
    """Nodes on the single path from `value`; stops where the path forks."""
    for _ in range(len(graph.node)):
        users = [node for node in graph.node if value in node.input]
        if len(users) != 1 or not users[0].output:
            return
        yield users[0], value
        value = users[0].output[0]


def _affine(
    node: NodeProto, value: str, known: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """(gain, offset) of a node that maps x to gain·x + offset, or None."""
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type in _THROUGH:
        return one, zero
    if node.op_type == "BatchNormalization":
        return _batch_normalisation(node, known)
    if node.op_type not in _ARITHMETIC or len(node.input) != 2:
        return None
    first = node.input[0] == value
    other = known.get(node.input[1] if first else node.input[0])
    if other is None or other.size not in (1, 3):
        return None
    c = other.astype(np.float64).reshape(-1)
    if node.op_type == "Add":
        return one, c
    if node.op_type == "Mul":
        return c, zero
    if node.op_type == "Sub":
        return (one, -c) if first else (-one, c)
    return (1.0 / c, zero) if first and np.all(c != 0) else None


def _batch_normalisation(
    node: NodeProto, known: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    values = [known.get(name) for name in node.input[1:5]]
    epsilon = attribute_of(node, "epsilon")
    columns = [v.astype(np.float64).reshape(-1) for v in values if v is not None and v.size == 3]
    if len(columns) != 4:
        return None
    scale, bias, mean, variance = columns
    gain = scale / np.sqrt(variance + (epsilon if isinstance(epsilon, float) else 1e-5))
    return gain, bias - mean * gain


def _classify(mean: np.ndarray, std: np.ndarray, operators: tuple[str, ...]) -> Normalisation | None:
    def made(kind: Literal["raw", "unit"]) -> Normalisation:
        return Normalisation(tuple(map(float, mean)), tuple(map(float, std)), operators, kind)

    # A shift or a scale of tens of grey levels only makes sense for pixels in 0..255.
    if np.max(np.abs(mean)) >= 16 or np.max(std) >= 16:
        return made("raw")
    if set(operators) == {"BatchNormalization"}:
        return None
    centred = np.all((mean >= 0.2) & (mean <= 0.8)) and np.all((std >= 0.1) & (std <= 1.0))
    return made("unit") if centred else None
