"""`GET /v1/pushes`: the initiator's own pushes, newest first, by state, time, application and recipient."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from omapush.errors import PeerIsWrong
from omapush.pap_http.json_paths import cursor, user_of
from omapush.pap_http.json_values import moment
from omapush.push.acceptance import application_of
from omapush.push.values import REF_LENGTH
from omapush.store import own_pushes, push_pages
from omapush.store.client import Store
from omapush.store.own_pushes import Place, Summary

PushListState = Literal["running", "paused", "aborted", "finished"]
_CURSOR: Final = re.compile(rf"([0-9]{{1,15}})\.([0-9a-f]{{{REF_LENGTH}}})")
_FOREVER_MS: Final = 2**52
_AT_ONCE: Final = 200
"Pushes read in one go."
_LOOKED_AT: Final = 2_000
"Pushes, and recipients, that one request looks at for those that are asked for."


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


class Wanted(NamedTuple):
    """Which pushes are asked for; empty values ask for all."""

    state: PushListState | None
    application: str
    recipient: str
    since_ms: int
    until_ms: int


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
        _ms(until, "until", _FOREVER_MS),
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
    found: list[ListedPush] = []
    budget = _LOOKED_AT
    while True:
        places = own_pushes.page(
            store,
            initiator,
            before=before,
            since_ms=wanted.since_ms,
            until_ms=wanted.until_ms,
            most=_AT_ONCE,
        )
        for at, one in zip(places, own_pushes.summaries(store, [each.ref for each in places]), strict=True):
            before = at
            budget -= 1
            if one is not None and _is_wanted(one, wanted):
                fits, looked_at = _has_recipient(store, one, wanted.recipient)
                budget -= looked_at
                if fits:
                    found.append(_listed(one))
            if len(found) == limit or budget <= 0:
                return PushPage(found, f"{before.accepted_ms}.{before.ref}")
        if len(places) < _AT_ONCE:
            return PushPage(found, "")


def _is_wanted(one: Summary, wanted: Wanted) -> bool:
    of_application = wanted.application in ("", one.push.application)
    return of_application and wanted.state in (None, _state(one))


def _has_recipient(store: Store, one: Summary, aor: str) -> tuple[bool, int]:
    """Tell whether the push has this recipient, and how many were looked at for that."""
    if not aor:
        return True, 0
    looked_at = 0
    for page in push_pages.read_all(store, one.push.ref, most=one.recipients):
        looked_at += len(page.recipients)
        if any(recipient.aor == aor for recipient in page.recipients):
            return True, looked_at
    return False, looked_at


def _state(one: Summary) -> PushListState:
    if one.subscribers_state:
        return one.subscribers_state  # type: ignore[return-value]
    return "running" if one.open else "finished"


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
        state=_state(one),
        recipients=one.recipients,
        open=one.open,
    )
