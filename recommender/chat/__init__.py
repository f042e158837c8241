"""Conversation: a person's own words become history, filters and wishes; hard ones are always met."""

from recommender.chat.conversation import Chat, ChatItem, Message, Ranker, Reply, sentence, worded
from recommender.chat.reading import Reader, Reading
from recommender.chat.wishes import Wishes

__all__ = ["Chat", "ChatItem", "Message", "Ranker", "Reader", "Reading", "Reply", "Wishes", "sentence", "worded"]
