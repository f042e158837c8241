"""Quotation: within quotation marks only given names can be generated."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from recommender.constraints.text_constraint import LONGEST, TextConstraint, lines_of, token_pieces
from tests.conftest import byte_tokenizer

PIECES = ["<s>", '"', "Al", "ien", "iens", " (", "1986", ")", "Heat", " and ", '".']


def _tokenizer():
    raw = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(PIECES)}, unk_token="<s>"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<s>", clean_up_tokenization_spaces=False)


def _allowed(said, names):
    tokenizer = _tokenizer()
    tokenizer.batch_decode = lambda rows, **_: ["".join(PIECES[int(i)] for i in row) for row in rows]
    tokenizer.decode = lambda row, **_: tokenizer.batch_decode([row])[0]
    scores = torch.zeros(len(PIECES))
    TextConstraint(tuple(names)).constrain(scores, [PIECES.index(piece) for piece in said], token_pieces(tokenizer))
    return {PIECES[i] for i in torch.nonzero(torch.isfinite(scores)).flatten().tolist()}


def test_an_open_mark_can_only_be_filled_with_a_name():
    assert _allowed(['"'], ["Aliens"]) == {"Al"}
    assert _allowed(['"', "Al"], ["Aliens", "Alien"]) == {"ien", "iens"}


def test_a_whole_name_is_closed_unless_a_longer_one_goes_on():
    assert _allowed(['"', "Al", "ien"], ["Alien"]) == {'"', '".'}
    assert _allowed(['"', "Al", "iens"], ["Aliens", "Aliens (1986)"]) == {'"', '".', " ("}


def test_outside_of_quotation_marks_all_is_free():
    assert _allowed(['"', "Al", "ien", '"', " and "], ["Alien"]) == set(PIECES)
    assert _allowed([], ["Alien"]) == set(PIECES)


def _written(held, seed, most=2000):
    """Write greedily by logits that nobody has trained."""
    known, generator = token_pieces(byte_tokenizer()), torch.Generator().manual_seed(seed)
    tokens = []
    while len(tokens) < most:
        row = torch.randn(len(known.tokenizer), generator=generator)
        row[known.known["."]] += 2.0
        held.constrain(row, tokens, known)
        tokens.append(int(row.argmax()))
        if tokens[-1] == known.end:
            return known.text(tokens[:-1])
    raise AssertionError("the list did not end")


@pytest.mark.parametrize("seed", range(5))
def test_a_list_names_each_item_once_and_is_free_between(seed):
    items, others = ("Alien", "Heat (1995)", "Amelie"), ("Gattaca",)
    text = _written(TextConstraint(others, items), seed)
    lines = text.split("\n")
    assert len(lines) == 3
    for number, (line, name) in enumerate(zip(lines, items, strict=True), start=1):
        assert line.startswith(f'{number}. "{name}"') and len(line) < 2 * LONGEST
        assert set(line.split('"')[1::2]) <= {*items, *others} and line.count('"') % 2 == 0
    assert [line.split(". ", 1)[1] for line in lines] == lines_of(text)
    assert len({*(line[len(name) + 5 :] for line, name in zip(lines, items, strict=True))}) == 3


@pytest.mark.parametrize("said", ["{", "[]", '{"names": 3}', '{"items": [1]}', '{"more": []}', None])
def test_what_holds_to_nothing_sensible_is_refused(said):
    with pytest.raises(ValueError, match="recommender_spans"):
        TextConstraint.from_json(said)
    assert TextConstraint.from_json(TextConstraint(("a",), ("b",)).to_json()) == TextConstraint(("a",), ("b",))


def test_names_that_the_tokens_cannot_spell_are_known():
    assert token_pieces(byte_tokenizer()).can_spell("Heat (1995)") and not token_pieces(byte_tokenizer()).can_spell(
        "Amélie"
    )
