"""Histories, catalogue and templates -> what the language model reads."""
