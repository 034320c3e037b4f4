"""Glint360K with CosFace (0.4): arcface_torch's `configs/glint360k_*.py`.

Batch 1024 as 128 on each of 8 GPUs, SGD with momentum 0.9 and weight decay 1e-4, learning rate 0.1
falling linearly to 0 over 20 epochs without warm-up, gradients of the backbone clipped at 5, fp16, seed 2048.
"""

from dataclasses import replace

from lineament.recipes.published import GLINT360K, readme_figures
from lineament.train.recipe import Data, Recipe, part


def _arcface_torch() -> Recipe:
    """Everything but the backbone."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=GLINT360K.path),
        backbone=part("iresnet50"),
        head=part("cosface", scale=64.0, margin=0.4),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=part("poly", power=1.0, warmup_epochs=0.0),
        batch=1024,
        micro_batch=128,
        epochs=20.0,
        clip=5.0,
        precision="fp16",
        save_every=2000,
    )


def glint360k_mbf_8gpu() -> Recipe:
    """arcface_torch's glint360k_mbf: MobileFaceNet of 0.45 GFLOPs."""
    return replace(
        _arcface_torch(),
        name="glint360k_mbf_8gpu",
        summary="CosFace (0.4) on Glint360K, arcface_torch's glint360k_mbf; published values, not run here.",
        backbone=part("mobilefacenet_insightface"),
        expected=readme_figures("70.18", "95.04", "92.62"),
    )


def glint360k_r50_8gpu() -> Recipe:
    """arcface_torch's glint360k_r50."""
    return replace(
        _arcface_torch(),
        name="glint360k_r50_8gpu",
        summary="CosFace (0.4) on Glint360K, arcface_torch's glint360k_r50; published values, not run here.",
        expected=readme_figures("86.34", "97.16", "95.81"),
    )


def glint360k_r100_8gpu() -> Recipe:
    """arcface_torch's glint360k_r100."""
    return replace(
        _arcface_torch(),
        name="glint360k_r100_8gpu",
        summary="CosFace (0.4) on Glint360K, arcface_torch's glint360k_r100; published values, not run here.",
        backbone=part("iresnet100"),
        expected=readme_figures("89.52", "97.55", "96.38"),
    )
