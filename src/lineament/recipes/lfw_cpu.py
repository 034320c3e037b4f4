"""MobileFaceNet on Labeled Faces in the Wild, on one processor.

The data are LFW's photographs without the people who are also in CFP, so that CFP can test what it never
trained: `$LINEAMENT_DATA/lfw112.zip` (`lineament train prepare lfw160.zip -o lfw112.zip`) and
`$LINEAMENT_DATA/lfw_people_in_cfp.csv` (`bench/shared_people.py`). LFW is for research; so is what it trains.
"""

from dataclasses import replace

from lineament.train.recipe import Augment, Data, Recipe, part

_DATA = Data(
    path="$LINEAMENT_DATA/lfw112.zip", exclude="$LINEAMENT_DATA/lfw_people_in_cfp.csv", held_out=0.05
)
_AUGMENT = Augment(flip=0.5, crop=0.1, low_resolution=0.1, colour=0.2)


def lfw_mbf_cpu() -> Recipe:
    """ArcFace on the people of LFW with four pictures or more, at 56 pixels."""
    return Recipe(
        name="lfw_mbf_cpu",
        summary="ArcFace on the people of LFW with 4 pictures or more: a first run on a laptop.",
        data=replace(_DATA, fewest=4, held_out=0.1),
        backbone=part("mobilefacenet", dimension=128, reduce=2),
        head=part("arcface", scale=32.0, margin=0.5),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("cosine", warmup_epochs=1.0),
        batch=64,
        micro_batch=64,
        epochs=20.0,
        margin_warmup=0.3,
        validate_every=200,
        augment=_AUGMENT,
        threads=1,
    )


def lfw_ir18_distil_cpu() -> Recipe:
    """A student of the default pack: distilled, not trained with a margin.

    Half of the pictures are made of the others by `bench/mixed_crops.py`; `bench/settled_pack.py` exports it.
    The figures are of a run that had only LFW's own pictures in its first 2,938 of 6,048 steps.
    """
    return Recipe(
        name="lfw_ir18_distil_cpu",
        summary="Distilled from the default pack (SFace) on LFW: what it knows, it owes to that.",
        data=replace(_DATA, path="$LINEAMENT_DATA/lfw112_mixed.zip"),
        backbone=part("iresnet18", dimension=128, width=16, reduce=2),
        head=part("distil", teacher="default", views="mirrored_sum"),
        optimiser=part("adamw", learning_rate=2e-3, weight_decay=0.05),
        schedule=part("cosine", warmup_epochs=0.5),
        batch=64,
        micro_batch=64,
        epochs=18.0,
        validate_every=1000,
        augment=_AUGMENT,
        compile=True,
        threads=1,
        expected={
            "CFP-FF accuracy": "85.93 % (here, step 6,000, see LOG.md)",
            "CFP-FP accuracy": "62.61 % (here, step 6,000, see LOG.md)",
        },
    )
