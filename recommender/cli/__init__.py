"""The command line: one module a group of commands, their options in `options`, what they print in `output` and `views`."""

from recommender.cli.starting import ended_quietly_by_interrupt

with ended_quietly_by_interrupt():
    from recommender.cli.command_line import app, main
    from recommender.cli.measuring_commands import ratings

__all__ = ["app", "main", "ratings"]
