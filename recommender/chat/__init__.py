"""Conversation: a person's own words become history, filters and state; hard ones are always met."""

from recommender.chat.conversation import Chat, ChatEngine
from recommender.chat.dialogue_state import DialogueState
from recommender.chat.reader import Reader, Reading
from recommender.chat.replies import ChatItem, Reply, sentence, worded
from recommender.chat.said import Message

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
