"""Pushes of initiators, newest first, by state, time, application and recipient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from omapush.push.values import Result
from omapush.store import own_pushes, push_pages, pushes, user_pushes
from omapush.store.client import Store
from omapush.store.own_pushes import Place, Summary

PushListState = Literal["running", "paused", "aborted", "finished"]
FOREVER_MS: Final = 2**52
_AT_ONCE: Final = 200
"Pushes read in one go."
LOOKED_AT: Final = 2_000
"Pushes, and recipients, that one search looks at for those that are asked for."


class Wanted(NamedTuple):
    """Which pushes are asked for; empty values ask for all."""

    state: PushListState | None = None
    application: str = ""
    recipient: str = ""
    since_ms: int = 0
    until_ms: int = FOREVER_MS


class Found(NamedTuple):
    """One page of a search."""

    pushes: list[Summary]
    further: Place | None
    "Where to go on; None: there is nothing more."


def search(
    store: Store, initiators: Sequence[str], wanted: Wanted, before: Place | None, limit: int
) -> Found:
    """Return one page of these initiators' pushes; fewer than `limit` where much was looked at for little."""
    listed = user_pushes.number(store, wanted.recipient) if wanted.recipient else 0
    if not listed:  # or the user's pushes are from before there were lists of users
        return _among_all(store, initiators, wanted, before, limit)
    found = _in_list(store, initiators, wanted, before, limit)
    if found.further is not None or listed < user_pushes.MOST:
        return found
    oldest = user_pushes.oldest(store, wanted.recipient)
    beyond = min((place for place in (before, oldest) if place is not None), default=None)
    if len(found.pushes) == limit:
        return Found(found.pushes, beyond)
    rest = _among_all(store, initiators, wanted, beyond, limit - len(found.pushes))
    return Found(found.pushes + rest.pushes, rest.further)


def _in_list(
    store: Store, initiators: Sequence[str], wanted: Wanted, before: Place | None, limit: int
) -> Found:
    """Find them in the list of the user that they are to be for."""
    places = user_pushes.page(
        store, wanted.recipient, before=before, since_ms=wanted.since_ms, until_ms=wanted.until_ms
    )
    found: list[Summary] = []
    for at, one in zip(places, own_pushes.summaries(store, [each.ref for each in places]), strict=True):
        if len(found) == limit:
            return Found(found, before)
        before = at
        if one is not None and one.push.initiator in initiators and _is_wanted(one, wanted):
            found.append(one)
    return Found(found, None)


def _among_all(
    store: Store, initiators: Sequence[str], wanted: Wanted, before: Place | None, limit: int
) -> Found:
    found: list[Summary] = []
    budget = LOOKED_AT
    while True:
        places = own_pushes.page(
            store,
            initiators,
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
                    found.append(one)
            if len(found) == limit or budget <= 0:
                return Found(found, before)
        if len(places) < _AT_ONCE:
            return Found(found, None)


def state_of(one: Summary) -> PushListState:
    """Return the state of a push as a whole."""
    if one.subscribers_state:
        return one.subscribers_state  # type: ignore[return-value]
    return "running" if one.open else "finished"


def _is_wanted(one: Summary, wanted: Wanted) -> bool:
    of_application = wanted.application in ("", one.push.application)
    return of_application and wanted.state in (None, state_of(one))


def result_in(store: Store, one: Summary, aor: str) -> Result | None:
    """Return the result of a push for this user, or for its only recipient; None: there is no such one."""
    if not aor:
        return pushes.results_of(store, [(one.push.ref, 0)])[0] if one.recipients == 1 else None
    for page in push_pages.read_all(store, one.push.ref, most=one.recipients):
        for recipient, result in zip(page.recipients, page.results, strict=True):
            if recipient.aor == aor:
                return result
    return None


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
