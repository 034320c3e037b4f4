"""Sub-centre ArcFace on MS1MV0, of whose labels about half are wrong (TPAMI paper, §3.2, §4.1 and Table 3).

The first round trains with K = 3 sub-centres per person; then pictures that lie more than 75° from the
dominant sub-centre of their person are dropped, and a second round trains plain ArcFace on what is left. The
schedule is that of MS1MV3 in the same paper: batch 512 on 8 GPUs, learning rate 0.1, divided by 10 at
epochs 8 and 14, end at 18. Exact gradient and dropout: see `casia.py`.
"""

from collections.abc import Mapping
from dataclasses import replace

from lineament.recipes.published import MS1MV0
from lineament.train.recipe import Data, Recipe, part


def _base() -> Recipe:
    """Everything but the head, with one centre per person."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=MS1MV0.path),
        backbone=part("iresnet50", dropout=0.4),
        head=part("arcface", scale=64.0, margin=0.5, gradient="exact", beyond="monotone"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("steps", at_epochs="8,14", factor=0.1),
        batch=512,
        micro_batch=64,
        epochs=18.0,
        clip=0.0,
        precision="fp32",
        save_every=2000,
    )


def _figures(ijbb: str, ijbc: str) -> Mapping[str, str]:
    return {
        "IJB-B TAR@FMR=1e-4": f"{ijbb} % (TPAMI paper, Table 3)",
        "IJB-C TAR@FMR=1e-4": f"{ijbc} % (TPAMI paper, Table 3)",
    }


def ms1mv0_r50_8gpu() -> Recipe:
    """Plain ArcFace on the noisy labels, K = 1: what the sub-centres are compared with."""
    return replace(
        _base(),
        name="ms1mv0_r50_8gpu",
        summary="ArcFace (K = 1) on MS1MV0, TPAMI paper Table 3; published values, not run here.",
        expected=_figures("87.87", "90.27"),
    )


def ms1mv0_r50_subcenter_8gpu() -> Recipe:
    """First round: K = 3 sub-centres."""
    return replace(
        _base(),
        name="ms1mv0_r50_subcenter_8gpu",
        summary="Sub-centre ArcFace (K = 3) on MS1MV0, TPAMI paper Table 3; published values, not run here.",
        head=part("subcenter", centres=3, scale=64.0, margin=0.5, gradient="exact", beyond="monotone"),
        expected=_figures("91.70", "93.72"),
    )


def ms1mv0_r50_cleaned_8gpu() -> Recipe:
    """Second round: ArcFace from scratch without the pictures that the first round found to be noise.

    `data.exclude` lists those pictures: all that lie more than 75° from their person's dominant sub-centre.
    """
    return replace(
        _base(),
        name="ms1mv0_r50_cleaned_8gpu",
        summary="ArcFace on MS1MV0 without pictures beyond 75°, TPAMI paper Table 3; not run here.",
        data=Data(path=MS1MV0.path, exclude="$LINEAMENT_DATA/ms1mv0_beyond_75_degrees.txt"),
        expected=_figures("94.56", "95.92"),
    )
