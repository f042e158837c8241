"""A conversation: messages in, a list and a few sentences out. It keeps no state, so any transport can carry it."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch

from recommender.chat import english_patterns as patterns
from recommender.chat.chat_engine import ChatEngine
from recommender.chat.chips import Understood
from recommender.chat.dialogue_state import DialogueState, items_at_ranks
from recommender.chat.languages import KNOWN, foreign_language
from recommender.chat.list_questions import Situation
from recommender.chat.model_reading import ModelReader
from recommender.chat.reader import Reader, Reading
from recommender.chat.replies import ChatItem, MakesList, RankItems, Reply, plain_list
from recommender.chat.said import Message, Said, content_of, speech
from recommender.chat.scope import concerning, eased, of_usual, turns
from recommender.chat.telling import dropped_note, relaxed, understood_line
from recommender.conversations.wishes import COURTESY
from recommender.data.id_fields import history_ids
from recommender.engine import DISCLOSURE, Engine
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.listening import HeardConversation
from recommender.engine.parts import HISTORY, POPULARITY, Part, modalities_of, switched_off
from recommender.engine.stock import OutOfStock
from recommender.engine.turns import interleaved
from recommender.errors import RecommenderError
from recommender.inference.beam_search import Ranking
from recommender.justify import Style
from recommender.justify.facts import facts_of, role
from recommender.justify.item_names import display_name
from recommender.numerics.turns import Turn
from recommender.numerics.vectors import unit_rows
from recommender.store.opinions import Feedback

#: nats that an item gains which is as much like the anchors as the most like one
SIMILARITY_NATS = 3.0
#: kinds of items that Whisper is told to listen for
HINTED = 12
#: domains that a list is of where no message asks for others: all, as they rank
NO_DOMAINS: Mapping[str, int] = MappingProxyType({})
#: items and scores of no ranking
_NOTHING = np.zeros(0, np.int64), np.zeros(0, np.float32)
_LINE = re.compile(r"^\s*(\d{1,2})\. (.+?)\s*$", re.MULTILINE)


class Chat:
    """Answers conversations about one catalogue."""

    def __init__(
        self,
        engine: ChatEngine,
        noun: str = "items",
        vectors: np.ndarray | None = None,
        style: Style | None = None,
        feedback_policy: FeedbackPolicy | None = None,
        languages: Sequence[str] = ("en",),
        stock: OutOfStock | None = None,
    ) -> None:
        """`noun`: what is recommended, in the plural. `vectors` [items, width]: by which items are like those
        that are named.
        `style`: of answers to questions back; `feedback_policy`: where feedback is kept. `languages`: those that the
        language model reads. `stock`: what is not to be listed for now."""
        self.engine, self.catalogue, self.noun = engine, engine.catalogue, noun
        self.style, self.feedback_policy = style or Style(noun), feedback_policy
        self.languages, self.stock = tuple(languages), stock
        self.reader = Reader(self.catalogue)
        self.model_reader = ModelReader(self.catalogue, self.reader)
        self.vectors = None if vectors is None else unit_rows(vectors)
        self._by_title = {display_name(item): index for index, item in reversed(list(enumerate(self.catalogue)))}

    @classmethod
    def of(cls, engine: Engine) -> Chat:
        """Return conversations with an engine: what it calls its items, and by what they are alike."""
        languages = engine.config.base.languages if engine.listens else ("en",)
        known = engine.vectors, engine.style, engine.feedback_policy, languages, engine.rules.stock
        return cls(engine, engine.config.prompt.noun, *known)

    def by(self, engine: ChatEngine) -> Chat:
        """Return the same conversations with another engine of this catalogue."""
        if engine is self.engine:
            return self
        other = copy.copy(self)
        other.engine = engine
        return other

    def reply(
        self,
        messages: Sequence[Message],
        history: Sequence[str] | None = (),
        k: int = 5,
        explain: bool = True,
        boosts: np.ndarray | None = None,
        user: str | None = None,
        without: Sequence[Part] = (),
        dropped: Sequence[str] = (),
        make_list: MakesList | None = None,
        exclude: Sequence[str] = (),
        domains: Mapping[str, int] = NO_DOMAINS,
    ) -> Reply:
        """Answer a conversation: {"role", "content"} messages, oldest first, the last one the user's.

        `history`: item ids known beforehand, None for none. `boosts` [items]: nats by which this turn prefers items, e.g.
        what looks like a picture. `user`: who speaks; what they call not for them is kept where feedback is, and not shown
        to them again. `without`: parts of the ranking that are switched off; without history, that which is known
        beforehand only hides what was seen. `dropped`: ids of chips that the person took back; those of none are ignored.
        `make_list`: makes the list of rankings; None: the best items are it. `exclude`: ids that must not be listed.
        `domains`: of which a list is where no message asks for others, and how many of each at most, 0 for any number.
        Raises RecommenderError for messages of another form, unknown ids, and parts that cannot be switched off.
        """
        given = user, dropped, make_list, exclude, domains
        if not without:
            return self._reply(messages, history, k, explain, boosts, *given)
        self.engine.check_parts(without)
        with switched_off(modalities_of(without)):
            if POPULARITY in without:
                costs = self.engine.popularity.costs()
                boosts = -costs if boosts is None else boosts - costs
            impersonal = HISTORY in without
            return self._reply(messages, history, k, explain, boosts, *given, impersonal)

    def _reply(
        self,
        messages: Sequence[Message],
        history: Sequence[str] | None,
        k: int,
        explain: bool,
        boosts: np.ndarray | None,
        user: str | None,
        dropped: Sequence[str],
        make_list: MakesList | None,
        exclude: Sequence[str],
        usual: Mapping[str, int],
        impersonal: bool = False,
    ) -> Reply:
        known = tuple(int(i) for i in self.catalogue.indices(history_ids(() if history is None else history)))
        refused = frozenset(self.feedback_policy.refused(user)) if self.feedback_policy else frozenset()
        refused |= self._out_of_stock() | set(self.catalogue.indices(exclude).tolist())
        if impersonal:
            known, refused = (), refused | set(known)
        understood = Understood(self.catalogue, dropped)
        start = DialogueState(history=known, k=k, hidden=refused)
        reading, state, shown = self._understood(messages, start, understood)
        restated = understood.restated(state, known) if understood.took_back else None
        said = Said(messages, known, shown, user, restated, make_list or plain_list, refused)
        state = self._of_domains(state, reading, usual)
        reply = self._answered(reading, eased(state, self.reader.domains), said, boosts, explain)
        items = tuple(self.catalogue[int(item)].item_id for item in self._history(state))
        return replace(reply, understood=understood.chips(state, known), history=items)

    def _answered(
        self, reading: Reading, state: DialogueState, said: Said, boosts: np.ndarray | None, explain: bool
    ) -> Reply:
        shown, user = said.shown, said.user
        if patterns.PERSON.search(said.last):
            return Reply(DISCLOSURE, filters=_filters(state))
        notes = self._notes(reading, state, said)
        if reading.question is not None:
            notes = (*notes, self._situation(state, said).answer(reading.question))
            if shown:  # who has a list and asks about it wants an answer
                return Reply(" ".join(notes), filters=_filters(state), notes=notes[:-1])
        self._keep(reading, shown, user)
        if shown and self._is_courtesy(reading, said) and not patterns.HELLO.search(said.last):
            return Reply("You are welcome. Tell me whenever you want something else.", filters=_filters(state))
        state, dropped = relaxed(self.catalogue, state)
        if dropped:
            notes = (*notes, dropped_note(dropped, _filters(replace(state, domains=())), self._noun(state)))
        allowed = state.allowed(self.catalogue)
        allowed[[*state.history, *said.barred]] = False  # whatever was relaxed, or begun anew
        if not allowed.any():
            return Reply(" ".join([*notes, f"All {self.noun} here have been shown or set aside."]), notes=notes)
        return replace(self._listed(state, reading, allowed, boosts, notes, explain, said), relaxed=dropped)

    def _out_of_stock(self) -> frozenset[int]:
        return frozenset() if self.stock is None else frozenset(self.stock.items.tolist())

    @cached_property
    def hint(self) -> str:
        """Words that a spoken message may well hold: what is recommended, decades, and the commonest kinds."""
        facts = (facts_of(self.catalogue, index) for index in range(len(self.catalogue)))
        kinds = Counter(v for known in facts for name, vs in known.items() if role(name) == "kind" for v in vs)
        common = [value for value, _ in kinds.most_common(HINTED)]
        return f"{self.noun.capitalize()} from the 1980s, the nineties{''.join(f', {kind}' for kind in common)}."

    def understand(self, messages: Sequence[Message], k: int = 5) -> tuple[Reading, DialogueState]:
        """Return how the last message is read, and what is wanted after it. Raises RecommenderError as `reply` does."""
        reading, state, _ = self._understood(messages, DialogueState(k=k), Understood(self.catalogue))
        return reading, state

    def wanted(
        self,
        messages: Sequence[Message],
        history: Sequence[str] = (),
        k: int = 5,
        dropped: Sequence[str] = (),
        domains: Mapping[str, int] = NO_DOMAINS,
    ) -> DialogueState:
        """Return what the list of a conversation has to meet, and goes by. Raises RecommenderError as `reply` does."""
        start = DialogueState(history=tuple(self.catalogue.indices(history_ids(history)).tolist()), k=k)
        reading, state, _ = self._understood(messages, start, Understood(self.catalogue, dropped))
        state = self._of_domains(state, reading, domains)
        return relaxed(self.catalogue, eased(state, self.reader.domains))[0]

    def _of_domains(self, state: DialogueState, reading: Reading, usual: Mapping[str, int]) -> DialogueState:
        """Return a state with the domains that its list is of, and the conditions that concern them."""
        domains = self.reader.domains
        return concerning(of_usual(state, usual, domains), reading, domains)

    def is_courtesy(self, reading: Reading, messages: Sequence[Message]) -> bool:
        """Whether the last message is only polite; `reading`: of it."""
        return self._is_courtesy(reading, Said(messages, (), (), None))

    def asks_back(self, messages: Sequence[Message]) -> bool:
        """Return whether the last message is a question about the list: its answer may take a written sentence."""
        return bool(messages) and self.reader.read(content_of(messages[-1], len(messages) - 1)).question is not None

    def _is_courtesy(self, reading: Reading, said: Said) -> bool:
        """Whether a message is only polite: by the language model, or by its words."""
        nothing = replace(reading, wants=False, act="") == Reading()
        polite = bool(patterns.THANKS.search(said.last) or patterns.HELLO.search(said.last))
        return nothing and (reading.act == COURTESY or (polite and not (reading.act and reading.wants)))

    # understanding

    def _understood(
        self, messages: Sequence[Message], start: DialogueState, understood: Understood
    ) -> tuple[Reading, DialogueState, tuple[int, ...]]:
        """Return the last message, what is wanted after it, and the last list that was shown."""
        reading, state, shown = Reading(), start, tuple[int, ...]()
        ever: set[int] = set()
        for number, message in enumerate(messages):
            content = content_of(message, number)
            if message["role"] == "assistant":
                shown = self._shown(content) or shown
                ever |= set(shown)
            elif message["role"] == "user":
                reading = self._read(messages[: number + 1], start.history)
                if reading.question is None:
                    if reading.added and state.domains:
                        reading = replace(reading, domains=tuple(dict.fromkeys((*state.domains, *reading.domains))))
                    reading = understood.kept(reading, shown, number)
                    state = self._same(state.after(reading, shown, ever, start.k), reading, shown, understood, number)
        if not messages or messages[-1]["role"] != "user":
            raise RecommenderError("messages: the last one must be the user's", "send what the user said last")
        return reading, state, shown

    def _read(self, messages: Sequence[Message], known: Sequence[int]) -> Reading:
        """Read the last of some messages; free words are left out where nothing can rank by them."""
        content = str(messages[-1]["content"])
        if self.engine.listens:
            return self.model_reader.read(self.engine, speech(messages), known)
        reading = self.reader.read(content)
        return reading if self.engine.scores_query(reading.query) else replace(reading, query=None)

    def _keep(self, reading: Reading, shown: Sequence[int], user: str | None) -> None:
        """Keep what the last message calls not for the user, where feedback is kept and they are known."""
        if user is None or self.feedback_policy is None or self.feedback_policy.store is None:
            return
        for item in dict.fromkeys((*reading.refused, *items_at_ranks(reading.ranks_refused, shown))):
            said = Feedback(item_id=self.catalogue[item].item_id, opinion="not for me", user=user)
            self.feedback_policy.take(said, self.noun)

    def _situation(self, state: DialogueState, said: Said) -> Situation:
        history, boosts = self._history(state), self.preferences(state)
        heard = self._heard(said)

        def scores(histories: Sequence[np.ndarray]) -> np.ndarray:
            if heard is None:
                return self.engine.score_all(histories, state.query, boosts=boosts)
            # what was heard stays; an item of the history counts by what it changes for who ranks histories
            known = np.array(said.known, np.int64)
            listed = self.engine.score_all([known], boosts=self._pointed(state), conversation=heard)
            ranked = self.engine.score_all([history, *histories])
            return np.asarray(listed + ranked[1:] - ranked[:1])

        return Situation(
            self.catalogue,
            self.style,
            state,
            history,
            said.shown,
            scores,
            self.engine.similar_items,
            lambda items: self.engine.explain(history, list(items), user=said.user) if items else [],
        )

    def _heard(self, said: Said) -> HeardConversation | None:
        """Return the conversation as the language model hears it; None where it has not learned to listen."""
        if not self.engine.listens:
            return None
        pairs = self.model_reader.shortened(speech(said.messages)) if said.restated is None else said.restated_turn
        return self.engine.converse(pairs, np.array(said.known, np.int64))

    def _shown(self, text: str) -> tuple[int, ...]:
        """Return the items of a list that the assistant wrote: numbered lines that are titles of the catalogue."""
        return tuple(self._by_title[title] for _, title in _LINE.findall(text) if title in self._by_title)

    def _same(
        self, state: DialogueState, reading: Reading, shown: Sequence[int], understood: Understood, number: int
    ) -> DialogueState:
        """Turn "by the same director" into the directors of what the conversation is about."""
        about = state.anchors[-1:] or state.history[-1:] or tuple(shown[:1])
        for part in reading.same:
            group = tuple(
                (name, value)
                for item in about
                for name, values in facts_of(self.catalogue, item).items()
                if role(name) == part
                for value in values
            )
            if group and understood.says("only", group, number):
                state = replace(state, only=(*state.only, group))
        return state

    # answers without a list

    def _notes(self, reading: Reading, state: DialogueState, said: Said) -> tuple[str, ...]:
        notes = []
        if state.query:
            notes.append(f'I look for what is like "{state.query[:60]}" in what is written of each.')
        for name in reading.unknown[:3]:
            close = [f'"{display_name(self.catalogue[i])}"' for i in self.reader.close(name)]
            hint = f"; did you mean {' or '.join(close)}?" if close else "."
            notes.append(f'I know nothing called "{name[:60]}" here{hint}')
        for items in reading.ambiguous[:1]:
            names = " or ".join(f'"{self.catalogue[i].title}"' for i in items[:4])
            notes.append(f"That name may mean {names}; I take the first.")
        for part in reading.same:
            if not any(role(name) == part for group in state.only for name, _ in group):
                notes.append(f"I do not know the {part} of what we speak of.")
        return (*notes, *self._opening_notes(reading, state, said))

    def _opening_notes(self, reading: Reading, state: DialogueState, said: Said) -> tuple[str, ...]:
        """Return what is said where a message tells little or nothing of what is wanted."""
        if reading.question is not None or said.restated is not None:
            return ()
        ask = f"Name {self.noun} that you liked, a genre or a decade, and the list will be yours."
        if language := foreign_language(said.text, self.languages):
            known = " and ".join(KNOWN.get(code, code) for code in self.languages)
            return (f"I read {known}; of your message in {language} I took names and numbers.",)
        if self._is_courtesy(reading, said):
            return (f"Hello! {ask}",) if state.nothing_known else ()
        if not said.text.strip():
            return (f"I heard nothing. {ask}",)
        if reading.empty and not self.engine.listens:
            return (f"I did not understand that. {ask}",)
        if state.nothing_known and (not self.engine.listens or not reading.wants):
            return () if reading.unknown or self.engine.listens else (f"What do you feel like? {ask}",)
        return ()

    # answers with a list

    def _listed(
        self,
        state: DialogueState,
        reading: Reading,
        allowed: np.ndarray,
        given: np.ndarray | None,
        notes: tuple[str, ...],
        explain: bool,
        said: Said,
    ) -> Reply:
        history, k = self._history(state), min(state.k, int(allowed.sum()))
        ranking = said.make_list(self._ranks(state, allowed, given, said), k)
        justifications: list[tuple[str | None, str | None]] = [(None, None)] * len(ranking.items)
        if explain:
            best, user = ranking.items.tolist(), said.user
            told, caveats = self.engine.explain(history, best, user=user), self.engine.caveats(history, best, user)
            both = zip(told, caveats, strict=True)
            justifications = [(f"{each.text} {caveat}".strip(), each.source) for each, caveat in both]
        rows = zip(ranking.items.tolist(), ranking.scores.tolist(), justifications, strict=True)
        items = tuple(
            ChatItem(rank, self.catalogue[item].item_id, display_name(self.catalogue[item]), score, *justification)
            for rank, (item, score, justification) in enumerate(rows, start=1)
        )
        filters = _filters(state)
        if len(items) < state.k:
            notes = (*notes, f"Only {len(items)} fit." if len(items) > 1 else "Only one fits.")
        noun = self._noun(state)
        conditions = _filters(replace(state, domains=()))  # the noun says the domains
        head = f"{noun.capitalize()} for you" + (f" ({', '.join(conditions)})" if conditions else "") + ":"
        understood = understood_line(self.catalogue, state, reading)
        opening = "\n".join([*([understood] if understood else []), *([" ".join(notes)] if notes else []), head])
        asks = state.nothing_known and given is None and not self.engine.listens
        return Reply(opening, items, filters, state.moods, asks=asks, notes=notes)

    def _noun(self, state: DialogueState) -> str:
        """Return what is asked for, in the plural: of several catalogues perhaps one."""
        return " and ".join(value for _, value in state.domains) or self.noun

    def _ranks(self, state: DialogueState, allowed: np.ndarray, given: np.ndarray | None, said: Said) -> RankItems:
        """Return what ranks the allowed items, or some of them."""

        def ranks(width: int, only: Sequence[str] | None = None) -> Ranking:
            mask = allowed
            if only is not None:
                mask = np.zeros_like(allowed)
                mask[self.catalogue.indices(only)] = True
                mask &= allowed
            rankings = []
            for turn in turns(state, self.catalogue) or [Turn(mask)]:  # each by itself: none takes the whole list
                own = mask & turn.items
                most = min(width, turn.most or width, int(own.sum()))
                rankings.append(self._ranked(state, own, given, most, said) if most else Ranking(*_NOTHING))
            return interleaved(rankings, width)

        return ranks

    def _ranked(
        self, state: DialogueState, allowed: np.ndarray, given: np.ndarray | None, k: int, said: Said
    ) -> Ranking:
        """Rank by what was heard, or by history and preferences where the model has not learned to listen."""
        heard = self._heard(said)
        boosts = self.preferences(state) if heard is None else self._pointed(state)
        boosts = boosts if given is None else boosts + given
        history = self._history(state) if heard is None else np.array(said.known, np.int64)
        more = {} if heard is None else {"conversation": heard}
        (ranking,) = self.engine.rank(
            [history],
            k,
            torch.from_numpy(allowed)[None],
            state.query,
            None,
            boosts=boosts if boosts.any() else None,
            **more,
        )
        return ranking

    def _pointed(self, state: DialogueState) -> np.ndarray:
        """Return float [items]: the nats for what was said of places in a list, which the language model does not count."""
        return self._similarity_boosts(state.pointed)

    @staticmethod
    def _history(state: DialogueState) -> np.ndarray:
        return np.array(list(dict.fromkeys((*state.history, *state.anchors))), dtype=np.int64)

    def preferences(self, state: DialogueState) -> np.ndarray:
        """Return float [items]: the nats by which a conversation prefers items."""
        return state.gains(self.catalogue) + self._similarity_boosts(state.anchors)

    def _similarity_boosts(self, anchors: Sequence[int]) -> np.ndarray:
        """Return float [items]: nats for being like the anchors in content."""
        if self.vectors is None or not anchors:
            return np.zeros(len(self.catalogue))
        likeness = (self.vectors @ self.vectors[list(anchors)].T).mean(axis=1)
        likeness -= likeness.mean()
        return np.asarray(SIMILARITY_NATS * likeness / max(float(np.abs(likeness).max()), 1e-9))


def _filters(state: DialogueState) -> tuple[str, ...]:
    return tuple(told for told, _ in state.parts())
