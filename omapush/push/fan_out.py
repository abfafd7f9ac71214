"""
A push to all subscribers of an application: what each user shard keeps of it, and how it goes on.

Each user shard carries it out by itself, page by page through its subscriptions, in order of their ids.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from omapush.push.values import Delivery

FanOutState = Literal["running", "paused", "aborted"]
RECORD_VERSION: Final = 1
PAGE: Final = 128
"Subscriptions looked at in one step."
_ALWAYS_BELOW: Final = PAGE
"Deliveries of one push in the outbox of a shard: with fewer the next page comes, whatever else waits there."
_MOST: Final = 16 * PAGE
"With more of them, most of them silent devices, it waits."
_READY_BELOW: Final = PAGE
"In between, the next page comes as long as so few deliveries of any push are ready."
_END: Final = "~"
"Sorts behind every subscription id."


class FanOut(NamedTuple):
    """The fixed part of it, as a user shard keeps it."""

    version: int
    template: Delivery
    "A delivery without recipient and subscription."
    reach: tuple[str, ...]
    "Shell patterns of addresses of record: whom the initiator may push to."


class Progress(NamedTuple):
    """How far one user shard is."""

    state: FanOutState
    made: int
    "Deliveries made so far."
    cursor: str
    "Id of the last subscription looked at; empty: none was."

    @property
    def is_over(self) -> bool:
        """No delivery will be added."""
        return self.state == "aborted" or self.cursor == _END

    def __str__(self) -> str:
        return f"{self.state}|{self.made}|{self.cursor}"

    @staticmethod
    def read(text: str) -> Progress:
        """Return what `str` wrote."""
        state, made, cursor = text.split("|")
        assert state in ("running", "paused", "aborted")  # noqa: S101 - only ours are in Redis
        return Progress(state, int(made), cursor)  # type: ignore[arg-type]


class Subscriber(NamedTuple):
    """One active subscription to the application."""

    id: str
    aor: str


class Page(NamedTuple):
    """One step of a fan-out in one shard."""

    deliveries: tuple[Delivery, ...]
    progress: Progress
    "How far the shard is with them."


def wants_page(progress: Progress, backlog: int, ready: int) -> bool:
    """
    Tell whether the next page shall be looked at.

    `backlog` deliveries of the push are in the shard's outbox; `ready` of all pushes may be sent next.
    """
    if progress.state != "running" or progress.is_over:
        return False
    return backlog < _ALWAYS_BELOW or (backlog < _MOST and ready < _READY_BELOW)


def is_early(fan_out: FanOut, now_ms: int) -> bool:
    """Tell whether deliver-after has not come yet, so that nobody is added so far."""
    return now_ms < fan_out.template.deliver_after_ms


def is_late(fan_out: FanOut, now_ms: int) -> bool:
    """Tell whether deliver-before has passed, so that nobody is added any more."""
    return now_ms >= fan_out.template.deliver_before_ms


def over(progress: Progress) -> Progress:
    """Return the progress of a shard that adds nobody any more."""
    return progress._replace(cursor=_END)


def next_page(
    fan_out: FanOut,
    progress: Progress,
    looked_at: Sequence[str],
    subscribers: Sequence[Subscriber],
    *,
    shard: int,
    shards: int,
) -> Page:
    """
    Return the deliveries for one page of subscriptions, and the progress after it.

    `looked_at`: the ids that follow the cursor, at most PAGE; fewer: there are no more. `subscribers`: those
    of them that are active and may be pushed to by anybody. Indexes of deliveries are dense over all shards,
    as far as these are equally full.
    """
    reached = [one for one in subscribers if _may_reach(fan_out, one.aor)]
    deliveries = tuple(
        fan_out.template._replace(recipient=number * shards + shard, aor=one.aor, subscription=one.id)
        for number, one in enumerate(reached, start=progress.made)
    )
    cursor = looked_at[-1] if len(looked_at) == PAGE else _END
    return Page(deliveries, Progress(progress.state, progress.made + len(deliveries), cursor))


def _may_reach(fan_out: FanOut, aor: str) -> bool:
    return any(pattern == "*" or fnmatch.fnmatchcase(aor, pattern) for pattern in fan_out.reach)
