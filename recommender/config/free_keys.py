"""Keys of the configuration that a model's weights do not depend on: they may change after the training."""

from __future__ import annotations

#: sections, and keys of others, that a model is not trained by
FREE = ("decoding", "justify", "serving", "update", "prompt.history", "prompt.titled", "prompt.titled_from")


def is_free(key: str) -> bool:
    """Return whether the weights of a model do not depend on what a dotted key says."""
    return any(key == free or key.startswith(f"{free}.") for free in FREE)
