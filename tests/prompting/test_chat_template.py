"""Chat templates with, without and against a system role."""

from __future__ import annotations

import pytest

from recommender.errors import ConfigError
from recommender.prompting.chat_template import folded, render_chat, takes_system
from tests.bases.families import STRICT_TEMPLATE
from tests.conftest import TEMPLATE, byte_tokenizer

SAID = [
    {"role": "system", "content": "Recommend films."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "More"},
]
DROPS_SYSTEM = "{% for m in messages if m['role'] != 'system' %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


def tokenizer(template):
    made = byte_tokenizer()
    made.chat_template = template
    return made


def test_a_template_with_a_system_role_renders_as_it_is():
    made = tokenizer(TEMPLATE)
    assert takes_system(made)
    assert render_chat(made, SAID) == made.apply_chat_template(SAID, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("template", [STRICT_TEMPLATE, DROPS_SYSTEM])
def test_without_one_the_first_turn_of_the_user_begins_with_it(template):
    made = tokenizer(template)
    assert not takes_system(made)
    text = render_chat(made, SAID)
    assert text.count("Recommend films.\n\nHi") == 1 and text.index("Recommend") < text.index("Hello") < text.index(
        "More"
    )


def test_turns_alternate_where_a_template_wants_them_to():
    assert folded([SAID[0], SAID[2], SAID[1], SAID[3]]) == [
        {"role": "user", "content": "Recommend films."},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Hi\n\nMore"},
    ]


def test_a_template_that_renders_nothing_is_one_line():
    with pytest.raises(
        ConfigError, match="its chat template cannot render a conversation \\(no roles here\\)"
    ) as error:
        render_chat(tokenizer("{{ raise_exception('no roles here') }}"), SAID)
    assert "\n" not in str(error.value)


def test_the_day_is_not_told():
    made = tokenizer("{{ strftime_now('%d %B %Y') }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert render_chat(made, SAID).startswith("01 January 2025Recommend")
