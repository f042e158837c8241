"""The wheel of this checkout, installed outside of it in an environment of its own."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: modules of the extras: what the core dependencies do not install
OF_EXTRAS = (
    *("fastapi", "uvicorn", "starlette", "prometheus_client", "prometheus_fastapi_instrumentator", "sse_starlette"),
    *("cornac", "implicit", "ir_measures", "librosa", "matplotlib", "rouge_score", "sacrebleu"),
    *("whisper", "espeakng_loader", "datasets", "bitsandbytes", "zensical", "mkdocstrings", "openai", "vllm"),
)
_BLOCKER = """
from importlib.machinery import PathFinder
ABSENT, find_spec = {absent!r}, PathFinder.find_spec
def without_extras(name, path=None, target=None):
    return None if name.partition(".")[0] in ABSENT else find_spec(name, path, target)
PathFinder.find_spec = staticmethod(without_extras)
"""


class Installed:
    """An environment with the package. `call` runs one of its programs, as somebody does who has no checkout."""

    def __init__(self, folder: Path, away: Path) -> None:
        self.bin, self.away = folder / ("Scripts" if os.name == "nt" else "bin"), away

    def call(self, program: str, *arguments: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COLUMNS"))}
        command = [str(self.bin / program), *arguments]
        options = {
            "capture_output": True,
            "text": True,
            "cwd": self.away,
            "env": environment | {"OMP_NUM_THREADS": "1"},
        }
        return subprocess.run(command, timeout=seconds, stdin=subprocess.DEVNULL, **options)

    def python(self, code: str) -> str:
        run = self.call("python", "-I", "-c", code)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: setuptools leaves its traces beside what it reads."""
    source, target = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for name in ("recommender", "prompts", "adapters", "eval"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.training"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--wheel-dir", str(target), str(source)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    (built,) = target.glob("recommender-*.whl")
    return built


def install(wheel: Path, folder: Path, *options: str) -> None:
    """Install the wheel into a new environment."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    run = subprocess.run([*pip, *options, str(wheel)], capture_output=True, text=True, timeout=3600)
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="session")
def core(wheel, tmp_path_factory) -> Installed:
    """The wheel in an environment that has the core dependencies only.

    To install torch and the others anew takes many minutes (`test_full_install.py` does it). So this environment reads
    them from where this process has them, without the editable installation beside them, and the modules of the extras
    are absent in it.
    """
    folder = tmp_path_factory.mktemp("core") / "venv"
    install(wheel, folder, "--no-deps")
    (site,) = folder.glob("lib/python*/site-packages")
    # plain paths: .pth files beneath them, and with them editable installations, are not read
    (site / "dependencies.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    (site / "absent_extras.py").write_text(_BLOCKER.format(absent=set(OF_EXTRAS)))
    (site / "extras.pth").write_text("import absent_extras\n")
    return Installed(folder, tmp_path_factory.mktemp("elsewhere"))
