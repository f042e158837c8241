"""More phrases for made-up conversations, written by the base model and filtered.

The base is shown how a few phrases of a group say the same, and says it once more. Kept is what still names what the phrase
names, exactly once, names nothing else, means nearly the same by a sentence encoder, and is new.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from recommender import prompts
from recommender.config import BaseConfig
from recommender.conversations.phrases import phrases_of
from recommender.encoders.text import TextEncoder
from recommender.files import write_text
from recommender.model.language_model import load_llm
from recommender.progress import Progress

#: groups whose phrases are written anew: those in which a seeker says what they want or think
WRITTEN = (
    "conditions",
    "tastes",
    "refusals",
    "likes",
    "similar",
    "dislikes",
    "people",
    "themes",
    "quotes",
    "known_before",
)
#: what stands in the places of a phrase while the base writes: words that it keeps
_EXAMPLES = {"kind": "western", "name": "Casablanca", "person": "Grace Kelly", "theme": "pirates", "noun": "film"}
_EXAMPLES |= {"nouns": "films", "quote": "a boy who finds a map"}
_SHOWN, _TOKENS, _TEMPERATURE = 6, 24, 0.9
_FEWEST_WORDS, _MOST_WORDS, _LEAST_ALIKE, _MOST_ALIKE = 2, 16, 0.6, 0.985
_PLACE = re.compile(r"\{(\w+)\}")
_ALLOWED = re.compile(r"^[\w{}'’,.!?\- ]+$")


def write_phrases(
    path: Path,
    base: BaseConfig,
    encoder: str = "all-minilm-l6-v2",
    rounds: int = 20,
    language: str = "en",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write a YAML file of phrases by group; returns how many each has. `rounds`: how often a group is continued."""
    llm, tokenizer = load_llm(base, progress)
    sentences, known = TextEncoder(encoder), phrases_of(language)
    torch.manual_seed(seed)
    found: dict[str, list[str]] = {}
    for number, group in enumerate(WRITTEN, 1):
        own = [phrase for phrase in known.group(group) if len(_PLACE.findall(phrase)) >= 1]
        drafts = [draft for _ in range(rounds) for draft in _drafts(llm, tokenizer, own)]
        found[group] = _kept(drafts, own, sentences)
        if progress:
            progress("writing phrases", number, len(WRITTEN))
    write_text(path, yaml.safe_dump(found, allow_unicode=True, sort_keys=False, width=120))
    return {group: len(phrases) for group, phrases in found.items()}


@torch.no_grad()
def _drafts(llm: Any, tokenizer: Any, phrases: Sequence[str]) -> list[str]:
    """Return what the base says after a few phrases of one group."""
    order = torch.randperm(len(phrases))[:_SHOWN].tolist()
    shown = "\n".join(f"- {_filled(phrases[place])}" for place in order)
    text = prompts.render_block("phrases", "more", shown=shown)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).to(llm.device)
    written = llm.generate(
        **ids,
        max_new_tokens=_TOKENS,
        do_sample=True,
        temperature=_TEMPERATURE,
        top_p=0.95,
        num_return_sequences=8,
        pad_token_id=tokenizer.eos_token_id,
    )
    texts = tokenizer.batch_decode(written[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    return [line.strip(" -\"'") for text in texts for line in text.splitlines()[:1]]


def _filled(phrase: str) -> str:
    return _PLACE.sub(lambda match: _EXAMPLES.get(match[1], match[1]), phrase)


def _kept(drafts: Sequence[str], phrases: Sequence[str], encoder: TextEncoder) -> list[str]:
    """Return the drafts that say what phrases of a group say, with their places open again."""
    place = next(name for name in _PLACE.findall(phrases[0]) if name not in ("noun", "nouns"))
    wanted = _EXAMPLES[place]
    own, kept = {_filled(phrase).casefold() for phrase in phrases}, dict[str, str]()
    for draft in drafts:
        words = draft.split()
        new = draft.casefold() not in own and draft.casefold() not in kept
        whole = draft.count(wanted) == 1 and _FEWEST_WORDS <= len(words) <= _MOST_WORDS
        if new and whole and _ALLOWED.match(draft):
            kept[draft.casefold()] = draft
    if not kept:
        return []
    told, texts = encoder.encode([_filled(phrase) for phrase in phrases]), list(kept.values())
    alike = (encoder.encode(texts) @ told.T).max(1)
    return [
        _opened(text, place, wanted)
        for text, likeness in zip(texts, alike.tolist(), strict=True)
        if _LEAST_ALIKE <= likeness <= _MOST_ALIKE
    ]


def _opened(text: str, place: str, wanted: str) -> str:
    """Return a text with a place where the example stood."""
    text = text.replace(wanted, f"{{{place}}}")
    return re.sub(r"\bfilms\b|\bmovies\b", "{nouns}", re.sub(r"\bfilm\b|\bmovie\b", "{noun}", text))
