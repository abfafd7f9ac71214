"""Pushes that leave as links to their content (RFC 4483), and what becomes of them once the device has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sent import Answered, Sent
from settings import Settings

from omapush.errors import PushRefused
from omapush.push import link, link_outcome
from omapush.push.link import Claim, Link
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import PENDING, Delivery, Event, Result, ticket_delivery
from omapush.store import contents, fetches, finish, outbox
from omapush.store.client import Store
from omapush.store.fetches import Awaited

LARGEST_LINK = 600
"Bytes of content that a link counts for, before it is made: mostly a URL and the headers of the content."


class ContentGone(PushRefused):
    """The content of a push is not there any more; nothing can be linked to."""

    pap_code = "5027"


class Links:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._base = settings.config.content_url
        self._lifetime_s = settings.config.content.lifetime_s
        self._store = store

    def linked(self, delivery: Delivery, now_ms: int) -> Delivery:
        """
        Return the delivery with a link of its own in place of its content.

        Raises:
            ContentGone: all recipients of the push are final.
            MalformedMime: its content type or headers cannot stand in the link.
        """
        until_ms = link.until_ms(delivery, self._lifetime_s, now_ms)
        secret = contents.link(self._store, delivery.ref, until_ms)
        described = contents.describe(self._store, delivery.ref) if secret is not None else None
        if secret is None or described is None:
            raise ContentGone("the content of the push is not there any more")
        claim = Claim(delivery.ref, delivery.recipient, until_ms)
        url = self._base + link.token_of(claim, secret)
        content_id = f"{delivery.ref}.{described.sha1[:4].hex()}@push"
        return link.linked(delivery, Link(url, until_ms, described.sha1, content_id))


class TakenLink(NamedTuple):
    """One link that its device has, and whose fetch decides."""

    sent: Sent
    answered: Answered


def is_waited_for(sent: Sent, answered: Answered) -> bool:
    """Tell whether the answer only says that the device has the link, and its fetch decides."""
    is_taken = 200 <= answered.sip_code < 300 and not answered.local
    return sent.fetch and is_taken and not (sent.notify and sent.notify.others)


def store(db: Store, taken: Sequence[TakenLink], *, lifetime_s: int, retention_s: int) -> None:
    """
    Let these deliveries leave the outbox; their results wait for the fetches.

    Each step may be repeated. Who has fetched already, quicker than its answer came here, is delivered now.
    """
    if not taken:
        return
    fetched = fetches.wait_for(db, [_awaited(one, lifetime_s) for one in taken])
    ended = [_ended(one) for one, is_there in zip(taken, fetched, strict=True) if is_there]
    if ended:
        finish.store(db, ended, retention_s=retention_s)
        fetches.close(db, [ticket_delivery(one.ticket) for one in ended])
    left = [one.sent.ticket for one, is_there in zip(taken, fetched, strict=True) if not is_there]
    outbox.complete(db, (outbox.Finished(ticket, 0) for ticket in left))


def _awaited(one: TakenLink, lifetime_s: int) -> Awaited:
    sent, answered = one
    ref, index = ticket_delivery(sent.ticket)
    desc = link_outcome.waits(answered.sip_code, answered.reason)
    result = Result(PENDING, TAKEN_CODE, desc, sent.method, answered.sip_code, sent.attempt, answered.at_ms)
    until_ms = min(sent.sent_ms + lifetime_s * 1000, sent.deliver_before_ms)
    said = f"{desc} after {answered.at_ms - sent.sent_ms} ms"
    return Awaited(ref, index, result, Event(answered.at_ms, index, "reply", said), until_ms)


def _ended(one: TakenLink) -> finish.Ended:
    sent, answered = one
    verdict = link_outcome.fetched()
    return finish.Ended(
        sent.ticket, verdict, sent.method, answered.sip_code, sent.attempt, answered.at_ms, verdict.desc
    )
