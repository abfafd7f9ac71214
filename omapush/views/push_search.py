"""Pushes of initiators, newest first, by state, time, application and recipient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from omapush.push.values import Result
from omapush.store import own_pushes, push_pages, pushes, registrations, user_pushes
from omapush.store.client import Store
from omapush.store.own_pushes import Place, Summary

PushListState = Literal["running", "paused", "aborted", "finished"]
FOREVER_MS: Final = 2**52
_AT_ONCE: Final = 200
"Number of pushes read in one go."
LOOKED_AT: Final = 2_000
"Largest number of pushes, and of recipients, that one search looks at."


class Wanted(NamedTuple):
    """The filters of a search; empty values mean all."""

    state: PushListState | None = None
    application: str = ""
    recipient: str = ""
    since_ms: int = 0
    until_ms: int = FOREVER_MS


class Found(NamedTuple):
    """One page of a search."""

    pushes: list[Summary]
    further: Place | None
    "Where the next page begins; None: there is nothing more."


def search(
    store: Store, initiators: Sequence[str], wanted: Wanted, before: Place | None, limit: int
) -> Found:
    """
    Return one page of these initiators' pushes; it has fewer than `limit` if most of what was looked at did
    not fit.
    """
    users = _users(store, wanted.recipient)
    listed = [user_pushes.number(store, one) for one in users]
    # Or the user's pushes are from before there were lists of users; of two full lists each ends elsewhere.
    if not any(listed) or (len(users) > 1 and max(listed) >= user_pushes.MOST):
        return _among_all(store, initiators, wanted, before, limit, users)
    found = _in_lists(store, initiators, wanted, before, limit, users)
    if found.further is not None or max(listed) < user_pushes.MOST:
        return found
    oldest = user_pushes.oldest(store, users[0])
    beyond = min((place for place in (before, oldest) if place is not None), default=None)
    if len(found.pushes) == limit:
        return Found(found.pushes, beyond)
    rest = _among_all(store, initiators, wanted, beyond, limit - len(found.pushes), users)
    return Found(found.pushes + rest.pushes, rest.further)


def _users(store: Store, recipient: str) -> tuple[str, ...]:
    """
    The identities under which pushes to a user are stored: for a telephone number its sip identity, too.
    """
    return (
        tuple(dict.fromkeys((recipient, registrations.sip_identity(store, recipient)))) if recipient else ()
    )


def _in_lists(
    store: Store,
    initiators: Sequence[str],
    wanted: Wanted,
    before: Place | None,
    limit: int,
    users: Sequence[str],
) -> Found:
    """Find them in the lists of the user, which contain all of them."""
    pages = [
        user_pushes.page(store, one, before=before, since_ms=wanted.since_ms, until_ms=wanted.until_ms)
        for one in users
    ]
    places = sorted(set().union(*pages), reverse=True)
    found: list[Summary] = []
    for at, one in zip(places, own_pushes.summaries(store, [each.ref for each in places]), strict=True):
        if len(found) == limit:
            return Found(found, before)
        before = at
        if one is not None and one.push.initiator in initiators and _is_wanted(one, wanted):
            found.append(one)
    return Found(found, None)


def _among_all(
    store: Store,
    initiators: Sequence[str],
    wanted: Wanted,
    before: Place | None,
    limit: int,
    users: Sequence[str],
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
                fits, looked_at = _has_recipient(store, one, users)
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
    users = _users(store, aor)
    for page in push_pages.read_all(store, one.push.ref, most=one.recipients):
        for recipient, result in zip(page.recipients, page.results, strict=True):
            if recipient.aor in users:
                return result
    return None


def _has_recipient(store: Store, one: Summary, users: Sequence[str]) -> tuple[bool, int]:
    """Tell whether the push has one of these recipients, and how many were looked at for that."""
    if not users:
        return True, 0
    looked_at = 0
    for page in push_pages.read_all(store, one.push.ref, most=one.recipients):
        looked_at += len(page.recipients)
        if any(recipient.aor in users for recipient in page.recipients):
            return True, looked_at
    return False, looked_at
