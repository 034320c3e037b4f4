"""An IResNet-50 of random weights as an ONNX file: its size and shape are real, its answers mean nothing.

For measurements of speed and of arithmetic, since no free weights of this size exist. Layers as in
InsightFace's `iresnet50` (Duta et al., "Improved Residual Networks", ICPR 2020): stages of 3, 4, 14 and 3
blocks; 43.6 million weights, 12.6 GFLOP per face, 512 numbers. Weights follow He et al., ICCV 2015, so that
the variance of what flows through stays near one, as in a trained network; without that a comparison of bf16
with fp32 would say nothing.

    python bench/iresnet.py iresnet50.onnx
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
"""Channels and blocks; the first block of each stage halves the sides."""

SLOPE = 0.25


class _Builder:
    """Nodes and weights of a graph that is one chain with side ways."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        output = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n{len(self.nodes)}", **attributes))
        return output

    def conv(self, x: str, inside: int, outside: int, kernel: int, stride: int, gain: float) -> str:
        deviation = np.sqrt(gain / (inside * kernel * kernel))
        values = self.generator.normal(0, deviation, (outside, inside, kernel, kernel))
        bias = self.generator.normal(0, 0.05, outside)
        return self.node(
            "Conv",
            [x, self.weight(values), self.weight(bias)],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )

    def normalise(self, x: str, channels: int, variance: float) -> str:
        constants = (np.ones(channels), np.zeros(channels), np.zeros(channels), np.full(channels, variance))
        return self.node("BatchNormalization", [x, *map(self.weight, constants)], epsilon=1e-5)

    def prelu(self, x: str, channels: int) -> str:
        return self.node("PRelu", [x, self.weight(np.full((channels, 1, 1), SLOPE))])


def iresnet50(seed: int = 0) -> onnx.ModelProto:
    """The model; input `input` (batch, 3, 112, 112) of (pixel − 127.5) / 127.5, output (batch, 512)."""
    b = _Builder(seed)
    after_prelu = 2 / (1 + SLOPE**2)  # keeps the variance, He et al., eq. 15
    x = b.prelu(b.conv("input", 3, 64, 3, 1, 4.0), 64)  # pixels vary by about a half: 4 makes up for it
    inside, variance = 64, 1.0
    for channels, blocks in STAGES:
        for block in range(blocks):
            stride = 2 if block == 0 else 1
            y = b.conv(b.normalise(x, inside, variance), inside, channels, 3, 1, 1.0)
            y = b.conv(b.prelu(y, channels), channels, channels, 3, stride, after_prelu)
            side = b.conv(x, inside, channels, 1, stride, 1 / variance) if block == 0 else x
            x = b.node("Add", [y, side])
            variance = 2.0 if block == 0 else variance + 1.0
            inside = channels
    x = b.node("Flatten", [b.normalise(x, inside, variance)], axis=1)
    length = inside * 7 * 7
    dense = b.weight(b.generator.normal(0, length**-0.5, (512, length)))
    b.nodes.append(helper.make_node("Gemm", [x, dense, b.weight(np.zeros(512))], ["output"], transB=1))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("input", (3, 112, 112)), ("output", (512,)))
    ]
    graph = helper.make_graph(b.nodes, "iresnet50", ports[:1], ports[1:], b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(iresnet50(), Path(sys.argv[1]))
