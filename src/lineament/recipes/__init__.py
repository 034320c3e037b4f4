"""Training recipes: functions that return a full configuration, named data, backbone, hardware.

`lineament train recipes.ms1mv3_r50_8gpu` runs the recipe of that name; `--set` changes single values of it.
Where a name says `4gpu`, that is what the published run had; any number of processes that divides
`batch / micro_batch` will do. Nothing here needs torch.
"""

from collections.abc import Callable, Mapping

from lineament.recipes.casia import (
    casia_r50_4gpu,
    casia_r50_cm1_4gpu,
    casia_r50_cm2_4gpu,
    casia_r50_cosface_4gpu,
    casia_r50_normsoftmax_4gpu,
    casia_r50_softmax_4gpu,
    casia_r50_sphereface_4gpu,
    casia_r50_triplet_4gpu,
)
from lineament.recipes.glint360k import glint360k_mbf_8gpu, glint360k_r50_8gpu, glint360k_r100_8gpu
from lineament.recipes.lfw_cpu import lfw_ir18_distil_cpu, lfw_mbf_cpu
from lineament.recipes.ms1mv2 import (
    ms1mv2_mbf_8gpu,
    ms1mv2_r50_8gpu,
    ms1mv2_r100_8gpu,
    ms1mv2_r100_paper_4gpu,
)
from lineament.recipes.ms1mv3 import (
    ms1mv3_mbf_8gpu,
    ms1mv3_r50_1gpu,
    ms1mv3_r50_8gpu,
    ms1mv3_r100_8gpu,
    ms1mv3_r100_paper_8gpu,
)
from lineament.recipes.noise import ms1mv0_r50_8gpu, ms1mv0_r50_cleaned_8gpu, ms1mv0_r50_subcenter_8gpu
from lineament.recipes.small_cpu import (
    cfp_small_arcface_cpu,
    cfp_small_cosface_cpu,
    cfp_small_normsoftmax_cpu,
    cfp_small_softmax_cpu,
)
from lineament.recipes.vggface2 import vggface2_r50_8gpu
from lineament.recipes.webface import (
    webface4m_r100_8gpu,
    webface12m_r100_8gpu,
    webface12m_r100_pfc02_8gpu,
    webface42m_r18_32gpu,
    webface42m_r50_32gpu,
    webface42m_r100_8gpu,
    webface42m_r100_32gpu,
    webface42m_r200_32gpu,
)
from lineament.recipes.webface_vit import (
    webface42m_vit_b_8gpu,
    webface42m_vit_b_64gpu,
    webface42m_vit_l_64gpu,
    webface42m_vit_s_64gpu,
    webface42m_vit_t_8gpu,
    webface42m_vit_t_64gpu,
)
from lineament.train.recipe import Recipe

ALL: Mapping[str, Callable[[], Recipe]] = {
    "lfw_mbf_cpu": lfw_mbf_cpu,
    "lfw_ir18_distil_cpu": lfw_ir18_distil_cpu,
    "cfp_small_softmax_cpu": cfp_small_softmax_cpu,
    "cfp_small_normsoftmax_cpu": cfp_small_normsoftmax_cpu,
    "cfp_small_cosface_cpu": cfp_small_cosface_cpu,
    "cfp_small_arcface_cpu": cfp_small_arcface_cpu,
    "casia_r50_4gpu": casia_r50_4gpu,
    "casia_r50_cosface_4gpu": casia_r50_cosface_4gpu,
    "casia_r50_sphereface_4gpu": casia_r50_sphereface_4gpu,
    "casia_r50_cm1_4gpu": casia_r50_cm1_4gpu,
    "casia_r50_cm2_4gpu": casia_r50_cm2_4gpu,
    "casia_r50_softmax_4gpu": casia_r50_softmax_4gpu,
    "casia_r50_normsoftmax_4gpu": casia_r50_normsoftmax_4gpu,
    "casia_r50_triplet_4gpu": casia_r50_triplet_4gpu,
    "vggface2_r50_8gpu": vggface2_r50_8gpu,
    "ms1mv0_r50_8gpu": ms1mv0_r50_8gpu,
    "ms1mv0_r50_subcenter_8gpu": ms1mv0_r50_subcenter_8gpu,
    "ms1mv0_r50_cleaned_8gpu": ms1mv0_r50_cleaned_8gpu,
    "ms1mv2_mbf_8gpu": ms1mv2_mbf_8gpu,
    "ms1mv2_r50_8gpu": ms1mv2_r50_8gpu,
    "ms1mv2_r100_8gpu": ms1mv2_r100_8gpu,
    "ms1mv2_r100_paper_4gpu": ms1mv2_r100_paper_4gpu,
    "ms1mv3_mbf_8gpu": ms1mv3_mbf_8gpu,
    "ms1mv3_r50_1gpu": ms1mv3_r50_1gpu,
    "ms1mv3_r50_8gpu": ms1mv3_r50_8gpu,
    "ms1mv3_r100_8gpu": ms1mv3_r100_8gpu,
    "ms1mv3_r100_paper_8gpu": ms1mv3_r100_paper_8gpu,
    "glint360k_mbf_8gpu": glint360k_mbf_8gpu,
    "glint360k_r50_8gpu": glint360k_r50_8gpu,
    "glint360k_r100_8gpu": glint360k_r100_8gpu,
    "webface4m_r100_8gpu": webface4m_r100_8gpu,
    "webface12m_r100_8gpu": webface12m_r100_8gpu,
    "webface12m_r100_pfc02_8gpu": webface12m_r100_pfc02_8gpu,
    "webface42m_r100_8gpu": webface42m_r100_8gpu,
    "webface42m_r18_32gpu": webface42m_r18_32gpu,
    "webface42m_r50_32gpu": webface42m_r50_32gpu,
    "webface42m_r100_32gpu": webface42m_r100_32gpu,
    "webface42m_r200_32gpu": webface42m_r200_32gpu,
    "webface42m_vit_t_8gpu": webface42m_vit_t_8gpu,
    "webface42m_vit_b_8gpu": webface42m_vit_b_8gpu,
    "webface42m_vit_t_64gpu": webface42m_vit_t_64gpu,
    "webface42m_vit_s_64gpu": webface42m_vit_s_64gpu,
    "webface42m_vit_b_64gpu": webface42m_vit_b_64gpu,
    "webface42m_vit_l_64gpu": webface42m_vit_l_64gpu,
}
