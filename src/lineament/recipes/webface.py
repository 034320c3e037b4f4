"""WebFace4M, 12M and 42M with CosFace (0.4) and IResNet: arcface_torch's `configs/wf*m_*.py`.

SGD with momentum 0.9, weight decay 5e-4, 20 epochs, gradients of the backbone clipped at 5, fp16, seed 2048.
On 8 GPUs: batch 1024 as 128 on each, learning rate 0.1 falling linearly to 0 without warm-up. On 32:
batch 4096, learning rate 0.4 after a warm-up of 2 epochs. "PFC 0.2" is a `sample_rate` of 0.2. The vision
transformers on WebFace42M are in `webface_vit.py`.
"""

from dataclasses import replace

from lineament.recipes.published import WEBFACE4M, WEBFACE12M, WEBFACE42M, readme_figures
from lineament.train.recipe import Data, Recipe, part


def _arcface_torch() -> Recipe:
    """The runs on 8 GPUs."""
    return Recipe(
        name="",
        summary="",
        data=Data(path=WEBFACE4M.path),
        backbone=part("iresnet100"),
        head=part("cosface", scale=64.0, margin=0.4),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("poly", power=1.0, warmup_epochs=0.0),
        batch=1024,
        micro_batch=128,
        epochs=20.0,
        clip=5.0,
        precision="fp16",
        save_every=2000,
    )


def _arcface_torch_32gpu() -> Recipe:
    """The runs on 32 GPUs, all on WebFace42M with PFC 0.3."""
    return replace(
        _arcface_torch(),
        data=Data(path=WEBFACE42M.path),
        optimiser=part("sgd", learning_rate=0.4, momentum=0.9, weight_decay=5e-4),
        schedule=part("poly", power=1.0, warmup_epochs=2.0),
        batch=4096,
        sample_rate=0.3,
    )


def webface4m_r100_8gpu() -> Recipe:
    """arcface_torch's wf4m_r100."""
    return replace(
        _arcface_torch(),
        name="webface4m_r100_8gpu",
        summary="CosFace (0.4) on WebFace4M, arcface_torch's wf4m_r100; published values, not run here.",
        expected=readme_figures("89.87", "97.19", "95.48"),
    )


def webface12m_r100_8gpu() -> Recipe:
    """arcface_torch's wf12m_r100."""
    return replace(
        _arcface_torch(),
        name="webface12m_r100_8gpu",
        summary="CosFace (0.4) on WebFace12M, arcface_torch's wf12m_r100; published values, not run here.",
        data=Data(path=WEBFACE12M.path),
        expected=readme_figures("94.69", "97.59", "95.97"),
    )


def webface12m_r100_pfc02_8gpu() -> Recipe:
    """arcface_torch's wf12m_pfc02_r100: a fifth of the centres in every step."""
    return replace(
        _arcface_torch(),
        name="webface12m_r100_pfc02_8gpu",
        summary="CosFace (0.4) on WebFace12M, arcface_torch's wf12m_pfc02_r100; published, not run here.",
        data=Data(path=WEBFACE12M.path),
        sample_rate=0.2,
        expected=readme_figures("94.75", "97.60", "95.90"),
    )


def webface42m_r100_8gpu() -> Recipe:
    """arcface_torch's wf42m_pfc02_r100."""
    return replace(
        _arcface_torch(),
        name="webface42m_r100_8gpu",
        summary="CosFace on WebFace42M, arcface_torch's wf42m_pfc02_r100; published, not run here.",
        data=Data(path=WEBFACE42M.path),
        sample_rate=0.2,
        expected=readme_figures("96.27", "97.70", "96.31"),
    )


def webface42m_r18_32gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_32gpu_r18."""
    return replace(
        _arcface_torch_32gpu(),
        name="webface42m_r18_32gpu",
        summary="CosFace on WebFace42M, arcface_torch's wf42m_pfc03_32gpu_r18; published, not run here.",
        backbone=part("iresnet18"),
        expected=readme_figures("79.13", "95.77", "93.36"),
    )


def webface42m_r50_32gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_32gpu_r50."""
    return replace(
        _arcface_torch_32gpu(),
        name="webface42m_r50_32gpu",
        summary="CosFace on WebFace42M, arcface_torch's wf42m_pfc03_32gpu_r50; published, not run here.",
        backbone=part("iresnet50"),
        expected=readme_figures("94.03", "97.48", "95.94"),
    )


def webface42m_r100_32gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_32gpu_r100."""
    return replace(
        _arcface_torch_32gpu(),
        name="webface42m_r100_32gpu",
        summary="CosFace on WebFace42M, arcface_torch's wf42m_pfc03_32gpu_r100; published, not run here.",
        expected=readme_figures("96.69", "97.82", "96.45"),
    )


def webface42m_r200_32gpu() -> Recipe:
    """arcface_torch's wf42m_pfc03_32gpu_r200."""
    return replace(
        _arcface_torch_32gpu(),
        name="webface42m_r200_32gpu",
        summary="CosFace on WebFace42M, arcface_torch's wf42m_pfc03_32gpu_r200; published, not run here.",
        backbone=part("iresnet200"),
        expected=readme_figures("97.70", "97.97", "96.93"),
    )
