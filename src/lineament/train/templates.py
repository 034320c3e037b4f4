"""Templates of training pictures by a network in training, for class centres and for finding wrong labels."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lineament.train.backbones.port import Backbone
from lineament.train.cosines import unit
from lineament.train.embedder import normalised
from lineament.train.examples import Examples
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data

BATCH = 64


def templates_of(
    network: Backbone,
    examples: Examples,
    rows: Int64[np.ndarray, " m"],
    data: Data,
    *,
    threads: int = 1,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[Float[Tensor, "m d"], dict[int, str]]:
    """Unit embeddings of some pictures, as they are, by a network in evaluation mode.

    Args:
        network: its mode is put back afterwards.
        examples: the pictures.
        rows: which of them, (m,).
        data: how they are stored.
        threads: that read and decode.
        advance: told how many of how many are done.

    Returns:
        One vector per row on the CPU, zeros where the picture cannot be used; and why not, by row.
    """
    made = torch.zeros(len(rows), network.dimension)
    broken: dict[int, str] = {}
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with ThreadPoolExecutor(threads) as pool, torch.no_grad():
            for first in range(0, len(rows), BATCH):
                numbers = [int(n) for n in rows[first : first + BATCH]]
                jobs = [pool.submit(read_crop, examples, n, data.colour, data.size) for n in numbers]
                crops = [job.result() for job in jobs]
                good = [first + at for at, crop in enumerate(crops) if isinstance(crop, np.ndarray)]
                broken |= {n: c for n, c in zip(numbers, crops, strict=True) if isinstance(c, str)}
                if good:
                    pixels = np.stack([crop for crop in crops if isinstance(crop, np.ndarray)])
                    raw: Tensor = network(normalised(pixels, device)).float().cpu()
                    made[good] = unit(raw, torch.linalg.vector_norm(raw, dim=1))
                if advance is not None:
                    advance(first + len(numbers), len(rows))
    finally:
        network.train(was_training)
    return made, broken
