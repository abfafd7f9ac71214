"""What all routes of the process share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request

from omapush.config import Config
from omapush.pap_http.admission import Admission
from omapush.pap_http.door import Door
from omapush.pap_http.intake import Intake
from omapush.pap_http.large_bodies import LargeBodies
from omapush.pap_http.metrics import Metrics
from omapush.pap_http.pap_service import PapService
from omapush.store.client import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """Made once, with the application."""

    config: Config
    store: Store
    metrics: Metrics
    door: Door
    large_bodies: LargeBodies
    intake: Intake
    admission: Admission
    pap: PapService


def parts_of(request: Request[Any, Any, Any]) -> Parts:
    """
    Return the parts of the application that took the request.

    Litestar could hand them to a route by name; that alone would cost a push more than all checks of its
    document do.
    """
    parts: Parts = request.app.state.parts
    return parts
