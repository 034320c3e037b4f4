"""From a trained network to an ONNX file that any engine runs quickly.

The exporter is the one on `torch.export`: the older, TorchScript one warns that it will be removed, leaves
500 operators on constants and shapes in a vision transformer, and gives files of the same speed. What the
exporter leaves undone is done here, without changing what the network computes: PReLU as a maximum (a
MobileFaceNet takes 5.9 ms a face instead of 16.5), weights too small to reach any sum as zero, and nothing
of the machine it was made on.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import torch
from torch import nn

from lineament.core.errors import ExportFailed, OutputFailed
from lineament.export.quiet import quiet
from lineament.packs.faster import prelu_as_max

if TYPE_CHECKING:
    from onnx import ModelProto

Network = TypeVar("Network", bound=nn.Module)

INPUT, OUTPUT = "input", "embedding"
PRODUCER: Final = "lineament"

OPSET: Final = 18
"""What the exporter writes without converting; ONNX Runtime has taken it since 1.14."""

SMALLEST_WEIGHT: Final = 1e-30
"""Weights below this are written as zero. Times any activation below a million they are lost in every sum
that has a term above 1e-17, and weight decay leaves thousands of them, on the way to the subnormal numbers
with which some processors calculate a hundred times more slowly (`lineament.runtime.subnormals`)."""


def ready(backbone: Network) -> Network:
    """A copy of a network as it is exported: on the processor, float32, in evaluation mode, detached."""
    return copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)


def to_onnx(
    backbone: nn.Module, path: Path, *, size: int = 112, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a network as ONNX: one input `input` (batch, 3, size, size), one output `embedding` (batch, d).

    The batch may be of any size. Equal weights give equal bytes, with the same versions of torch and onnx.

    Args:
        backbone: (b, 3, s, s) float32 → (b, d); a copy in evaluation mode is exported.
        path: file to write.
        size: side of the crops, pixels.
        metadata: put into the file's `metadata_props`.

    Raises:
        ExportFailed: the exporter cannot follow the network, or it takes batches of one size only.
        OutputFailed: the file cannot be written.
    """
    import onnx

    if not path.parent.is_dir():
        raise OutputFailed(f"there is no folder {path.parent}: make it, or name another place")
    model = _exported(ready(backbone), size)
    _require_free_batch(model)
    _forget_the_machine(model)
    prelu_as_max(model)
    flush_small_weights(model)
    model.producer_name, model.producer_version = PRODUCER, ""
    model.graph.name = PRODUCER
    for key, value in sorted((metadata or {}).items()):
        model.metadata_props.add(key=key, value=value)
    try:
        onnx.save(model, path)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {path}: {error.strerror or error}; make room or name another folder"
        ) from error
    except ValueError as error:  # protobuf's 2 GiB
        raise ExportFailed(
            f"the network is too large for one ONNX file ({error}): use a smaller one"
        ) from error


def _exported(network: nn.Module, size: int) -> "ModelProto":
    example = torch.zeros(2, 3, size, size)
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportFailed(
            f"torch cannot write this network as ONNX ({first[:200]}): give it a forward pass without "
            "branches on values or on the batch size"
        ) from error
    if program is None:
        raise ExportFailed("torch gave no ONNX program: use torch 2.6 or newer")
    return program.model_proto


def _require_free_batch(model: "ModelProto") -> None:
    for value in (*model.graph.input, *model.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ExportFailed(
                f"the exported network takes batches of one size only ({value.name}): write its forward pass "
                "without numbers taken from the batch"
            )


def _forget_the_machine(model: "ModelProto") -> None:
    """Delete the exporter's notes: stack traces with paths of this machine, a third of a small file."""
    graph = model.graph
    things: list[Any] = [model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output]
    del graph.value_info[:]
    for thing in things:
        del thing.metadata_props[:]
        thing.doc_string = ""


def flush_small_weights(model: "ModelProto") -> int:
    """Write weights below `SMALLEST_WEIGHT` as zero, in place.

    Returns:
        How many there were.
    """
    from onnx import TensorProto, numpy_helper

    flushed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        small = (np.abs(values) < SMALLEST_WEIGHT) & (values != 0)
        if count := int(small.sum()):
            tensor.CopyFrom(numpy_helper.from_array(np.where(small, np.float32(0), values), tensor.name))
            flushed += count
    return flushed
