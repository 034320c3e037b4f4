"""What the recipes take from publications: the collections of pictures, and where a figure was printed.

Sources of settings and figures, by the short name that recipes and the reference page use:

* CVPR paper: Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition",
  CVPR 2019 (arXiv 1801.07698, version 3); settings in §3.1.
* TPAMI paper: Deng, Guo, Yang, Xue, Kotsia, Zafeiriou, the same title, TPAMI 2022 (arXiv 1801.07698,
  version 4); settings in §4.1.
* arcface_torch: `recognition/arcface_torch` of github.com/deepinsight/insightface; settings in `configs/`,
  figures in its README. It takes TAR at the measured FMR nearest to the one asked for, which may be larger.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Collection:
    """A published collection of training pictures.

    Attributes:
        name: as publications write it.
        path: where the recipes look for it.
        people: how many persons.
        pictures: how many pictures.
        source: where both counts were published.
    """

    name: str
    path: str
    people: str
    pictures: str
    source: str


CASIA = Collection(
    "CASIA-WebFace", "$LINEAMENT_DATA/casia", "10 thousand", "0.5 million", "CVPR paper, Table 1"
)
VGGFACE2 = Collection(
    "VGGFace2", "$LINEAMENT_DATA/vggface2", "9.1 thousand", "3.3 million", "TPAMI paper, Table 1"
)
MS1MV0 = Collection("MS1MV0", "$LINEAMENT_DATA/ms1mv0", "100 thousand", "10 million", "TPAMI paper, Table 1")
MS1MV2 = Collection(
    "MS1MV2", "$LINEAMENT_DATA/ms1mv2", "85,742", "5,822,653", "arcface_torch, configs/ms1mv2_r50.py"
)
MS1MV3 = Collection(
    "MS1MV3", "$LINEAMENT_DATA/ms1mv3", "93,431", "5,179,510", "arcface_torch, configs/ms1mv3_r50.py"
)
GLINT360K = Collection(
    "Glint360K",
    "$LINEAMENT_DATA/glint360k",
    "360,232",
    "17,091,657",
    "arcface_torch, configs/glint360k_r50.py",
)
WEBFACE4M = Collection(
    "WebFace4M", "$LINEAMENT_DATA/webface4m", "205,990", "4,235,242", "arcface_torch, configs/wf4m_r100.py"
)
WEBFACE12M = Collection(
    "WebFace12M",
    "$LINEAMENT_DATA/webface12m",
    "617,970",
    "12,720,066",
    "arcface_torch, configs/wf12m_r100.py",
)
WEBFACE42M = Collection(
    "WebFace42M",
    "$LINEAMENT_DATA/webface42m",
    "2,059,906",
    "42,474,557",
    "arcface_torch, configs/wf42m_pfc02_r100.py",
)
COLLECTIONS = (
    CASIA,
    VGGFACE2,
    MS1MV0,
    MS1MV2,
    MS1MV3,
    GLINT360K,
    WEBFACE4M,
    WEBFACE12M,
    WEBFACE42M,
)


def readme_figures(mfr_all: str, ijbc_4: str, ijbc_5: str) -> Mapping[str, str]:
    """A row of the tables in arcface_torch's README.

    Args:
        mfr_all: TAR in % on ICCV2021-MFR-ALL at FMR 1e-6.
        ijbc_4: TAR in % on IJB-C at FMR 1e-4.
        ijbc_5: the same at 1e-5.
    """
    return {
        "MFR-ALL TAR@FMR=1e-6": f"{mfr_all} % (arcface_torch README)",
        "IJB-C TAR@FMR=1e-4": f"{ijbc_4} % (arcface_torch README)",
        "IJB-C TAR@FMR=1e-5": f"{ijbc_5} % (arcface_torch README)",
    }


def loss_figures(lfw: str, cfp_fp: str, agedb: str) -> Mapping[str, str]:
    """A row of the papers' Table 2, losses on CASIA-WebFace with ResNet-50: 10-fold accuracy in %."""
    return {
        "LFW accuracy": f"{lfw} % (CVPR paper, Table 2)",
        "CFP-FP accuracy": f"{cfp_fp} % (CVPR paper, Table 2)",
        "AgeDB-30 accuracy": f"{agedb} % (CVPR paper, Table 2)",
    }
