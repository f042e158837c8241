"""Conversations of real people: cases with known recommendations, and plain signals that a listening model must beat."""
