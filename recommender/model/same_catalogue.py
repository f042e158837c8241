"""Whether a catalogue is the one that a checkpoint was made for, and by what they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recommender.config.data import FactsConfig
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError
from recommender.model.manifest import catalogue_facts

_SHOWN = 5
"""How many columns are named."""


def catalogue_record(catalogue: Catalogue, source: str) -> dict[str, Any]:
    """Return what a manifest holds of a catalogue; `source`: its table, as the config names it."""
    return {
        "source": source,
        "items": len(catalogue),
        "fingerprint": catalogue.fingerprint,
        "columns": catalogue.column_fingerprints(),
    }


def check_catalogue(
    folder: Path,
    manifest: Mapping[str, Any],
    catalogue: Catalogue,
    read_ids: Callable[[], list[str] | None],
    table: str | None,
    facts: FactsConfig | None,
) -> None:
    """Raise CheckpointError unless a catalogue has the ids, titles and attributes that a checkpoint was made for.

    read_ids: reads those of the checkpoint's items in their order, None where it does not hold them. table: the table of
    items that the catalogue is of, None where that is not known. facts: what was joined to it.
    """
    expected = catalogue_facts(folder, manifest)
    if catalogue.fingerprint == expected["fingerprint"]:
        return
    ids = read_ids()
    if ids is not None and sorted(ids) == sorted(catalogue.item_ids):
        raise _changed(folder, expected, catalogue, ids, _tables(table, facts))
    raise CheckpointError(
        f"{folder}: made for another catalogue ({expected['items']} items, fingerprint"
        f" {expected['fingerprint'][:12]}; this one has {len(catalogue)} items, {catalogue.fingerprint[:12]})",
        "give the items it was trained on, or train on these: recommender train",
    )


def _changed(
    folder: Path, expected: Mapping[str, Any], catalogue: Catalogue, ids: list[str], tables: str
) -> CheckpointError:
    """Return the error for a catalogue of the same ids, which says what else differs."""
    start = f"{folder}: made for another catalogue: the ids of its {len(ids)} items are the same,"
    ordered = Catalogue(catalogue[catalogue.index(item_id)] for item_id in ids)
    if ordered.fingerprint == expected["fingerprint"]:
        return CheckpointError(f"{start} in another order", "put the rows of the table of items back in their order")
    return CheckpointError(
        f"{start} and {_differing(expected.get('columns'), ordered.column_fingerprints())}",
        f"{tables} has changed: put back what it was, or train anew: recommender train",
    )


def _tables(table: str | None, facts: FactsConfig | None) -> str:
    """Return where titles and attributes are read, by the keys of the config."""
    tables = "the table of items (data.items or --items)" if table is None else f"the table of items ({table})"
    return tables if facts is None else f"{tables} or data.facts.table ({facts.table})"


def _differing(then: Any, now: Mapping[str, str]) -> str:
    """Return in words which columns differ; manifests of earlier versions do not tell of columns."""
    if not isinstance(then, Mapping):
        return "titles, tags or other attributes changed"
    lost, new = [name for name in then if name not in now], [name for name in now if name not in then]
    changed = [name for name in then if name in now and now[name] != then[name]]
    parts = ((changed, "other values in"), (lost, "no longer a column"), (new, "new is"))
    return "; ".join(f"{words} {_quoted(names)}" for names, words in parts if names) or "values changed"


def _quoted(names: list[str]) -> str:
    """Return names of columns as a short list; a stranger's manifest may hold any."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name[:40]}'" for name in names[:_SHOWN]) + more
