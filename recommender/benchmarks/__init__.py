"""Benchmarks of speed, memory and exactness: decoder, trie, training loop and server, beside transformers and vLLM."""

FLOAT32, BFLOAT16, INT8, INT4 = "float32", "bfloat16", "int8", "int4"
FORMATS = (FLOAT32, BFLOAT16, INT8, INT4)
"""The formats of numbers that lists are compared in."""
