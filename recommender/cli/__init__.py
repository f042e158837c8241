"""The command line: one module a group of commands, what they share in `shared`. Nothing else prints."""

from recommender.cli.commands import app, main, ratings

__all__ = ["app", "main", "ratings"]
