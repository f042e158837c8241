"""Studies that people judge: are justifications true and telling, how well do they explain? Blind sheets and marks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import open_model, sampled_histories
from recommender.cli.options import AsJson, Items, Model, Quiet, Seed
from recommender.cli.output import print_json, print_note, print_plain_note, print_rows, print_text
from recommender.errors import ConfigError


def justifications(
    model: Model,
    output: Annotated[Path, typer.Option(help="folder for the figures, the texts, the report and the blind sheet")],
    users: Annotated[int, typer.Option(help="users whose lists are justified", min=1)] = 20,
    k: Annotated[int, typer.Option(help="items a user", min=1)] = 10,
    against: Annotated[
        str | None, typer.Option(help="a second model, or `plain`: both stand on a blind sheet", metavar="MODEL")
    ] = None,
    pairs: Annotated[int | None, typer.Option(help="pairs on the blind sheet; default: all that differ", min=1)] = None,
    seed: Seed = 0,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read justifications: are they true, do they tell something, in how many patterns, in what English?

    With --against two systems justify the same items, and a blind sheet lets a person choose: see `study preference`.
    """
    from recommender.progress import progress_bars
    from recommender.studies.justifications import study_justifications
    from recommender.studies.reading_report import PLAIN, compare, headline, write_study

    if against not in (None, PLAIN):
        early_checks.present_model(against)
    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        print_plain_note(engine)
        histories = sampled_histories(engine, users)
        study = study_justifications(engine, histories, k, progress)
        systems, sheet = {model: (study.measures, study.of_users)}, None
        if against is not None:
            other = None if against == PLAIN else open_model(against, items, progress)
            name = against if against != model else f"{against} again"
            compared = compare(engine, study, histories, (model, name), other, seed, pairs, progress)
            systems[name], sheet = (compared.measures, compared.of_users), compared.sheet
    about = {"model": model, "against": against, "users": len(histories), "k": k, "seed": seed}
    metrics = write_study(output, engine.catalogue, about, systems, sheet, engine.setup.companions)
    if as_json:
        print_json(metrics)
        return
    for name, (measures, _) in systems.items():
        print_rows([{"measure": label, "value": value} for label, value in headline(measures).items()], name)
        if reason := measures["grammar"].get("not measured"):
            print_note(f"grammar is not measured: {reason}")


def explanations(
    model: Model,
    output: Annotated[
        Path, typer.Option(help="folder for the sheets and the report", callback=early_checks.output_folder)
    ],
    users: Annotated[int, typer.Option(help="users whose lists are explained", min=1)] = 10,
    k: Annotated[int, typer.Option(help="items a user", min=1)] = 3,
    against: Annotated[
        list[str] | None,
        typer.Option(help="`plain`, `none` or a second model; may be repeated; default: plain", metavar="MODEL"),
    ] = None,
    readers: Annotated[int, typer.Option(help="people who will mark a sheet each", min=1)] = 10,
    people: Annotated[int, typer.Option(help="simulated people for what adapting brings; 0: none", min=0)] = 36,
    seed: Seed = 0,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Have people judge explanations, and see if adapting helps.

    Writes a blind sheet with five scales for each reader (transparency, effectiveness, persuasion, trust, satisfaction):
    see `study scales`. In simulation, people mark what they find helpful, and explanations follow.
    """
    from recommender.progress import progress_bars
    from recommender.studies import explanations as study

    names = list(dict.fromkeys(against or [study.PLAIN]))
    models = [name for name in names if name not in (study.PLAIN, study.NONE)]
    for name in models:
        early_checks.present_model(name)
    if readers < 1 + len(names):
        raise ConfigError(f"{readers} readers for {1 + len(names)} systems", "some texts would be read by nobody")
    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        print_plain_note(engine)
        others = {name: open_model(name, items, progress) if name in models else None for name in names}
        explained = study.explained_items(model, engine, others, sampled_histories(engine, users), k, progress)
        adaptation = study.simulate(engine, sampled_histories(engine, people), seed, progress) if people else None
    metrics = study.write_explanations(output, explained, readers, seed, adaptation)
    if as_json:
        print_json(metrics)
        return
    print_text(f"{len(explained)} items on {readers} sheets: {output / study.SHEETS}")
    if adaptation is not None:
        print_rows(study.adaptation_rows(adaptation), f"{people} simulated people: {output}")


def scales(
    sheets: Annotated[Path, typer.Argument(help="the folder `sheets` of `study explanations`, marked")],
    page: Annotated[
        Path | None,
        typer.Option(help="also write tables and plots to this HTML file", callback=early_checks.output_file),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Read marked sheets: how people judge each system.

    A mean for each of five scales, with its interval over the readers, and the difference to the first system.
    """
    from recommender.eval.scales import read_marks
    from recommender.files import write_bytes
    from recommender.pages import report_html
    from recommender.studies.explanations import scale_rows, scales_report

    read = read_marks(sheets, seed)
    if page is not None:
        write_bytes(page, report_html(scales_report(read)).encode())
    if as_json:
        print_json(read)
        return
    print_rows(scale_rows(read), f"{read['readers']} readers")
    if read["few"]:
        print_note("few readers: the intervals are narrower than they should be")


def preference(
    sheet: Annotated[Path, typer.Argument(help="a marked sheet of `study justifications`: CSV or JSON lines")],
    key: Annotated[Path | None, typer.Option(help="its key; default: key.json beside it")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a marked blind sheet: which system is preferred, with a sign test and its interval."""
    from recommender.eval.blind_sheet import preference as read_preference

    told = read_preference(sheet, key or sheet.with_name("key.json"))
    if as_json:
        print_json(told)
        return
    first, second = told["systems"]
    rows = [{"preferred": name, "pairs": count} for name, count in told["preferred"].items()]
    print_rows([*rows, {"preferred": "not marked", "pairs": told["not_marked"]}], f"{first} against {second}")
    if told["share"] is None:
        print_note("no pair has a preference")
    else:
        share = f"{told['share']:.1%} of those with a preference choose {first}"
        print_text(f"{share} (95 % from {told['low']:.1%} to {told['high']:.1%}; sign test p = {told['p']:.3g})")
