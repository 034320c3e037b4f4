"""What can be trained on one processor: a small network, four losses, equal budgets.

The data are Celebrities in Frontal-Profile (Sengupta et al. 2016) without the people who are also in LFW, so
that LFW and BLUFR can test what they never taught: `$LINEAMENT_DATA/cfp/cfp112.zip` (aligned crops) and
`$LINEAMENT_DATA/cfp_people_in_lfw.csv` (`bench/shared_people.py`). Everything
but the head is equal, and every value was fixed before anything was measured on LFW.
"""

from lineament.train.recipe import Data, Part, Recipe, part

_DATA = Data(path="$LINEAMENT_DATA/cfp/cfp112.zip", up=2, exclude="$LINEAMENT_DATA/cfp_people_in_lfw.csv")


def _small(name: str, head: Part, what: str) -> Recipe:
    return Recipe(
        name=name,
        summary=f"{what} on 324 people of CFP, a residual network of 1 M parameters at 56 pixels.",
        data=_DATA,
        backbone=part("iresnet18", dimension=128, width=16, reduce=2),
        head=head,
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("cosine", warmup_epochs=1.0),
        batch=64,
        micro_batch=64,
        epochs=12.0,
        margin_warmup=0.3,
        save_every=350,
        keep=1,
        threads=1,
    )


def cfp_small_softmax_cpu() -> Recipe:
    """Softmax over inner products, eq. 1 of the ArcFace paper."""
    return _small("cfp_small_softmax_cpu", part("softmax"), "Softmax")


def cfp_small_normsoftmax_cpu() -> Recipe:
    """Softmax over cosines, without margin."""
    return _small("cfp_small_normsoftmax_cpu", part("normsoftmax", scale=32.0), "NormSoftmax")


def cfp_small_cosface_cpu() -> Recipe:
    """CosFace with the paper's margin."""
    return _small("cfp_small_cosface_cpu", part("cosface", scale=32.0, margin=0.35), "CosFace")


def cfp_small_arcface_cpu() -> Recipe:
    """ArcFace with the paper's margin."""
    return _small("cfp_small_arcface_cpu", part("arcface", scale=32.0, margin=0.5), "ArcFace")
