"""Quotation: within quotation marks only given names can be generated."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from recommender.model.quotation import OnlyTheseNames

PIECES = ["<s>", '"', "Al", "ien", "iens", " (", "1986", ")", "Heat", " and ", '".']


def _tokenizer():
    raw = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(PIECES)}, unk_token="<s>"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<s>", clean_up_tokenization_spaces=False)


def _allowed(said, names):
    tokenizer = _tokenizer()
    tokenizer.batch_decode = lambda rows, **_: ["".join(PIECES[int(i)] for i in row) for row in rows]
    only = OnlyTheseNames(tokenizer, [names], start=1)
    ids = torch.tensor([[0, *(PIECES.index(piece) for piece in said)]])
    scores = only(ids, torch.zeros(1, len(PIECES)))[0]
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
