"""Measurements of speed and memory: the decoder, the trie and the training loop beside what else can be installed."""
