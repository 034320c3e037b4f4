"""Rewriting graphs into others that give the same numbers sooner.

ONNX Runtime calculates `PRelu` element by element, without vector instructions. max(x, slope·x) is the same
function wherever slope ≤ 1 (for x ≥ 0 the first is larger, for x < 0 the second), equal to the last bit, and
both of its operators are vectorised: a face costs a third less with SFace (LOG.md).
"""

from typing import TYPE_CHECKING

import numpy as np

from lineament.packs.graph import constants

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# Before opset 7, PRelu's slope was not broadcast as Mul's operand is.
FIRST_OPSET = 7


def prelu_as_max(model: "ModelProto") -> int:
    """Replace every PRelu with slopes ≤ 1 by a Mul and a Max, in place.

    Returns:
        How many were replaced.
    """
    from onnx.helper import make_node

    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < FIRST_OPSET:
        return 0
    known = constants(model)
    nodes: list[NodeProto] = []
    replaced = 0
    for node in model.graph.node:
        slope = known.get(node.input[1]) if node.op_type == "PRelu" else None
        # Not `> 1 nowhere`: a slope that is not a number must stay where it is.
        if slope is None or slope.dtype != np.float32 or not np.all(slope <= 1):
            nodes.append(node)
            continue
        scaled = f"{node.output[0]}_scaled"
        larger = [node.input[0], scaled]
        nodes.append(make_node("Mul", list(node.input), [scaled], name=f"{scaled}_mul"))
        nodes.append(make_node("Max", larger, list(node.output), name=f"{scaled}_max"))
        replaced += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return replaced
