"""Errors: one line with a hint, missing extras, words that resemble a mistyped one."""

from __future__ import annotations

import sys

import pydantic
import pytest

from recommender.errors import (
    DataError,
    RecommenderError,
    closest,
    did_you_mean,
    import_extra,
    printable,
    shown,
    wrong_fields,
)


def test_an_error_reads_as_its_message_and_its_hint():
    assert str(RecommenderError("it is wrong")) == "it is wrong"
    error = DataError("it is wrong", "mend it")
    assert (error.message, error.hint, str(error)) == ("it is wrong", "mend it", "it is wrong (hint: mend it)")


def test_a_module_of_an_extra_is_imported_by_its_full_name():
    assert import_extra("xml.etree.ElementTree", "a test", "eval").fromstring("<a/>").tag == "a"


@pytest.mark.parametrize(
    ("module", "package"),
    [("no_such_module_here", "no_such_module_here"), ("no_such_module_here.part", "no_such_module_here")],
)
def test_a_missing_extra_is_one_line_with_what_installs_it(module, package):
    with pytest.raises(RecommenderError) as error:
        import_extra(module, "vbpr", "eval")
    assert error.value.message == f"vbpr needs the package {package}, which is not installed"
    assert error.value.hint == "pip install 'recommender[eval]'"
    assert error.value.__cause__ is None


def test_the_package_goes_by_its_name_in_the_registry_and_the_hint_tells_the_alternative(monkeypatch):
    monkeypatch.setitem(sys.modules, "whisper", None)
    with pytest.raises(RecommenderError, match="needs the package openai-whisper, which is not installed") as error:
        import_extra("whisper", "the audio encoder", "speech", "do without")
    assert error.value.hint == "pip install 'recommender[speech]', or do without"


def test_a_broken_package_is_not_called_absent(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text("import no_such_dependency_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecommenderError, match="broken_extra, which cannot be imported .*no_such_dependency_here"):
        import_extra("broken_extra", "a test", "eval")


def test_the_closest_words_come_first_and_nothing_close_is_no_hint():
    assert closest("genr", ["price", "genres", "genre"]) == ["genre", "genres"]
    assert closest("genr", (name for name in ["genres", "genre"]), most=1) == ["genre"]
    assert did_you_mean("genr", ["genre", "genres"]) == "did you mean genre or genres?"
    assert did_you_mean("xyz", ["genre"]) is None


def test_wrong_fields_are_named_with_their_path_in_one_line():
    class Inner(pydantic.BaseModel):
        k: int

    class Outer(pydantic.BaseModel):
        inner: Inner
        name: str

    with pytest.raises(pydantic.ValidationError) as error:
        Outer.model_validate({"inner": {"k": "many"}})
    text = wrong_fields(error.value)
    assert text.startswith("inner.k: input should be a valid integer") and "; name: field required" in text
    assert "\n" not in text


STEERING = ["\x1b[2J", "a\nb", "\r", "\x07", "\x9b31m", "\u202e", "\udc80", "\x00", "\x7f", "\u2028"]


@pytest.mark.parametrize("raw", STEERING)
def test_messages_and_hints_show_control_characters_escaped(raw):
    error = DataError(f"{raw}: is wrong", f"remove {raw}")
    for text in (error.message, error.hint, str(error), error.args[0]):
        assert raw not in text and "\\u" in text and len(text.splitlines()) == 1
        text.encode()


def test_letters_of_all_scripts_are_shown_as_they_are():
    text = "Amélie 東京 שלום ÷ 👩‍🚀 a\xa0b"
    assert printable(text) == DataError(text).message == text


def test_values_are_shown_on_one_line_and_cut():
    assert shown("a\n\x1b") == r"'a\n\x1b'" and len(shown("x" * 500)) < 50
