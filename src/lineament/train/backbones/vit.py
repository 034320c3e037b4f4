"""Vision transformer for faces, without a class token: all tokens together make the embedding.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; sizes, head and masking as in InsightFace's
arcface_torch (An et al., "Killing Two Birds with One Stone", CVPR 2022, trains them). Stochastic depth: Huang
et al., ECCV 2016. Random masking of tokens: He et al., "Masked Autoencoders", CVPR 2022, §3.

Legend: b pictures, t tokens, d width.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineament.core.errors import RecipeInvalid
from lineament.train.backbones.layers import named, weights
from lineament.train.backbones.port import SIZE, Backbone, Unit

SIZES: dict[str, tuple[int, int]] = {
    "vit_t": (256, 12),
    "vit_s": (512, 12),
    "vit_b": (512, 24),
    "vit_l": (768, 24),
}
"""Width and number of blocks."""

PATCH = 9
"""Side of a patch, pixels: 12 × 12 of them in 112 × 112, the last four rows and columns unseen."""

TOKENS = (SIZE // PATCH) ** 2
HEADS = 8
DEVIATION = 0.02
"""Of the initial weights, cut off at two units; arcface_torch's."""

TAIL_EPSILON = 2e-5
"""Of the batch normalisations of the tail; arcface_torch's."""


class Attention(nn.Module):
    """Self-attention of eight heads."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inputs = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """What each token takes from the others, (b, t, d) to (b, t, d)."""
        pictures, tokens, width = x.shape
        heads: Tensor = self.inputs(x).view(pictures, tokens, 3, HEADS, width // HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.dropout(self.output(mixed.transpose(1, 2).reshape(pictures, tokens, width)))


class Block(Unit):
    """Attention and a two-layer perceptron, each with its normalisation before and its shortcut beside."""

    def __init__(self, width: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, dropout)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron = named(
            widen=nn.Linear(width, 4 * width),
            activation=nn.ReLU6(),
            dropout=nn.Dropout(dropout),
            narrow=nn.Linear(4 * width, width),
            dropout_out=nn.Dropout(dropout),
        )
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """The tokens, refined, (b, t, d) to (b, t, d)."""
        x = x + self._skipped(self.attention(self.attention_norm(x)))
        return x + self._skipped(self.perceptron(self.perceptron_norm(x)))

    def _skipped(self, x: Tensor) -> Tensor:
        """Zero for a share of the pictures, in training; the others are scaled so that the mean stays."""
        if not self.training or self.drop_path == 0.0:
            return x
        kept = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.drop_path
        return x * kept.to(x.dtype) / (1.0 - self.drop_path)


class Tokens(nn.Module):
    """Crops to refined tokens."""

    def __init__(self, width: int, depth: int, dropout: float, drop_path: float, mask_ratio: float) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.positions = nn.Parameter(torch.zeros(1, TOKENS, width))
        self.dropout = nn.Dropout(dropout)
        # Later blocks are skipped more often (Huang et al. 2016, eq. 4).
        shares = [drop_path * i / max(1, depth - 1) for i in range(depth)]
        self.blocks = nn.Sequential(*(Block(width, dropout, share) for share in shares))
        self.norm = nn.LayerNorm(width)
        self.kept = int(TOKENS * (1.0 - mask_ratio))
        # Only where it is used: DistributedDataParallel refuses parameters without a gradient.
        self.mask = nn.Parameter(torch.zeros(1, 1, width)) if mask_ratio > 0 else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) to tokens (b, t, d), row by row.

        In training, those that were masked come back as one learnt token.
        """
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        x = self.dropout(x)
        if not self.training or self.mask is None:
            return self.norm(self.blocks(x))
        order = torch.rand(x.shape[0], TOKENS, device=x.device).argsort(1)
        x = self.norm(self.blocks(_taken(x, order[:, : self.kept])))
        masked = self.mask.to(x.dtype).expand(x.shape[0], TOKENS - self.kept, -1)
        return _taken(torch.cat([x, masked], 1), order.argsort(1))


def _taken(x: Tensor, which: Tensor) -> Tensor:
    """Tokens (b, k, d) of (b, t, d) by number (b, k)."""
    return x.gather(1, which[:, :, None].expand(-1, -1, x.shape[2]))


def vit(
    width: int,
    depth: int,
    *,
    dimension: int = 512,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    mask_ratio: float = 0.0,
) -> Backbone:
    """The transformer of a width and depth.

    Args:
        width: numbers per token, a multiple of 8.
        depth: blocks.
        dimension: length of an embedding.
        dropout: share of activations dropped in training.
        drop_path: share of pictures for which the last block is skipped in training (arcface_torch: 0.1).
        mask_ratio: share of tokens hidden in training (arcface_torch: 0.1; it also saves their arithmetic).

    Raises:
        RecipeInvalid: an option outside its range.
    """
    if dimension < 1:
        raise RecipeInvalid(f"backbone.dimension = {dimension}: set it to 1 or more")
    shares = {"dropout": dropout, "drop_path": drop_path, "mask_ratio": mask_ratio}
    for name, share in shares.items():
        if not 0.0 <= share < 1.0:
            raise RecipeInvalid(f"backbone.{name} = {share:g}: set it to 0 or more and below 1")
    body = Tokens(width, depth, dropout, drop_path, mask_ratio)
    tail = named(
        flatten=nn.Flatten(),
        compress=nn.Linear(TOKENS * width, width, bias=False),
        compress_norm=nn.BatchNorm1d(width, TAIL_EPSILON),
        linear=nn.Linear(width, dimension, bias=False),
        output=nn.BatchNorm1d(dimension, TAIL_EPSILON),
    )
    network = Backbone(body, tail, dimension=dimension)
    _initialise(network, body)
    return network


def _initialise(network: Backbone, body: Tokens) -> None:
    for weight in weights(network, nn.Linear):
        nn.init.trunc_normal_(weight, std=DEVIATION)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bias = cast(Tensor | None, module.bias)
            if bias is not None:
                nn.init.zeros_(bias)
    nn.init.trunc_normal_(body.positions, std=DEVIATION)
    if body.mask is not None:
        nn.init.normal_(body.mask, std=DEVIATION)
