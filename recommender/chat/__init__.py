"""Conversation: a person's own words become history, filters and state; hard ones are always met."""

from recommender.chat.conversation import Chat, ChatEngine, ChatItem, Message, Reply, sentence, worded
from recommender.chat.dialogue_state import DialogueState
from recommender.chat.reader import Reader, Reading

__all__ = [
    "Chat",
    "ChatItem",
    "Message",
    "ChatEngine",
    "Reader",
    "Reading",
    "Reply",
    "DialogueState",
    "sentence",
    "worded",
]
