"""Images and sounds in chat messages: speech becomes text, the last image becomes a preference for similar items."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np

from recommender.chat import Chat
from recommender.chat.english_patterns import PICTURE_TURN
from recommender.chat.media_queries import MediaQueries
from recommender.engine.background import check_stop
from recommender.server.schemas import ChatBody, ChatMessage

#: transcripts that are cached: clients send the sounds of earlier messages again with each request
CACHED_TRANSCRIPTS = 256


class MessageMedia:
    """Reads the images and sounds of one server's chats."""

    def __init__(self, conversation: Chat, media_queries: MediaQueries) -> None:
        """`conversation`: knows which words are likely to be spoken."""
        self.conversation, self.media_queries = conversation, media_queries
        self._transcripts: OrderedDict[str, str] = OrderedDict()

    def read_messages(self, chat: ChatBody) -> tuple[list[dict[str, str]], np.ndarray | None]:
        """Return the messages as text, and nats [items] for looking like the last message's last image.

        Images of earlier messages are not read again: they have had their effect. Raises DataError for what is not an
        image or not speech.
        """
        messages = [message for message in chat.messages if message.role in ("system", "user", "assistant")]
        texts = [{"role": message.role, "content": self._text(message)} for message in messages]
        images = messages[-1].images if messages else []
        return texts, self.media_queries.see(images[-1]) if images else None

    def _text(self, message: ChatMessage) -> str:
        texts = [message.text, *map(self._transcript, message.sounds)]
        return "\n".join(filter(None, texts)) or (PICTURE_TURN if message.images else "")

    def _transcript(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._transcripts:
            check_stop()
            self._transcripts[digest] = self.media_queries.hear(content, self.conversation.hint)
        self._transcripts.move_to_end(digest)
        while len(self._transcripts) > CACHED_TRANSCRIPTS:
            self._transcripts.popitem(last=False)
        return self._transcripts[digest]
