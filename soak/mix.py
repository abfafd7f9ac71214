"""What is pushed to whom: kinds of pushes, how many of each, and how each has to end."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

from tests.harness.stack import PASSWORD, Settings

PSA: Final = "sip:psa@push.home1.example"
"A public service identity: the core brings to us what goes to this domain."
SECRET: Final = "signs results on loopback only"
RETENTION_S: Final = 120
"Short, so that Redis reaches its plateau within a warm-up."
PLATEAU_S: Final = 300
"Until nearly all that is kept is as much as it becomes; `series.judged_from_s` has what takes longer."
_ABSENT_S: Final = 15
"How long a push to somebody who is not there waits before it expires."
_MOST_RECEIVERS: Final = 1_000
_RECEIVER_S: Final = 6.0
"Of a run for each of its devices."
USERS: Final = "sip:device{n}@home1.example"
_ABSENT: Final = "sip:absent{n}@home1.example"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of push."""

    name: str
    share: int
    "In a hundred."
    application: str
    by: Literal["PAP", "JSON"]
    notified: Literal["pap", "json"]
    size: int
    "Bytes of content."
    ends: str
    "State of its result."
    present: bool = True
    "To a user who has a device."
    lifetime_s: int = 600


KINDS: Final = (
    Kind("message", 40, "mms.ua", "PAP", "pap", 60, "delivered"),
    Kind("message-json", 20, "mms.ua", "JSON", "json", 600, "delivered"),
    Kind("notify", 20, "news.ua", "PAP", "pap", 120, "delivered"),
    Kind("notify-json", 10, "news.ua", "JSON", "json", 4_000, "delivered"),
    Kind("refused", 3, "unwanted.ua", "PAP", "pap", 60, "aborted"),
    Kind("absent", 3, "patient.ua", "JSON", "json", 60, "expired", present=False, lifetime_s=_ABSENT_S),
    Kind("session", 2, "clip.ua", "PAP", "pap", 40_000, "delivered"),
    Kind("link", 2, "linked.ua", "JSON", "json", 40_000, "delivered"),
)
LATE_S: Final = 120.0
"A push without a result for so long is late: nothing here waits longer than one transaction and its repeat."
APPLICATIONS: Final = tuple(dict.fromkeys(kind.application for kind in KINDS if kind.present))
SUBSCRIBED: Final = "news.ua"
UNWANTED: Final = "unwanted.ua"

SETTINGS: Final[Settings] = {
    "sip": {"uri": PSA, "workers": 2, "senders": 2, "window": 1_000, "shared_memory_mb": 512},
    "redis": {"user_shards": 16, "push_shards": 16, "timeout_ms": 1_000},
    "delivery": {"retention_s": RETENTION_S, "lease_ms": 5_000},
    "registration": {"watch": True, "expires_s": 300},
    "subscriptions": {"least_s": 60},
    "sessions": {"enabled": True, "linger_s": 1.0},
    # Full within a minute, so that its filling does not look like a leak.
    "msrp": {"kept_bytes": 1_000_000},
    "content": {"lifetime_s": RETENTION_S},
    "initiator.trusted": {
        "password": PASSWORD,
        "identity": "sip:mmsc@home1.example",
        "webhook_secrets": [SECRET],
    },
    'application."clip.ua"': {"methods": ["INVITE"]},
    'application."linked.ua"': {"methods": ["INDIRECT"]},
    'application."patient.ua"': {"unregistered": "hold"},
}


class Mix:
    """Which kind the push of each number is, and for whom: the same for the same seed."""

    def __init__(self, receivers: int, seed: int = 1) -> None:
        self._receivers = receivers
        self._hundred = [kind for kind in KINDS for _ in range(kind.share)]
        random.Random(seed).shuffle(self._hundred)

    def kind(self, number: int) -> Kind:
        """Return the kind of the push of that number."""
        return self._hundred[number % len(self._hundred)]

    def user(self, number: int) -> str:
        """Return its recipient. All users get all kinds, for a hundred has no part in the step."""
        step = number + number // len(self._hundred)
        pattern = USERS if self.kind(number).present else _ABSENT
        return pattern.replace("{n}", str(step % self._receivers + 1))


def content(kind: Kind, number: int) -> bytes:
    """Return the content of a push, another one for each number."""
    start = f"{kind.name} {number} ".encode()
    return (start * (kind.size // len(start) + 1))[: kind.size]


def named(beginning: bytes) -> tuple[str, int]:
    """Return the name of the kind, and the number, of the push that a content is of."""
    kind, number = beginning.split(b" ", 2)[:2]
    return kind.decode(), int(number)


def receivers_for(seconds: float) -> int:
    """
    Return how many devices a run of that length is to have.

    A device remembers its last pushes, and so does Redis for its user. In a short run many devices would
    not get that many, and what only becomes full would look like a leak.
    """
    return max(50, min(_MOST_RECEIVERS, int(seconds / _RECEIVER_S)))
