"""VBPR of cornac: it serves new users and new items, and keeps the standard output free."""

from __future__ import annotations

import sys

import pytest

from recommender.baselines.vbpr import Vbpr
from recommender.errors import RecommenderError
from tests.baselines.worlds import ContentBehaviour, checkerboard_data

pytest.importorskip("cornac")


class TestVbpr(ContentBehaviour):
    @staticmethod
    def make() -> Vbpr:
        return Vbpr(factors=4, epochs=12, learning_rate=0.05, batch=64)


def test_nothing_is_written_to_the_standard_output(capsys):
    Vbpr(factors=2, epochs=1).fit(checkerboard_data())
    assert capsys.readouterr().out == ""


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cornac", None)
    with pytest.raises(RecommenderError, match="vbpr needs the package cornac") as error:
        Vbpr().fit(checkerboard_data())
    assert error.value.hint == "pip install 'recommender[eval]'"
