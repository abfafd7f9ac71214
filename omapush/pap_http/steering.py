"""The api as an operator steers it: drained, told another log level, given another configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from litestar.datastructures import State

from omapush import log
from omapush.config import Config
from omapush.pap_http.console.desk import desk_after
from omapush.pap_http.content_server import ContentServer
from omapush.pap_http.group_commit import GroupCommit
from omapush.pap_http.large_bodies import LargeBodies
from omapush.pap_http.parts import Parts
from omapush.pap_http.passwords import PasswordChecks
from omapush.pap_http.probes import OutboxGate
from omapush.pap_http.quotas import Quotas


@dataclass(frozen=True)
class Lasting:
    """What lives as long as the process: it holds requests that are under way, or has counted something."""

    gate: OutboxGate
    quotas: Quotas
    commit: GroupCommit
    large_bodies: LargeBodies
    contents: ContentServer
    checks: PasswordChecks


class ApiSteering:
    """
    A part as omapush/control wants it.

    A request keeps the parts that it began with, so a reload changes nothing under its feet.
    """

    def __init__(self, state: State, lasting: Lasting, parts_for: Callable[[Config], Parts]) -> None:
        """`state` has the parts; `parts_for` makes those that a configuration asks for."""
        self._state = state
        self._lasting = lasting
        self._parts_for = parts_for

    @property
    def _parts(self) -> Parts:
        parts: Parts = self._state.parts
        return parts

    def busy(self) -> str:
        """Return how many pushes are being taken."""
        number = self._parts.intake.under_way + self._lasting.commit.under_way
        if number:
            return f"{number} pushes being stored"
        return "" if self._lasting.large_bodies.is_idle else "large pushes being received"

    def drain(self, is_on: bool) -> None:
        """Refuse what is new; what was begun is answered."""
        self._parts.admission.is_closed = is_on

    def log_at(self, level: str) -> None:
        """Write lines of the log from that level on."""
        log.set_level(level)

    def taking(self) -> str:
        """Requests that come now are taken with what was taken last."""
        return ""

    def take(self, config: Config) -> None:
        """Make the parts anew that are made of the configuration, and tell the others."""
        parts = self._parts_for(config)
        self._lasting.gate.limit = config.api.max_waiting
        self._lasting.quotas.take(config)
        self._lasting.commit.keep(config.delivery.retention_s)
        self._lasting.large_bodies.resize(config.api.large_bodies_bytes)
        self._lasting.contents.take(config)
        parts.metrics.take(config)
        parts.admission.steer(config.overload.http_queue_ms)
        self._state.parts = parts
        if self._state.desk is not None:
            self._state.desk = desk_after(self._state.desk, parts, self._lasting.checks)
