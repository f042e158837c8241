"""HTTP: OpenAI-compatible chat and ranked lists, over any engine."""
