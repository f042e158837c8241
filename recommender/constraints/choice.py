"""One of several texts, chosen token by token: only what begins one of them may follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

#: (tokens so far, tokens that may follow) -> how likely each of these is among them
Likely = Callable[[Sequence[int], Sequence[int]], Sequence[float]]


def choose(options: Mapping[str, Sequence[int]], likely: Likely) -> tuple[str, float]:
    """Return the text that is written greedily, and its probability among all.

    `options`: texts by their token ids, none of which begins another. A token that must follow is not asked about.
    """
    left, prefix, share = dict(options), list[int](), 1.0
    while len(left) > 1:
        following = list(dict.fromkeys(ids[len(prefix)] for ids in left.values() if len(ids) > len(prefix)))
        if not following:  # texts that the tokenizer cannot tell apart
            break
        token = following[0]
        if len(following) > 1:
            shares = likely(prefix, following)
            best = max(range(len(following)), key=lambda place: shares[place])
            token, share = following[best], share * float(shares[best])
        prefix.append(token)
        left = {text: ids for text, ids in left.items() if list(ids[: len(prefix)]) == prefix}
    return next(iter(left)), share


def decisions(options: Mapping[str, Sequence[int]], chosen: str) -> list[int]:
    """Return at which places of a text's tokens there is a choice: what is learned of it."""
    ids = list(options[chosen])
    alike = [list(other) for other in options.values()]
    following = [{o[place] for o in alike if o[:place] == ids[:place] and o[place:]} for place in range(len(ids))]
    return [place for place, tokens in enumerate(following) if len(tokens) > 1]
