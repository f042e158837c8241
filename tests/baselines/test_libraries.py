"""Optional libraries: what is installed is returned, what is not is named with what installs it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recommender.baselines.libraries import import_library
from recommender.errors import DataError


def test_a_library_that_is_there_is_returned():
    assert import_library("numpy.linalg", "a test") is np.linalg


@pytest.mark.parametrize("module", ["nothing_of_this_name", "nothing_of_this_name.inside"])
def test_a_missing_library_is_named(module):
    with pytest.raises(DataError, match="a test needs the library nothing_of_this_name, which cannot be imp") as caught:
        import_library(module, "a test")
    assert caught.value.hint == "pip install 'recommender[eval]'"


def test_a_library_that_fails_while_it_is_imported_is_named_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="broken_library, .*nowhere_to_be_found"):
        import_library("broken_library", "a test")
    assert "broken_library" not in sys.modules
