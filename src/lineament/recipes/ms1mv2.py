"""MS1MV2: arcface_torch's runs of 20 (MobileFaceNet: 40) epochs, and that of the CVPR paper.

Of arcface_torch: batch 1024 as 128 on each of 8 GPUs, SGD with momentum 0.9, learning rate 0.1 falling
linearly to 0 without warm-up, gradients of the backbone clipped at 5, fp16, seed 2048; weight decay 5e-4 with
IResNet-100 and 1e-4 with IResNet-50 and MobileFaceNet, as its `configs/ms1mv2_*.py` have it. Its margin takes
the derivative of the logit by the cosine as 1 (`gradient="straight_through"`) and lets the logit rise again
beyond π − m (`beyond="raw"`); its figures were reached with both, so these recipes keep them.

Of the CVPR paper, §3.1: batch 512 on 4 GPUs, learning rate 0.1, divided by 10 at 100,000 and 160,000
steps, end at 180,000, weight decay 5e-4, fp32; exact gradient and dropout as in `casia.py`.
"""

from dataclasses import replace

from lineament.recipes.published import MS1MV2, readme_figures
from lineament.train.recipe import Data, Recipe, part


def _arcface_torch() -> Recipe:
    """Settings that arcface_torch's runs on this collection share."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=MS1MV2.path),
        backbone=part("iresnet100"),
        head=part("arcface", scale=64.0, margin=0.5, gradient="straight_through", beyond="raw"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("poly", power=1.0, warmup_epochs=0.0),
        batch=1024,
        micro_batch=128,
        epochs=20.0,
        clip=5.0,
        precision="fp16",
        save_every=2000,
    )


def ms1mv2_mbf_8gpu() -> Recipe:
    """arcface_torch's ms1mv2_mbf: MobileFaceNet of 0.45 GFLOPs."""
    return replace(
        _arcface_torch(),
        name="ms1mv2_mbf_8gpu",
        summary="ArcFace (0.5) on MS1MV2, arcface_torch's ms1mv2_mbf; published values, not run here.",
        backbone=part("mobilefacenet_insightface"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4),
        epochs=40.0,
        expected=readme_figures("62.07", "93.61", "90.28"),
    )


def ms1mv2_r50_8gpu() -> Recipe:
    """arcface_torch's ms1mv2_r50, whose weight decay is 1e-4."""
    return replace(
        _arcface_torch(),
        name="ms1mv2_r50_8gpu",
        summary="ArcFace (0.5) on MS1MV2, arcface_torch's ms1mv2_r50; published values, not run here.",
        backbone=part("iresnet50"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4),
        expected=readme_figures("75.13", "95.97", "94.07"),
    )


def ms1mv2_r100_8gpu() -> Recipe:
    """arcface_torch's ms1mv2_r100."""
    return replace(
        _arcface_torch(),
        name="ms1mv2_r100_8gpu",
        summary="ArcFace (0.5) on MS1MV2, arcface_torch's ms1mv2_r100; published values, not run here.",
        expected=readme_figures("78.12", "96.37", "94.27"),
    )


def ms1mv2_r100_paper_4gpu() -> Recipe:
    """The CVPR paper's model: exact gradient, three learning rates."""
    return replace(
        _arcface_torch(),
        name="ms1mv2_r100_paper_4gpu",
        summary="ArcFace (0.5) on MS1MV2, CVPR paper §3.1; published values, not run here.",
        backbone=part("iresnet100", dropout=0.4),
        head=part("arcface", scale=64.0, margin=0.5, gradient="exact", beyond="monotone"),
        schedule=part("steps", at_steps="100000,160000", factor=0.1),
        batch=512,
        steps=180_000,
        epochs=0.0,
        clip=0.0,
        precision="fp32",
        expected={
            "LFW accuracy": "99.83 % (CVPR paper, Table 4)",
            "YTF accuracy": "98.02 % (CVPR paper, Table 4)",
            "CALFW accuracy": "95.45 % (CVPR paper, Table 5)",
            "CPLFW accuracy": "92.08 % (CVPR paper, Table 5)",
            "MegaFace rank 1": "81.03 % (CVPR paper, Table 6)",
            "MegaFace TAR@FMR=1e-6": "96.98 % (CVPR paper, Table 6)",
            "refined MegaFace rank 1": "98.35 % (CVPR paper, Table 6)",
            "refined MegaFace TAR@FMR=1e-6": "98.48 % (CVPR paper, Table 6)",
            "IJB-B TAR@FMR=1e-4": "94.2 % (CVPR paper, Table 7)",
            "IJB-C TAR@FMR=1e-4": "95.6 % (CVPR paper, Table 7)",
        },
    )
