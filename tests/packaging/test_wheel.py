"""What is installed with pip: whole, without the checkout, and with the core dependencies alone."""

import json
import re
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.packaging.conftest import OF_EXTRAS, ROOT

SOURCES = {"recommender": "recommender", "prompts": "recommender/prompts", "adapters": "recommender/adapters"} | {
    "eval": "recommender/eval"
}
NOT_SHIPPED = {"recommender/eval/LOG.md"}


def test_every_module_template_recipe_and_checkpoint_is_in_the_wheel(wheel):
    expected = set()
    for folder, package in SOURCES.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    with zipfile.ZipFile(wheel) as archive:
        contents = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert contents == expected - NOT_SHIPPED


def test_licence_and_entry_points_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (licence,) = (name for name in names if name.endswith("licenses/LICENSE"))
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "Apache License" in archive.read(licence).decode()
        assert "recommender = recommender.cli:main" in archive.read(points).decode()


def test_the_core_asks_for_nothing_of_an_extra(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        requirements = message_from_string(archive.read(metadata).decode()).get_all("Requires-Dist") or []
    core = {re.split(r"[^\w.-]", line)[0].lower() for line in requirements if "extra ==" not in line}
    assert {"torch", "transformers", "typer"} <= core
    assert not core & {"fastapi", "uvicorn", "openai-whisper", "matplotlib", "cornac", "datasets", "espeakng-loader"}


def test_dev_holds_every_other_extra_but_vllm():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = (line for line in extras["dev"] if line.startswith("recommender["))
    named = set(everything.removeprefix("recommender[").rstrip("]").split(","))
    assert named == set(extras) - {"dev", "vllm"}


def test_the_package_is_the_installed_one(core):
    origin = core.python("import recommender, recommender.prompts as p; print(recommender.__file__, p.__file__)")
    assert all("venv" in path and str(ROOT) not in path for path in origin.split())


def test_the_extras_are_absent_in_it(core):
    code = (
        "absent = []\n"
        f"for name in {OF_EXTRAS}:\n"
        "    try:\n        __import__(name)\n    except ModuleNotFoundError:\n        absent.append(name)\n"
        "print(len(absent))"
    )
    assert core.python(code) == str(len(OF_EXTRAS))


def test_names_of_the_package_load_without_torch_until_they_are_used(core):
    code = "import sys; from recommender import Config; print('torch' in sys.modules, Config().decoding.beam > 0)"
    assert core.python(code) == "False True"


def test_help_names_the_groups_of_commands_and_loads_no_torch(core):
    run = core.call("recommender", "--help")
    assert run.returncode == 0
    panels = ("Try it", "Your data", "Train", "Recommend", "Serve", "Measure", "Operate")
    places = [run.stdout.index(f"─ {panel} ─") for panel in panels]
    assert places == sorted(places)
    code = "import sys; sys.argv = ['recommender', '--help']\nfrom recommender.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit:\n    print('torch' in sys.modules)"
    assert core.python(code).endswith("False")


@pytest.mark.assets
def test_recommend_finds_the_shipped_adapter_from_any_folder(core):
    run = core.call("recommender", "recommend", "movielens-100k", "--history", "50,181", "--k", "1", "--json", "-q")
    assert run.returncode == 0, run.stderr
    items = json.loads(run.stdout)["items"]
    assert len(items) == 1 and items[0]["item_id"] not in ("50", "181") and items[0]["justification"]


@pytest.mark.slow
@pytest.mark.assets
def test_the_demo_runs_with_the_core_alone_and_says_what_is_missing(core):
    run = core.call("recommender", "demo", "-q", seconds=600)
    assert run.returncode == 0, run.stderr
    assert "The last 8:" in run.stdout and "recommender[demo]" in run.stdout.replace("\n", " ")
    assert max(len(line) for line in run.stdout.splitlines()) <= 80


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("serve", "movielens-100k"), "fastapi", "server"),
        (("evaluate", "popularity", "--items", "movielens-100k", "--output", "report"), "matplotlib", "eval"),
        (("ratings", "--output", "report"), "matplotlib", "eval"),
    ],
)
def test_what_an_absent_extra_does(core, arguments, package, extra):
    run = core.call("recommender", *arguments, "-q")
    assert run.returncode == 2 and run.stdout == "" and "Traceback" not in run.stderr
    error, hint = run.stderr.strip().splitlines()
    assert f"needs the package {package}, which is not installed" in error
    assert hint == f"hint: pip install 'recommender[{extra}]'"


def test_modules_and_public_names_load_without_any_extra_and_sound_says_what_it_lacks(core):
    """Each module that is not an extra's own, and each public name, is there with the core alone."""
    own = ("recommender.server", "recommender.vllm_plugin", "recommender.eval.plots", "recommender.eval.page")
    own += ("recommender.eval.report", "recommender.studies", "recommender.benchmarks", "recommender.pages.drawing")
    own += ("recommender.store",)
    code = (
        "import importlib, pkgutil, recommender\n"
        f"own = {own!r}\n"
        "for module in pkgutil.walk_packages(recommender.__path__, 'recommender.'):\n"
        "    if not module.name.startswith(own) and not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "from recommender.store import feedback, opinions, traces\n"  # the others are of the extra `store`
        "from recommender import Recommender, Config, Chat, train, evaluate, Request\n"
        "print(callable(train), callable(evaluate), Chat.__module__)\n"
        "from recommender.encoders.audio import AudioEncoder\n"
        "try:\n    AudioEncoder('tiny.en').load()\nexcept Exception as error:\n    print(error)"
    )
    loaded, said = core.python(code).split("\n", 1)
    assert loaded.startswith("True True recommender.chat")
    assert "openai-whisper, which is not installed" in said and "recommender[speech]" in said


def test_a_checkout_is_not_needed(core):
    assert not any(path.name in SOURCES for path in Path(core.away).iterdir())
