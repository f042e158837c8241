"""Which language a message is in: what a model did not learn to read must be said, not guessed at."""

from __future__ import annotations

from functools import cache
from typing import Any

#: languages that are told apart; more would be found in short messages by mistake
KNOWN = {
    "en": "English",
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
#: nats by which another language must be likelier than those that are read, and letters of the shortest message
_LIKELIER, _SHORTEST = 6.0, 12
_MOST = 1000


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(KNOWN))
    return identifier


def foreign_language(text: str, read: tuple[str, ...]) -> str | None:
    """Return the name of the language of a message that is in none of the languages `read`; None in doubt."""
    text = text[:_MOST]
    letters = [char for char in text if char.isalpha()]
    own_script = sum(ord(char) > 0x24F for char in letters) > len(letters) / 2
    if not letters or (len(letters) < _SHORTEST and not own_script):
        return None
    scores = dict(_identifier().rank(text))
    best = max(scores, key=lambda code: scores[code])
    likeliest_read = max((scores[code] for code in read if code in scores), default=-float("inf"))
    return KNOWN[best] if best not in read and scores[best] - likeliest_read > _LIKELIER else None
