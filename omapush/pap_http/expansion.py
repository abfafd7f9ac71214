"""The members of the distribution lists that a push names, as they are when it is accepted."""

from __future__ import annotations

from dataclasses import replace

from omapush.push.acceptance import LIST_NAME, NotPossible, NotTaken, Offer
from omapush.store import lists
from omapush.store.client import Store


def expanded(store: Store, initiator: str, offer: Offer, most: int) -> Offer:
    """
    Return the offer with the members of its lists, each once.

    Raises:
        NotTaken: a list does not exist, or together there are more than `most` recipients.
    """
    members: dict[str, None] = {}
    for index, name in enumerate(offer.lists):
        field = f"lists[{index}]"
        if LIST_NAME.fullmatch(name) is None or lists.show(store, initiator, name) is None:
            raise NotPossible("2004", field, "you have no such list")
        for page in lists.all_members(store, initiator, name):
            members |= dict.fromkeys(page)
            if len(members) + len(offer.addresses) > most:
                raise NotTaken("2000", field, f"with its members there are more than {most} recipients")
    return replace(offer, members=tuple(members))
