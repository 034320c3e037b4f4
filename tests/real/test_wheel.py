"""A wheel built from this repository works in an empty environment, without a compiler."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

SMOKE = """
import json, pathlib, sys
import numpy, skimage.data
import lineament as ln
picture = pathlib.Path(skimage.data.__file__).parent / "astronaut.png"
recognizer = ln.Recognizer()
faces = recognizer.analyze(picture)
verdict = recognizer.compare(picture, ln.read_image(picture).pixels[:, ::-1], colour="rgb", fmr=1e-4)
from lineament.app import FaceAnalysis
app = FaceAnalysis(name="opencv-zoo")
app.prepare(ctx_id=-1)
found = app.get(ln.read_image(picture).pixels[:, :, ::-1])
print(json.dumps({
    "faces": len(faces), "decision": str(verdict.decision), "numpy": numpy.__version__,
    "app": len(found), "place": ln.__file__,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(place),
        str(REPOSITORY),
    ]
    subprocess.run(command, check=True)
    (built,) = place.glob("lineament-*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_is_pure(wheel: Path):
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.slow
@pytest.mark.parametrize("numpy", ["numpy>=2", "numpy<2"])
def test_rows_19_and_20_it_installs_without_a_compiler_and_works(wheel: Path, tmp_path: Path, numpy: str):
    """Rows 19 and 20 of the study of InsightFace: numpy 1.26 and 2 both work, and no compiler is needed."""
    home = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = str(home / "bin/python")
    # No compiler on the path and none by name: a package that has to be built fails here.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LINEAMENT"))}
    environment |= {
        "PATH": str(home / "bin"),
        "CC": "/none",
        "CXX": "/none",
        "LINEAMENT_HOME": str(tmp_path / "s"),
    }
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
    ]
    # numpy 1.26 is the older branch that people still have; constraints.txt pins the newer one.
    pins = ["-c", str(REPOSITORY / "constraints.txt")] if numpy == "numpy>=2" else []
    done = subprocess.run(
        [*install, *pins, f"{wheel}[samples]", numpy],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = subprocess.run(
        [python, "-W", "error", "-c", SMOKE],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    report = json.loads(run.stdout.strip().splitlines()[-1])
    assert report["faces"] == 1
    assert report["app"] == 1
    assert report["decision"] == "match"
    assert report["numpy"].startswith("2." if numpy == "numpy>=2" else "1.")
    assert str(home) in report["place"]
