"""Benchmarks of speed, memory and exactness: decoder, trie, training loop and server, beside transformers and vLLM."""
