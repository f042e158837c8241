from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.cleaning import clean_text, clean_title, is_blank


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<p>One</p><p>two<br/>three</p>", "One two three"),
        ("a<b>b</b>c", "abc"),
        ("Tom &amp; Jerry&#39;s &eacute;t&eacute;", "Tom & Jerry's été"),
        ("&lt;p&gt;escaped&lt;/p&gt; &amp;quot;twice&amp;quot;", 'escaped "twice"'),
        ("<script>alert('x')</script>safe<style>p{}</style>", "safe"),
        ('<a href="x>y">link</a>', "link"),
        ("<!-- note -->text", "text"),
        ("I <3 you, 2 < 3 and 5 > 4", "I <3 you, 2 < 3 and 5 > 4"),
        ("x <y", "x <y"),
        ("cut off <span style='", "cut off"),
        ("<Untitled>", "<Untitled>"),
        ("  a\t\n b\u00a0c\u3000d ", "a b c d"),
        ("a\x00b\x1bc\u202ed\u200be\ufefff\ud800", "abcdef"),
        ("👩\u200d🚀 ok", "👩\u200d🚀 ok"),
    ],
)
def test_text_is_cleaned(raw, clean):
    assert clean_text(raw) == clean


@given(st.text())
def test_clean_text_is_one_printable_line(text):
    clean = clean_text(text)
    assert clean == " ".join(clean.split())
    assert not any(char in clean for char in "\n\r\t\x00")
    clean.encode()


@given(st.text(st.characters(blacklist_characters="<&", whitelist_categories=["L", "N", "P", "Zs"])))
def test_text_without_markup_keeps_its_words(text):
    assert clean_text(text) == " ".join(text.split())


def test_blank_texts():
    assert all(map(is_blank, ["", "-", "...", "NaN", "n/a", "None"]))
    assert not any(map(is_blank, ["M", "9", "π", "Nan, my grandmother", "七人の侍"]))


@pytest.mark.parametrize("text", ["a<b and c>d", "x <p or q> y", "if a<i then b>j"])
def test_comparisons_and_asides_are_no_tags(text):
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('<a href="x">A</a>', "A"),
        ("<td nowrap>A</td>", "A"),
        ("a<br />b", "a b"),
        ("<hr noshade>A", "A"),
        ("<b>A</b>", "A"),
    ],
)
def test_tags_are(text, clean):
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("title", "kept"),
    [("<Title>", "<Title>"), (" <S> ", "<S>"), ("<P>", "<P>"), ("<BR>", ""), ("<p></p>", ""), ("<b>", "")],
)
def test_a_title_that_is_a_lone_tag_is_a_name(title, kept):
    assert clean_title(title) == kept
