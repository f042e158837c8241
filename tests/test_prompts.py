"""The template loader: strict, verbatim, and with a hash that follows the files."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from recommender import prompts

FACT = {"form": "one", "role": "kind", "label": "genre", "values": "Action", "one": "film", "many": "films"}


def test_blocks_render_text_verbatim():
    assert prompts.render_block("explain", "listed", values=["a & b", "<c>", 'd"e']) == 'a & b, <c> and d"e'
    assert prompts.render_block("explain", "fact", **FACT) == "is an Action film"


def test_a_missing_variable_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        prompts.render_block("explain", "fact", **{k: v for k, v in FACT.items() if k != "many"})
    with pytest.raises(jinja2.UndefinedError):
        prompts.render_block("rank", "system")


def test_a_missing_template_is_an_error():
    with pytest.raises(jinja2.TemplateNotFound):
        prompts.render_block("no-such-prompt", "system")


def test_hashes_follow_the_templates(tmp_path, monkeypatch):
    (tmp_path / "one.jinja").write_text("Hello {{ name }}")
    (tmp_path / "two.jinja").write_text("Bye")
    monkeypatch.setattr(prompts, "_FOLDER", Path(tmp_path))
    both, one = prompts.template_hash(), prompts.template_hash("one")
    assert len(both) == 64 and both == prompts.template_hash("one", "two") != one
    (tmp_path / "two.jinja").write_text("Good bye")
    assert prompts.template_hash() != both and prompts.template_hash("one") == one
    (tmp_path / "two.jinja").rename(tmp_path / "three.jinja")
    assert prompts.template_hash("one") == one


def test_every_template_has_a_comment_and_compiles():
    templates = sorted(Path(prompts.__file__).parent.glob("*.jinja"))
    assert {"align", "explain", "rank"} <= {path.stem for path in templates}
    for path in templates:
        assert path.read_text(encoding="utf-8").startswith("{#")
        assert len(prompts.template_hash(path.stem)) == 64
