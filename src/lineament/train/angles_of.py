"""Angle statistics of a checkpoint: on its training data with its class centres, or on other people.

Persons are matched with class centres by name. In RecordIO names are numbers, which mean the same person in
one data set only.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lineament.core.errors import DatasetInvalid
from lineament.train import state
from lineament.train.angles import AngleStatistics, angle_statistics
from lineament.train.backbones.port import Backbone
from lineament.train.clean import nearness
from lineament.train.examples import Examples, open_examples
from lineament.train.own_data import require_crops
from lineament.train.parallel import Processes
from lineament.train.recipe import Data, Recipe
from lineament.train.templates import templates_of

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found.

    Attributes:
        angles: of the pictures that could be used.
        other_persons: left out, because the checkpoint has no class centre of them.
        broken: pictures that could not be used.
    """

    angles: AngleStatistics
    other_persons: int
    broken: int

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, those of `angles` among them."""
        return {**asdict(self.angles), "other_persons": self.other_persons, "broken": self.broken}


@dataclass(frozen=True, slots=True, eq=False)
class AngleSource:
    """A checkpoint whose angles are measured.

    Attributes:
        backbone: in evaluation mode, on its device.
        recipe: that it was trained by.
        classes: names of the persons by number.
        centre_CKD: class centres without the bias of a plain softmax; None where the objective has none.
    """

    backbone: Backbone
    recipe: Recipe
    classes: tuple[str, ...]
    centre_CKD: Float[Tensor, "c k d"] | None

    @classmethod
    def load(cls, checkpoint: Path, processes: Processes) -> "AngleSource":
        """Read a checkpoint.

        Raises:
            CheckpointInvalid: it is damaged.
        """
        backbone, recipe = state.load_backbone(checkpoint)
        parts = sorted(state.shards(checkpoint), key=lambda shard: shard[0])
        weights = [tensors["weight"] for _, tensors in parts if "weight" in tensors]
        centres = torch.cat(weights)[..., : backbone.dimension].float() if weights else None
        classes = tuple(state.read_classes(checkpoint))
        return cls(backbone.to(processes.device), recipe, classes, centres)

    def on_training_data(self, data: Data, advance: Advance | None = None) -> Measured:
        """Angles of the persons that were trained on, with their class centres (table 3: W-EC to Inter1).

        Of several sub-centres of a class, the one that most of its pictures are nearest to counts.

        Raises:
            DatasetInvalid: the data have nobody that was trained on, or photographs that are no crops.
            ScoresInvalid: see `angle_statistics`.
        """
        number = {name: n for n, name in enumerate(self.classes)}
        with closing(open_examples(data)) as examples:
            of_person = np.array([number.get(name, -1) for name in examples.classes], dtype=np.int64)
            rows = np.flatnonzero(of_person[examples.labels] >= 0).astype(np.int64)
            if not len(rows):
                raise DatasetInvalid(
                    f"{examples.describe()}: the checkpoint was trained on none of these persons: name the "
                    "data that it was trained on, or measure them as other people"
                )
            unit_nD, used = self._embedded(examples, rows, data, advance)
            labels = of_person[examples.labels[used]]
            centres = None if self.centre_CKD is None else _dominant(unit_nD, labels, self.centre_CKD)
            found = angle_statistics(unit_nD.numpy(), labels, centres)
            return Measured(found, int((of_person < 0).sum()), len(rows) - len(used))

    def on_other_people(self, data: Data, advance: Advance | None = None) -> Measured:
        """Angles without class centres (table 3: Intra2 and Inter2).

        Raises:
            DatasetInvalid: photographs that are no crops.
            ScoresInvalid: see `angle_statistics`.
        """
        with closing(open_examples(data)) as examples:
            rows = np.arange(len(examples), dtype=np.int64)
            unit_nD, used = self._embedded(examples, rows, data, advance)
            found = angle_statistics(unit_nD.numpy(), examples.labels[used])
            return Measured(found, 0, len(rows) - len(used))

    def _embedded(
        self, examples: Examples, rows: Int64[np.ndarray, " m"], data: Data, advance: Advance | None
    ) -> tuple[Float[Tensor, "n d"], Int64[np.ndarray, " n"]]:
        """Unit embeddings of the pictures that can be used, and their rows."""
        require_crops(examples, data)
        made, broken = templates_of(
            self.backbone, examples, rows, data, threads=self.recipe.threads, advance=advance
        )
        good = ~np.isin(rows, list(broken))
        return made[torch.from_numpy(good)], rows[good]


def _dominant(
    unit_nD: Float[Tensor, "n d"], labels: Int64[np.ndarray, " n"], centre_CKD: Float[Tensor, "c k d"]
) -> Float[np.ndarray, "c d"]:
    if centre_CKD.shape[1] == 1:
        return centre_CKD[:, 0].numpy()
    chosen = torch.from_numpy(nearness(unit_nD, labels, centre_CKD).dominant)
    return centre_CKD[torch.arange(len(chosen)), chosen].numpy()
