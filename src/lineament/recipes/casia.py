"""CASIA-WebFace with IResNet-50: the losses of Table 2 of the ArcFace paper, under one set of settings.

Settings of the CVPR paper, §3.1: batch 512 on 4 GPUs; SGD with momentum 0.9 and weight decay 5e-4;
learning rate 0.1, divided by 10 at 20,000 and 28,000 steps, end at 32,000; s = 64; fp32. The TPAMI paper says
epochs 20, 28 and 32 instead, which is about the same: an epoch of this collection is about 1,000 steps.

The paper trained with MXNet, which differentiates the logits as they are written; hence `gradient="exact"`.
(arcface_torch takes the derivative of the margin as 1 instead, see `ms1mv3.py`.) The paper names no dropout
rate; 0.4 is that of its authors' MXNet code. Gradients were not clipped.

Other margins of Table 2 are one setting away, as in `--set head.margin=0.45`.
"""

from dataclasses import replace

from lineament.recipes.published import CASIA, loss_figures
from lineament.train.recipe import Data, Recipe, part


def _base() -> Recipe:
    """Everything but the loss."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=CASIA.path),
        backbone=part("iresnet50", dropout=0.4),
        head=part("arcface", scale=64.0, margin=0.5, gradient="exact", beyond="monotone"),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("steps", at_steps="20000,28000", factor=0.1),
        batch=512,
        micro_batch=128,
        steps=32_000,
        clip=0.0,
        precision="fp32",
        save_every=2000,
    )


def casia_r50_4gpu() -> Recipe:
    """ArcFace, m = 0.5: the best row of Table 2."""
    return replace(
        _base(),
        name="casia_r50_4gpu",
        summary="ArcFace (0.5) on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        expected=loss_figures("99.53", "95.56", "95.15"),
    )


def casia_r50_cosface_4gpu() -> Recipe:
    """CosFace, m = 0.35."""
    return replace(
        _base(),
        name="casia_r50_cosface_4gpu",
        summary="CosFace (0.35) on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        head=part("cosface", scale=64.0, margin=0.35),
        expected=loss_figures("99.51", "95.44", "94.56"),
    )


def casia_r50_sphereface_4gpu() -> Recipe:
    """SphereFace, m = 1.35, in the paper's form: cos(m·θ) without the annealing of the original."""
    return replace(
        _base(),
        name="casia_r50_sphereface_4gpu",
        summary="SphereFace (1.35) on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        head=part("sphereface", scale=64.0, margin=1.35, gradient="exact", beyond="monotone"),
        expected=loss_figures("99.11", "94.38", "91.70"),
    )


def casia_r50_cm1_4gpu() -> Recipe:
    """Combined margin CM1 (1, 0.3, 0.2), eq. 4."""
    return replace(
        _base(),
        name="casia_r50_cm1_4gpu",
        summary="CM1 (1, 0.3, 0.2) on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        head=part("combined", scale=64.0, m1=1.0, m2=0.3, m3=0.2, gradient="exact", beyond="monotone"),
        expected=loss_figures("99.48", "95.12", "94.38"),
    )


def casia_r50_cm2_4gpu() -> Recipe:
    """Combined margin CM2 (0.9, 0.4, 0.15), eq. 4."""
    return replace(
        _base(),
        name="casia_r50_cm2_4gpu",
        summary="CM2 (0.9, 0.4, 0.15) on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        head=part("combined", scale=64.0, m1=0.9, m2=0.4, m3=0.15, gradient="exact", beyond="monotone"),
        expected=loss_figures("99.50", "95.24", "94.86"),
    )


def casia_r50_softmax_4gpu() -> Recipe:
    """Softmax of eq. 1: raw embeddings, raw centres, a bias; no scale and no margin."""
    return replace(
        _base(),
        name="casia_r50_softmax_4gpu",
        summary="Softmax on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        head=part("softmax"),
        expected=loss_figures("99.08", "94.39", "92.33"),
    )


def casia_r50_normsoftmax_4gpu() -> Recipe:
    """Softmax of unit vectors, s = 64 and no margin (eq. 2); the TPAMI paper finds s = 20 better."""
    return replace(
        _base(),
        name="casia_r50_normsoftmax_4gpu",
        summary="Norm-Softmax (s = 64) on CASIA-WebFace, CVPR paper Table 2; published values, not run here.",
        head=part("normsoftmax", scale=64.0),
        expected=loss_figures("98.56", "89.79", "88.72"),
    )


def casia_r50_triplet_4gpu() -> Recipe:
    """Triplet loss, m = 0.35; not the paper's to the letter.

    The paper's margin is between angles (§2.3), that of our `triplet` between squared distances of unit
    vectors, as in FaceNet. And the paper says neither how triplets were chosen nor how many pictures of a
    person a batch held: the semi-hard choice and 128 persons with 4 pictures each are ours.
    """
    return replace(
        _base(),
        name="casia_r50_triplet_4gpu",
        summary="Triplet (0.35) on CASIA-WebFace, CVPR paper Table 2; details ours; not run here.",
        head=part("triplet", margin=0.35, mining="semi_hard"),
        people=128,
        expected=loss_figures("98.98", "91.90", "89.98"),
    )
