"""The template loader: strict, verbatim, and with a hash that follows the files."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from recommender import prompts

FACT = {
    "form": "one",
    "role": "kind",
    "label": "genre",
    "values": "Action",
    "one": "film",
    "many": "films",
    "phrase": "",
    "kind_one": "action film",
    "kind_many": "action films",
    "single": True,
}


def test_blocks_render_text_verbatim():
    assert prompts.render_block("lang/en", "listed", values=["a & b", "<c>", 'd"e']) == 'a & b, <c> and d"e'
    assert prompts.render_block("lang/en", "fact", **FACT) == "is an action film"


def test_a_missing_variable_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        prompts.render_block("lang/en", "fact", **{k: v for k, v in FACT.items() if k != "many"})
    with pytest.raises(jinja2.UndefinedError):
        prompts.render_block("rank", "system")


def test_a_missing_template_is_an_error():
    with pytest.raises(jinja2.TemplateNotFound):
        prompts.render_block("no-such-prompt", "system")


def test_hashes_follow_the_templates(tmp_path, monkeypatch):
    (tmp_path / "one.jinja").write_text("Hello {{ name }}")
    (tmp_path / "two.jinja").write_text("Bye")
    monkeypatch.setattr(prompts, "_FOLDER", Path(tmp_path))
    monkeypatch.setattr(prompts, "READ_BY", {"rank": ("one",), "explain": ("two",)})
    before = prompts.template_hashes()
    assert len(before["rank"]) == 64 and before["rank"] == prompts.template_hash("one") != before["explain"]
    (tmp_path / "two.jinja").write_text("Good bye")
    assert prompts.template_hashes()["rank"] == before["rank"]
    assert prompts.template_hashes()["explain"] != before["explain"]


def test_every_template_has_a_comment_and_compiles():
    templates = sorted(Path(prompts.__file__).parent.rglob("*.jinja"))
    assert {"align", "explain", "rank"} <= {path.stem for path in templates}
    for path in templates:
        assert path.read_text(encoding="utf-8").startswith("{#")
