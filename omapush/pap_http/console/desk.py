"""What all routes of the console share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from litestar.connection import ASGIConnection

from omapush.config import Config
from omapush.pap_http.admission import Admission
from omapush.pap_http.console.live import Live
from omapush.pap_http.console.operators import Operators
from omapush.pap_http.console.pages import Pages
from omapush.pap_http.intake import Intake
from omapush.pap_http.lockout import Lockout
from omapush.pap_http.parts import Parts
from omapush.pap_http.passwords import PasswordChecks
from omapush.pap_http.probes import OutboxGate
from omapush.store.client import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """Made once, with the application."""

    config: Config
    store: Store
    intake: Intake
    admission: Admission
    lockout: Lockout
    operators: Operators
    pages: Pages
    live: Live


def desk_for(parts: Parts, gate: OutboxGate, operators: Operators, lockout: Lockout) -> Desk | None:
    """Return the desk of an application; None when nobody may use the console."""
    if not operators:
        return None
    pages = Pages()
    live = Live(parts.config, parts.store, pages, lambda: gate.depth, lambda: parts.metrics.refused)
    return Desk(parts.config, parts.store, parts.intake, parts.admission, lockout, operators, pages, live)


def desk_after(desk: Desk, parts: Parts, checks: PasswordChecks) -> Desk:
    """Return the desk after a reload; who is logged in, and what watches, stays."""
    operators = Operators(parts.config, checks)
    desk.live.take(parts.config)
    return replace(desk, config=parts.config, intake=parts.intake, operators=operators)


def desk_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Desk:
    """Return the desk of the application that took the request."""
    desk: Desk = connection.app.state.desk
    return desk
