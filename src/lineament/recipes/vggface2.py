"""VGGFace2 with IResNet-50 and ArcFace, as in the TPAMI paper, §4.1.

Batch 512 on 8 GPUs; SGD with momentum 0.9 and weight decay 5e-4; learning rate 0.1, divided by 10 at
epochs 6 and 9, end at 12; s = 64, m = 0.5; fp32. Exact gradient and dropout: see `casia.py`. The figures are
those of Table 7; Table 8 lists VGGFace2 too, but with ResNet-100.
"""

from lineament.recipes.published import VGGFACE2
from lineament.train.recipe import Data, Recipe, part


def vggface2_r50_8gpu() -> Recipe:
    """ArcFace, m = 0.5, with the paper's schedule for this collection."""
    return Recipe(
        name="vggface2_r50_8gpu",
        summary="ArcFace (0.5) on VGGFace2, TPAMI paper Table 7; published values, not run here.",
        data=Data(path=VGGFACE2.path),
        backbone=part("iresnet50", dropout=0.4),
        head=part("arcface", scale=64.0, margin=0.5, gradient="exact", beyond="monotone"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("steps", at_epochs="6,9", factor=0.1),
        batch=512,
        micro_batch=64,
        epochs=12.0,
        clip=0.0,
        precision="fp32",
        save_every=2000,
        expected={
            "IJB-B TAR@FMR=1e-4": "89.8 % (TPAMI paper, Table 7)",
            "IJB-C TAR@FMR=1e-4": "92.79 % (TPAMI paper, Table 7)",
        },
    )
