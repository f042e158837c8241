"""The generated pages are those that their script makes now."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from tests.docs.markdown import ROOT


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_make_{name}", ROOT / "docs" / "make" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = script("reference")


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_in_step_with_the_code(name):
    shown = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert shown == reference.PAGES[name](), "run python docs/make/reference.py"


def test_the_configuration_page_has_every_kind_of_key():
    page = reference.configuration()
    assert "| `decoding.beam` | int | `50` |" in page
    assert "| `training.stages.max_steps` | int or null | `null` |" in page
    assert "| `base.dtype` | `auto` or `float32` or `bfloat16` | `auto` |" in page
    assert "| `serving.drain_seconds` | int | `30` |" in page


def test_the_commands_page_has_commands_of_groups_but_none_that_are_hidden():
    page = reference.commands()
    assert "## recommender study queries" in page
    assert "## recommender justifications evaluate" in page
    assert "## recommender reasons" not in page


def test_the_picture_of_what_a_command_prints_loads_no_font():
    drawn = script("picture").picture({"recommender env": "\x1b[1mbold\x1b[0m words"})
    assert "bold" in drawn and "font-face" not in drawn
