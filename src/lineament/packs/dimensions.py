"""Freeing sizes that a graph was exported with but does not depend on.

Shapes in published files are often just those of the picture used at export. A dimension is freed only when
every operator between the input and the outputs is known to work for any value of it; an operator not known
here keeps it fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lineament.packs.graph import attribute_of, constants, inputs
from lineament.packs.repair import drop_unused_initialisers, redeclare_outputs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Abs", "Neg", "Min", "Max", "Exp", "Sqrt", "Erf", "Clip", "Tanh"}
    | {"Relu", "LeakyRelu", "PRelu", "Elu", "Softplus", "Mish", "Sigmoid", "HardSigmoid", "HardSwish"}
    | {"Identity", "Cast", "Dropout", "BatchNormalization"}
)
_SPATIAL = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
    | {"Upsample", "InstanceNormalization", "LRN", "Pad"}
)
_POOLED = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
_SHAPE_ARITHMETIC = frozenset(
    {"Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Cast", "Identity", "Floor", "Ceil"}
    | {"Add", "Sub", "Mul", "Div"}
)


@dataclass(slots=True)
class _Graph:
    """What is known of a graph while its nodes are walked in order.

    Attributes:
        known: constants by name.
        shapes: inferred shapes by name, 0 for what could not be inferred.
        moving: values that depend on the picture.
        sizes: values computed from the shapes of others, right whatever the sizes are.
        settled: values behind a global pooling, where height and width are 1 whatever they were.
        copies: names of Reshape targets whose literal batch size can be written as "same as before".
    """

    known: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    moving: set[str]
    sizes: set[str] = field(default_factory=set[str])
    settled: set[str] = field(default_factory=set[str])
    copies: set[str] = field(default_factory=set[str])


def free_dimensions(model: ModelProto, *, batch: bool = True, spatial: bool = True) -> tuple[str, ...]:
    """Make the batch, or height and width, of the first input free where the graph allows it, in place.

    Returns:
        What was freed: any of `batch`, `height`, `width`. Dimensions that are free already are not listed.
    """
    ports = inputs(model)
    if not ports or len(ports[0].shape) != 4:
        return ()
    shape = ports[0].shape
    freed: list[str] = []
    if batch and isinstance(shape[0], int) and _free_batch(model):
        freed.append("batch")
    if spatial and isinstance(shape[2], int) and isinstance(shape[3], int) and _space_is_free(model):
        freed += ["height", "width"]
    if not freed:
        return ()
    value = next(v for v in model.graph.input if v.name == ports[0].name)
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        if name in freed:
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    drop_unused_initialisers(model)
    redeclare_outputs(model)
    return tuple(freed)


def _start(model: ModelProto) -> _Graph:
    return _Graph(constants(model), _inferred_shapes(model), {inputs(model)[0].name})


def _inferred_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        # A graph whose shapes contradict each other: the rules that need a shape say no.
        return {}
    values = [*graph.value_info, *graph.output, *graph.input]
    return {v.name: tuple(int(d.dim_value) for d in v.type.tensor_type.shape.dim) for v in values}


def _computes_sizes(node: NodeProto, graph: _Graph) -> bool:
    """Whether `node` only computes with shapes; if so its outputs are remembered as such."""
    from_picture = [name for name in node.input if name in graph.moving]
    arithmetic = node.op_type in _SHAPE_ARITHMETIC and all(name in graph.sizes for name in from_picture)
    if node.op_type != "Shape" and not arithmetic:
        return False
    graph.sizes.update(node.output)
    return True


def _free_batch(model: ModelProto) -> bool:
    graph = _start(model)
    for node in model.graph.node:
        if not graph.moving.intersection(node.input):
            continue
        if not _computes_sizes(node, graph) and not _keeps_batch(node, graph):
            return False
        graph.moving.update(node.output)
    _copy_batch(model, graph.copies)
    return True


def _space_is_free(model: ModelProto) -> bool:
    graph = _start(model)
    for node in model.graph.node:
        moving = graph.moving.intersection(node.input)
        if not moving:
            continue
        if moving <= graph.settled or node.op_type in _POOLED:
            graph.settled.update(node.output)
        elif not _computes_sizes(node, graph) and not _keeps_space(node, graph):
            return False
        graph.moving.update(node.output)
    return True


def _keeps_batch(node: NodeProto, graph: _Graph) -> bool:
    """Whether every picture of a batch passes `node` by itself, with the batch outermost."""
    kind = node.op_type
    if kind in _ELEMENTWISE or kind in _SPATIAL or kind == "Gemm":
        return True
    if kind == "Flatten":
        return attribute_of(node, "axis") in (None, 1)
    if kind == "MatMul":
        return node.input[1] in graph.known
    if kind == "Transpose":
        order = attribute_of(node, "perm")
        return isinstance(order, list) and order[0] == 0
    if kind == "Concat":
        return attribute_of(node, "axis") not in (0, None)
    if kind == "Resize":
        scales = graph.known.get(node.input[2]) if len(node.input) == 3 else None
        return scales is not None and scales.size == 4 and bool(scales[0] == 1)
    return kind == "Reshape" and _reshape_keeps_batch(node, graph)


def _reshape_keeps_batch(node: NodeProto, graph: _Graph) -> bool:
    target = graph.known.get(node.input[1])
    before, after = graph.shapes.get(node.input[0], ()), graph.shapes.get(node.output[0], ())
    if target is None or not target.size or not before or not after or before[0] != after[0]:
        return False
    if target[0] in (0, -1):
        return True
    if attribute_of(node, "allowzero"):
        return False
    # A literal batch size, the same before and after: 0 says "as before".
    graph.copies.add(node.input[1])
    return True


def _copy_batch(model: ModelProto, names: set[str]) -> None:
    """Write 0 ("as before") for the literal batch size in these Reshape targets."""
    from onnx import numpy_helper

    fresh: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in names:
            continue
        name = node.input[1]
        if name not in fresh:
            target = constants(model)[name].copy()
            target[0] = 0
            fresh[name] = f"{name}_any_batch"
            model.graph.initializer.append(numpy_helper.from_array(target, fresh[name]))
        node.input[1] = fresh[name]


def _keeps_space(node: NodeProto, graph: _Graph) -> bool:
    """Whether `node` works for any height and width."""
    kind = node.op_type
    if kind in _ELEMENTWISE:
        # A constant with its own height or width (a position map) fits one size only.
        values = [graph.known[name] for name in node.input if name in graph.known]
        return kind == "BatchNormalization" or all(
            v.size == 1 or (v.ndim >= 3 and set(v.shape[-2:]) == {1}) for v in values
        )
    if kind in _SPATIAL or kind in ("Transpose", "Concat"):
        return True
    if kind == "Resize":
        return any(name in graph.sizes for name in node.input[1:]) or (
            len(node.input) == 3 and graph.known.get(node.input[2], np.zeros(0)).size == 4
        )
    if kind == "Reshape":
        return node.input[1] in graph.sizes or _reshape_keeps_space(node, graph)
    return False


def _reshape_keeps_space(node: NodeProto, graph: _Graph) -> bool:
    """-1 must take up the cells; everything else may only be the batch or, at the end, the channels."""
    target = graph.known.get(node.input[1])
    if target is None or -1 not in target.tolist()[:-1]:
        return False
    return len(graph.shapes.get(node.input[0], ())) == 4 and all(int(d) in (-1, 0, 1) for d in target[:-1])
