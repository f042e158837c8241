"""Prints the import graph of the package: rooms, layers, edges, circles. Run it with `make graph`.

A room is a direct child of `recommender`: a folder or a file. An edge says that a module of one room imports a module of
another one. grimp, which import-linter is built on, reads the source; nothing is imported. The layers are those of
pyproject.toml, which import-linter enforces.
"""

from __future__ import annotations

import argparse
import graphlib
import json
import shutil
import sys
import tempfile
import tomllib
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "recommender"
INSTALLED_BELOW = ("prompts", "adapters", "eval")
"""Folders at the top of the repository that are installed as packages of `recommender`."""

Edges = dict[str, set[str]]


@dataclass(frozen=True)
class Summary:
    """What is counted.

    `base_edges`: those of `edges` that end in the lowest layer, whose small modules (errors, progress and the like) nearly
    every room uses. `circles`: chains of rooms that import each other in a ring.
    """

    modules: int
    rooms: int
    layers: int
    edges: int
    base_edges: int
    circles: list[list[str]]


def room_of(module: str) -> str | None:
    """Return the room of a module; None for the package itself and for `__main__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else None


def read_graph(root: Path = ROOT) -> tuple[set[str], Edges]:
    """Return the modules of the package, laid out as it is installed, and for each room the rooms that it imports."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / PACKAGE
        shutil.copytree(root / PACKAGE, package)
        for name in INSTALLED_BELOW:
            shutil.copytree(root / name, package / name)
        finders = sys.meta_path
        # an editable installation finds the package elsewhere, without the folders that are installed below it
        sys.meta_path = [finder for finder in finders if getattr(finder, "__module__", "").startswith("_frozen")]
        sys.path.insert(0, folder)
        try:
            graph = grimp.build_graph(PACKAGE, cache_dir=None)
        finally:
            sys.path.remove(folder)
            sys.meta_path = finders
    edges: Edges = defaultdict(set)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            source, target = room_of(importer), room_of(imported)
            if source and target and source != target:
                edges[source].add(target)
    return set(graph.modules), edges


def read_layers(root: Path = ROOT) -> list[list[str]]:
    """Return the layers of pyproject.toml, highest first: the rooms of each."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.replace("|", ":").split(":")] for layer in layers]


def find_circles(edges: Edges) -> list[list[str]]:
    """Return a ring of rooms for each circle; breaking it by one edge shows the next one."""
    left = {room: set(targets) for room, targets in edges.items()}
    circles = []
    while True:
        try:
            graphlib.TopologicalSorter(left).prepare()
            return circles
        except graphlib.CycleError as error:
            ring = error.args[1][::-1]
            circles.append(ring)
            left[ring[0]].discard(ring[1])


def summarise(modules: set[str], edges: Edges, layers: list[list[str]]) -> Summary:
    """Count what `make graph` prints."""
    rooms = {room for module in modules if (room := room_of(module))}
    base_edges = sum(len(targets & set(layers[-1])) for targets in edges.values())
    return Summary(
        len(modules), len(rooms), len(layers), sum(map(len, edges.values())), base_edges, find_circles(edges)
    )


def main() -> None:
    """Print the graph as text, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print counts and edges as JSON")
    arguments = parser.parse_args()
    modules, edges = read_graph()
    layers = read_layers()
    summary = summarise(modules, edges, layers)
    if arguments.json:
        print(json.dumps(asdict(summary) | {"imports": {room: sorted(edges[room]) for room in sorted(edges)}}))
        return
    for layer in layers:
        for room in layer:
            print(f"{room:<14} {' '.join(sorted(edges.get(room, ()))) or '-'}")
        print()
    circles = "; ".join(" -> ".join(ring) for ring in summary.circles) or "none"
    print(
        f"{summary.modules} modules, {summary.rooms} rooms, {summary.layers} layers, {summary.edges} edges"
        f" ({summary.base_edges} of them to the lowest layer), circles: {circles}"
    )


if __name__ == "__main__":
    main()
