"""The conversation of the demo: somebody without a history talks to the model."""

from __future__ import annotations

from collections.abc import Iterator

from recommender.chat.conversation import Chat
from recommender.chat.replies import Reply
from recommender.engine import Engine

SAID = ("my sister loved toy story, we want something funny for tonight", "no cartoons please, and nothing before 1990")
LISTED = 3


def demo_conversation(engine: Engine) -> Iterator[tuple[str, Reply]]:
    """Yield each message with what is replied to it."""
    chat, messages = Chat.of(engine), list[dict[str, str]]()
    for said in SAID:
        messages.append({"role": "user", "content": said})
        reply = chat.reply(messages, k=LISTED, explain=False)
        messages.append({"role": "assistant", "content": reply.text})
        yield said, reply
