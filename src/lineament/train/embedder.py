"""A network in training as an embedder, so that it is measured by the same lines as a pack."""

import hashlib

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from lineament.core.crop import Crops
from lineament.core.template import ModelId, Templates


class TorchEmbedder:
    """A backbone that answers as an `Embedder`; it is put into evaluation mode for each call.

    Args:
        backbone: (b, 3, s, s) float of RGB (pixel − 127.5)/127.5 → (b, d).
        name: for the `ModelId`; its digest follows the weights as they are now.
        size: side of the crops, pixels.
    """

    def __init__(self, backbone: nn.Module, name: str, size: int = 112) -> None:
        self.backbone = backbone
        self.size = size
        self._model = ModelId(name, digest_of(backbone))

    @property
    def model(self) -> ModelId:
        """Identity of the weights."""
        return self._model

    @property
    def crop_size(self) -> int:
        """Side of the crops it takes, pixels."""
        return self.size

    def embed(self, crops: Crops) -> Templates:
        """One template per crop, in order.

        Raises:
            TemplateInvalid: the network's output is not finite.
        """
        was_training = self.backbone.training
        self.backbone.eval()
        device = next(self.backbone.parameters()).device
        try:
            with torch.no_grad():
                raw: Tensor = self.backbone(normalised(crops.pixels, device))
        finally:
            self.backbone.train(was_training)
        return Templates.from_raw(raw.float().cpu().numpy(), self._model)


def normalised(
    pixels: UInt8[np.ndarray, "n s s 3"], device: torch.device, *, channels_last: bool = True
) -> Tensor:
    """RGB pixels as the networks take them: (n, 3, s, s) float32, (pixel − 127.5)/127.5.

    Bytes travel to the device and become numbers there: a quarter of the traffic.

    Args:
        pixels: as they were read.
        device: where the network is.
        channels_last: their layout in memory, which all maps of a network follow.
    """
    # torch warns about arrays that it may not write to, as crops are.
    own = pixels if pixels.flags.writeable else pixels.copy()
    rows = torch.from_numpy(own).to(device, non_blocking=True)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return rows.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout).sub_(127.5).div_(127.5)


def digest_of(network: nn.Module) -> str:
    """Hex SHA-256 over the names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + b"\0")
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
