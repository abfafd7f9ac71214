"""UAProf documents, cached by URL, and the queue of those to be fetched."""

from __future__ import annotations

from collections.abc import Iterable

from omapush.protocol.uaprof import PushCharacteristics
from omapush.push.capabilities import Capabilities
from omapush.push.profile_document import LONGEST_WAIT_S, Profile, wait_s
from omapush.store import codec, keys
from omapush.store.client import Call, Store, call, store_errors

MOST_QUEUED = 10_000
"Largest number of URLs that may wait, since devices choose them."
_FAILURE_KEPT_MS = 2 * LONGEST_WAIT_S * 1000


def read(store: Store, url: str) -> Profile | None:
    """Return what is stored about a URL: its document, or the failure to fetch it; None: nothing."""
    with store_errors("read profile"):
        data = store.db.get(keys.profile(url))
    try:
        return codec.profile(data) if isinstance(data, bytes) else None
    except codec.BrokenRecord:
        return None


def characteristics(store: Store, records: Iterable[Capabilities | None]) -> dict[str, PushCharacteristics]:
    """Return the contents of the documents that these records name, by URL, as far as they are stored."""
    urls = {one.profile_url for record in records if record for one in record.facts if one.profile_url}
    found = {url: read(store, url) for url in urls}
    return {url: profile.characteristics for url, profile in found.items() if profile and profile.document}


def want(store: Store, urls: Iterable[str], now_ms: int) -> int:
    """Queue URLs for fetching unless something is stored about them; returns how many are new."""
    unknown = [url for url in dict.fromkeys(urls) if read(store, url) is None]
    if not unknown:
        return 0
    args = [MOST_QUEUED, now_ms, *unknown]
    return int(call(store, Call("omapush_want_profiles", [keys.PROFILE_QUEUE], args)))


def borrow(store: Store, now_ms: int, *, lease_ms: int, most: int) -> list[str]:
    """Return URLs to be fetched now; no other process gets them before the lease ends."""
    args = [now_ms, lease_ms, most]
    found = call(store, Call("omapush_borrow_profiles", [keys.PROFILE_QUEUE], args))
    return [url.decode() for url in found]


def settle(store: Store, profile: Profile, now_ms: int, *, kept_s: int) -> None:
    """
    Store the result of fetching a URL. After a failure it is queued again, later each time, until it is given
    up.
    """
    again_s = wait_s(profile.failures) if profile.failures else None
    lifetime_ms = _FAILURE_KEPT_MS if profile.failures else kept_s * 1000
    with store_errors("settle profile"):
        store.db.set(keys.profile(profile.url), codec.encode(profile), px=max(lifetime_ms, 1))
        if again_s is None:
            store.db.zrem(keys.PROFILE_QUEUE, profile.url)
        else:
            store.db.zadd(keys.PROFILE_QUEUE, {profile.url: now_ms + again_s * 1000})
