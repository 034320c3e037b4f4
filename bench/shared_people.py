"""People who are in both LFW and CFP, by name: they must not train a network that the other set tests.

Usage: python bench/shared_people.py FOLDER_WITH_data OUTPUT_FOLDER
Writes cfp_people_in_lfw.csv (folders of CFP) and lfw_people_in_cfp.csv (folders of LFW), for `data.exclude`.
"""

import csv
import re
import sys
import unicodedata
import zipfile
from pathlib import Path


def plain(name: str) -> str:
    """Letters only, without accents and case, so that spellings of one name agree."""
    letters = unicodedata.normalize("NFKD", name)
    return re.sub(r"[^a-z]", "", letters.encode("ascii", "ignore").decode().lower())


def main(data: Path, out: Path) -> None:
    """Write both lists."""
    with zipfile.ZipFile(data / "lfw" / "lfw160.zip") as lfw:
        people = sorted({name.partition("/")[0] for name in lfw.namelist() if "/" in name})
    in_lfw = {plain(person): person for person in people}
    lines = (data / "cfp" / "names.txt").read_text("utf-8").splitlines()
    in_cfp = {plain(name): f"{number:03d}" for number, name in enumerate(lines, 1) if name.strip()}
    both = sorted(set(in_lfw) & set(in_cfp))
    for file, names, reason in (
        ("cfp_people_in_lfw.csv", in_cfp, "also in LFW"),
        ("lfw_people_in_cfp.csv", in_lfw, "also in CFP"),
    ):
        with (out / file).open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            rows.writerow(("name", "reason"))
            rows.writerows((names[name], reason) for name in both)
    print(f"{len(in_lfw)} people in LFW, {len(in_cfp)} in CFP, {len(both)} in both")


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "data", Path(sys.argv[2]))
