"""The command that prints the import graph: what it counts, against a reading of the sources of its own."""

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "import_graph.py"
FOLDERS = {"recommender": "recommender", "prompts": "recommender.prompts", "adapters": "recommender.adapters"} | {
    "eval": "recommender.eval"
}


@pytest.fixture(scope="module")
def graph():
    run = subprocess.run([sys.executable, SCRIPT, "--json"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def rooms_imported():
    """Return for each room the rooms that its files import, as Python's own parser reads them."""
    rooms = {path.stem for path in (ROOT / "recommender").iterdir()} | {"prompts", "adapters", "eval"}
    imports = {}
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            module = [*package.split("."), *path.relative_to(ROOT / folder).with_suffix("").parts]
            if len(module) < 2 or module[1].startswith("__"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                for name in names:
                    top, _, rest = name.partition(".")
                    room = rest.partition(".")[0]
                    if top == "recommender" and room in rooms and room != module[1]:
                        imports.setdefault(module[1], set()).add(room)
    return {room: sorted(targets) for room, targets in imports.items()}


def test_edges_are_those_of_an_independent_reading(graph):
    assert {room: targets for room, targets in graph["imports"].items() if targets} == rooms_imported()
    assert graph["edges"] == sum(len(targets) for targets in graph["imports"].values())


def test_the_house_has_no_circle_and_few_rooms(graph):
    assert graph["circles"] == [] and graph["rooms"] <= 36 and graph["layers"] <= 16
    assert sum(path.is_file() and path.suffix == ".py" for path in (ROOT / "recommender").iterdir()) <= 8


def test_imports_go_down_the_layers(graph, script):
    layers = script["read_layers"]()
    height = {room: number for number, layer in enumerate(layers) for room in layer}
    for room, targets in graph["imports"].items():
        assert all(height[target] >= height[room] for target in targets), room


def test_circles_are_found(script):
    find = script["find_circles"]
    assert find({"a": {"b"}, "b": {"c"}}) == []
    (ring,) = find({"a": {"b"}, "b": {"a"}})
    assert set(ring) == {"a", "b"} and ring[0] == ring[-1]
    assert len(find({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}})) == 2


def test_the_text_ends_with_the_counts(graph):
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=120)
    last = run.stdout.splitlines()[-1]
    assert f"{graph['rooms']} rooms" in last and f"{graph['edges']} edges" in last and last.endswith("circles: none")
    assert f"({graph['base_edges']} of them to the lowest layer)" in last


def test_shipped_checkpoints_are_as_their_manifests_say(tmp_path):
    changed_files = runpy.run_path(str(ROOT / "docs" / "check_adapters.py"))["changed_files"]
    assert changed_files() == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "checkpoint.json").write_text(json.dumps({"files": {"a": "0", "b": "0"}}))
    (tmp_path / "mine" / "a").write_text("x")
    assert changed_files(tmp_path) == ["mine/a", "mine/b"]
