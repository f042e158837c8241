"""The checker: true sentences pass, every kind of false one fails."""

from __future__ import annotations

import time

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import ClaimChecker, Evidence, Influence, Verdict
from recommender.justify import checker as checker_module
from recommender.justify.evidence import shared_facts

FILMS = (
    ("Aliens", "1986", ("Action", "Sci-Fi"), "James Cameron", ("Sigourney Weaver", "Michael Biehn")),
    ("Alien", "1979", ("Horror", "Sci-Fi"), "Ridley Scott", ("Sigourney Weaver",)),
    ("Star Wars", "1977", ("Action", "Sci-Fi"), "George Lucas", ("Harrison Ford",)),
    ("Heat", "1995", ("Action", "Crime"), "Michael Mann", ("Al Pacino", "Robert De Niro")),
    ("Because", "1986", ("Drama",), "James Cameron", ()),
    ("Mr. Holland's Opus", "1995", ("Drama",), "Stephen Herek", ()),
    ("The Abyss", "1989", ("Sci-Fi", "Children's"), "James Cameron", ("Michael Biehn",)),
    ("Monkey Business (Reloaded)", "1986", ("Comedy",), "", ()),
)
ALIENS, ALIEN, STAR_WARS, HEAT, BECAUSE, OPUS, ABYSS, MONKEY = range(len(FILMS))


def film(number, title, year, genres, director, cast):
    facts = {"year": (year,), "genres": genres, "director": (director,) if director else (), "cast": cast}
    return Item(str(number), title, attributes={name: values for name, values in facts.items() if values})


CATALOGUE = Catalogue(film(number, *row) for number, row in enumerate(FILMS))
CHECKER = ClaimChecker(CATALOGUE)


def evidence(item, *others):
    influences = tuple(Influence(other, 1.0 / rank) for rank, other in enumerate(others, start=1))
    return Evidence(item, influences, shared_facts(CATALOGUE, item, others))


TWO = evidence(ALIENS, ALIEN, STAR_WARS)

TRUE = [
    (
        TWO,
        'Because you watched "Star Wars" and "Alien", "Aliens" (1986) is suggested: all of them are Sci-Fi films.',
    ),
    (TWO, "Because you watched 'Star Wars', both Sci-Fi like 'Aliens' (1986), try it."),
    (
        TWO,
        'Because you watched "Alien", you might like "Aliens", another science fiction film with Sigourney Weaver.',
    ),
    (TWO, "Because you watched Alien and Star Wars, you might like Aliens, which is Sci-Fi too."),
    (TWO, 'You\'ve watched "Alien" (1979), so "Aliens" (1986), a Sci-Fi film, may be a good next choice.'),
    (TWO, '"Aliens" is directed by James Cameron and fits your history, as you watched "Alien".'),
    (TWO, '"Aliens" (1986) shares the Sci-Fi genre with "Alien", starring Sigourney Weaver.'),
    (TWO, 'You saw "Star Wars", and "Aliens" is an Action film too!'),
    (TWO, "Because you watched “Alien”, we suggest “Aliens”, a Sci-Fi film."),
    (TWO, 'If you liked "Alien", you might also enjoy "Aliens", a sci-fi movie.'),
    (
        evidence(OPUS, BECAUSE),
        "Because you watched 'Because', we suggest 'Mr. Holland's Opus', a Drama directed by Stephen Herek.",
    ),
    (evidence(MONKEY, BECAUSE), 'Because you watched "Because", try "Monkey Business", a comedy: both are from 1986.'),
    (evidence(ALIENS), '"Aliens" is suggested: it is an Action film from the 1980s.'),
    (evidence(ALIENS), 'You might like "Aliens", which stars Michael Biehn.'),
]

FALSE = [
    # said of the wrong one
    (TWO, '"Alien" (1979) is a Horror and Sci-Fi film from 1979, like "Aliens" (1986).'),
    (TWO, '"Aliens" (1986) follows "Alien" and "Star Wars" well, because you watched it.'),
    (TWO, '"Aliens" (1986) is a Action film, like "Star Wars", which you watched.'),
    # the recommended film is not named
    (TWO, 'You saw "Alien", and this is a Sci-Fi film, just like "Star Wars", which you saw.'),
    # no reason: it is true, but nothing of the history stands in it
    (TWO, '"Aliens" (1986) is a Sci-Fi film.'),
    # titles
    (TWO, 'Because you watched "Heat", "Aliens" is suggested.'),
    (TWO, 'Because you watched "Alien", "Star Wars" is recommended like "Aliens".'),
    (TWO, 'Because you watched "Blade Runner", "Aliens" is suggested.'),
    (TWO, 'Because you watched Blade Runner, "Aliens" is suggested.'),
    (TWO, 'Because you watched "Aliens", "Alien" is suggested.'),
    (TWO, 'You watched "Alien" and "Aliens" as well.'),
    (TWO, 'You watched "Alien" and watched "Aliens".'),
    (TWO, 'You watched "Alien", and "Aliens".'),
    (TWO, 'Because you watched "Alien", you might like "Star Wars", so try it.'),
    (TWO, 'After "Aliens", try it.'),
    (TWO, 'With "Aliens" in your history, it fits like "Alien".'),
    (TWO, 'You watched "Alien" and recommended "Aliens".'),
    (TWO, '"Star Wars" is a Sci-Fi film, like "Aliens" and "Alien", which you watched.'),
    (TWO, '"Star Wars" goes well with "Aliens" and "Alien" from your history.'),
    (TWO, '"Alien" follows "Aliens" well, because both are Sci-Fi films.'),
    (TWO, 'Another of the Sci-Fi films for fans of "Aliens" is "Alien".'),
    # attributes
    (TWO, 'Because you watched "Alien", "Aliens" is suggested: both are Horror films.'),
    (
        TWO,
        'Because you watched "Star Wars" and "Alien", "Aliens" is suggested: all of them are Action films.',
    ),
    (TWO, 'Because you watched "Alien", "Aliens" is a Drama film.'),
    (TWO, 'Because you watched "Alien", "Aliens" is a Western film.'),
    (TWO, 'Because you watched "Alien", "Aliens" is a romantic film.'),
    (TWO, 'Because you watched "Alien", you might like "Aliens", another comedy.'),
    # years
    (TWO, 'Because you watched "Alien" (1986), "Aliens" is suggested.'),
    (TWO, 'Because you watched "Alien" (1980), "Aliens" is suggested.'),
    (TWO, 'Because you watched "Alien", "Aliens" (1979) is suggested.'),
    (TWO, 'Because you watched "Alien", "Aliens" (1980) is suggested.'),
    (TWO, 'Because you watched "Alien" (1970), "Aliens" is suggested.'),
    (TWO, 'Because you watched "Alien", "Aliens" is suggested: both are from the 1980s.'),
    (TWO, 'Because you watched "Alien", "Aliens" is suggested: both are from the 1990s.'),
    # people
    (TWO, '"Aliens" is directed by Ridley Scott, and you watched "Alien".'),
    (TWO, '"Aliens" is directed by Sigourney Weaver, and you watched "Alien".'),
    (TWO, '"Aliens" stars James Cameron, and you watched "Alien".'),
    (TWO, 'Because you watched "Alien", try "Aliens" by Michael Biehn.'),
    (TWO, 'Because you watched "Alien", try "Aliens" with Tom Hanks.'),
    (TWO, 'Because you watched "Alien", "Aliens" has the same director.'),
    (TWO, '"Aliens" and "Star Wars", which you watched, both star Sigourney Weaver.'),
    # the reader, and what nobody can verify
    (TWO, 'Because you loved "Alien", "Aliens" is suggested.'),
    (TWO, 'Because you bought "Alien", "Aliens" is suggested.'),
    (TWO, 'Because you are Sci-Fi, "Aliens" is suggested like "Alien".'),
    (TWO, 'Because you watched "Alien", "Aliens" is a thrilling suggestion.'),
    (TWO, 'Because you watched "Alien", "Aliens" is not a Sci-Fi film.'),
    (TWO, 'Because you watched "Alien", "Aliens" won three Oscars.'),
    (TWO, 'Because you read "Alien", "Aliens" is suggested.'),
    # form
    (TWO, 'Because you watched "Alien", "Aliens" is'),
    (TWO, 'because you watched "Alien", "Aliens" is suggested.'),
    (TWO, 'Because you watched "Alien", "Aliens" is suggested. It is Sci-Fi too.'),
    (TWO, 'Because you watched "Alien, "Aliens" is suggested.'),
    (TWO, 'Because you watched "Alien", "Aliens" is a Sci-Fi film, a Sci-Fi film, a Sci-Fi film.'),
    (TWO, 'Because you watched "Alien", "Aliens", "Aliens", "Aliens" is suggested.'),
    (TWO, 'Because because you watched "Alien", "Aliens" is suggested.'),
    (TWO, ""),
    (TWO, '"Aliens" is suggested.'),
    (TWO, 'You watched "Alien".'),
    (TWO, 'Because you watched "Alien",\n"Aliens" is suggested.'),
    # a resemblance that nothing shows
    (
        evidence(OPUS, ALIEN),
        'Because you watched "Alien", "Mr. Holland\'s Opus" is suggested: both share the same title.',
    ),
    # a cold start knows no history
    (evidence(ALIENS), 'Because you watched "Alien", "Aliens" is suggested.'),
]


def test_names_are_respelled_as_in_the_catalogue():
    told = 'You saw "alien" & “star wars”, so try "Mr Holland\'s opus", and "Nothing Known".'
    given, passed = evidence(OPUS, ALIEN, STAR_WARS), Verdict(True)
    exact = 'You saw "Alien" & “Star Wars”, so try "Mr. Holland\'s Opus", and "Nothing Known".'
    assert CHECKER.named_exactly(told, given, passed) == (exact, passed)
    right = 'Since you saw "Alien (1979)", try "Aliens" (1986).'
    assert CHECKER.named_exactly(right, TWO, passed) == (right, passed)


def test_claims_stand_where_they_say_also_in_a_respelled_sentence():
    sentence = 'Because you watched "ALIEN", try "Mr Holland\'s opus", which is a Drama directed by Stephen Herek.'
    given = evidence(OPUS, ALIEN)
    text, verdict = CHECKER.named_exactly(sentence, given, CHECKER.check(sentence, given, "films"))
    assert "Mr. Holland" in text and len(text) != len(sentence)
    told = [
        (text[c.start : c.end], c.items, c.fact) for c in verdict.claims if c.kind in ("title", "genres", "director")
    ]
    assert ("Alien", (ALIEN,), None) in told and ("Mr. Holland's Opus", (OPUS,), None) in told
    assert ("Drama", (OPUS,), ("genres", "Drama")) in told
    assert ("Stephen Herek", (OPUS,), ("director", "Stephen Herek")) in told


def test_a_value_is_claimed_of_those_who_have_it():
    sentence = (
        'Because you watched "Star Wars" and "Alien", "Aliens" (1986) is suggested: all of them are Sci-Fi films.'
    )
    claims = {sentence[c.start : c.end]: c for c in CHECKER.check(sentence, TWO).claims}
    assert claims["Sci-Fi"].items == (ALIENS, ALIEN, STAR_WARS) and claims["Sci-Fi"].fact == ("genres", "Sci-Fi")
    assert claims["1986"].items == (ALIENS,) and claims["1986"].fact == ("year", "1986")


@pytest.mark.parametrize(("given", "sentence"), TRUE, ids=range(len(TRUE)))
def test_true_sentences_pass_and_their_claims_stand_in_them(given, sentence):
    for claim in CHECKER.check(sentence, given, "films").claims:
        assert claim.kind in ("deed", "crowd", "form", "resemblance") or sentence[claim.start : claim.end] == claim.text
        assert sentence[claim.start : claim.end] == sentence[claim.start : claim.end].strip()
    verdict = CHECKER.check(sentence, given, "films")
    assert verdict.ok, verdict.reason
    assert all(claim.true for claim in verdict.claims)


@pytest.mark.parametrize(("given", "sentence"), FALSE, ids=range(len(FALSE)))
def test_false_sentences_fail(given, sentence):
    verdict = CHECKER.check(sentence, given, "films")
    assert not verdict.ok
    assert verdict.reason
    assert any(not claim.true for claim in verdict.claims)


def test_claims_are_listed_with_their_kinds():
    sentence = 'Because you watched "Alien", "Aliens" (1986) is a sci-fi film directed by James Cameron.'
    claims = {(claim.kind, claim.text) for claim in CHECKER.check(sentence, TWO, "films").claims}
    assert {("title", "Alien"), ("title", "Aliens"), ("year", "1986"), ("genres", "sci-fi")} <= claims
    assert {("director", "James Cameron"), ("role", "directed"), ("deed", "you watched")} <= claims


def test_the_noun_decides_what_people_did():
    sentence = 'Because you watched "Alien", "Aliens" by James Cameron is suggested.'
    assert CHECKER.check(sentence, TWO, "films").ok
    assert not CHECKER.check(sentence, TWO, "books").ok
    assert CHECKER.check(sentence.replace("watched", "read"), TWO, "books").ok
    assert CHECKER.check(sentence.replace("watched", "chose"), TWO, "candles").ok


def test_namesakes_are_told_apart_by_year():
    catalogue = Catalogue(
        [
            Item("1", "Hamlet", attributes={"year": ("1948",), "genres": ("Drama",)}),
            Item("2", "Hamlet", attributes={"year": ("1996",), "genres": ("Tragedy",)}),
        ]
    )
    checker, found = ClaimChecker(catalogue), Evidence(1, (Influence(0, 1.0),))
    assert checker.check('You watched "Hamlet" (1948), so try "Hamlet" (1996), a tragedy.', found, "films").ok
    assert not checker.check('Because you watched "Hamlet" (1996), "Hamlet" (1948) is suggested.', found, "films").ok
    assert not checker.check('"Hamlet" (1996) is a Drama film, and you watched "Hamlet" (1948).', found, "films").ok


def test_symbols_tell_names_apart():
    catalogue = Catalogue([Item("1", "Learn C++"), Item("2", "Learn C#"), Item("3", "Learn C")])
    checker, found = ClaimChecker(catalogue), Evidence(0, (Influence(1, 1.0),))
    assert checker.check('Because you chose "Learn C#", "Learn C++" is suggested.', found).ok
    assert not checker.check('Because you chose "Learn C", "Learn C++" is suggested.', found).ok


def test_first_sentence_ends_outside_names():
    text = 'Because you watched "Mr. Holland\'s Opus", it fits. And more.\nMore.'
    assert CHECKER.first_sentence(text) == 'Because you watched "Mr. Holland\'s Opus", it fits.'
    assert CHECKER.first_sentence("  no end ") == "no end"
    assert CHECKER.first_sentence("") == ""


def test_checking_is_fast():
    catalogue = Catalogue(
        Item(
            str(i),
            f"The Title Number {i}",
            attributes={"genres": (f"Kind {i % 50}",), "year": (str(1950 + i % 70),)},
        )
        for i in range(2000)
    )
    checker = ClaimChecker(catalogue)
    found = Evidence(1, (Influence(51, 1.0),), shared_facts(catalogue, 1, [51]))
    sentence = 'Because you chose "The Title Number 51", "The Title Number 1" is suggested: both are Kind 1 items.'
    assert checker.check(sentence, found).ok
    start = time.process_time()
    for _ in range(200):
        checker.check(sentence, found)
    assert (time.process_time() - start) / 200 < 0.005


def test_names_of_a_large_catalogue_are_indexed_when_a_text_is_first_checked(monkeypatch):
    monkeypatch.setattr(checker_module, "AT_ONCE_UP_TO", 1)
    catalogue = Catalogue([Item("1", "Hamlet", attributes={"genres": ("Drama",)}), Item("2", "Macbeth")])
    checker, found = ClaimChecker(catalogue), Evidence(0, (Influence(1, 1.0),))
    assert "vocabulary" not in vars(checker)
    withholding = checker.withholding({0: frozenset({("genres", "Drama")})})
    text = 'You watched "Macbeth", so try "Hamlet", a drama.'
    assert checker.check(text, found, "films").ok and not withholding.check(text, found, "films").ok
