"""A cross-check of how values are meant: the words around a mention that leave no doubt, such as "without" or "not only".

The language model reads what is said; a small one misses refusals in words that it has not learned. Where the words around a
value are unmistakable, they decide. Where they are not, nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from recommender.chat.reader import Reading
from recommender.conversations.mentions import Mention
from recommender.conversations.wishes import ASKED, FREE, MUST, NOT, NOTHING, OR, SIMILAR, WISH

_NO = (
    r"(?:no|not|non|nothing|none|never|without|except|excluding|minus|avoid\w*|skip|ban|spare us|spare me"
    r"|hates?|hated|detests?|loathes?|dislikes?|despises?|cannot"
    r"|(?:ca|wo|do|does|did|could|should|would|is|are|was)nt(?! (?:decide|wait|stop|choose|go wrong))"
    r"|anything but|everything but|other than|apart from|leave out|leaves? aside|rule out|stay away from|steer clear of"
    r"|(?:sick|tired|bored|afraid|scared|weary) (?:of|by)|fed up with|allergic to|enough|do without|less|rather not"
    r"|hold the)"
)
#: words of a message in which a refusal would be seen
_FEW_WORDS = 8
#: words that start a new thought: what was refused before them is not refused behind them
_TURN = r"(?!(?:but|just|instead|rather|please|i want|give|show|though|however|mind|because)\b)"
_GAP = rf"(?: {_TURN}[a-z0-9]+){{0,5}}"
_ONLY = r"(?:only|just|solely|merely|necessarily|exclusively|strictly|always)"
_FREE_BEFORE = re.compile(
    rf"\b(?:not|\w+nt)(?: [a-z]+){{0,3}}? {_ONLY}(?: [a-z]+){{0,2}}$"
    r"|\b(?:need not|neednt|no need for|not required|(?:does|do|did)(?: not|nt) (?:have|need) to|has not to|must it)"
    r"(?: [a-z]+){0,3}$"
    r"|\b(?:forget|never mind|scrap)(?: about| the){0,2}$|\b(?:ignore|disregard)(?: [a-z]+){0,5}$"
    r"|\b(?:fine|ok|okay|alright|all right|happy|cool) with(?: [a-z]+)?$"
)
_FREE_AFTER = re.compile(
    r"^(?: [a-z]+){0,2}? (?:is|are|was|were|be|would|might|may|can|could|will|s)\b(?: [a-z]+){0,3}? "
    r"(?:fine|ok|okay|alright|right|allowed|welcome|acceptable|good|possible)\b"
    r".*\b(?:after all|too|again|now|as well|then)\b"
    r"|^ (?:again|after all|back in)\b"
    r"|^(?: [a-z]+)? (?:was|were) (?:only|just) (?:an? )?(?:idea|suggestion|thought|example)\b"
)
_MIND_AFTER_ALL = re.compile(r"\b(?:do not|dont|would not|wouldnt) mind(?: [a-z]+){0,2}$")
_NOT_BEFORE = re.compile(rf"\b{_NO}{_GAP}$")
_NOT_AFTER = re.compile(
    r"^(?: [a-z]+)? (?:is|are|was) (?:out|off|no go|taboo|boring|not (?:for|my|our|what|an))\b"
    r"|^(?: [a-z]+)? (?:isnt|arent|bores?|scares?|leaves?)\b|^ ?, no$"
)
_OR = re.compile(r"^ ?,? ?(?:or|/)(?: else| maybe| perhaps| rather| some| a| an| even| possibly| something){0,2}$")
_LIST = re.compile(r"^ ?(?:,|and|or|nor|/|&)?(?: and| or| nor)?(?: any| the| no| a| an)?$")
_MUST_BEFORE = re.compile(
    r"\b(?:nothing but|none but|insists? on|insisted on|demands?|demanded|(?:ask|asks|asked) for|settled on|has to be"
    r"|must be)(?: [a-z]+){0,2}$"
    r"|(?<!not)(?<!nt) (?:only|just)(?: (?:want|watch|like|take|accept|enjoy|see)(?:s|es|ed)?| an?| some){0,2}$"
)
_REQUEST_BEFORE = re.compile(
    r"\b(?:wants?|need|looking for|search(?:ing)? for|give (?:me|us)|show (?:me|us)|find (?:me|us)|recommend|suggest|any"
    r"|some|in the mood for|feel like)(?: (?:me|us|an?|some|any|good|great|nice|recent|more|old|new|something|bit of)){0,3}$"
)
_NOUN_AFTER = re.compile(r"^ (?:(?!that\b|i\b)[a-z]+ )?(?:films?|movies?|flicks?|ones?|pictures?)\b")
_TASTE = re.compile(
    r"\b(?:likes?|loves?|enjoys?|prefers?|preferably|into|fans?|favou?rites?|usually|mostly|maybe|perhaps|rather|possible"
    r"|ideally|loved|liked|enjoyed)\b"
)
#: children who ask for something are people, not a kind
_PEOPLE = re.compile(r"\b(?:the|my|our|her|his|their|your|two|three)(?: [a-z]+)?$")
_CHILDREN = re.compile(r"^(?:kids?|child(?:ren)?|boys?|girls?|son|daughter|family|families)$")
_VERB = re.compile(
    r"^ (?:are|is|was|were|(?:want|ask|like|love|hate|prefer|enjoy|insist|need|vote)(?:s|d|ed)?|would|can|cant|dont|do|will"
    r"|chose|says?|said|and i)\b"
)


NOTHING_READ = Reading()


#: words by which a message reacts to what was suggested before, without its name
_REACTION = re.compile(
    r"\b(?:it|its|that|this|them|those|these|they|both|all|none|neither|either|ones?|first|second|third|last|seen|saw|watch\w*"
    r"|lov\w+|lik\w+|enjoy\w*|hat\w+|favou?rites?|know|knew|great|good|awesome|perfect|boring|bad|awful|already|yes|yeah|yep|thanks?"
    r"|others?|another|else|more)\b"
)


@dataclass(frozen=True)
class Meaning:
    """How a mention is meant, and how sure the model is, from 0 to 1."""

    mention: Mention
    meant: str
    sure: float


def checked(
    text: str, mentions: Sequence[Mention], meanings: Sequence[Meaning], asks: bool, rules: Reading = NOTHING_READ
) -> list[Meaning]:
    """Return meanings with those changed that the words around them contradict.

    `mentions`: of the message; meanings of others, suggested before, stay if the message can be about them. `asks`: whether
    the message asks for a fact; where it does not, nothing is asked of its items: others like them are wanted. `rules`: what
    patterns read, which is believed where the model takes a refusal for something else, or a request for a refusal.
    """
    found: list[Meaning] = []
    last_cue, last_before = None, ""
    own = {mention: place for place, mention in enumerate(mentions)}
    # a message of conditions alone, "no cartoons", says nothing of what was suggested
    only_conditions = bool(mentions) and all(mention.facts for mention in mentions)
    reacts = not only_conditions or bool(_REACTION.search(text.casefold()))
    for meaning in meanings:
        if meaning.mention not in own:
            found.append(meaning if reacts else replace(meaning, meant=NOTHING))
            continue
        if not meaning.mention.facts:
            wanted = meaning.meant in (ASKED, NOTHING) and not asks and bool(meaning.mention.items)
            found.append(replace(meaning, meant=SIMILAR) if wanted else meaning)
            continue
        place = own[meaning.mention]
        behind = _clauses(text[mentions[place - 1].end if place else 0 : meaning.mention.start])
        after = _clauses(text[meaning.mention.end : mentions[place + 1].start if place + 1 < len(mentions) else None])[
            0
        ]
        previous = found[-1] if place and found and found[-1].mention == mentions[place - 1] else None
        listed = previous is not None and bool(previous.mention.facts) and len(behind) == 1
        cue = _cue(meaning.mention, behind[-1], after)
        if cue is None and listed and previous is not None:
            cue = _in_list(previous, last_cue, last_before, behind[-1])
            if cue == OR and previous.meant == meaning.meant == WISH:
                cue = None  # a taste for either
            elif cue == OR and (previous.meant in (WISH, NOTHING, FREE) or last_cue is None):
                found[-1] = replace(previous, meant=MUST)
        if cue is None and meaning.meant == NOT and _OR.match(after):
            cue = MUST
        if cue is None:
            is_short = len(text.split()) <= _FEW_WORDS and not _TASTE.search(behind[-1])
            cue = _by_rules(meaning, rules, is_short)
        if cue is None and meaning.meant in (WISH, NOTHING) and _is_request(behind[-1], after):
            cue = MUST
        found.append(meaning if cue is None else replace(meaning, meant=cue))
        last_cue, last_before = cue, behind[-1]
    return found


def _cue(mention: Mention, before: str, after: str) -> str | None:
    """Return what the words before and after a value say of it; None where they say nothing."""
    if _CHILDREN.match(mention.text.casefold()) and _PEOPLE.search(before) and _VERB.match(after):
        return NOTHING
    if _MUST_BEFORE.search(before) or before.endswith((" between", " among")):
        return MUST
    if _FREE_BEFORE.search(before) or _FREE_AFTER.match(after) or _MIND_AFTER_ALL.search(before):
        return FREE
    return NOT if _NOT_BEFORE.search(before) or _NOT_AFTER.match(after) else None


def _by_rules(meaning: Meaning, rules: Reading, is_short: bool) -> str | None:
    """Return what patterns read of a value. A request is believed where the message is too short for hidden refusals."""
    facts = set(meaning.mention.facts)
    if any(facts & set(group) for group in rules.without):
        return NOT
    asked_for = any(facts & set(group) for group in rules.only)
    return MUST if asked_for and is_short and meaning.meant in (NOT, FREE, WISH, NOTHING) else None


def _is_request(before: str, after: str) -> bool:
    """Whether a value is asked for in so many words: what somebody wants to see is a condition, what they like is none."""
    if _TASTE.search(before):
        return False
    return bool(_REQUEST_BEFORE.search(before) or _NOUN_AFTER.match(after))


def _in_list(previous: Meaning, cue: str | None, before: str, between: str) -> str | None:
    """Return what a value is that is listed behind another: as refused as that one, or an alternative to it.

    `cue`: what words said of that one; `before`: the words before it.
    """
    if cue in (NOT, FREE) and between and _LIST.match(between):
        return cue
    chosen_from = before.endswith((" between", " among")) and between == " and"
    return OR if chosen_from or (_OR.match(between) and (previous.meant != NOT or cue == MUST)) else None


def _clauses(text: str) -> list[str]:
    """Return the clauses of a text, one at least: words and commas in lower case, one space before each."""
    clauses = re.split(r"[.!?;:]", re.sub(r"['’]", "", text.casefold()))
    return ["".join(f" {word}" for word in re.findall(r"[a-z0-9]+|[,/&]", clause)) for clause in clauses]
