"""The package presence: what services of the user can do goes into the record of capabilities (PSA-S-002)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from package import Effects

from omapush import log
from omapush.push import capabilities
from omapush.push.capabilities import Capabilities, Facts
from omapush.push.capability_sources import facts_of_presence
from omapush.push.watch import NO_VERSION, Core, Watch
from omapush.push.watch_rules import FinalAnswer, Notified


@dataclass(frozen=True, slots=True)
class PresenceDocument:
    """A presence document: all that is known of the user's services, each time."""

    facts: tuple[Facts, ...]
    version: int = NO_VERSION
    full: bool = True
    gone: bool = False

    def effects(self, after: Watch) -> Effects:
        """Put its facts in the place of the former ones, believed as long as the subscription lasts."""
        if after.state != "active":
            return Effects()
        facts = tuple(one._replace(expires_ms=after.expires_ms) for one in self.facts)
        return Effects(capabilities={after.aor: partial(_replaced, after.aor, facts, after.at_ms)})


class Presence:
    """The package."""

    notifies = "capabilities_notifies_total"

    def read(self, notified: Notified, watch: Watch, core: Core) -> PresenceDocument:
        """Return the document; MalformedXml when it cannot be read."""
        now_ms = notified.at_ms
        return PresenceDocument(
            facts_of_presence(notified.body, notified.content_type, now_ms=now_ms, expires_ms=now_ms)
        )

    def on_unread(self, watch: Watch, problem: str, at_ms: int) -> Effects:
        """Change nothing: the watch shows the gap."""
        log.get().warning("presence_unread", aor=watch.aor, problem=problem, action="facts are kept")
        return Effects()

    def on_notify(self, after: Watch, core: Core) -> Effects:
        """Keep what is known as long as the subscription lasts."""
        return _as_long_as(after)

    def on_answer(self, after: Watch, answer: FinalAnswer) -> Effects:
        """Keep what is known as long as the subscription lasts: some notifiers are silent on a refresh."""
        return _as_long_as(after)


def _as_long_as(watch: Watch) -> Effects:
    """One that waits is over; one that failed for now leaves what is known to its own end."""
    if watch.state == "waiting":
        return Effects(capabilities={watch.aor: _forgotten})
    if watch.state == "active":
        return Effects(capabilities={watch.aor: partial(_prolonged, watch.expires_ms, watch.at_ms)})
    return Effects()


def _replaced(aor: str, facts: tuple[Facts, ...], now_ms: int, old: Capabilities | None) -> Capabilities:
    return capabilities.replaced(old, aor, "presence", facts, now_ms)


def _prolonged(expires_ms: int, now_ms: int, old: Capabilities | None) -> Capabilities | None:
    return capabilities.prolonged(old, "presence", expires_ms, now_ms)


def _forgotten(old: Capabilities | None) -> Capabilities | None:
    return capabilities.without(old, "presence")
