"""Renders conversations by a base's chat template, also by one that knows no system role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from recommender.errors import ConfigError

Message = Mapping[str, str]
_SYSTEM, _USER = "recommend-system-probe", "recommend-user-probe"
_takes_system: dict[str, bool] = {}


def render_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool = True
) -> str:
    """Return the text of messages with `role` and `content`.

    Where a template knows no system role, or drops it, what the system says begins the first turn of the user. Raises
    ConfigError if the template cannot render the messages.
    """
    if not takes_system(tokenizer):
        messages = folded(messages)
    try:
        return _rendered(tokenizer, messages, add_generation_prompt)
    except TemplateError as error:
        raise ConfigError(
            f"base.llm: its chat template cannot render a conversation ({next(iter(str(error).splitlines()), error)})",
            "use an instruction-tuned model whose template has the roles user and assistant",
        ) from None


def takes_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template of a tokenizer renders what the system says."""
    key = str(tokenizer.chat_template)
    if key not in _takes_system:
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
        try:
            text = _rendered(tokenizer, messages, True)
        except TemplateError:
            text = ""
        _takes_system[key] = _SYSTEM in text and _USER in text
    return _takes_system[key]


def folded(messages: Sequence[Message]) -> list[Message]:
    """Return messages of user and assistant in turn: the system's words begin the first of the user's."""
    turns: list[dict[str, str]] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = f"{turns[-1]['content']}\n\n{message['content']}"
        else:
            turns.append({"role": role, "content": message["content"]})
    return list(turns)


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool) -> str:
    text = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=add_generation_prompt, strftime_now=_no_clock
    )
    return str(text)


def _no_clock(form: str) -> str:
    """Stand in for the day, which some templates tell: a list must not depend on when it is asked for."""
    return "01 January 2025"
