"""What is kept of people: events, consent, exports, forgetting, and the map of all of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from recommender.cli import early_checks
from recommender.cli.default_command import with_default
from recommender.cli.inputs import split_pair
from recommender.cli.options import AsJson, Quiet
from recommender.cli.output import print_facts, print_json, print_note, print_rows, print_text
from recommender.cli.stopping import stoppable
from recommender.cli.store_options import (
    MasterKey,
    PublicKey,
    StoreConfig,
    Where,
    need_extra,
    opened_store,
    public_key,
    read_as_written,
    serving_of,
)
from recommender.errors import ConfigError, did_you_mean

Whose = Annotated[str, typer.Option("--user", help="the id that events and requests name")]
WhoseToo = Annotated[str, typer.Argument(help="the id that events and requests name")]
Receipt = Annotated[
    Path | None,
    typer.Option("--output", help="the receipt's file; default: it is printed", callback=early_checks.output_file),
]

events = typer.Typer(no_args_is_help=True, help="Keep, list and export what people did.")
consent = typer.Typer(no_args_is_help=True, help="Show and set what people agree to.")


forget = typer.Typer(
    cls=with_default("user"),
    no_args_is_help=True,
    help="Forget a person: `forget USER`, with a signed receipt.",
)


@events.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(help="events as .jsonl, .csv or .parquet", callback=early_checks.input_file)],
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Keep what people did: JSON lines, CSV or parquet.

    {"id": "e1", "user": "ann", "item": "50", "kind": "like", "time": 1700000000}, or columns of these names. An id that is
    known changes nothing, so a file may come again. Events of people who agree to nothing are refused.
    """
    need_extra("a store")
    from recommender.store.event_files import keep_events, read_events

    given = read_events(file)
    with opened_store(store, master_key, config, make=True) as opened:
        counts = keep_events(opened.events, given)
    print_facts(counts, as_json)


@events.command("consume")
def consume_events(
    kafka: Annotated[str, typer.Option(help="brokers as HOST:PORT, with commas")],
    topic: Annotated[str, typer.Option(help="one event a message, as JSON")],
    group: Annotated[str, typer.Option(help="whose offsets the brokers remember")] = "recommender",
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option(help="what is done about a message that is no event")
    ] = "stop",
    until_end: Annotated[bool, typer.Option("--until-end", help="stop where the topic ends at the moment")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="an option of librdkafka: security.protocol=SASL_SSL")
    ] = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Keep events from a topic of Kafka, as they come.

    An offset is committed only after its event is on disk, and an id that is known changes nothing: killed and started
    again, it loses none and keeps none twice. Several consumers of a group share the partitions.
    """
    need_extra("a store")
    from recommender.store.event_topics import Topic
    from recommender.store.event_topics import consume_events as consumed

    options = dict(split_pair("--set", text, "security.protocol=SASL_SSL") for text in settings or [])
    with opened_store(store, master_key, config, make=True) as opened, stoppable():
        counts = consumed(opened.events, Topic(kafka, topic, group, options), on_error, until_end, print_note)
    print_facts(counts, as_json)


@events.command("list")
def list_events(
    user: Whose, store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Show what somebody did, oldest first."""
    with opened_store(store, master_key, config) as opened:
        rows = [event.model_dump(mode="json", exclude={"user"}) for event in opened.events.of(user)]
    if as_json:
        print_json(rows)
    elif rows:
        print_rows([_readable(row) for row in rows])
    else:
        print_text("no events are kept of this person")


def _readable(event: dict[str, Any]) -> dict[str, Any]:
    when = datetime.fromtimestamp(event["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return {name: "" if value is None else value for name, value in (event | {"time": when}).items()}


@events.command("export")
def export_events(
    output: Annotated[
        Path,
        typer.Option(help="the file to write: .parquet or .csv", callback=early_checks.output_file, dir_okay=False),
    ],
    whole: Annotated[
        bool, typer.Option("--all", help="all events with all their fields, as .jsonl, .csv or .parquet")
    ] = False,
    kind: Annotated[
        list[str] | None, typer.Option(help="kinds of events; default: view, click, play, finish, like, rate, buy")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="for others: of all who agree to share, whatever they say of training")
    ] = False,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Write a table for training from all who agree to it.

    Its columns are user_id, a pseudonym, item_id and timestamp. With --all it is a file that `events import` reads. Who is
    forgotten later is taken out of both where they stand; copies that were handed on are not known here.
    """
    need_extra("a store")
    from recommender.store.event_files import write_events
    from recommender.store.training_table import CHOSEN, write_training_table

    if whole:
        if kind or share:
            raise ConfigError("--all is of all kinds and everybody", "leave out --kind and --share")
        with opened_store(store, master_key, config, signs=True) as opened:
            written = write_events(opened, output)
        print_facts({"file": str(output), **written}, as_json)
        return
    with opened_store(store, master_key, config, signs=True) as opened:
        counts = write_training_table(opened, output, tuple(kind or CHOSEN), "share" if share else "train")
    print_facts({"file": str(output), **counts}, as_json)


@consent.command("show")
def show_consent(
    user: Whose, store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Show what somebody agrees to."""
    with opened_store(store, master_key, config) as opened:
        agreed = opened.consents.of(user)
    _print_consent(agreed, as_json)


@consent.command("set")
def set_consent(
    user: Whose,
    purpose: Annotated[list[str], typer.Option(help="recommend, explain, train or share; may be repeated")],
    given: Annotated[bool, typer.Option("--yes/--no", help="whether they agree")],
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Keep that somebody agrees to a purpose, or does not.

    Who was forgotten and agrees to anything again is welcome again.
    """
    need_extra("a store")
    from recommender.store.consent import PURPOSES

    for one in purpose:
        if one not in PURPOSES:
            raise ConfigError(
                f"unknown purpose {one!r}", did_you_mean(one, PURPOSES) or f"one of {', '.join(PURPOSES)}"
            )
    with opened_store(store, master_key, config, make=True, signs=True) as opened:
        said = {known: given for known in PURPOSES if known in purpose}
        opened.consents.set(user, said)
        opened.audit.add("consent", {"caller": "command line", "consent": dict(said)})
        agreed = opened.consents.of(user)
    _print_consent(agreed, as_json)


def _print_consent(agreed: dict[Any, bool], as_json: bool) -> None:
    if as_json:
        print_json(agreed)
    else:
        print_text(", ".join(f"{purpose}: {'yes' if yes else 'no'}" for purpose, yes in agreed.items()))


def export_user(
    user: WhoseToo,
    output: Annotated[Path, typer.Option(help="the file to write", callback=early_checks.output_file, dir_okay=False)],
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Write all that is kept of a person as one JSON file.

    Events, feedback, consent, files, and the rows of the audit log about them.
    """
    need_extra("a store")
    from recommender.store.personal_export import export_user as exported

    with opened_store(store, master_key, config, signs=True) as opened:
        counts = exported(opened, user, output)
    print_facts({"file": str(output), **counts}, as_json)


@forget.command("user")
def forget_user(
    user: WhoseToo,
    output: Receipt = None,
    model: Annotated[
        list[str] | None, typer.Option(help="a checkpoint that may have learned from them; may be repeated")
    ] = None,
    unknown_too: Annotated[
        bool, typer.Option("--unknown-too", help="also if the store knows nothing of them, but a training table may")
    ] = False,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Delete all that is kept of a person; give a receipt.

    Events, feedback, consent and files that the store knows of; their key is destroyed, and later trainings leave them out.
    Checkpoints do not change: the receipt lists those of --model as not yet updated, and `forget model` updates them.
    """
    need_extra("a store")
    from recommender.store.forgetting import forget, model_facts

    models = [model_facts(one) for one in model or ()]
    with opened_store(store, master_key, config, signs=True) as opened:
        receipt = forget(opened, user, models, unknown_too)
    _give_receipt(receipt, output, as_json)


@forget.command("model")
def forget_model(
    model: Annotated[str, typer.Argument(help="a checkpoint that learned from people who were forgotten")],
    output: Receipt = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="train all of it again, if it was trained in one piece")
    ] = False,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a checkpoint again without the forgotten.

    Of training.forgetting only the shards that had learned from them. The new version takes the place of the old one, and
    the receipt says what was done.
    """
    need_extra("a store")
    from recommender.pipelines.forget_in_model import forget_in_model
    from recommender.pipelines.left_out import NamedStore
    from recommender.progress import progress_bars
    from recommender.store.forgetting import model_receipt

    serving = serving_of(config)
    with opened_store(store, master_key, config, signs=True) as opened:
        named = NamedStore(str(store or serving.store), master_key or serving.master_key)
        with stoppable(), progress_bars(quiet) as progress:
            relearned = forget_in_model(model, progress, whole, named)
        receipt = model_receipt(opened, relearned.told())
    _give_model_receipt(receipt, output, as_json)


def _give_model_receipt(receipt: dict[str, Any], output: Path | None, as_json: bool) -> None:
    from recommender.files import write_text
    from recommender.strict.json_documents import json_text

    if output is None:
        print_json(receipt)
        return
    write_text(output, json_text(receipt, indent=1) + "\n")
    facts = receipt["statement"]["model"]
    shards = f"{len(facts['shards'])} of {facts['all_shards']} shards" if facts["all_shards"] else "all of it"
    row = {"checkpoint": facts["checkpoint"], "trained again": shards, "users": facts["users"], "file": str(output)}
    print_facts(row | {"seconds": facts["seconds"]}, as_json)
    if facts["lost"] and not as_json:
        print_text(f"train these again, they are not in the new version: {', '.join(facts['lost'])}")


@forget.command("receipt")
def again(
    user: WhoseToo,
    output: Receipt = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Give the receipt of a person who was forgotten again."""
    need_extra("a store")
    from recommender.store.forgetting import receipt_of

    with opened_store(store, master_key, config) as opened:
        receipt = receipt_of(opened, user)
    _give_receipt(receipt, output, as_json)


@forget.command("check")
def check_receipt(
    file: Annotated[Path, typer.Argument(help="a receipt", callback=early_checks.input_file)],
    key: PublicKey,
    as_json: AsJson = False,
) -> None:
    """Check a receipt without the store."""
    public = public_key(key)
    assert public is not None
    from recommender.store.receipts import verify_receipt

    receipt = read_as_written(file, "receipt", "recommender forget USER --output FILE")
    statement = verify_receipt(receipt, public)
    if as_json:
        print_json({"ok": True, "statement": statement})
    else:
        facts = statement.get("erased") or {"users": statement["model"]["users"]}
        told = ", ".join(f"{count} {name}" for name, count in facts.items())
        print_text(f"signed and unchanged: {statement['what']}, {statement['time']}: {told}")


def _give_receipt(receipt: dict[str, Any], output: Path | None, as_json: bool) -> None:
    """Write a receipt, or print it, which is JSON whatever was asked."""
    from recommender.files import write_text
    from recommender.strict.json_documents import json_text

    if output is None:
        print_json(receipt)
        return
    write_text(output, json_text(receipt, indent=1) + "\n")
    if as_json:
        print_json({"file": str(output), **receipt["statement"]["erased"]})
        return
    erased = ", ".join(f"{count} {name}" for name, count in receipt["statement"]["erased"].items())
    print_text(f"forgotten: {erased}; the receipt: {output}")


def data_map(config: StoreConfig = None, as_json: AsJson = False) -> None:
    """Tell what is kept where, for how long, how it goes."""
    need_extra("the data map")
    from recommender.store.data_map import data_map as places

    found = places(serving_of(config))
    if as_json:
        print_json([asdict(place) for place in found])
        return
    for place in found:
        print_text(f"{place.name}: {place.what}")
        print_text(
            f"  where: {place.where}\n  sealed: {place.sealed}\n  kept: {place.kept}\n  forgotten: {place.forgotten}"
        )
        for name, meaning in place.columns.items():
            print_text(f"    {name}: {meaning}")
