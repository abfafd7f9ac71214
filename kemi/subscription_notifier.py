"""What the owner of a user shard tells subscribers without content: that they are in, and that it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import KSR
import ksr_writer
import metrics
import named_hops
from salvo import AT_ONCE
from sent import Answered
from settings import Settings
from window import Window, hop_of, part_of_one, share_out

from omapush import clock, log
from omapush.config import shared_memory
from omapush.errors import TooLarge
from omapush.push import subscription as rules
from omapush.push.dialog import next_hop_of
from omapush.push.request import Request
from omapush.push.subscription import Subscription
from omapush.store import subscriptions
from omapush.store.client import Store
from omapush.store.subscriptions import Begun, Placed

REFERENCE = "s|"
"How references of these NOTIFYs begin."
NOTIFIED = "notified"
_MOST_AT_ONCE = 128
_NOT_SENT = 503


class Reference(NamedTuple):
    """What comes back with the final answer to a NOTIFY."""

    subscription_id: str
    cseq: int
    sender: int
    hop: str
    "Short name of the next hop in whose window it has its place."
    last: bool
    "It said that the subscription is terminated."
    sent_ms: int

    def pack(self) -> str:
        """Return the reference as text."""
        place = f"{self.subscription_id}|{self.cseq}|{self.sender}|{self.hop}"
        return f"{REFERENCE}{place}|{int(self.last)}|{self.sent_ms}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, subscription_id, cseq, sender, hop, last, sent_ms = text.split("|")
        return Reference(subscription_id, int(cseq), int(sender), hop, last == "1", int(sent_ms))


def window_name(sender: int) -> str:
    """Return the name under which a sender's NOTIFYs without content are counted."""
    return f"{sender}.notify"


class SubscriptionNotifier:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store, sender: int) -> None:
        self._store = store
        self._sender = sender
        self._notifier = settings.notifier
        self._transaction_ms = settings.config.delivery.transaction_s * 1000
        size = settings.config.subscriptions.window
        self.window = Window(
            window_name(sender),
            size,
            part_of_one(size),
            settings.config.delivery.transaction_s,
            shared_memory.silent_notifies(settings.config),
        )
        self._counts = metrics.Counts()

    def send_due(self, shards: Sequence[int]) -> None:
        """End what has run out in these shards, and send due NOTIFYs, as far as the window allows."""
        if not shards:
            return
        chosen, most = share_out(self.window.free(clock.monotonic()), shards, _MOST_AT_ONCE)
        due = subscriptions.due(self._store, chosen or shards, most=most or _MOST_AT_ONCE)
        if due.run_out:
            subscriptions.change_all(self._store, dict.fromkeys(due.run_out, _run_out))
        if due.owed and chosen:
            self._send_all(due.owed)

    def _send_all(self, ids: Sequence[str]) -> None:
        begun = subscriptions.begin_notifies(self._store, ids, transaction_ms=self._transaction_ms)
        numbered = [one for one in begun if one is not None and one.cseq]
        waits: list[tuple[str, int, int]] = []
        for first in range(0, len(numbered), AT_ONCE):
            going: list[tuple[Request, str]] = []
            for one in numbered[first : first + AT_ONCE]:
                next_hop = next_hop_of(one.subscription.dialog)
                hop = hop_of(next_hop)
                if wait_ms := self._wait_ms(next_hop, hop):
                    waits.append((one.subscription.id, one.cseq, wait_ms))
                elif composed := self._composed(one, hop):
                    self.window.sent(hop)
                    going.append(composed)
            for request, reference in going:  # with nothing in between, as in a salvo
                self._send(request, reference)
        self._counts.flush()
        if waits:
            subscriptions.put_off_notifies(self._store, waits)

    def _wait_ms(self, next_hop: str, hop: str) -> int:
        """Return how long a NOTIFY waits: for room, or for what DNS says of its next hop; 0: it leaves."""
        now = clock.monotonic()
        if full_ms := self.window.wait_ms(hop, now, self.window.hop_size):
            return full_ms
        known = named_hops.look(next_hop)
        if known.uris:
            return 0
        return self.window.turn_ms(hop, now, is_soon=known.wait_ms > 0 and not known.is_asked_long)

    def _composed(self, begun: Begun, hop: str) -> tuple[Request, str] | None:
        """Return a NOTIFY and its reference; None: its route has no room there, it is dropped."""
        sub = begun.subscription
        now_ms = clock.now_ms()
        try:
            request = rules.notify(sub, begun.cseq, self._notifier, now_ms)
        except TooLarge as error:
            log.get().warning("subscription_dropped", subscription=sub.id, problem=str(error))
            subscriptions.remove_all(self._store, [sub.id])
            return None
        last = sub.state == "terminated"
        return request, Reference(sub.id, begun.cseq, self._sender, hop, last, now_ms).pack()

    def _send(self, request: Request, reference: str) -> None:
        self._counts.add("sip_requests_sent_total", "NOTIFY")
        if not ksr_writer.send(request, reference):
            unsent = Answered(_NOT_SENT, True, clock.now_ms(), "", "could not be sent", "")
            KSR.mqueue.mq_add(NOTIFIED, reference, unsent.pack())


def _run_out(old: Subscription | None) -> Placed[None]:
    """One that has run out is told so; one that could not be told for long is forgotten."""
    now_ms = clock.now_ms()
    if old is None or subscriptions.end_of(old) > now_ms:
        return Placed(old, None, None)
    ended = rules.terminated(old, "timeout", now_ms)
    return Placed(ended, 0 if ended else None, None)
