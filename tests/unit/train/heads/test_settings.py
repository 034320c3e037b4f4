"""Settings and labels that cannot be: each is named, and what would be right is said."""

import inspect
import math

import pytest
import torch
from torch import nn

from lineament.core.errors import DatasetInvalid, InvalidArgument, RecipeInvalid
from lineament.train.heads import KINDS, Head, build
from lineament.train.heads.adaface import AdaFace
from lineament.train.heads.arcface import ArcFace
from lineament.train.heads.combined import Combined
from lineament.train.heads.cosface import CosFace
from lineament.train.heads.curricularface import CurricularFace
from lineament.train.heads.magface import MagFace
from lineament.train.heads.normsoftmax import NormSoftmax
from lineament.train.heads.sphereface import SphereFace
from lineament.train.heads.subcenter import SubCenter
from lineament.train.recipe import part


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_keeps_the_promise(kind: str) -> None:
    head = build(part(kind))
    assert isinstance(head, Head)
    assert isinstance(head, nn.Module)
    assert list(head.parameters()) == [], "centres belong to the caller"
    assert head.bibtex.startswith("@inproceedings{")
    assert head.bibtex.count("{") == head.bibtex.count("}")
    assert head.centres == (3 if kind == "subcenter" else 1)
    assert head.cosine is (kind != "softmax")
    assert head.bias is (kind == "softmax")
    assert head.strength == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_names_its_paper_and_equation(kind: str) -> None:
    text = KINDS[kind].__doc__ or ""
    assert "et al. 20" in text
    assert "eq. " in text or "§" in text


@pytest.mark.parametrize("kind", KINDS)
def test_defaults(kind: str) -> None:
    expected = {
        "cosface": {"scale": 64.0, "margin": 0.35},
        "arcface": {"scale": 64.0, "margin": 0.5, "gradient": "exact", "beyond": "monotone"},
        "normsoftmax": {"scale": 64.0},
        "softmax": {},
        "sphereface": {"scale": 64.0, "margin": 1.35, "gradient": "exact", "beyond": "monotone"},
        "adaface": {"scale": 64.0, "margin": 0.4, "h": 0.33, "t_alpha": 0.01},
        "curricularface": {"scale": 64.0, "margin": 0.5, "t_alpha": 0.01},
    }
    if kind in expected:
        found = {name: p.default for name, p in inspect.signature(KINDS[kind]).parameters.items()}
        assert found == expected[kind]


@pytest.mark.parametrize("label", [-2, 6, 2**40])
@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_no_class_has(batch, kind: str, label: int) -> None:
    column = batch.column.clone()
    column[3] = label
    with pytest.raises(DatasetInvalid, match=rf"label {label} in row 3 is not one of 6 classes \(0 to 5"):
        build(part(kind))(batch.product, column, batch.norm, batch.own)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ArcFace(scale=0.0), r"scale = 0\.0: set it above 0"),
        (lambda: CosFace(scale=-1.0), "scale"),
        (lambda: NormSoftmax(scale=math.inf), "scale"),
        (lambda: NormSoftmax(scale=math.nan), "scale"),
        (lambda: ArcFace(margin=-0.1), r"margin \(radians\) = -0\.1: set it between 0 and 1\.5708"),
        (lambda: ArcFace(margin=28.6), "margin"),
        (lambda: ArcFace(margin=math.nan), "margin"),
        (lambda: CosFace(margin=2.5), "margin = 2.5: set it between 0 and 2"),
        (lambda: SphereFace(margin=0.9), "margin = 0.9: set it between 1 and 10"),
        (lambda: Combined(m1=0.0), "m1"),
        (lambda: Combined(m2=2.0), "m2"),
        (lambda: Combined(m3=-0.1), "m3"),
        (lambda: Combined(m1=4.0, beyond="easy"), "use 'monotone'"),
        (lambda: SubCenter(centres=0), "centres = 0: set it between 1 and 100"),
        (lambda: AdaFace(h=0.0), "h = 0"),
        (lambda: AdaFace(t_alpha=1.5), "t_alpha"),
        (lambda: CurricularFace(t_alpha=-0.5), "t_alpha"),
        (lambda: MagFace(l_m=0.9), "l_m = 0.9, u_m = 0.8"),
        (lambda: MagFace(u_m=2.0), "u_m = 2.0"),
        (lambda: MagFace(l_a=0.0), "l_a = 0.0, u_a = 110.0"),
        (lambda: MagFace(u_a=5.0), "l_a = 10.0, u_a = 5.0"),
        (lambda: MagFace(lambda_g=-1.0), "lambda_g"),
    ],
)
def test_a_setting_out_of_range(make, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        make()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            part("arkface"),
            "there is no head 'arkface': choose one of softmax, normsoftmax, sphereface, cosface",
        ),
        (
            part("arcface", m=0.5),
            "'arcface' has no option 'm': its options are scale, margin, gradient, beyond",
        ),
        (part("softmax", scale=64.0), "'softmax' has no option 'scale': its options are none"),
        (part("arcface", margin="wide"), "margin = 'wide': write a value of type float"),
        (part("arcface", margin=True), "margin = True: write a value of type float"),
        (part("arcface", margin=None), "margin = None"),
        (part("subcenter", centres=2.5), "centres = 2.5: write a value of type int"),
        (part("arcface", beyond="soft"), "beyond = 'soft': choose one of monotone, raw, easy"),
        (part("sphereface", beyond="easy"), "choose one of monotone, raw$"),
        (part("arcface", gradient="none"), "choose one of exact, straight_through"),
        (part("arcface", margin=5.0), r"head 'arcface': margin \(radians\) = 5\.0: set it between"),
        (part("subcenter", centres=0), "head 'subcenter': centres = 0: set it between 1 and 100"),
    ],
)
def test_a_recipe_that_cannot_be_built(recipe, said: str) -> None:
    with pytest.raises(RecipeInvalid, match=said):
        build(recipe)


def test_whole_numbers_are_taken_for_floats() -> None:
    head = build(part("arcface", scale=30, margin=0))
    assert isinstance(head, ArcFace)
    assert (head.scale, head.margin) == (30.0, 0.0)
    assert type(head.scale) is float


def test_a_mistaken_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        KINDS["mine"] = ArcFace  # type: ignore[index]  # that it is refused is the point


def test_a_batch_without_columns_here() -> None:
    logits = build(part("arcface"))(torch.zeros(2, 0), torch.tensor([-1, -1]), torch.ones(2), torch.ones(2))
    assert logits.shape == (2, 0)
