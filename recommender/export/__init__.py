"""A checkpoint as ordinary folders: for transformers, and for vLLM."""
