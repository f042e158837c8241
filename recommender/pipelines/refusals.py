"""What people did not want, from a store: events of disliking, hiding and skipping, and "not for me"."""

from __future__ import annotations

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import import_extra
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.update_block import Refusal

_KINDS = ("dislike", "skip", "hide")


def refusals_in(named: NamedStore, config: Config, histories: Histories, catalogue: Catalogue) -> list[Refusal]:
    """Return what the users of some histories did not want, of those who agree to training.

    Users are known by their ids, or by their pseudonyms in a table that the store exported. Items that the catalogue lacks
    are passed over.
    """
    import_extra("sqlalchemy", "events of a store", "store")
    from recommender.store.store import Store, StoreOptions

    master_key = named.master_key or config.serving.master_key
    store = Store.open(named.where, master_key, StoreOptions(config.serving.consent))
    try:
        names = {store.people.pseudonym(user): user for user in histories.user_ids}
        known = set(histories.user_ids)
        found = []
        for person, events in store.events.for_training():
            user = person if person in known else names.get(person)
            if user is None:
                continue
            found += [(user, event.item, event.time or 0.0) for event in events if event.kind in _KINDS]
    finally:
        store.let_go()
    places = {item_id: place for place, item_id in enumerate(catalogue.item_ids)}
    return [Refusal(user, places[item], when) for user, item, when in found if item in places]
