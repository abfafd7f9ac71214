"""What is known of the devices behind a batch of deliveries, and what follows from it for each."""

from __future__ import annotations

from collections.abc import Sequence

from omapush import clock
from omapush.protocol.uaprof import PushCharacteristics
from omapush.push import capabilities as rules
from omapush.push.body import WRAPPED_TYPE
from omapush.push.capabilities import Capabilities, Content, Facts, Refusal
from omapush.push.capability_sources import devices_of
from omapush.push.page_mode import Profile
from omapush.push.registration import Registration
from omapush.push.values import Delivery
from omapush.store import profiles
from omapush.store.client import Store

_KEPT_S = 30.0
"How long a process believes its copy of a UAProf document, or its absence."
_MOST_KEPT = 1_000


class DeviceFacts:
    """Reads facts; keeps the few UAProf documents that millions of devices share."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._profiles: dict[str, tuple[float, PushCharacteristics | None]] = {}

    def of(self, records: Sequence[Capabilities | None], now_ms: int) -> list[tuple[Facts, ...]]:
        """Return the facts about the devices of each record that hold now."""
        urls = {one.profile_url for record in records if record for one in record.facts if one.profile_url}
        known = {url: profile for url in urls if (profile := self._profile(url)) is not None}
        return [rules.resolved(record, known, now_ms) for record in records]

    def _profile(self, url: str) -> PushCharacteristics | None:
        now = clock.monotonic()
        kept = self._profiles.get(url)
        if kept is not None and kept[0] > now:
            return kept[1]
        if len(self._profiles) >= _MOST_KEPT:
            self._profiles.clear()
        found = profiles.read(self._store, url)
        profile = found.characteristics if found is not None and found.document else None
        self._profiles[url] = (now + _KEPT_S, profile)
        return profile


def refusal(
    delivery: Delivery, facts: tuple[Facts, ...], record: Registration | None, now_ms: int
) -> Refusal | None:
    """Return why no device takes the delivery's content, as far as is known (PSA-MSG-4)."""
    if not facts:
        return None
    return rules.check(content_of(delivery), facts, devices_of(record, now_ms))


def content_of(delivery: Delivery) -> Content:
    """Return what capabilities look at."""
    kind = delivery.content_type.partition(";")[0].strip().lower()
    return Content(kind, len(delivery.content), delivery.application)


def fitted(profile: Profile, facts: tuple[Facts, ...]) -> Profile:
    """
    Return the profile with gzip and wrapping as the devices take them.

    What they say wins over the configuration; where they say nothing, that stands.
    """
    if not facts:
        return profile
    gzip = rules.takes_gzip(profile.application, facts)
    wrapped = profile.wrapped and rules.takes(WRAPPED_TYPE, profile.application, facts) is not False
    return profile._replace(gzip=profile.gzip if gzip is None else gzip, wrapped=wrapped)
