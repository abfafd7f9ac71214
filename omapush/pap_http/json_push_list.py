"""`GET /v1/pushes`: the initiator's own pushes, newest first, by state, time, application and recipient."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from msgspec import Struct

from omapush.errors import PeerIsWrong
from omapush.pap_http.json_paths import cursor, user_of
from omapush.pap_http.json_values import moment
from omapush.push.acceptance import application_of
from omapush.push.values import REF_LENGTH
from omapush.store.client import Store
from omapush.store.own_pushes import Place, Summary
from omapush.views import push_search
from omapush.views.push_search import FOREVER_MS, PushListState, Wanted

_CURSOR: Final = re.compile(rf"([0-9]{{1,15}})\.([0-9a-f]{{{REF_LENGTH}}})")


class ListedPush(Struct, frozen=True):
    """One of the initiator's pushes, without its recipients."""

    push_id: str
    ref: str
    application: str
    content_type: str
    bytes: int
    accepted: datetime
    deliver_before: datetime
    state: PushListState
    recipients: int
    "0 for a push to all subscribers."
    open: int
    "Recipients without a final state."


class PushPage(Struct, frozen=True):
    """Some of the initiator's pushes, newest first."""

    pushes: list[ListedPush]
    next: str
    "Value of `after` for what follows; empty: nothing does."


def wanted(
    state: PushListState | None,
    application: str,
    recipient: str,
    since: datetime | None,
    until: datetime | None,
) -> Wanted:
    """
    Return which pushes the parameters of a request ask for.

    Raises:
        PeerIsWrong, NotTaken: naming the parameter that is wrong.
    """
    return Wanted(
        state,
        application_of(application) if application else "",
        user_of(recipient, "recipient") if recipient else "",
        _ms(since, "since", 0),
        _ms(until, "until", FOREVER_MS),
    )


def _ms(given: datetime | None, field: str, default: int) -> int:
    if given is None:
        return default
    if given.tzinfo is None:
        raise PeerIsWrong(field, "has no zone")
    return max(0, int(given.timestamp() * 1000))


def place(after: str) -> Place | None:
    """
    Return where the page before ended; None for the first page.

    Raises:
        PeerIsWrong: it is no cursor of ours.
    """
    found = cursor(after, _CURSOR)
    return Place(int(found[1]), found[2]) if found else None


def listed(store: Store, initiator: str, wanted: Wanted, before: Place | None, limit: int) -> PushPage:
    """Return one page of the initiator's pushes; fewer than `limit` where much was looked at for little."""
    found = push_search.search(store, [initiator], wanted, before, limit)
    further = f"{found.further.accepted_ms}.{found.further.ref}" if found.further else ""
    return PushPage([_listed(one) for one in found.pushes], further)


def _listed(one: Summary) -> ListedPush:
    push = one.push
    return ListedPush(
        push_id=push.push_id,
        ref=push.ref,
        application=push.application,
        content_type=push.content_type,
        bytes=push.size,
        accepted=moment(push.accepted_ms),
        deliver_before=moment(push.deliver_before_ms),
        state=push_search.state_of(one),
        recipients=one.recipients,
        open=one.open,
    )
