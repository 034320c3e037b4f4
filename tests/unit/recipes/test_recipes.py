"""Published recipes: complete, named as they are called, divisible as their names say, and true to print."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import lineament.recipes
from lineament.recipes import ALL
from lineament.recipes.published import COLLECTIONS
from lineament.train.recipe import Recipe, with_settings

# Recipes that run on an ordinary machine are not taken from publications.
PUBLISHED = {name: make for name, make in ALL.items() if not name.endswith("_cpu")}
FIGURE = re.compile(r"\d\d\.\d{1,2} % \((arcface_torch README|(CVPR|TPAMI) paper, Table \d)\)")


def functions() -> Iterator[tuple[str, str]]:
    """(module, name) of every public function in the modules of published recipes."""
    for module in pkgutil.iter_modules(lineament.recipes.__path__):
        if module.name == "published" or module.name.endswith("_cpu"):
            continue
        loaded = importlib.import_module(f"lineament.recipes.{module.name}")
        for name, value in vars(loaded).items():
            if inspect.isfunction(value) and value.__module__ == loaded.__name__ and name[0] != "_":
                yield module.name, name


def test_every_recipe_is_listed_and_nothing_else() -> None:
    assert sorted(name for _, name in functions()) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_is_named_as_it_is_called(name: str) -> None:
    assert ALL[name].__name__ == name
    assert ALL[name]().name == name
    assert getattr(lineament.recipes, name) is ALL[name]
    assert (ALL[name].__doc__ or "").strip()


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_survives_being_saved_and_changed(name: str) -> None:
    recipe = ALL[name]()
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    changed = with_settings(recipe, ["data.path=faces.zip", "steps=7"])
    assert (changed.data.path, changed.steps) == ("faces.zip", 7)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_batch_divides_among_the_processors_of_the_name(name: str) -> None:
    recipe = ALL[name]()
    found = re.search(r"_(\d+)gpu$", name)
    assert found is not None
    assert (recipe.batch // recipe.micro_batch) % int(found[1]) == 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_says_what_it_is(name: str) -> None:
    recipe = ALL[name]()
    assert recipe.data.path in {collection.path for collection in COLLECTIONS}
    assert recipe.data.path.rpartition("/")[2] == name.split("_")[0]
    assert recipe.summary.endswith("not run here.")
    assert "\n" not in recipe.summary and len(recipe.summary) < 110
    assert [text for text in recipe.expected.values() if not FIGURE.fullmatch(text)] == []
    # One run without published figures is known, see its docstring.
    assert bool(recipe.expected) == (name != "ms1mv3_r50_1gpu")


def test_importing_recipes_does_not_import_torch() -> None:
    code = "import sys, lineament.recipes; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# Typed from the publications, not from the code: LFW, CFP-FP, AgeDB-30 of the CVPR paper's Table 2.
TABLE_2 = {
    "casia_r50_4gpu": (99.53, 95.56, 95.15),
    "casia_r50_cosface_4gpu": (99.51, 95.44, 94.56),
    "casia_r50_sphereface_4gpu": (99.11, 94.38, 91.70),
    "casia_r50_cm1_4gpu": (99.48, 95.12, 94.38),
    "casia_r50_cm2_4gpu": (99.50, 95.24, 94.86),
    "casia_r50_softmax_4gpu": (99.08, 94.39, 92.33),
    "casia_r50_normsoftmax_4gpu": (98.56, 89.79, 88.72),
    "casia_r50_triplet_4gpu": (98.98, 91.90, 89.98),
}
# MFR-ALL, IJB-C at 1e-4, IJB-C at 1e-5 of arcface_torch's README.
README = {
    "ms1mv2_mbf_8gpu": (62.07, 93.61, 90.28),
    "ms1mv2_r50_8gpu": (75.13, 95.97, 94.07),
    "ms1mv2_r100_8gpu": (78.12, 96.37, 94.27),
    "ms1mv3_mbf_8gpu": (63.78, 94.23, 91.33),
    "ms1mv3_r50_8gpu": (79.14, 96.37, 94.47),
    "ms1mv3_r100_8gpu": (81.97, 96.85, 95.02),
    "glint360k_mbf_8gpu": (70.18, 95.04, 92.62),
    "glint360k_r50_8gpu": (86.34, 97.16, 95.81),
    "glint360k_r100_8gpu": (89.52, 97.55, 96.38),
    "webface4m_r100_8gpu": (89.87, 97.19, 95.48),
    "webface12m_r100_8gpu": (94.69, 97.59, 95.97),
    "webface12m_r100_pfc02_8gpu": (94.75, 97.60, 95.90),
    "webface42m_r100_8gpu": (96.27, 97.70, 96.31),
    "webface42m_vit_t_8gpu": (92.04, 97.27, 95.68),
    "webface42m_vit_b_8gpu": (97.16, 97.91, 97.05),
    "webface42m_r18_32gpu": (79.13, 95.77, 93.36),
    "webface42m_r50_32gpu": (94.03, 97.48, 95.94),
    "webface42m_r100_32gpu": (96.69, 97.82, 96.45),
    "webface42m_r200_32gpu": (97.70, 97.97, 96.93),
    "webface42m_vit_t_64gpu": (92.24, 97.31, 95.97),
    "webface42m_vit_s_64gpu": (95.87, 97.73, 96.57),
    "webface42m_vit_b_64gpu": (97.42, 97.90, 97.04),
    "webface42m_vit_l_64gpu": (97.85, 98.00, 97.23),
}


def numbers(recipe: Recipe, *benchmarks: str) -> tuple[float, ...]:
    """Expected figures in %, in the order asked for."""
    return tuple(float(recipe.expected[benchmark].split(" ")[0]) for benchmark in benchmarks)


@pytest.mark.parametrize("name", TABLE_2)
def test_figures_are_those_of_table_2(name: str) -> None:
    recipe = ALL[name]()
    assert numbers(recipe, "LFW accuracy", "CFP-FP accuracy", "AgeDB-30 accuracy") == TABLE_2[name]


@pytest.mark.parametrize("name", README)
def test_figures_are_those_of_the_readme(name: str) -> None:
    recipe = ALL[name]()
    keys = ("MFR-ALL TAR@FMR=1e-6", "IJB-C TAR@FMR=1e-4", "IJB-C TAR@FMR=1e-5")
    assert numbers(recipe, *keys) == README[name]
    assert len(recipe.expected) == 3


def test_figures_of_the_sub_centre_experiments() -> None:
    keys = ("IJB-B TAR@FMR=1e-4", "IJB-C TAR@FMR=1e-4")
    assert numbers(ALL["ms1mv0_r50_8gpu"](), *keys) == (87.87, 90.27)
    assert numbers(ALL["ms1mv0_r50_subcenter_8gpu"](), *keys) == (91.70, 93.72)
    assert numbers(ALL["ms1mv0_r50_cleaned_8gpu"](), *keys) == (94.56, 95.92)


# Learning rate, weight decay, batch, pictures per process, length, sample rate: from papers and configs.
SETTINGS = {
    "casia_r50_4gpu": (0.1, 5e-4, 512, 128, 32_000, 1.0),
    "vggface2_r50_8gpu": (0.1, 5e-4, 512, 64, 12.0, 1.0),
    "ms1mv0_r50_subcenter_8gpu": (0.1, 5e-4, 512, 64, 18.0, 1.0),
    "ms1mv2_mbf_8gpu": (0.1, 1e-4, 1024, 128, 40.0, 1.0),
    "ms1mv2_r50_8gpu": (0.1, 1e-4, 1024, 128, 20.0, 1.0),
    "ms1mv2_r100_8gpu": (0.1, 5e-4, 1024, 128, 20.0, 1.0),
    "ms1mv2_r100_paper_4gpu": (0.1, 5e-4, 512, 128, 180_000, 1.0),
    "ms1mv3_mbf_8gpu": (0.1, 1e-4, 1024, 128, 40.0, 1.0),
    "ms1mv3_r50_1gpu": (0.02, 5e-4, 128, 128, 20.0, 1.0),
    "ms1mv3_r50_8gpu": (0.1, 5e-4, 1024, 128, 20.0, 1.0),
    "ms1mv3_r100_paper_8gpu": (0.1, 5e-4, 512, 64, 18.0, 1.0),
    "glint360k_r100_8gpu": (0.1, 1e-4, 1024, 128, 20.0, 1.0),
    "webface12m_r100_pfc02_8gpu": (0.1, 5e-4, 1024, 128, 20.0, 0.2),
    "webface42m_r100_8gpu": (0.1, 5e-4, 1024, 128, 20.0, 0.2),
    "webface42m_r200_32gpu": (0.4, 5e-4, 4096, 128, 20.0, 0.3),
    "webface42m_vit_b_8gpu": (1e-3, 0.1, 24_576, 256, 40.0, 0.3),
    "webface42m_vit_l_64gpu": (1e-3, 0.1, 24_576, 384, 40.0, 0.3),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_the_published_ones(name: str) -> None:
    recipe = ALL[name]()
    rate, decay = recipe.optimiser.options["learning_rate"], recipe.optimiser.options["weight_decay"]
    length = recipe.steps or recipe.epochs
    found = (rate, decay, recipe.batch, recipe.micro_batch, length, recipe.sample_rate)
    assert found == SETTINGS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_heads_are_those_of_the_source(name: str) -> None:
    recipe = ALL[name]()
    options = recipe.head.options
    if recipe.head.kind in ("arcface", "subcenter"):
        assert (options["scale"], options["margin"]) == (64.0, 0.5)
    if recipe.head.kind == "cosface":
        assert (options["scale"], options["margin"]) == (64.0, 0.35 if "casia" in name else 0.4)
    # arcface_torch's margin has a derivative of 1; the papers' MXNet code differentiates it.
    from_paper = "paper" in recipe.summary
    assert options.get("gradient") in ((None, "exact") if from_paper else (None, "straight_through"))
    assert recipe.precision == ("fp32" if from_paper else "fp16")
    assert recipe.clip == (0.0 if from_paper else 5.0)
