"""A checkpoint as ordinary folders: for transformers, and for vLLM."""

ITEMS = "items.json"
"""The file by which a folder of plain models is known."""
MARKER = "vllm.json"
"""The file by which a folder for vLLM is known."""
