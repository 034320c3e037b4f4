"""MS1MV3: arcface_torch's runs of 20 (MobileFaceNet: 40) epochs, and that of the TPAMI paper.

Of arcface_torch, `configs/ms1mv3_*.py`: batch 1024 as 128 on each of 8 GPUs, SGD with momentum 0.9 and
weight decay 5e-4 (MobileFaceNet: 1e-4), learning rate 0.1 falling linearly to 0 without warm-up, gradients of
the backbone clipped at 5, fp16, seed 2048. Its margin takes the derivative of the logit by the cosine as 1
(`gradient="straight_through"`) and lets the logit rise again beyond π − m (`beyond="raw"`); its figures were
reached with both, so these recipes keep them.

Of the TPAMI paper, §4.1: batch 512 on 8 GPUs, learning rate 0.1, divided by 10 at epochs 8 and 14, end
at 18, weight decay 5e-4, fp32; exact gradient and dropout as in `casia.py`.
"""

from dataclasses import replace

from lineament.recipes.published import MS1MV3, readme_figures
from lineament.train.recipe import Data, Recipe, part


def _arcface_torch() -> Recipe:
    """Settings that arcface_torch's runs on this collection share."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=MS1MV3.path),
        backbone=part("iresnet50"),
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


def ms1mv3_mbf_8gpu() -> Recipe:
    """arcface_torch's ms1mv3_mbf: MobileFaceNet of 0.45 GFLOPs."""
    return replace(
        _arcface_torch(),
        name="ms1mv3_mbf_8gpu",
        summary="ArcFace (0.5) on MS1MV3, arcface_torch's ms1mv3_mbf; published values, not run here.",
        backbone=part("mobilefacenet_insightface"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4),
        epochs=40.0,
        expected=readme_figures("63.78", "94.23", "91.33"),
    )


def ms1mv3_r50_1gpu() -> Recipe:
    """arcface_torch's ms1mv3_r50_onegpu: learning rate 0.02 for batches of 128; no figures were published."""
    return replace(
        _arcface_torch(),
        name="ms1mv3_r50_1gpu",
        summary="ArcFace (0.5) on MS1MV3, arcface_torch's ms1mv3_r50_onegpu; published values, not run here.",
        optimiser=part("sgd", learning_rate=0.02, momentum=0.9, weight_decay=5e-4),
        batch=128,
    )


def ms1mv3_r50_8gpu() -> Recipe:
    """arcface_torch's ms1mv3_r50."""
    return replace(
        _arcface_torch(),
        name="ms1mv3_r50_8gpu",
        summary="ArcFace (0.5) on MS1MV3, arcface_torch's ms1mv3_r50; published values, not run here.",
        expected=readme_figures("79.14", "96.37", "94.47"),
    )


def ms1mv3_r100_8gpu() -> Recipe:
    """arcface_torch's ms1mv3_r100."""
    return replace(
        _arcface_torch(),
        name="ms1mv3_r100_8gpu",
        summary="ArcFace (0.5) on MS1MV3, arcface_torch's ms1mv3_r100; published values, not run here.",
        backbone=part("iresnet100"),
        expected=readme_figures("81.97", "96.85", "95.02"),
    )


def ms1mv3_r100_paper_8gpu() -> Recipe:
    """The TPAMI paper's model: exact gradient, three learning rates."""
    return replace(
        _arcface_torch(),
        name="ms1mv3_r100_paper_8gpu",
        summary="ArcFace (0.5) on MS1MV3, TPAMI paper §4.1; published values, not run here.",
        backbone=part("iresnet100", dropout=0.4),
        head=part("arcface", scale=64.0, margin=0.5, gradient="exact", beyond="monotone"),
        schedule=part("steps", at_epochs="8,14", factor=0.1),
        batch=512,
        micro_batch=64,
        epochs=18.0,
        clip=0.0,
        precision="fp32",
        expected={
            "LFW accuracy": "99.83 % (TPAMI paper, Table 4)",
            "YTF accuracy": "98.02 % (TPAMI paper, Table 4)",
            "CFP-FP accuracy": "98.79 % (TPAMI paper, Table 5)",
            "CPLFW accuracy": "93.21 % (TPAMI paper, Table 5)",
            "AgeDB-30 accuracy": "98.23 % (TPAMI paper, Table 5)",
            "CALFW accuracy": "96.02 % (TPAMI paper, Table 5)",
            "refined MegaFace rank 1": "98.51 % (TPAMI paper, Table 6)",
            "refined MegaFace TAR@FMR=1e-6": "98.74 % (TPAMI paper, Table 6)",
            "IJB-B TAR@FMR=1e-4": "95.42 % (TPAMI paper, Table 7)",
            "IJB-C TAR@FMR=1e-4": "96.83 % (TPAMI paper, Table 7)",
            "IJB-B TAR@FMR=1e-5": "91.27 % (TPAMI paper, Table 8)",
            "IJB-C TAR@FMR=1e-5": "95.56 % (TPAMI paper, Table 8)",
        },
    )
