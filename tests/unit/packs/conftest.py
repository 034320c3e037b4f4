"""Small networks made on the spot: right shapes, no meaning."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lineament.packs.store import Store

Node = tuple[str, dict[str, np.ndarray]]


class Networks:
    """Builders of ONNX files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def vector(
        self,
        name: str,
        *,
        size: tuple[int | str, int | str] = (112, 112),
        dimension: int = 512,
        before: Sequence[tuple[str, list[np.ndarray]]] = (),
        names: Sequence[str] = (),
        batch: int | str = "N",
        last: str = "",
        seed: int = 0,
        reverse: bool = False,
    ) -> Path:
        """Input → `before` (operator, constants) → pooling → one vector."""
        nodes, tensors, value = [], [], "data"
        for index, (kind, constants) in enumerate(before):
            keys = []
            for k, constant in enumerate(constants):
                keys.append(f"c{index}_{k}")
                tensors.append(numpy_helper.from_array(np.asarray(constant, np.float32), keys[-1]))
            label = names[index] if index < len(names) else ""
            order = [*keys, value] if reverse else [value, *keys]
            nodes.append(helper.make_node(kind, order, [f"v{index}"], name=label))
            value = f"v{index}"
        weights = np.random.default_rng(seed).normal(size=(3, dimension)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weights, "w"))
        nodes += [
            helper.make_node("GlobalAveragePool", [value], ["pooled"], name="pool"),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["raw"]),
            helper.make_node(last or "Identity", ["raw"], ["out"]),
        ]
        inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, *size])]
        outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, dimension])]
        return self.save(name, nodes, inputs, outputs, tensors)

    def detector(self, name: str, *, heads: int = 9, width: int | None = None) -> Path:
        """`heads` outputs with the last dimensions of an SCRFD detector."""
        kinds = (1, 4) if heads in (6, 10) else (1, 4, 10)
        levels = heads // len(kinds)
        nodes, tensors, outputs = [], [], []
        for index in range(heads):
            last = kinds[min(index // levels, len(kinds) - 1)] if width is None else width
            weights = np.ones((last, 3, 1, 1), np.float32)
            tensors.append(numpy_helper.from_array(weights, f"w{index}"))
            tensors.append(numpy_helper.from_array(np.array([-1, last], np.int64), f"s{index}"))
            nodes += [
                helper.make_node("Conv", ["in", f"w{index}"], [f"c{index}"]),
                helper.make_node("Transpose", [f"c{index}"], [f"t{index}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t{index}", f"s{index}"], [f"o{index}"]),
            ]
            outputs.append(helper.make_tensor_value_info(f"o{index}", TensorProto.FLOAT, [f"n{index}", last]))
        inputs = [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, "h", "w"])]
        return self.save(name, nodes, inputs, outputs, tensors)

    def swapper(self, name: str) -> Path:
        """Two inputs, as a face swapper has."""
        nodes = [
            helper.make_node("ReduceMean", ["id"], ["m"], keepdims=0),
            helper.make_node("Add", ["picture", "m"], ["out"]),
        ]
        inputs = [
            helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 128, 128]),
            helper.make_tensor_value_info("id", TensorProto.FLOAT, [1, 512]),
        ]
        outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 128, 128])]
        return self.save(name, nodes, inputs, outputs, [])

    def save(self, name: str, nodes: list, inputs: list, outputs: list, tensors: list) -> Path:
        """Write a checked model."""
        graph = helper.make_graph(nodes, "made", inputs, outputs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)
        return path

    def face_pack(self, folder: str = "") -> Path:
        """Detector and recogniser, as InsightFace's smallest pack."""
        self.detector(f"{folder}/det.onnx" if folder else "det.onnx")
        self.vector(f"{folder}/rec.onnx" if folder else "rec.onnx")
        return self.folder / folder


@pytest.fixture
def networks(tmp_path: Path) -> Networks:
    return Networks(tmp_path / "made")


@pytest.fixture
def networks_in() -> Callable[[Path], Networks]:
    return Networks


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")
