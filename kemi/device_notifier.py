"""What the owner of a user shard sends in the dialogs of devices: NOTIFYs, one at a time in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import ksr_writer
from settings import Settings

from omapush import clock, log
from omapush.errors import TooLarge
from omapush.push import device_subscription as rules
from omapush.push.device_subscription import DeviceSubscription
from omapush.push.request import Request
from omapush.store import subscriptions
from omapush.store.client import Store

REFERENCE = "s|"
"How references of these NOTIFYs begin."
_EVERY_S = 0.05
_MOST_AT_ONCE = 32


class Reference(NamedTuple):
    """What comes back with the final answer to a NOTIFY."""

    subscription_id: str
    cseq: int

    def pack(self) -> str:
        """Return the reference as text."""
        return f"{REFERENCE}{self.subscription_id}|{self.cseq}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, subscription_id, cseq = text.split("|")
        return Reference(subscription_id, int(cseq))


class DeviceNotifier:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._contact = settings.contact
        self._transaction_ms = settings.config.delivery.transaction_s * 1000
        self._look_at = 0.0

    def send_due(self, shards: Sequence[int]) -> None:
        """Send the NOTIFYs that are due in our shards; looks at most every 50 ms."""
        now = clock.monotonic()
        if now < self._look_at or not shards:
            return
        self._look_at = now + _EVERY_S
        for subscription_id in subscriptions.due(self._store, shards, clock.now_ms(), most=_MOST_AT_ONCE):
            self._send(subscription_id)

    def _send(self, subscription_id: str) -> None:
        request = subscriptions.change(self._store, subscription_id, self._due)
        if request is None:
            if subscriptions.read(self._store, subscription_id) is None:
                subscriptions.forget(self._store, subscription_id)
            return
        assert request.dialog is not None  # noqa: S101 - made by dialog.compose
        if not ksr_writer.send(request, Reference(subscription_id, request.dialog.cseq).pack()):
            log.get().warning("notify_not_sent", subscription=subscription_id, action="again later")

    def _due(self, old: DeviceSubscription | None) -> tuple[DeviceSubscription | None, Request | None]:
        if old is None:
            return None, None
        try:
            request, after = rules.notify(
                old, clock.now_ms(), contact=self._contact, transaction_ms=self._transaction_ms
            )
        except TooLarge as error:
            log.get().warning("subscription_dropped", subscription=old.id, problem=str(error))
            return None, None
        return after, request
