"""What the pages point at is there: links and anchors, commands and options, config keys, files, modules."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import typing
from collections.abc import Iterator

import pytest
import typer
import yaml
from pydantic import BaseModel

from recommender import cli
from recommender.config import FORMER_KEYS, Config
from tests.docs.markdown import ROOT, Page, anchor, pages, read

PAGES = pages()
COMMAND_LINE = typer.main.get_command(cli.app)
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
_PATH = re.compile(r"^(?:recommender|prompts|adapters|eval|examples|tests|docs)/[\w./-]+$")
_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|_[A-Z]{2,}\b")  # tests/ROOM/test_MODULE.py
_DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


@each_page
def test_links_and_anchors(page: Page):
    for link in page.links:
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, name = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if name:
            assert name in {anchor(heading) for heading in read(target).headings}, f"{page.name}: {link}"


@each_page
def test_commands_and_their_options(page: Page):
    for words in page.commands:
        for problem in problems_of(words):
            raise AssertionError(f"{page.name}: {' '.join(words)}: {problem}")


def problems_of(words: list[str]) -> Iterator[str]:
    """Yield what the command line does not know of a command."""
    command = COMMAND_LINE
    rest = words[1:]
    while rest and (children := getattr(command, "commands", None)) is not None:
        name, *rest = rest
        if name.isupper() or name.startswith("-"):  # `recommender COMMAND --help`
            break
        if name not in children:
            yield f"there is no command {name!r}"
            return
        command = children[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("-") and " " not in option and not re.match(r"^-\d", option) and option not in known:
            yield f"there is no option {option!r}"


def test_a_command_or_an_option_that_is_not_there_is_found():
    assert list(problems_of(["recommender", "recommendd", "m"])) == ["there is no command 'recommendd'"]
    assert list(problems_of(["recommender", "study", "cold", "--tims", "3"])) == ["there is no option '--tims'"]
    assert list(problems_of(["recommender", "recommend", "m", "--history", "1,2", "--no-explain"])) == []


def config_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key, sections too; keys of a stage without its number."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in (field.annotation, *typing.get_args(field.annotation), *_nested(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from config_keys(inner, f"{prefix}{name}.")


def _nested(annotation: object) -> Iterator[object]:
    for argument in typing.get_args(annotation):
        yield from typing.get_args(argument)


KEYS = set(config_keys())


@each_page
def test_config_keys(page: Page):
    settings = re.findall(r"--set[ =]([\w.]+)=", page.path.read_text(encoding="utf-8"))
    dotted = [code for code in page.code if re.match(r"^[a-z_]+(\.\w+)+(: .*)?$", code)]
    for text in [*settings, *(code.partition(":")[0] for code in dotted)]:
        key = ".".join(part for part in text.split(".") if not part.isdecimal())
        section = key.split(".")[0]
        if (
            section not in Config.model_fields
            or key.endswith((".safetensors", ".yaml", ".json"))
            or key in FORMER_KEYS
            or f"serving.{key}" in KEYS
        ):
            continue
        if is_module(f"recommender.{key}"):
            continue
        assert key in KEYS, f"{page.name}: there is no key {text}"


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # not even what it would lie in
        return False


@each_page
def test_configs_are_valid(page: Page):
    for block in page.blocks:
        if block.language == "yaml":
            Config.parse(yaml.safe_load(block.text), source=f"{page.name}:{block.line}")


@each_page
def test_python_names_what_can_be_imported(page: Page):
    for block in page.blocks:
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    module = importlib.import_module(node.module)
                    assert all(hasattr(module, alias.name) for alias in node.names), f"{page.name}:{block.line}"


@each_page
def test_files_that_are_named_exist(page: Page):
    for code in page.code:
        path = code.split()[-1] if code.startswith("python ") else code
        if _PATH.match(path) and not _PLACEHOLDER.search(path):
            assert (ROOT / path).exists() or (ROOT / "recommender" / path).exists(), f"{page.name}: {code}"


@each_page
def test_make_targets_exist(page: Page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for code in page.code:
        if target := re.match(r"^make ([\w-]+)$", code):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), f"{page.name}: {code}"


@each_page
def test_modules_of_the_reference_exist(page: Page):
    for name in _DIRECTIVE.findall(page.prose):
        assert is_module(name), f"{page.name}: {name}"


def test_every_page_is_in_the_navigation():
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    shown = set(re.findall(r'"([\w/-]+\.md)"', config))
    assert shown == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}


def test_every_room_of_the_package_is_on_the_page_of_the_architecture():
    shown = read(ROOT / "docs/architecture.md").blocks[0].text
    rooms = [path.parent.name for path in (ROOT / "recommender").glob("*/__init__.py")]
    missing = [room for room in rooms if f"{room}/" not in shown]
    assert not missing
