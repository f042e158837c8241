"""Pictures and sounds that come with the messages of a chat: what is said becomes text, the last picture a preference."""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from recommender.chat import Chat
from recommender.chat.media_queries import MediaQueries
from recommender.errors import DataError
from recommender.server.schemas import ChatBody, Message

#: what was said in the sounds of earlier turns, which clients send again with each message
REMEMBERED = 256
LOOKS = "show me something that looks like this picture"


class MessageMedia:
    """The senses of one server."""

    def __init__(self, conversation: Chat, senses: MediaQueries) -> None:
        """`conversation`: knows what is likely to be said."""
        self.conversation, self.senses = conversation, senses
        self._known: OrderedDict[str, str] = OrderedDict()

    def turns(self, chat: ChatBody) -> tuple[list[dict[str, str]], np.ndarray | None]:
        """Return the messages as text, and nats [items] for looking like the picture of the last one.

        Pictures of earlier turns have had their effect. Raises DataError for what is no picture and no speech.
        """
        kept = [m for m in chat.messages if m.role in ("system", "user", "assistant")]
        turns = [{"role": m.role, "content": self._text(m)} for m in kept]
        pictures = kept[-1].pictures if kept else []
        return turns, self._seen(pictures[-1]) if pictures else None

    def _text(self, message: Message) -> str:
        text = "\n".join(part for part in [message.text, *map(self._heard, message.sounds)] if part)
        return text or (LOOKS if message.pictures else "")

    def _seen(self, content: bytes) -> np.ndarray:
        with _file(content, "picture") as path:
            return self.senses.see(path)

    def _heard(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._known:
            with _file(content, "sound") as path:
                self._known[digest] = self.senses.hear(path, self.conversation.hint)
        self._known.move_to_end(digest)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return self._known[digest]


@contextmanager
def _file(content: bytes, what: str) -> Iterator[Path]:
    """Yield a file of this content; errors speak of it as `what`."""
    with tempfile.TemporaryDirectory(prefix="recommender-") as folder:
        path = Path(folder) / what
        path.write_bytes(content)
        try:
            yield path
        except DataError as error:
            raise DataError(error.message.replace(str(path), f"the {what}"), error.hint) from None
