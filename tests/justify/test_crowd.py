"""What others did: said where it was counted, in many wordings, and refused where it was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import ClaimChecker, Evidence, Style
from recommender.justify.evidence import shared_facts
from recommender.justify.planning import choose_template, make_outline, writing_prompt
from recommender.justify.templates import templates_of
from tests.justify.films import CATALOGUE, CHECKER, FILMS, evidence

ALIENS, ALIEN, RUNNER, MISSION, NOTHING = range(5)
#: "The Mission" shares nothing with the two films of the history
BOTH = replace(evidence(MISSION, ALIEN, RUNNER), companions=((ALIEN, 40), (RUNNER, 31)))
ONE = replace(BOTH, companions=((ALIEN, 40),))
NONE = replace(BOTH, companions=())


def crowd_claims(sentence, found=BOTH, checker=CHECKER):
    return [claim.true for claim in checker.check(sentence, found, "films").claims if claim.kind == "crowd"]


@pytest.mark.parametrize(
    "sentence",
    [
        'Many who watched "Alien" also watched "The Mission", a drama.',
        'Many people who watched "Alien" (1979) or "Blade Runner" also saw "The Mission" (1986).',
        'Of those who watched "Alien", many also watched "The Mission".',
        'Among people who watched "Alien" or "Blade Runner" from your history, many also watched "The Mission".',
        'Others who chose "Alien" also chose "The Mission".',
        'Because many who watched "Alien" also watched it, we suggest "The Mission".',
        'You watched "Alien", and many who watched it also watched "The Mission", a drama.',
        'You watched "Alien" and "Blade Runner", and many who watched either of them also watched "The Mission".',
        '40 people who watched "Alien" also watched "The Mission".',
        'Try "The Mission": 31 others who watched "Blade Runner" also watched it.',
    ],
)
def test_what_was_counted_may_be_said_and_nothing_else(sentence):
    assert CHECKER.check(sentence, BOTH, "films").ok, CHECKER.check(sentence, BOTH, "films").reason
    assert crowd_claims(sentence) == [True]
    assert not CHECKER.check(sentence, NONE, "films").ok and crowd_claims(sentence, NONE) == [False]


@pytest.mark.parametrize(
    "sentence",
    [
        # of too many
        'Everyone who watched "Alien" also watched "The Mission".',
        'Most people who watched "Alien" also watched "The Mission".',
        'All who watched "Alien" also watched "The Mission".',
        'All people who watched "Alien" also watched "The Mission".',
        'More people who watched "Alien" also watched "The Mission".',
        'Those who watched "Alien" also watched "The Mission".',
        'Of those who watched "Alien", all also watched "The Mission".',
        'Of those who watched "Alien", everyone also watched "The Mission".',
        # another number, or the number of one for both
        '41 people who watched "Alien" also watched "The Mission".',
        '31 people who watched "Alien" also watched "The Mission".',
        '40 people who watched "Alien" or "Blade Runner" also watched "The Mission".',
        # nobody counted who had both, and in what order
        'Many who watched "Alien" and "Blade Runner" also watched "The Mission".',
        'Many who watched "Alien" also watched "The Mission" next.',
        'After "Alien", many people also watched "The Mission".',
        # the other way round, of itself, or not of what is recommended
        'Many who watched "The Mission" also watched "Alien".',
        'Many who watched "Alien" also watched "Blade Runner", so try "The Mission".',
        'You watched "Alien", many who watched it also watched it, so try "The Mission".',
        'Many who watched "Alien" also watched "The Mission" (1986) and "Blade Runner".',
        'Many who watched "Alien" also watched "The Mission", a drama, and "Blade Runner".',
        'You watched "Alien": many who watched "Blade Runner" also watched it, so try "The Mission".',
        'Try "The Mission", as many who watched it also watched "The Mission", like you watched "Alien".',
        # what is not known of anybody
        'Many who liked "Alien" also liked "The Mission".',
        'You watched "Alien", and many people like "The Mission".',
        'You watched "Alien" and many others, so try "The Mission".',
        'You watched "Alien", so try "The Mission", as people do.',
    ],
)
def test_what_was_not_counted_is_refused(sentence):
    assert not CHECKER.check(sentence, BOTH, "films").ok


def test_all_that_are_named_must_be_companions():
    sentence = 'Many who watched "Alien" or "Blade Runner" also watched "The Mission".'
    assert CHECKER.check(sentence, BOTH, "films").ok and crowd_claims(sentence, ONE) == [False]
    either = 'You watched "Alien" and "Blade Runner", and many who watched either also watched "The Mission".'
    assert CHECKER.check(either, BOTH, "films").ok and crowd_claims(either, ONE) == [False]
    assert CHECKER.check('Many who watched "Alien" also watched "The Mission".', ONE, "films").ok


def test_nothing_shared_leaves_what_others_did():
    assert make_outline(BOTH, CHECKER, FILMS).crowd == (40, 31)
    assert make_outline(ONE, CHECKER, FILMS).others == (ALIEN,)
    assert make_outline(BOTH, CHECKER, Style("films", length="short")).crowd == (40,)
    assert make_outline(NONE, CHECKER, FILMS).crowd == () and make_outline(NONE, CHECKER, FILMS).own


def test_what_is_shared_goes_before_what_others_did():
    others = [Item(str(10 + n), f"Another {n}", attributes={"genres": ("Comedy",)}) for n in range(12)]
    catalogue = Catalogue([*CATALOGUE, *others])
    shared = Evidence(RUNNER, evidence(RUNNER, ALIEN).influences, shared_facts(catalogue, RUNNER, [ALIEN]))
    outline = make_outline(replace(shared, companions=((ALIEN, 40),)), ClaimChecker(catalogue), FILMS)
    assert outline.facts and outline.crowd == ()


@pytest.mark.parametrize("found", [BOTH, ONE, replace(evidence(NOTHING, ALIEN), companions=((ALIEN, 7),))])
@pytest.mark.parametrize("liked", [False, True])
def test_every_wording_is_true(found, liked):
    checker, style = ClaimChecker(CATALOGUE, liked=liked), replace(FILMS, liked=liked)
    outline = make_outline(found, checker, style)
    texts = {t.line: t.text for seed in range(8) for t in templates_of(CATALOGUE, outline, style, seed)}
    assert len(texts) >= 7 and {line.partition(".")[0] for line in texts} >= {"companions"}
    for text in texts.values():
        verdict = checker.check(text, found, "films")
        assert verdict.ok, (text, verdict.reason)
        assert [claim.kind for claim in verdict.claims].count("crowd") == 1
        assert not CHECKER.check(text, replace(found, companions=()), "films").ok


def test_lines_keep_their_numbers_whatever_is_said():
    """Lines are known by their numbers, so none may fall away between others."""
    of = {}
    for found in (BOTH, ONE, replace(evidence(NOTHING, ALIEN), companions=((ALIEN, 7),))):
        outline = make_outline(found, CHECKER, FILMS)
        for template in templates_of(CATALOGUE, outline, FILMS):
            of.setdefault(template.line, set()).add("either" in template.text or " it also " in template.text)
    assert all(len(kinds) == 1 for kinds in of.values()) and {"companions_own.0", "companions_counted.1"} <= set(of)


def test_the_prompt_tells_what_was_counted():
    for found, told in ((ONE, "40 people watched both"), (BOTH, 'Many who watched "Alien" or "Blade Runner"')):
        outline = make_outline(found, CHECKER, FILMS)
        assert told in writing_prompt(CATALOGUE, outline, FILMS, ("watched",))
    assert "eople" not in writing_prompt(CATALOGUE, make_outline(NONE, CHECKER, FILMS), FILMS, ("watched",))


def test_german_says_it_too():
    german = Style("films", language="de")
    assert "viele" in choose_template(BOTH, CHECKER, german)[1].text.casefold()
    texts = [t.text for t in templates_of(CATALOGUE, make_outline(BOTH, CHECKER, german), german)]
    assert all('"Alien" oder "Blade Runner"' in text for text in texts)


# --- what the reader did


@pytest.mark.parametrize("verb", ["liked", "loved", "enjoyed", "have loved"])
def test_only_those_who_rated_high_liked_it(verb):
    sentence = f'You {verb} "Alien", so try "Aliens".'
    found = evidence(ALIENS, ALIEN)
    assert not CHECKER.check(sentence, found, "films").ok
    assert ClaimChecker(CATALOGUE, liked=True).check(sentence, found, "films").ok
    assert not ClaimChecker(CATALOGUE, liked=True).check('You loved "Aliens", so try "Alien".', found, "films").ok
    assert CHECKER.check(sentence.replace(f"You {verb}", "If you liked"), found, "films").ok


def test_the_verb_follows_the_data():
    def told(style):
        outline = make_outline(NONE, CHECKER, style)
        cues = [template.cues for seed in range(20) for template in templates_of(CATALOGUE, outline, style, seed)]
        return {verb for chosen in cues for verb in ("liked", "loved", "enjoyed", "watched") if verb in chosen}

    assert told(FILMS) == {"watched"}
    assert told(replace(FILMS, liked=True)) == {"liked", "loved", "enjoyed", "watched"}


def test_a_title_of_such_words_is_no_claim():
    catalogue = Catalogue([Item("0", "Many People"), Item("1", "Everyone Says I Love You")])
    sentence = 'You watched "Everyone Says I Love You", so try "Many People".'
    found = Evidence(0, evidence(0, 1).influences)
    assert ClaimChecker(catalogue).check(sentence, found, "films").ok
