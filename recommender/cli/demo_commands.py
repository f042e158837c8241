"""The command to try first."""

from __future__ import annotations

from recommender.cli.options import AsJson, Details, Quiet
from recommender.cli.output import print_json, print_view


def demo(details: Details = False, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Recommend films to a real user of MovieLens-100K.

    All of it, from raw media to checked justifications. The user is the one whose last films are known best.
    """
    from recommender.cli.inputs import step
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        with step(progress, "load the program"):  # torch takes seconds
            from recommender.chat.demo_conversation import demo_conversation
            from recommender.cli.result_views import demo_data, demo_view
            from recommender.pipelines.demo import run_demo
        result = run_demo(progress, talk=demo_conversation)
    if as_json:
        print_json(demo_data(result))
    else:
        print_view(*demo_view(result, details))
