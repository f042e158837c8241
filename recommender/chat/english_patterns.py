"""English as the conversation understands it: patterns over a message in which names, values and numbers are marked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recommender.justify.english import NEUTRAL

NUMBERS = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split(), start=1
    )
}
ORDINALS = {
    word: number
    for number, words in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th", "seventh 7th", "eighth 8th"), 1
    )
    for word in words.split()
} | {"last": -1, "ninth": 9, "9th": 9, "tenth": 10, "10th": 10}
DECADES = {
    word: str(1900 + 10 * tens)
    for tens, word in enumerate("twenties thirties forties fifties sixties seventies eighties nineties".split(), 2)
}
#: moods -> how many nats an item of a genre gains; whatever a catalogue does not have is left out
MOODS: Mapping[str, Mapping[str, float]] = {
    "lighter": {"comedy": 2, "children's": 1, "family": 1, "romance": 1, "musical": 1, "animation": 1}
    | {"horror": -2, "war": -2, "thriller": -1, "film-noir": -2, "drama": -1, "crime": -1},
    "darker": {"film-noir": 2, "crime": 2, "thriller": 2, "horror": 1, "war": 1, "comedy": -2, "children's": -2}
    | {"musical": -1, "animation": -1, "family": -2},
    "funnier": {"comedy": 3},
    "scarier": {"horror": 3, "thriller": 1},
    "romantic": {"romance": 3},
    "exciting": {"action": 2, "adventure": 2, "thriller": 2},
    "serious": {"drama": 2, "war": 1, "documentary": 1, "comedy": -2},
    "family": {"children's": 3, "animation": 2, "family": 3, "horror": -3, "crime": -2, "war": -2},
    "calmer": {"action": -2, "war": -2, "horror": -2, "thriller": -1, "drama": 1},
}
MOOD_WORDS = {
    "lighter": "lighter|light hearted|lighthearted|less heavy|less dark|less grim|less serious|more cheerful"
    "|happier|uplifting|feel good|not so (?:dark|heavy|serious)",
    "darker": "darker|grimmer|less light|bleaker|grittier|more sinister|more brooding",
    "funnier": "funnier|more funny|more humou?r|makes? me laugh|more laughs",
    "scarier": "scarier|more scary|creepier|more frightening|spookier",
    "romantic": "more romantic|more romance|a date night|for a date",
    "exciting": "more exciting|more action|faster paced|more thrilling|more suspense|livelier",
    "serious": "more serious|deeper|more thoughtful|more profound|less silly",
    "family": "(?:for|with) (?:the |my |our )?(?:kids|children|family)|family friendly|kid friendly|child friendly",
    "calmer": "calmer|less violent|less violence|quieter|gentler|more relaxed|slower",
}

_THINGS = (
    r"(?:\w+ )?(?:films?|movies?|titles?|items?|ones?|books?|songs?|games?|suggestions?"
    r"|recommendations?|picks?|options?|results?|ideas)"
)
_NOT = (
    r"(?:no|not|nothing|none|never|without|avoid(?:ing)?|except(?: for)?|excluding|exclude|hate"
    r"|dislike|skip|minus|ban|drop"
    r"|(?:do|does|did|can|could|would|should|wo|is|are) ?n?t|dont|cant|anything but|everything but"
    r"|other than|apart from|spare me"
    r"|leave out|rule out|stay away from|sick of|tired of|enough of|fed up with|allergic to|hold the)"
)
#: what a turn says that brings a picture and no words: the picture ranks, not these words
PICTURE_TURN = "show me something that looks like this picture"
#: words of courtesy, which say nothing of what is wanted
COURTESY = frozenset("hello thank thanks please good great nice sorry yes bye hey".split())
NEGATION = re.compile(rf"\b{_NOT}\b")
#: up to six words that neither start a new thought nor stand for anything
_GAP = r"(?: (?!but\b|just\b|only\b|instead\b|rather\b|please\b|i\b|give\b|show\b)[a-z]\w*){0,6}?"
_LIST = (
    r"<{0}\d+>(?:(?: films?| movies?| books?| songs?| games?| items?)?(?: ,)?(?: and| or"
    r"| nor)?(?: any| the| no)? <{0}\d+>)*"
)
_WHEN = r"(?:the )?(?:year |early |late |mid )?(\d{4})(s?)"


def _compiled(**patterns: str) -> dict[str, re.Pattern[str]]:
    return {
        name: re.compile(rf"\b(?:{pattern})" if pattern[0] != "<" else pattern) for name, pattern in patterns.items()
    }


#: read in this order; what one has matched is gone for the next
YEARS = _compiled(
    between=rf"between {_WHEN} and {_WHEN}|from {_WHEN} (?:to|until|till|through) {_WHEN}|{_WHEN} (?:to"
    rf"|through) {_WHEN}",
    not_before=rf"{_NOT}{_GAP} (?:before|older than|earlier than|prior to|pre) {_WHEN}",
    not_after=rf"{_NOT}{_GAP} (?:after|newer than|later than|younger than|more recent than|past|beyond|post) {_WHEN}",
    not_in=rf"{_NOT}{_GAP} (?:from|in|of|out of) {_WHEN}",
    onwards=rf"(?:from )?{_WHEN} (?:on|onwards?|or (?:later|newer|after)|and (?:later|newer|after|up))\b",
    up_to=rf"{_WHEN} (?:or (?:earlier|older|before)|and (?:earlier|older|before))\b",
    until=rf"(?:until|till|up to|at the latest|by|through) {_WHEN}",
    since=rf"(?:since|starting (?:in|from|with)|at least from|as of) {_WHEN}",
    before=rf"(?:before|older than|earlier than|prior to|pre|predat\w+) {_WHEN}",
    after=rf"(?:after|newer than|later than|younger than|more recent than|past|beyond|post|postdat\w+) {_WHEN}",
    within=rf"(?:from|in|of|during|made in|released in)? ?{_WHEN}\b",
)
ONLY = re.compile(rf"\bnothing but {_LIST.format('v')}")
NO_VALUE = re.compile(rf"\b{_NOT}{_GAP} {_LIST.format('v')}")
NO_VALUE_AFTER = re.compile(
    rf"{_LIST.format('v')} (?:(?:is|are) (?:out|off|no go|taboo)"
    r"|(?:isnt|arent|is not|are not) (?:for me|my thing|an option))\b"
    rf"|{_LIST.format('v')} free\b|\bkeep (?:the |any )?{_LIST.format('v')} (?:out|away|off)\b"
)
FINE_AGAIN = re.compile(rf"{_LIST.format('v')}(?: \w+)? (?:is|are) (?:fine|ok|okay|allowed|welcome)\b")
TASTE = re.compile(rf"\bi (?:really |also |usually |mostly )?(?:like|love|enjoy|prefer)(?: \w+)? {_LIST.format('v')}")
VALUE = re.compile(r"<v(\d+)>")
DISLIKED = re.compile(rf"\b(?:{_NOT}|hated|disliked){_GAP} {_LIST.format('t')}")
SEEN = re.compile(
    r"\b(?:watched|saw|seen|i(?: \w+)? (?:loved|liked|enjoyed|like|love|enjoy|read|played)"
    r"|favou?rites?(?: \w+){0,2} (?:is|are|was)"
    rf"|fan of)(?: (?!like\b)\w+){{0,3}}? {_LIST.format('t')}"
)
TITLE = re.compile(r"<t(\d+)>")
_ONE = r"<r-?\d+>(?: \w+)?"
NOT_RANK = re.compile(rf"\b(?:{_NOT}|hated|disliked){_GAP} {_ONE}")
SEEN_RANK = re.compile(rf"\b(?:watched|saw|seen|know) (?:already )?(?:the )?{_ONE}")
RANK = re.compile(r"<r(-?\d+)>")
RANK_NUMBER = re.compile(r"(?:\bnumber|\bno|#) (\d{1,2})\b")
SAME_DIRECTOR = re.compile(
    r"\b(?:by|from) (?:this|that|the same|its|the|his|her) (?:director|film ?maker)"
    r"|\bsame (?:director|film ?maker)|\b(?:this|that) director\b"
)
SAME_CAST = re.compile(
    r"\b(?:with|starring) (?:this|that|the same|its) (?:actors?|actress(?:es)?|cast|stars?)"
    r"|\bsame (?:actors?|cast|stars?)\b"
)
COUNT = re.compile(
    rf"\b(?:only|just|top|give me|show me|list|recommend|suggest|want|need|at most|no more than"
    rf"|maximum(?: of)?|make it)"
    rf"(?: me)?(?: the)?(?: top| best| only| just)? (\d{{1,2}})\b(?! \d)|\b(\d{{1,2}}) {_THINGS}\b"
)
SHORTER = re.compile(
    r"\b(?:short(?:er)?|small(?:er)?) (?:list|selection)|\bfewer\b|\bless (?:films|movies|of them"
    r"|items|suggestions)|\btoo many\b|\blist (?:is )?too long|\bcut (?:the|that|this) (?:list|down)"
    r"|\bshorten"
)
LONGER = re.compile(
    r"\b(?:long(?:er)?|bigger|larger) (?:list|selection)|\b(?:list )?too (?:few|short)\b"
    r"|\bmore (?:choices?|options)\b"
)
NEW = re.compile(
    r"\b(?:new to me|something new|(?:have ?nt|havent|never|not) (?:yet )?(?:seen|watched|heard of)"
    r"|i do ?n?t know|unseen|unknown to me|something else"
    r"|(?:other|different) (?:ones?|films?|movies?|suggestions?)|anything else|what else|others"
    r"|more (?:please|suggestions|films|movies)|show me more)\b"
)
RESET = re.compile(
    r"\b(?:start (?:over|again|afresh)|reset|from scratch|forget (?:everything|all|it all"
    r"|what i said)|clear (?:all|everything))\b"
)
ANY_YEAR = re.compile(
    r"\b(?:any year|any decade|years? (?:do|does) ?n?t matter|never mind the years?|regardless of (?:the )?year)\b"
)
WANTS = re.compile(
    r"\b(?:recommend\w*|suggest\w*|show|give|want|watch|looking for|something|anything|what (?:should"
    r"|next|else|now|can)|film|films|movie|movies"
    r"|list|surprise|next|pick|find|tonight|book|song|game|items?)\b"
)
#: words behind which a name is meant, even one of a single small word
BEFORE_NAME = frozenset(
    "like liked love loved watched saw seen enjoy enjoyed hated disliked than to of and or after called".split()
)
#: words of what people do with an item, behind which its name follows
DONE_WITH = frozenset("like liked love loved watched saw seen enjoyed hated disliked called than".split())
#: words behind which a capital at the beginning of a message is a name's
AFTER_NAME = frozenset("is was isnt wasnt".split())
ANY_KIND = re.compile(
    r"\b(?:any (?:genre|kind|sort|type)\b(?! of\b)|anything (?:goes|will do|is fine|works)|open to (?:anything|everything)"
    r"|whatever you (?:like|want|have)|surprise me instead)"
)
_REFUSES = r"(?<!\bnot )(?<!\bno )(?<!\bnothing )(?<!\bisnt )(?<!\barent )"
MOOD = {name: re.compile(rf"{_REFUSES}\b(?:{words})\b") for name, words in MOOD_WORDS.items()}
#: what is named stands in the place of what was asked for before: "no, a drama please", "a drama instead"
CORRECTS = re.compile(
    r"^ *(?:(?:oh|ah|hm+|er|um) )?(?:, )?(?:no|nope|nah|wait|sorry) [,.;:!]|\bi meant?\b|\binstead\b(?! of\b)"
)

#: questions back; what follows names whom they are about
_NOT_SHOWN = (
    r"(?:not|isnt|is not|is ?nt|wasnt|was not|arent|are not|no|havent you|have you not|didnt you|did you not|dont you"
    r"|do you not|wouldnt you|never|missing|left out|leave out)"
)
WHY = re.compile(
    r"\b(?:why|how come|what makes|what made|what brought|explain|for what reason"
    r"|(?:the|what) reasons? (?:for|behind|is|are))\b"
)
#: about the list as it is, naming nothing
WHY_THESE = re.compile(
    r"^ *(?:but |and |ok |so )?(?:why|how come|explain)(?: (?:these|this|those|that|it|them|so|is|are|do|did|would|you"
    r"|the|list|suggest\w*|recommend\w*|pick\w*|show\w*|chose|choose|me|to))*[ ?.!]*$"
)
WHY_NOT = re.compile(
    rf"\b(?:why|how come|for what reason|explain why)\b[^?.!]*\b{_NOT_SHOWN}\b|\bwhere (?:is|are)\b|\bwhat about\b"
)
_HAD_NOT = (
    r"(?:hadnt|had not|had never|have never|havent|have not|didnt|did not|never|without|not seen|not watched|forgets?"
    r"|forgot|ignored?|leave out|left out|takes? away|took away|removed?|skipped)"
)
_SUPPOSE = r"(?:what if|suppose|supposing|imagine|assume|assuming|if)"
WHAT_IF = re.compile(
    rf"\b(?:{_SUPPOSE}|what would|what happens|what changes|how would|would)\b[^?.!]*\b{_HAD_NOT}(?: \w+){{0,4}} <t\d+>"
    rf"|\b{_SUPPOSE}(?: \w+){{0,2}} <t\d+>(?: \w+){{0,3}} (?:not|isnt|wasnt|hadnt|didnt|werent|never|unseen|unknown)\b"
)
ABOUT = re.compile(r"<([tr])(-?\d+)>")
_NOT_MINE = r"(?:is ?nt|isnt|is not|s not|not) (?:really |quite )?(?:for me|my thing|my taste|my kind)"
NOT_FOR_ME = re.compile(
    rf"(?:{_ONE}|<t\d+>)(?: (?!but\b|and\b)\w+){{0,2}}? {_NOT_MINE}\b|\bnot for me :? ?(?:the )?(?:{_ONE}|<t\d+>)"
)

#: questions on what an item is, by what is asked; read only where an item is named or meant by "it"
TOPICS = {
    topic: re.compile(rf"\b(?:{pattern})")
    for topic, pattern in {
        "director": r"who (?:directed|made|filmed|is the director|was the director)|directed by who(?:m)?|which director",
        "cast": r"who (?:is|was|are|were|else is) in\b|who ?s in\b|who (?:stars?|starred|plays?|played|acts?|acted)\b"
        r"|(?:what|which) actors?|the cast of",
        "writer": r"who (?:wrote|is the author|was the author|is the writer)|written by who(?:m)?",
        "artist": r"who (?:sings|sang|performs|performed|recorded)\b|by which (?:band|singer|artist)",
        "year": r"when (?:was|did|were)\b[^?.!]*\b(?:made|released|out|published|recorded)\b|(?:what|which) year\b"
        r"|how old is\b|from when is\b",
        "runtime": r"how long (?:is|was|does|are)\b|(?:the )?(?:running time|runtime) of\b",
        "audience": r"(?:is|are|would|can)\b[^?.!]*\b(?:for|ok with|suitable for|okay for|ok for|fine for|good for|with)"
        r" (?:my |the |our |small |young |little |a )*(?:kids?|child(?:ren)?|(?:<v\d+>)|family|\d+ year)"
        r"|what is (?:it|(?:<[tr]-?\d+>)) rated|how is (?:it|(?:<[tr]-?\d+>)) rated|is it (?:too )?violent",
        "kind": r"what (?:kind|genre|type|sort) (?:of \w+ )?(?:is|was|are)\b|what genre\b|(?:which|what) genres\b",
        "language": r"(?:what|which) language\b",
        "country": r"(?:what|which) country\b|where was\b[^?.!]*\bmade\b",
        "about": r"what(?:s| is| was|re| are)?\b[^?.!]*\babout\b|(?:tell|say)(?: me| us)?(?: something| a bit| a little)?"
        r"(?: more)?(?: about)? (?:<[tr]|it\b|that\b|this\b)|tell me more\b|more about (?:<[tr]|it\b|that\b|this\b)"
        r"|the (?:plot|story) of\b|tell (?:me|us) (?:the |its )?(?:plot|story)\b"
        r"|describe (?:<[tr]|it\b|that\b)|(?:do you|what do you) know (?:of|about) (?:<[tr]|it\b)",
    }.items()
}
#: what such a question may be about where it names nothing
IT = re.compile(r"\b(?:it|that one|this one|that|this|that film|that movie|the film|the movie)\b|tell me more")
#: messages of nothing but courtesy
THANKS = re.compile(
    r"^ *(?:(?:ok|okay|great|perfect|cool|nice|awesome|alright|super|lovely|wonderful|good)\b[ ,.!]*)*"
    r"(?:thanks?|thank you|thx|cheers|bye|good ?bye|see you|that is all|thats all|youre welcome"
    r"|have a (?:nice|good|great))\b"
    r"|\b(?:kind|nice|helpful|sweet) of you\b|\b(?:thanks|thank you|goodbye|good bye|bye)[ .!]*$|\bmany thanks\b"
)
HELLO = re.compile(r"^ *(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon|day)|greetings|whats up|howdy|yo)\b")
#: whoever wants to know whom they talk to is told
PERSON = re.compile(
    r"\b(?:are you|r u|is this|am i (?:talking|speaking|chatting|writing) (?:to|with))(?: really| actually| just)?"
    r"(?: an?)?(?: real| actual| living)? (?:human|person|bot|robot|chatbot|machine|computer|program|ai|language model)\b"
)

#: whom something is for, which is not what it is
FOR_WHOM = frozenset(
    """mother mom mum father dad wife husband partner friend friends girlfriend boyfriend sister brother daughter son
    children family grandmother grandma grandfather grandpa aunt uncle boss colleague teacher niece nephew
    kid kids""".split()
)


def may_be_value(word: str) -> bool:
    """Whether a small word of a message may say what is wanted: it is no number, and claims, negates and asks nothing."""
    if not word.isalpha() or len(word) < 3 or word in NUMBERS or word in ORDINALS or word in DECADES:
        return False
    return word not in NEUTRAL | COURTESY | FOR_WHOM and not (NEGATION.fullmatch(word) or WANTS.fullmatch(word))
