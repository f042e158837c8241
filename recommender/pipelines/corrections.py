"""What people called wrong reaches the writing: a text that was marked is not to be written again, a true one is.

Of each marked text the item, the history items that it names and the facts that it is about are known. The prompt that asks
for it is made again from them, as it was before and as it is now that nobody is told these facts; to both the answer is to
be a text without them. Where a fact was called wrong and no text was given, a text that tells it stands for what was marked.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.config import Config, UpdateConfig
from recommender.data.catalogue import Catalogue
from recommender.errors import import_extra
from recommender.justify import ClaimChecker, Style, explain_examples
from recommender.justify.companions import Companions
from recommender.justify.english import neutral_words
from recommender.justify.evidence import Evidence, Influence, shared_facts, with_companions
from recommender.justify.facts import facts_of
from recommender.justify.planning import choose_template, template_seed, writing_prompt
from recommender.justify.style import ENGLISH
from recommender.justify.templates import Fact as TemplateFact
from recommender.justify.templates import Outline, templates_of
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint
from recommender.pipelines.left_out import NamedStore
from recommender.progress import Progress
from recommender.prompting.example import Example
from recommender.store.opinions import Fact, KeepsFeedback
from recommender.training.preferences import Preference, ahead, learn_preferences, likelihoods

logger = logging.getLogger(__name__)
#: the latest marks that an update learns from
MOST = 200
#: other texts that are learned again, and those that say whether they suffer
_AGAIN, _JUDGED = 64, 16
#: history items that a text about a fact names where none is given
_NAMED = 2


@dataclass(frozen=True)
class Marked:
    """A text about an item that was called wrong, "" if only facts were, and the facts that are not to be told."""

    item: int
    text: str
    facts: frozenset[Fact]


def marked_in(kept: KeepsFeedback, catalogue: Catalogue, votes: int, left_out: Collection[str] = ()) -> list[Marked]:
    """Return what is not to be written, latest last: what tells a fact that at least `votes` people called wrong.

    `left_out`: people whose marks do not teach. Items that the catalogue lacks are passed over.
    """
    wrong, found = kept.wrong_facts(votes), dict[Marked, None]()
    for mark in kept.wrong_texts():
        facts = frozenset(mark.facts) & wrong.get(mark.item_id, frozenset())
        if facts and mark.item_id in catalogue and mark.person not in left_out:
            item = catalogue.index(mark.item_id)
            known = {(name, value) for name, values in facts_of(catalogue, item).items() for value in values}
            if facts <= known:
                found[Marked(item, mark.text, facts)] = None
    return list(found)[-MOST:]


def marked_anywhere(
    named: NamedStore | None, feedback: KeepsFeedback | None, config: Config, catalogue: Catalogue
) -> list[Marked]:
    """Return what is called wrong in a store, by those who agree to training, and in other feedback."""
    marked = [] if named is None else _marked_in_store(named, config, catalogue)
    beside = [] if feedback is None else marked_in(feedback, catalogue, config.justify.wrong_votes)
    return list(dict.fromkeys([*marked, *beside]))[-MOST:]


def _marked_in_store(named: NamedStore, config: Config, catalogue: Catalogue) -> list[Marked]:
    import_extra("sqlalchemy", "feedback of a store", "store")
    from recommender.store.store import Store, StoreOptions

    store = Store.open(named.where, named.master_key or config.serving.master_key, StoreOptions(config.serving.consent))
    try:
        agree = store.consents.who_agrees("train")
        left_out = {mark.person for mark in store.feedback.wrong_texts() if mark.person and not agree(mark.person)}
        return marked_in(store.feedback, catalogue, config.justify.wrong_votes, left_out)
    finally:
        store.let_go()


def preferences_of(
    marked: Sequence[Marked], catalogue: Catalogue, style: Style, companions: Companions | None = None
) -> list[Preference]:
    """Return what is to be written in the place of what was marked."""
    checker = ClaimChecker(catalogue, style.phrases, style.liked)
    truthful = checker.withholding(withheld(marked))
    found: dict[Preference, None] = {}
    for mark in marked:
        named = _named_in(mark, checker, style)
        former, rejected = _as_it_was(mark, named, checker, style, companions)
        outline, true = choose_template(_evidence(truthful.catalogue, mark.item, named, companions), truthful, style)
        now = writing_prompt(truthful.catalogue, outline, style, true.cues)
        if rejected != true.text:
            found |= {Preference(prompt, true.text, rejected): None for prompt in (former, now)}
    return list(found)


def withheld(marked: Sequence[Marked]) -> dict[int, frozenset[Fact]]:
    """Return item -> the facts of it that are not to be told."""
    facts: dict[int, frozenset[Fact]] = {}
    for mark in marked:
        facts[mark.item] = facts.get(mark.item, frozenset()) | mark.facts
    return facts


def correct_writing(
    checkpoint: Checkpoint,
    marked: Sequence[Marked],
    histories: Sequence[np.ndarray],
    settings: UpdateConfig,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Teach a checkpoint, in place, not to write what was marked; returns how much was marked, and is now less likely.

    Other texts are learned again, none of which tells what was called wrong. Once they become less likely by more than
    `settings.writing_margin`, it goes back to where they did not, perhaps to the beginning, and the log says so.
    """
    if not marked or not checkpoint.writes:
        return {}
    model, builder, config = checkpoint.model, checkpoint.builder, checkpoint.config
    companions = checkpoint.companions
    style = replace(Style.of(config.prompt, config.justify), language=ENGLISH)
    style = replace(style, liked=companions is not None and companions.liked)
    preferences = preferences_of(marked, checkpoint.catalogue, style, companions)
    true_catalogue = checkpoint.catalogue.withholding(withheld(marked))
    others = explain_examples(true_catalogue, histories, _AGAIN + _JUDGED, config.seed, style, companions)
    judged = [builder.writing(*pair) for pair in others[_AGAIN:]]
    kept = _Kept(model, judged, settings.writing_margin)
    learn_preferences(model, builder, preferences, others[:_AGAIN], settings, progress, kept.may_go_on)
    kept.put_back()
    corrected = int((ahead(model, builder, preferences) > 0).sum())
    model.use_adapter(RANK)
    return {"wrong": len(preferences), "corrected": corrected}


class _Kept:
    """The writing adapter as it was last while other texts did not suffer."""

    def __init__(self, model: RecommenderModel, judged: Sequence[Example], margin: float) -> None:
        """`judged`: texts that may become less likely by so many nats a word."""
        self.model, self.judged, self.margin = model, judged, margin
        self._before, self._lost = likelihoods(model, judged), 0.0
        self._weights = self._copied()

    def may_go_on(self) -> bool:
        """Return whether other texts have not suffered, and if so remember the weights."""
        if self.judged:
            self._lost = float((self._before - likelihoods(self.model, self.judged)).mean())
        if self._lost <= self.margin:
            self._weights = self._copied()
        return self._lost <= self.margin

    def put_back(self) -> None:
        """Go back to the weights that were remembered last, if other texts have suffered since."""
        if self._lost <= self.margin:
            return
        logger.warning("the writing goes back a few steps: others would be %.2f nats a word less likely", self._lost)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in self._weights:
                    parameter.copy_(self._weights[name])

    def _copied(self) -> dict[str, Tensor]:
        return {n: p.detach().clone() for n, p in self.model.named_parameters() if f".{EXPLAIN}." in n}


def _named_in(mark: Marked, checker: ClaimChecker, style: Style) -> list[int]:
    """Return the history items that a text names; where there is no text, some that share the fact."""
    if mark.text:
        spans = checker.vocabulary.spans(mark.text, neutral_words(style.noun))
        titles = [min(span.items) for span in spans if span.kind == "title" and mark.item not in span.items]
        return list(dict.fromkeys(titles))
    name, value = min(mark.facts)
    catalogue = checker.catalogue
    sharing = (one for one in range(len(catalogue)) if value in facts_of(catalogue, one).get(name, ()))
    return [one for one, _ in zip((one for one in sharing if one != mark.item), range(_NAMED), strict=False)]


def _evidence(catalogue: Catalogue, item: int, named: Sequence[int], companions: Companions | None) -> Evidence:
    influences = tuple(Influence(other, 1 / rank) for rank, other in enumerate(named, start=1))
    return with_companions(Evidence(item, influences, shared_facts(catalogue, item, named)), companions)


def _as_it_was(
    mark: Marked, named: Sequence[int], checker: ClaimChecker, style: Style, companions: Companions | None
) -> tuple[str, str]:
    """Return the prompt that asked for what was marked, and the text; where there is none, one that tells the fact."""
    catalogue = checker.catalogue
    if mark.text:
        outline, template = choose_template(_evidence(catalogue, mark.item, named, companions), checker, style)
        return writing_prompt(catalogue, outline, style, template.cues), mark.text
    name, value = min(mark.facts)
    told = (TemplateFact(name, (value,)),)
    outline = Outline(mark.item, tuple(named), told if named else (), () if named else told)
    template = next(templates_of(catalogue, outline, style, template_seed(Evidence(mark.item))))
    return writing_prompt(catalogue, outline, style, template.cues), template.text
