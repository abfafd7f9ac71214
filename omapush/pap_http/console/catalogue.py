"""The page of applications and initiators: what is configured, and what counts for them now."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from litestar import Controller, Request, Response, get

from omapush import clock
from omapush.config import Application, Config, Hosted, Initiator
from omapush.pap_http.console.access import ROOT, Visitor, enter
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.store import limits, subscriptions
from omapush.store.client import Store
from omapush.store.limits import Usage

SECTION: Final = f"{ROOT}/applications"


class Account(NamedTuple):
    """One initiator."""

    name: str
    settings: Initiator
    usage: Usage | None
    "None: nothing is counted for who has no limits."


class Profile(NamedTuple):
    """One application."""

    ari: str
    settings: Application
    subscribed: int


class Catalogue(Controller):
    """Who may push what."""

    guards = (enter,)

    @get("/applications", name="console_applications")
    async def applications(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Show initiators with their limits, applications with their rules."""
        desk = desk_of(request)
        accounts, profiles, hosted = await asyncio.to_thread(_read, desk.config, desk.store)
        return shown(
            request, "applications.html", SECTION, accounts=accounts, profiles=profiles, hosted=hosted
        )


def _read(config: Config, store: Store) -> tuple[list[Account], list[Profile], dict[str, Hosted]]:
    usage = limits.usage(store, list(limits.limits_of(config)), clock.now_ms())
    accounts = [Account(name, one, usage.get(name)) for name, one in config.initiator.items()]
    profiles = [Profile(ari, one, subscriptions.count(store, ari)) for ari, one in config.application.items()]
    return accounts, profiles, config.hosted
