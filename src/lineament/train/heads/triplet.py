"""Triplets: Schroff, Kalenichenko & Philbin, "FaceNet", CVPR 2015, eq. 1–4.

B rows, D dimensions, P pairs (anchor, positive).
"""

from typing import Literal, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lineament.core.errors import DatasetInvalid
from lineament.train.heads.bounds import require_between, require_choice

Mining = Literal["hard", "semi_hard", "all"]


@final
class Triplet(nn.Module):
    """Triplet loss within a batch, Schroff et al. 2015, eq. 3: max(0, d(a,p) − d(a,n) + α), averaged.

    d is the squared Euclidean distance of the unit vectors, 0..4. Which triplets:

    - `all`: every anchor, positive and negative of the batch.
    - `semi_hard`: for every pair (anchor, positive) the nearest negative that is farther than the positive
      (eq. 4); where all negatives are nearer, the farthest of them, so that a pair is never without one.
    - `hard`: for every anchor its farthest positive and its nearest negative.

    The mean is over the triplets, also those that satisfy the margin. A batch without a positive pair, or
    without two persons, gives 0 with a gradient of 0.

    Args:
        margin: α, 0 to 4; 0.2 in FaceNet, 0.35 in the ArcFace paper.
        mining: `hard`, `semi_hard` or `all`.

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{schroff2015facenet,
  title = {{FaceNet}: A Unified Embedding for Face Recognition and Clustering},
  author = {Schroff, Florian and Kalenichenko, Dmitry and Philbin, James},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {815--823},
  year = {2015}
}"""

    def __init__(self, *, margin: float = 0.35, mining: Mining = "semi_hard") -> None:
        super().__init__()
        require_between(0.0, 4.0, margin=margin)
        require_choice(Mining, mining=mining)
        self.margin = margin
        self.mining: Mining = mining

    def forward(self, embedding_BD: Float[Tensor, "B D"], label_B: Int64[Tensor, " B"]) -> Float[Tensor, ""]:
        """Mean loss over the triplets of the batch, in float32 at least.

        Args:
            embedding_BD: raw embeddings.
            label_B: persons, int64, 0 or more.

        Raises:
            DatasetInvalid: a negative label.
        """
        if bool((label_B < 0).any()):
            raise DatasetInvalid(f"label {int(label_B.min())} names nobody: labels are 0 or more")
        # Inner products of bfloat16 under autocast would leave distances of 0.01 with one digit.
        with torch.autocast(embedding_BD.device.type, enabled=False):
            unit_BD = functional.normalize(
                embedding_BD.to(torch.promote_types(embedding_BD.dtype, torch.float32))
            )
            distance_BB = 2.0 - 2.0 * unit_BD @ unit_BD.T
        same_BB = label_B[:, None] == label_B[None, :]
        other_B = ~same_BB.all(dim=1)
        pair_BB = (
            same_BB & other_B[:, None] & ~torch.eye(len(label_B), dtype=torch.bool, device=label_B.device)
        )
        if not bool(pair_BB.any()):
            return (distance_BB * 0.0).sum()
        return self._mean(distance_BB, pair_BB, same_BB)

    def _mean(self, distance_BB: Tensor, pair_BB: Tensor, same_BB: Tensor) -> Float[Tensor, ""]:
        if self.mining == "hard":
            farthest_B = distance_BB.masked_fill(~pair_BB, -torch.inf).amax(dim=1)
            nearest_B = distance_BB.masked_fill(same_BB, torch.inf).amin(dim=1)
            anchor_B = pair_BB.any(dim=1)
            return (farthest_B - nearest_B + self.margin)[anchor_B].relu().mean()
        anchor_P, positive_P = pair_BB.nonzero(as_tuple=True)
        positive_distance_P = distance_BB[anchor_P, positive_P]
        distance_PB, same_PB = distance_BB[anchor_P], same_BB[anchor_P]
        if self.mining == "all":
            loss_PB = (positive_distance_P[:, None] - distance_PB + self.margin).relu()
            return loss_PB[~same_PB].mean()
        chosen_P = semi_hard(distance_PB.detach(), positive_distance_P.detach(), same_PB)
        negative_distance_P = distance_BB[anchor_P, chosen_P]
        return (positive_distance_P - negative_distance_P + self.margin).relu().mean()


def semi_hard(distance_PB: Tensor, positive_distance_P: Tensor, same_PB: Tensor) -> Int64[Tensor, " P"]:
    """For each pair the nearest negative farther than the positive, or else the farthest negative (eq. 4)."""
    nearer_PB = distance_PB <= positive_distance_P[:, None]
    farther_PB = distance_PB.masked_fill(same_PB | nearer_PB, torch.inf)
    farthest_P = distance_PB.masked_fill(same_PB, -torch.inf).argmax(dim=1)
    return torch.where(farther_PB.isfinite().any(dim=1), farther_PB.argmin(dim=1), farthest_P)
