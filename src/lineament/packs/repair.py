"""Making published graphs acceptable to every engine, without changing what they compute.

The files in circulation are often valid only for the program that wrote them: block sizes on scalar scales,
weights listed as inputs, shapes frozen to one size. All repairs here are exact; the digest of the published
file stays the model's identity (`ModelCard.origin_sha256`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lineament.packs.graph import attribute_of, constants, inputs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto


def repair_for_onnxruntime(model: ModelProto) -> None:
    """Repair `model` in place so that ONNX Runtime (and others) take it.

    Drops `block_size` from every DequantizeLinear whose scale has one element (and makes that scale and
    its zero point scalars, as the operator wants), deletes graph inputs that are initialisers or that
    nothing reads, drops initialisers nothing reads, clears stale intermediate shapes, and re-declares the
    shapes of outputs that depend on a free dimension.

    Source: ONNX operator specification, DequantizeLinear-21; IR specification, "Graphs".
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) > 1:
            scale = tensors.get(node.input[1])
            if scale is not None and int(np.prod(scale.dims or [1])) == 1:
                _forget_attributes(node, ("block_size", "axis"))
                for name in node.input[1:]:
                    if name in tensors:
                        del tensors[name].dims[:]
    used = _used(model)
    kept_inputs = [v for v in graph.input if v.name in used and v.name not in tensors]
    del graph.input[:]
    graph.input.extend(kept_inputs)
    drop_unused_initialisers(model)
    del graph.value_info[:]
    if any(isinstance(d, str) for port in inputs(model) for d in port.shape):
        redeclare_outputs(model)


def _forget_attributes(node: NodeProto, names: tuple[str, ...]) -> None:
    kept = [a for a in node.attribute if a.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def _used(model: ModelProto) -> set[str]:
    return {name for node in model.graph.node for name in node.input} | {v.name for v in model.graph.output}


def drop_unused_initialisers(model: ModelProto) -> None:
    """Delete weights that no operator reads, in place; engines warn about them."""
    used = _used(model)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    if len(kept) != len(model.graph.initializer):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)


def fold_quantised_weights(model: ModelProto) -> int:
    """Replace dequantised constant weights by plain float32 ones, in place; returns how many.

    The arithmetic is the operator's own definition, y = (x − zero_point)·scale in float32, so outputs stay
    bit-identical, and engines see ordinary convolutions.

    Source: ONNX operator specification, DequantizeLinear-21 (per tensor, per axis and blocked).

    Raises:
        ValueError: the stored tensors do not fit each other.
    """
    from onnx import numpy_helper

    known = constants(model)
    made: dict[str, np.ndarray] = {}
    kept: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and all(name in known for name in node.input):
            made[node.output[0]] = _dequantised(node, [known[name] for name in node.input])
        elif node.op_type == "Reshape" and node.input[0] in made and node.input[1] in known:
            made[node.output[0]] = made[node.input[0]].reshape(known[node.input[1]])
        else:
            kept.append(node)
    folded = len(model.graph.node) - len(kept)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    used = _used(model)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in made.items()
        if name in used
    )
    drop_unused_initialisers(model)
    return folded


def _dequantised(node: NodeProto, values: list[np.ndarray]) -> np.ndarray:
    quantised, scale = values[0], values[1].astype(np.float32)
    zero = values[2] if len(values) > 2 else np.zeros_like(scale)
    # int16 holds every difference of two 8-bit numbers; the product is then one float32 rounding.
    wide = np.int16 if quantised.dtype.itemsize == 1 else np.int64
    if scale.size == 1:
        return (quantised.astype(wide) - zero.astype(wide).reshape(())).astype(np.float32) * scale.reshape(())
    axis = attribute_of(node, "axis")
    block = attribute_of(node, "block_size")
    along = axis if isinstance(axis, int) else 1
    if isinstance(block, int) and block > 0:
        rows = np.arange(quantised.shape[along]) // block
        scale, zero = np.take(scale, rows, along), np.take(zero, rows, along)
    else:
        shape = [1] * quantised.ndim
        shape[along] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (quantised.astype(wide) - zero.astype(wide)).astype(np.float32) * scale


def redeclare_outputs(model: ModelProto) -> None:
    """Declare for every output what follows from the inputs, and a name for what does not."""
    import onnx

    kept = [(value.name, value.type.tensor_type.elem_type, _rank(value)) for value in model.graph.output]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.output}
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        inferred = {}
    del model.graph.output[:]
    for name, kind, rank in kept:
        found = inferred.get(name)
        known = list(found.type.tensor_type.shape.dim) if found is not None else []
        shape: list[int | str] = [
            int(d.dim_value) if d.dim_value > 0 else _own_name(d.dim_param, f"{name}_{axis}")
            for axis, d in enumerate(known)
        ] or [f"{name}_{axis}" for axis in range(rank)]
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, shape))


def _own_name(inferred: str, fallback: str) -> str:
    """Shape inference invents `unk__0` and the like; a name that says where it belongs reads better."""
    return fallback if not inferred or inferred.startswith("unk__") else inferred


def _rank(value: ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)
