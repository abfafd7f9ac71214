"""What the owner of a user shard tells subscribers without content: that they are in, and that it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import ksr_writer
import metrics
from gate import Gate
from hops import Hops, Way
from msgspec.structs import replace
from salvo import AT_ONCE
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
_USUAL_SIZE = 1_000
"Bytes of a NOTIFY without content: less than what makes a request leave by TCP."


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


class _Leaving(NamedTuple):
    """One NOTIFY as it leaves."""

    request: Request
    reference: Reference


def window_name(sender: int) -> str:
    """Return the name under which a sender's NOTIFYs without content are counted."""
    return f"{sender}.notify"


class SubscriptionNotifier:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store, hops: Hops, sender: int) -> None:
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
        self._gate = Gate(settings, hops, self.window)
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
            going: list[_Leaving] = []
            for one in numbered[first : first + AT_ONCE]:
                way = self._gate.way(next_hop_of(one.subscription.dialog), _USUAL_SIZE)
                if wait_ms := self._wait_ms(way, one.subscription.id):
                    waits.append((one.subscription.id, one.cseq, wait_ms))
                elif leaving := self._ready(one, way):
                    going.append(leaving)
            is_sent = [ksr_writer.send(one.request, one.reference.pack()) for one in going]  # as in a salvo
            for leaving, left in zip(going, is_sent, strict=True):
                if left:
                    self._counts.add("sip_requests_sent_total", "NOTIFY")
                else:
                    waits.append(self._not_left(leaving))
        self._counts.flush()
        if waits:
            subscriptions.put_off_notifies(self._store, waits)

    def _wait_ms(self, way: Way, ticket: str) -> int:
        """
        Return how long a NOTIFY waits for its next hop, or for what DNS says of it; 0: it leaves.

        It has no plan of retries as a push has: while there is no way, it waits for one.
        """
        if way.address or way.wait_ms:
            return self._gate.wait_ms(way, ticket)
        return self._again_ms(hop_of(way.next_hop))

    def _again_ms(self, hop: str) -> int:
        return self.window.turn_ms(hop, clock.monotonic(), is_soon=False)

    def _ready(self, begun: Begun, way: Way) -> _Leaving | None:
        """
        Return a NOTIFY that leaves now; it has its place in the windows.

        None: its route has no room there, it is dropped.
        """
        sub = begun.subscription
        now_ms = clock.now_ms()
        try:
            request = rules.notify(sub, begun.cseq, self._notifier, now_ms)
        except TooLarge as error:
            log.get().warning("subscription_dropped", subscription=sub.id, problem=str(error))
            subscriptions.remove_all(self._store, [sub.id])
            return None
        hop = hop_of(way.address)
        self.window.sent(hop)
        last = sub.state == "terminated"
        reference = Reference(sub.id, begun.cseq, self._sender, hop, last, now_ms)
        return _Leaving(replace(request, next_hop=way.next_hop, address=way.address), reference)

    def _not_left(self, one: _Leaving) -> tuple[str, int, int]:
        """
        Return when a NOTIFY is owed again that Kamailio could not send, for short memory most likely.

        Nobody has seen it, so that its dialog may have its number again.
        """
        reference = one.reference
        self.window.sent(reference.hop, -1)
        return reference.subscription_id, reference.cseq, self._again_ms(reference.hop)


def _run_out(old: Subscription | None) -> Placed[None]:
    """One that has run out is told so; one that could not be told for long is forgotten."""
    now_ms = clock.now_ms()
    if old is None or subscriptions.end_of(old) > now_ms:
        return Placed(old, None, None)
    ended = rules.terminated(old, "timeout", now_ms)
    return Placed(ended, 0 if ended else None, None)
