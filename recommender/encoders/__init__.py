"""Frozen encoders: what items say, show and sound like, as vectors. Import from the modules themselves."""
