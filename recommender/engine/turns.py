"""Requests for several domains of a joined catalogue: each is ranked by itself, and their best take turns in one list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import torch

from recommender.data.catalogue import Catalogue
from recommender.data.joining import DOMAIN
from recommender.engine.checked_request import CheckedRequest
from recommender.engine.ranking import ListRanker
from recommender.errors import RecommenderError, did_you_mean
from recommender.inference.beam_search import Ranking
from recommender.numerics.turns import Turn, in_turn


def turns_of(catalogue: Catalogue, domains: Mapping[str, int]) -> tuple[Turn, ...]:
    """Return the turns of a request: domain -> how many of its items at most, 0 for any number; one domain has no turns.

    Raises RecommenderError for a domain that no item is of.
    """
    turns = tuple(Turn(_of(catalogue, name), most) for name, most in domains.items())
    return turns if len(turns) > 1 else ()


def of_domains(catalogue: Catalogue, domains: Iterable[str], field: str = "domains") -> np.ndarray:
    """Return bool [items]: what is of these domains, everything for none. Raises RecommenderError as `turns_of`, which names
    the `field` that they are from."""
    masks = [_of(catalogue, name, field) for name in domains]
    return np.logical_or.reduce(masks) if masks else np.ones(len(catalogue), bool)


def interleaved(rankings: Sequence[Ranking], width: int) -> Ranking:
    """Return one list of several, in turn the next best of each; shorter ones run out."""
    if len(rankings) == 1:
        return rankings[0]
    places = in_turn([ranking.items.tolist() for ranking in rankings], width)
    items = [rankings[part].items[place] for part, place in places]
    scores = [rankings[part].scores[place] for part, place in places]
    return Ranking(np.array(items, np.int64), np.array(scores, np.float32), all(r.proven for r in rankings))


def ranked(ranker: ListRanker, group: Sequence[CheckedRequest]) -> list[Ranking]:
    """Return the lists of requests that are ranked together, those of several domains once for each of them."""
    whole = Turn(np.ones(ranker.items, bool))
    asked = [(number, turn) for number, checked in enumerate(group) for turn in checked.turns or (whole,)]
    rows = [group[number] for number, _ in asked]
    rankings = ranker.rank(
        [row.prompt for row in rows],
        [row.history for row in rows],
        max(row.k for row in rows),
        torch.stack([row.allowed & torch.from_numpy(turn.items) for row, (_, turn) in zip(rows, asked, strict=True)]),
        [row.signals for row in rows],
    )
    lists: list[list[Ranking]] = [[] for _ in group]
    for (number, turn), ranking in zip(asked, rankings, strict=True):
        end = turn.most or len(ranking.items)
        lists[number].append(Ranking(ranking.items[:end], ranking.scores[:end], ranking.proven))
    return [interleaved(parts, checked.k) for parts, checked in zip(lists, group, strict=True)]


def _of(catalogue: Catalogue, name: str, field: str = "domains") -> np.ndarray:
    index = catalogue.attribute_index
    mask = index.matching(DOMAIN, [name])
    if not mask.any():
        raise no_domain(name, index.values(DOMAIN), field)
    return mask


def no_domain(name: str, known: Collection[str], field: str = "domains") -> RecommenderError:
    """Return the error for a domain that no item is of; `known`: those that there are; `field`: that it is from."""
    hint = did_you_mean(name.casefold(), known) or f"one of {', '.join(known)}"
    return RecommenderError(
        f"{field}: no item is of {name[:100]!r}",
        hint if known else "leave it out: the catalogue is not joined of several",
    )
