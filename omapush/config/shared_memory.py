"""How Kamailio's shared memory is shared out among the requests that are in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from omapush.config import Config

_IN_FLIGHT_BYTES: Final = 45_000
"What Kamailio holds for each request in flight (measured on 5.6.3)."
PART: Final = 0.75
"Of the memory, which requests in flight may take."
_PARTS: Final = 4
"""
Of what there is room for besides the windows, one in so many may be a NOTIFY without content, and one an
INVITE.
"""
_MOST: Final = 20_000
"Silent requests of one sender process: each is sent eleven times, and its timers cost as well."


def window(config: Config) -> int:
    """Return how many requests one sender process may have in flight, all its windows together."""
    hosted = any(one.subscribe for one in config.hosted.values())
    watches = config.registration.watch or config.capabilities.presence or hosted
    watching = config.registration.window if watches else 0
    inviting = config.sessions.window if config.sessions.enabled else 0
    return config.sip.window + config.subscriptions.window + watching + inviting


def needed_mb(config: Config) -> int:
    """Return how much the windows of all sender processes take, in MB."""
    return config.sip.senders * window(config) * _IN_FLIGHT_BYTES // 1_000_000


def silent_pushes(config: Config) -> int:
    """
    Return how many pushes that are not answered a sender process may have in flight beside its windows.

    That is what the memory has room for besides; 0: there is none. Each takes its place for 32 s.
    """
    return _spare(config) - silent_notifies(config) - silent_invites(config)


def silent_notifies(config: Config) -> int:
    """Return the same for NOTIFYs without content."""
    return _spare(config) // _PARTS


def silent_invites(config: Config) -> int:
    """Return the same for INVITEs, which ring as well as stay unanswered."""
    return _spare(config) // _PARTS if config.sessions.enabled else 0


def _spare(config: Config) -> int:
    bytes_each_sender = config.sip.shared_memory_mb * 1_000_000 * PART / config.sip.senders
    return max(0, min(int(bytes_each_sender / _IN_FLIGHT_BYTES) - window(config), _MOST))
