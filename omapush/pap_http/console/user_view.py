"""What the page of one user shows, ready for its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from omapush import clock
from omapush.config import Config
from omapush.pap_http.console import now_view
from omapush.pap_http.console.now_view import Row
from omapush.push.capabilities import Facts
from omapush.push.registration import Contact, Registration, is_registered
from omapush.push.subscription import Subscription
from omapush.push.values import Delivery
from omapush.store import capabilities, outbox_views, registrations, subscriptions, user_data
from omapush.store.client import Store
from omapush.store.user_data import User
from omapush.views import push_search
from omapush.views.device_facts import listed
from omapush.views.push_search import Wanted

SOURCES: Final[Mapping[str, str]] = {
    "register": "the device's REGISTER",
    "response": "the registrar's 200",
    "reginfo": "the reg event",
    "partial": "the reg event, which shows no push tags",
}
_MOST_WAITING: Final = 100
_RECENT: Final = 15


class Waiting(NamedTuple):
    """One delivery in the user's part of the outbox."""

    delivery: Delivery
    where: str
    tone: str


class View(NamedTuple):
    """The whole page."""

    aor: str
    now_ms: int
    record: Registration | None
    is_registered: bool
    contacts: tuple[Contact, ...]
    facts: tuple[Facts, ...]
    subscriptions: tuple[Subscription, ...]
    waiting: tuple[Waiting, ...]
    more_waiting: int
    recent: tuple[Row, ...]


def view(config: Config, store: Store, aor: str) -> View:
    """Return what is known of a user; a tel identity shows what its sip identity has."""
    (sip,) = registrations.sip_identities(store, [aor])
    now_ms = clock.now_ms()
    record = registrations.read(store, sip)
    known = capabilities.read(store, sip)
    waiting = user_data.deliveries(store, User((sip,)))
    recent = push_search.search(store, list(config.initiator), Wanted(recipient=sip), None, _RECENT)
    found = [delivery for delivery in waiting.values() if delivery is not None]
    found.sort(key=lambda one: one.order_us or one.accepted_ms * 1000)
    return View(
        sip,
        now_ms,
        record,
        record is not None and is_registered(record, now_ms),
        tuple(one for one in record.contacts if one.expires_ms > now_ms) if record else (),
        tuple(one for one in known.facts if one.expires_ms > now_ms) if known else (),
        tuple(subscriptions.of_user(store, sip)),
        tuple(_waiting(store, one) for one in found[:_MOST_WAITING]),
        max(len(waiting) - _MOST_WAITING, 0),
        tuple(now_view.rows_for(store, recent.pushes, sip)),
    )


def _waiting(store: Store, delivery: Delivery) -> Waiting:
    where = outbox_views.whereabouts(store, delivery)
    return Waiting(delivery, where, {"taken": "accent", "held": "warn", "later": "warn"}.get(where, "soft"))


def says(facts: Facts) -> list[tuple[str, str]]:
    """Return what one source says about a device, name by name."""
    found = listed(facts)
    if facts.largest_bytes is not None:
        found.append(("at most", f"{facts.largest_bytes} bytes"))
    if facts.profile_url:
        found.append(("profile", facts.profile_url))
    if facts.application:
        found.append(("only for", facts.application))
    return found
