"""What devices' refusals teach (PROP-CAP-5): stored before the delivery leaves the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from device_facts import content_of
from sent import Answered

from omapush.push.capabilities import Facts
from omapush.push.capability_sources import facts_of_answer
from omapush.store import capabilities, outbox
from omapush.store.client import Store


class Refused(NamedTuple):
    """One delivery that a device refused for what it is."""

    ticket: str
    answered: Answered
    method: str
    "By which way it came."


def store(db: Store, refusals: Sequence[Refused], *, learned_s: int) -> None:
    """Merge what the refusals teach into what is known of the users' devices; twice is as good as once."""
    if not refusals or not learned_s:
        return
    learnt: dict[str, list[Facts]] = {}
    deliveries = outbox.read(db, [one.ticket for one in refusals])
    for (_, answered, method), delivery in zip(refusals, deliveries, strict=True):
        if delivery is None:
            continue
        learnt.setdefault(delivery.aor, []).extend(
            facts_of_answer(
                answered.sip_code,
                answered.accept,
                answered.accept_encoding,
                content_of(delivery)._replace(size=delivery.length),
                method=method,
                now_ms=answered.at_ms,
                learned_s=learned_s,
            )
        )
    if learnt:
        capabilities.learn(db, learnt, max(one.answered.at_ms for one in refusals))
