"""WebFace42M with CosFace (0.4) and vision transformers: arcface_torch's `configs/wf42m_pfc03_40epoch_*`.

AdamW with learning rate 1e-3 and weight decay 0.1, 40 epochs of which 4 warm up, then linearly to 0;
gradients of the backbone clipped at 5, fp16, seed 2048. On 64 GPUs 384 pictures each; on 8, ViT-T takes 512
each and ViT-B 12 times 256 each before a step. arcface_torch adds up the losses of such parts of a step, we
average them: AdamW hardly notices the factor, the clipping does.

Its networks are called vit_t_dp005_mask0, vit_s_dp005_mask_0, vit_b_dp005_mask_005 and vit_l_dp005_mask_005:
stochastic depth 0.05, and 0, 0, 0.05 and 0.05 of the tokens hidden. The two large ones recompute activations.

"PFC 0.3" is a `sample_rate` of 0.3; the README calls the ViT-T run on 8 GPUs PFC 0.2, and its figures
are those, though `configs/wf42m_pfc03_40epoch_8gpu_vit_t.py` says 0.3.
"""

from dataclasses import replace

from lineament.recipes.published import WEBFACE42M, readme_figures
from lineament.train.recipe import Data, Recipe, part


def _arcface_torch_64gpu() -> Recipe:
    """Everything but the backbone."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=WEBFACE42M.path),
        backbone=part("vit_t", drop_path=0.05, mask_ratio=0.0),
        head=part("cosface", scale=64.0, margin=0.4),
        optimiser=part("adamw", learning_rate=1e-3, weight_decay=0.1),
        schedule=part("poly", power=1.0, warmup_epochs=4.0),
        batch=384 * 64,
        micro_batch=384,
        epochs=40.0,
        sample_rate=0.3,
        clip=5.0,
        precision="fp16",
        save_every=2000,
    )


def webface42m_vit_t_8gpu() -> Recipe:
    """arcface_torch's ViT-T on 8 GPUs, with the README's PFC 0.2."""
    return replace(
        _arcface_torch_64gpu(),
        name="webface42m_vit_t_8gpu",
        summary="CosFace on WebFace42M, arcface_torch's ViT-T on 8 GPUs; published, not run here.",
        batch=512 * 8,
        micro_batch=512,
        sample_rate=0.2,
        expected=readme_figures("92.04", "97.27", "95.68"),
    )


def webface42m_vit_b_8gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_40epoch_8gpu_vit_b."""
    return replace(
        _arcface_torch_64gpu(),
        name="webface42m_vit_b_8gpu",
        summary="CosFace on WebFace42M, arcface_torch's ViT-B on 8 GPUs; published, not run here.",
        backbone=part("vit_b", drop_path=0.05, mask_ratio=0.05),
        batch=256 * 8 * 12,
        micro_batch=256,
        checkpoint_activations=True,
        expected=readme_figures("97.16", "97.91", "97.05"),
    )


def webface42m_vit_t_64gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_40epoch_64gpu_vit_t."""
    return replace(
        _arcface_torch_64gpu(),
        name="webface42m_vit_t_64gpu",
        summary="CosFace on WebFace42M, arcface_torch's ViT-T on 64 GPUs; published, not run here.",
        expected=readme_figures("92.24", "97.31", "95.97"),
    )


def webface42m_vit_s_64gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_40epoch_64gpu_vit_s."""
    return replace(
        _arcface_torch_64gpu(),
        name="webface42m_vit_s_64gpu",
        summary="CosFace on WebFace42M, arcface_torch's ViT-S on 64 GPUs; published, not run here.",
        backbone=part("vit_s", drop_path=0.05, mask_ratio=0.0),
        expected=readme_figures("95.87", "97.73", "96.57"),
    )


def webface42m_vit_b_64gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_40epoch_64gpu_vit_b."""
    return replace(
        _arcface_torch_64gpu(),
        name="webface42m_vit_b_64gpu",
        summary="CosFace on WebFace42M, arcface_torch's ViT-B on 64 GPUs; published, not run here.",
        backbone=part("vit_b", drop_path=0.05, mask_ratio=0.05),
        checkpoint_activations=True,
        expected=readme_figures("97.42", "97.90", "97.04"),
    )


def webface42m_vit_l_64gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_40epoch_64gpu_vit_l."""
    return replace(
        _arcface_torch_64gpu(),
        name="webface42m_vit_l_64gpu",
        summary="CosFace on WebFace42M, arcface_torch's ViT-L on 64 GPUs; published, not run here.",
        backbone=part("vit_l", drop_path=0.05, mask_ratio=0.05),
        checkpoint_activations=True,
        expected=readme_figures("97.85", "98.00", "97.23"),
    )
