"""Prompts and training examples: histories, catalogue and templates -> token ids, item positions and labels."""
