"""What applications behind this server subscribe to, as `omapush hosted` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from omapush import clock
from omapush.cli import terminal, watched
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.push.watch import Watch, content_package
from omapush.store import watches
from omapush.store.client import Store


class Subscribed(NamedTuple):
    """One sender of pushes whose content an application wants."""

    sender: str
    watch: Watch | None


def read(settings: Config, db: Store, applications: Sequence[str]) -> dict[str, list[Subscribed]]:
    """Return what each application subscribes to."""
    return {
        name: [
            Subscribed(uri, watches.read(db, uri, content_package(name))) for uri in _senders(settings, name)
        ]
        for name in applications
    }


def hurry(settings: Config, db: Store, application: str, *, as_json: bool) -> None:
    """Have an application's subscriptions looked at now, whatever state they are in."""
    if not application:
        raise PushRefused("--subscribe: name the application")
    senders = _senders(settings, application)
    if not senders:
        raise PushRefused(f'{application}: hosted."{application}".subscribe names nobody')
    watches.hurry(db, senders, clock.now_ms(), content_package(application))
    if as_json:
        terminal.print_json({"application": application, "subscribing": list(senders)})
    else:
        print(f"{application}: SUBSCRIBE goes to {', '.join(senders)}")


def table(found: Mapping[str, Sequence[Subscribed]], now_ms: int) -> Table:
    """Return a line for each subscription."""
    listing = terminal.table("application", "subscribes to", "state")
    for name, subscriptions in found.items():
        for one in subscriptions:
            state = "not asked yet" if one.watch is None else watched.as_text(one.watch, now_ms)
            listing.add_row(name, one.sender, state)
    return listing


def as_dicts(subscriptions: Sequence[Subscribed]) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [{"sender": one.sender, "subscription": _as_dict(one.watch)} for one in subscriptions]


def _as_dict(watch: Watch | None) -> dict[str, Any] | None:
    """What only the reg event has means nothing here."""
    told = watched.as_dict(watch)
    return told and {name: value for name, value in told.items() if name not in ("identity", "version")}


def _senders(settings: Config, application: str) -> tuple[str, ...]:
    terms = settings.hosted.get(application)
    return terms.subscribe if terms else ()
