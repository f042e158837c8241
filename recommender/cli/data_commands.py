"""Your data: check the tables, run the encoders, see the codes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.cluster_options import On, RayAddress, RayWorkers, WorkerCpus, WorkerGpus, opened_cluster
from recommender.cli.inputs import read_recipe
from recommender.cli.options import AsJson, ConfigFile, Quiet, Settings
from recommender.cli.output import print_json, print_rows, print_text
from recommender.cli.store_options import LogStore, MasterKey, audited
from recommender.cli.training_commands import learning_facts


def validate(
    items: Annotated[
        str | None, typer.Option(help="items table, or the name of an embedded data set; default: the config's")
    ] = None,
    interactions: Annotated[str | None, typer.Option(help="interactions table; default: the config's")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="a YAML file with a section data")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="list every bad row; default: the first 5 of each kind, and how many more")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check two tables and their media; report every bad row.

    Of each kind of problem the first five are shown, with --all every one, and with --json, too. The exit code is 2 if there
    are errors.
    """
    from recommender.config import Config
    from recommender.data.checks import validate as check
    from recommender.progress import progress_bars

    if items is None and config is None:
        raise typer.BadParameter(
            "say which tables: by --items and --interactions, or by --config", param_hint="--items"
        )
    recipe = Config.load(config) if config else Config()
    data = recipe.data
    whole = items is None and "items" not in data.model_fields_set  # both tables are the default's
    if interactions is None and ("interactions" in data.model_fields_set or whole):
        interactions = data.interactions
    items = data.items if items is None else items
    with progress_bars(quiet or as_json) as progress:
        report = check(items, interactions, data, progress=progress, encoders=recipe.encoders)
    if as_json:
        print_json(report.to_dict())
    else:
        print_text(report.render(None) if every else report.render())
    raise typer.Exit(0 if report.ok else 2)


def encode(
    config: ConfigFile,
    settings: Settings = None,
    on: On = "here",
    ray_address: RayAddress = None,
    workers: RayWorkers = None,
    worker_cpus: WorkerCpus = None,
    worker_gpus: WorkerGpus = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the frozen encoders over all items and fill their cache.

    The changed views of pictures and sounds that training takes are encoded too.
    """
    recipe = read_recipe(config, settings)
    with opened_cluster(on, ray_address, workers, worker_cpus, worker_gpus) as cluster:
        from recommender.progress import progress_bars

        if cluster is not None:
            from recommender.encoders.on_cluster import fill_cache
            from recommender.pipelines.train import load_catalogue

            with progress_bars(quiet) as progress:
                fill_cache(load_catalogue(recipe, progress), recipe.encoders, cluster, progress)
    from recommender.encoders.pipeline import encode_views
    from recommender.pipelines.train import prepare

    with progress_bars(quiet) as progress:
        prepared = prepare(recipe, progress)
        encode_views(prepared.catalogue, recipe.encoders, prepared.features, progress)
    features = prepared.features
    rows = [
        {
            "modality": modality,
            "items": int(features.present[modality].sum()),
            "absent": int((~features.present[modality]).sum()),
            "width": vectors.shape[1],
        }
        | (
            {"imputed": int((features.usable(modality) & ~features.present[modality]).sum())}
            if features.imputed
            else {}
        )
        for modality, vectors in features.vectors.items()
    ]
    print_rows(rows, "items encoded", as_json)


def tokenize(config: ConfigFile, settings: Settings = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Give every item its semantic id, and report on the codes.

    Shows collisions, how evenly codes are used, and what the codes of the first level mean.
    """
    recipe = read_recipe(config, settings)
    from recommender.cli.result_views import meaning_rows
    from recommender.pipelines.train import prepare
    from recommender.progress import progress_bars
    from recommender.semantic_ids.codes import SemanticIds

    with progress_bars(quiet) as progress:
        prepared = prepare(recipe, progress)
    ids = SemanticIds.build(recipe.semantic_ids, prepared.features, len(prepared.catalogue), recipe.seed)
    report = asdict(ids.report())
    # with one level a code is an item, whose meaning its own title tells
    meanings = ids.describe(prepared.catalogue, level=0) if ids.levels > 1 else {}
    if as_json:
        print_json(report | {"meanings": [asdict(meaning) for meaning in meanings.values()]})
        return
    levels = [{"level": number, **level} for number, level in enumerate(report.pop("levels"), start=1)]
    print_text(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in report.items()))
    print_rows(levels, "use of the codes")
    if meanings:
        print_rows(meaning_rows(list(meanings.values())), "what the codes of the first level mean")


def sounds(
    config: ConfigFile,
    output: Annotated[
        Path,
        typer.Option(help="the table of facts to write, as .jsonl", callback=early_checks.facts_file, dir_okay=False),
    ],
    settings: Settings = None,
    tags: Annotated[
        str | None, typer.Option(help="a tagger of music, as musicnn-msd: adds a column of its tags")
    ] = None,
    least: Annotated[float, typer.Option(help="the confidence from which a tag is said", min=0, max=1)] = 0.15,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say in words what the sounds of a catalogue are like.

    Writes a table that data.facts joins: which are among the quietest or loudest fifth, dark or bright, sparse or busy,
    smooth or percussive, even or dynamic, bass-heavy. Justifications and filters know them then. With --tags also the five
    surest tags of each: genres, instruments, voices, moods. Of an item with a video alone its sound track is heard.
    """
    from collections import Counter
    from itertools import chain

    from recommender.cli.inputs import read_config
    from recommender.data.catalogue import Catalogue
    from recommender.encoders.broken_media import without_broken_media
    from recommender.encoders.music_tags import TAGS, check_vocabulary, tag_sounds, tagger
    from recommender.encoders.sound_words import describe_sounds, save_words
    from recommender.progress import progress_bars

    recipe = read_config(config, settings)
    check_vocabulary(output, None if tags is None else tagger(tags).tags)
    catalogue = Catalogue.load(recipe.data.items, recipe.data.model_copy(update={"facts": None}))
    with progress_bars(quiet or as_json) as progress:
        catalogue = without_broken_media(catalogue, recipe, progress)
        columns = {"sound": describe_sounds(catalogue, recipe.encoders, progress)}
        if tags is not None:
            columns[TAGS] = tag_sounds(catalogue, tags, recipe.encoders, least, progress)
    save_words(output, catalogue.item_ids, columns)
    words = [[*chain(*own)] for own in zip(*columns.values(), strict=True)]
    counts = Counter(word for own in words for word in own)
    said = f"{sum(map(bool, words))} of {len(words)} items have words for their sound: {output}"
    print_rows([{"word": word, "items": count} for word, count in counts.items()], said, as_json)


def join(
    catalogues: Annotated[
        list[str],
        typer.Argument(
            metavar="DOMAIN=SOURCE...",
            help="films=movielens-100k products=FOLDER: a folder with the tables items and interactions, an embedded data"
            " set, or a YAML file with a section data",
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="folder for items.jsonl and interactions.csv", callback=early_checks.output_folder)
    ],
    prefix: Annotated[bool, typer.Option("--prefix", help="make item ids films:50, as two catalogues have 50")] = False,
    same_users: Annotated[
        bool, typer.Option("--same-users", help="a user id means the same person in all catalogues")
    ] = False,
    attribute: Annotated[
        str, typer.Option(help="what says the domain of an item; conversations know it as domain")
    ] = "domain",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Join catalogues into one, for one model of all of them.

    Every item gets an attribute that says which catalogue it is from: filters, conversations and evaluations go by it.
    Ratings below the minimum_rating of a YAML file are left out. Users of two catalogues stay different people.
    """
    from recommender.cli.inputs import domain_tables
    from recommender.data.joining import INTERACTIONS, ITEMS, JoinOptions, join_catalogues
    from recommender.progress import progress_bars

    sources = domain_tables(catalogues)
    with progress_bars(quiet or as_json) as progress:
        report = join_catalogues(sources, output, JoinOptions(prefix, same_users, attribute), progress)
    told = asdict(report) | {"items": str(output / ITEMS), "interactions": str(output / INTERACTIONS)}
    if as_json:
        print_json(told)
        return
    print_rows(list(told["domains"]), f"{report.users} users, ordered by {report.ordered_by}")
    tables = f"--set data.items={output / ITEMS} --set data.interactions={output / INTERACTIONS}"
    print_text(f"next: recommender train --config RECIPE --output MODEL {tables}")


def pictures(
    config: ConfigFile,
    output: Annotated[
        Path,
        typer.Option(help="the table of facts to write, as .jsonl", callback=early_checks.facts_file, dir_okay=False),
    ],
    settings: Settings = None,
    classes: Annotated[
        bool, typer.Option(help="say ImageNet's 1,000 classes, as breeds of dogs, and not the kinds they belong to")
    ] = False,
    least: Annotated[float, typer.Option(help="the confidence from which a word is said", min=0, max=1)] = 0.5,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say in words what the pictures of a catalogue show.

    Writes a table that data.facts joins: up to three things of which the image tower is sure, as dog, ship or suit. Texts,
    filters and justifications know them then. Needs a tower with a classifier of ImageNet's classes or a text tower. Of an
    item with a video alone some frames are looked at.
    """
    from collections import Counter

    from recommender.cli.inputs import read_config
    from recommender.data.catalogue import Catalogue
    from recommender.encoders.broken_media import without_broken_media
    from recommender.encoders.picture_words import describe_pictures, save_picture_words, telling_tower
    from recommender.progress import progress_bars

    recipe = read_config(config, settings)
    telling_tower(recipe.encoders)  # before the table is read
    catalogue = Catalogue.load(recipe.data.items, recipe.data.model_copy(update={"facts": None}))
    with progress_bars(quiet or as_json) as progress:
        catalogue = without_broken_media(catalogue, recipe, progress)
        words = describe_pictures(catalogue, recipe.encoders, least, classes, progress)
    save_picture_words(output, catalogue.item_ids, words)
    counts = Counter(word for own in words for word in own)
    text = f"{sum(map(bool, words))} of {len(words)} items have words for their picture: {output}"
    print_rows([{"word": word, "items": count} for word, count in counts.most_common()], text, as_json)


def private_histories(
    config: ConfigFile,
    output: Annotated[
        Path, typer.Option(help="folder for the histories and a recipe", callback=early_checks.output_folder)
    ],
    epsilon: Annotated[
        float, typer.Option(help="the privacy loss that is never exceeded; 8 is weak, 1 strong", min=0.001)
    ],
    settings: Settings = None,
    delta: Annotated[
        float | None, typer.Option(help="the chance that it is exceeded; default: 1 / (10 * users)", max=1)
    ] = None,
    held_out: Annotated[int, typer.Option(help="last interactions of each user that are not read", min=0)] = 2,
    histories: Annotated[
        int | None, typer.Option(help="how many are drawn; default: as many as there are users", min=1)
    ] = None,
    length: Annotated[int, typer.Option(help="items of each", min=3)] = 60,
    seed: Annotated[
        int | None, typer.Option(help="makes it repeatable; who knows it can take the noise off", min=0)
    ] = None,
    store: LogStore = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw histories that stand for those of people.

    What followed what is counted, every user moving the counts by at most 1, with noise that keeps epsilon. Histories are
    drawn from that. Whatever is trained on them by the recipe beside them keeps the promise; its card says so. A store that
    --store or the recipe names gets rows of it in its audit log.
    """
    recipe = read_recipe(config, settings)
    from recommender.pipelines.left_out import NamedStore
    from recommender.pipelines.private import PROMISE
    from recommender.pipelines.private_histories import RECIPE, PrivateOptions, write_private_histories
    from recommender.progress import progress_bars

    options = PrivateOptions(epsilon, delta, held_out, histories, length, seed)
    named = NamedStore(store, master_key) if store else None
    with audited(store, master_key, "draw", learning_facts(recipe, output), recipe.serving) as made:
        with progress_bars(quiet) as progress:
            promise = write_private_histories(recipe, options, output, progress, named)
        made |= {name: promise[name] for name in ("epsilon", "delta", "sha256")}
    if as_json:
        print_json(promise)
        return
    rows = [{"promise": name, "value": promise[name]} for name in ("epsilon", "delta", "unit", "users", "histories")]
    print_rows(rows, "drawn histories")
    print_text(f"the promise: {output / PROMISE}")
    print_text(f"next: recommender train --config {output / RECIPE} --output MODEL")
