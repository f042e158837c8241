"""Patterns of sentences, whatever is recommended."""

import pytest

from recommender.justify.grammar import grammar


@pytest.mark.parametrize("noun", ["C++ courses", "books [used]", "films (old", "a|b", "\\x"])
def test_a_noun_may_hold_any_signs(noun):
    assert grammar(noun).deed.search("you chose")
    assert not grammar(noun).unseen.search("<I> is here")
