"""What may follow in a constrained text, token by token."""

from __future__ import annotations

import pytest
import torch

from recommender.constraints.text_constraint import BREAK, LONGEST, TextConstraint, TokenPieces, lines_of, token_pieces

TEXTS = [
    "<s>",
    "<e>",
    '"',
    "Al",
    "ien",
    "iens",
    ". ",
    "1",
    "2",
    "Heat",
    ".",
    "\n",
    '" is',
    "\ufffd",
    " good",
    '".',
    "a\r",
]


class Tokenizer:
    """A tokenizer of the texts above; the first two are special."""

    eos_token_id = 1
    all_special_ids = (0, 1)

    def __len__(self):
        return len(TEXTS)

    def decode(self, tokens, **_):
        return "".join(TEXTS[token] for token in tokens)

    def batch_decode(self, rows, **_):
        return [self.decode(row) for row in rows]


PIECES = TokenPieces(Tokenizer())


def following(constraint, *texts):
    logits = torch.zeros(len(TEXTS))
    constraint.constrain(logits, [TEXTS.index(text) for text in texts], PIECES)
    return {TEXTS[token] for token in torch.isfinite(logits).nonzero()[:, 0].tolist()}


def test_pieces_know_which_tokens_are_text_and_which_close_a_quotation():
    assert set(PIECES.known) == set(TEXTS) - {"<s>", "<e>", "\ufffd"}
    assert {TEXTS[token] for token in PIECES.closing} == {'"', '" is', '".'}
    assert {TEXTS[token] for token in PIECES.outside.tolist()} == {"<s>", "<e>", "\n", "a\r"}


def test_a_text_begins_with_tokens_that_do_not_go_beyond_it():
    assert [TEXTS[token] for token in PIECES.spelling("Alien")] == ["Al"]
    assert PIECES.spelling("") == [] and PIECES.spelling("xyz") == []
    assert PIECES.can_spell("Alien. 12") and not PIECES.can_spell("Alio") and PIECES.can_spell("")


def test_the_pieces_of_a_tokenizer_are_read_once():
    tokenizer = Tokenizer()
    assert token_pieces(tokenizer) is token_pieces(tokenizer)


def test_within_quotation_marks_stand_only_names_and_elsewhere_anything():
    constraint = TextConstraint(("Alien", "Aliens"))
    assert following(constraint) == set(TEXTS)
    assert following(constraint, '"') == {"Al"}
    assert following(constraint, '"', "Al") == {"ien", "iens"}
    assert following(constraint, '"', "Al", "ien") == {'"', '" is', '".'}
    assert following(constraint, '"', "Al", "ien", '"') == set(TEXTS)


def test_a_quotation_that_no_name_continues_is_left_alone():
    assert following(TextConstraint(("Alien",)), '"', "Heat") == set(TEXTS)


def test_each_line_of_a_list_begins_with_its_number_and_the_next_item():
    constraint = TextConstraint((), ("Alien", "Heat"))
    steps = [([], {"1"}), (["1"], {".", ". "}), (["1", ". "], {'"'}), (["1", ". ", '"'], {"Al"})]
    steps += [(["1", ". ", '"', "Al"], {"ien"}), (["1", ". ", '"', "Al", "ien"], {'"'})]
    for texts, expected in steps:
        assert following(constraint, *texts) == expected
    begun = ["1", ". ", '"', "Al", "ien", '"']
    assert following(constraint, *begun) == set(TEXTS) - {"<s>", "<e>", "\n", "a\r"}
    assert following(constraint, *begun, " good", '"') == {"Al", "Heat"}


def test_a_whole_sentence_ends_the_line_and_the_last_one_the_list():
    constraint = TextConstraint((), ("Alien", "Heat"))
    first = ["1", ". ", '"', "Al", "ien", '" is', " good", "."]
    assert following(constraint, *first) == {"\n"}
    second = [*first, "\n", "2", ". ", '"', "Heat", '"', " good", " good", "."]
    assert following(constraint, *second) == {"<e>"}
    assert following(constraint, "1", ". ", '"', "Al", "ien", '"', ".") >= {" good"}  # too short for a sentence


def test_a_line_without_end_is_ended():
    constraint = TextConstraint((), ("Alien", "Heat"))
    line = ["1", ". ", '"', "Al", "ien", '"', *[" good"] * (LONGEST // 5)]
    assert following(constraint, *line) >= {" good"} and following(constraint, *line, " good") == {BREAK}


def test_logits_of_what_is_allowed_are_untouched():
    logits = torch.arange(len(TEXTS), dtype=torch.float32)
    TextConstraint(("Alien",)).constrain(logits, [TEXTS.index('"')], PIECES)
    assert logits[TEXTS.index("Al")] == TEXTS.index("Al") and torch.isinf(logits).sum() == len(TEXTS) - 1


@pytest.mark.parametrize("constraint", [TextConstraint(()), TextConstraint(("é", '"'), ("a\nb",))])
def test_a_request_carries_the_constraint_as_json(constraint):
    assert TextConstraint.from_json(constraint.to_json()) == constraint


def test_the_lines_of_a_list_lose_their_numbers_only():
    assert lines_of('1. "A" is good.\n12. "B". 3. done') == ['"A" is good.', '"B". 3. done']
