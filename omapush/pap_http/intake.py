"""A push on its way in, whichever front it came through: room for it, acceptance, storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from omapush import clock
from omapush.config import Config
from omapush.errors import Overloaded
from omapush.pap_http.group_commit import GroupCommit
from omapush.push import acceptance
from omapush.push.acceptance import Accepted, Account, ContentRules, NotTaken, Offer, PushIdUsed
from omapush.push.values import Event
from omapush.store import pushes


class Intake:
    """Takes pushes; one for the whole process."""

    def __init__(self, config: Config, commit: GroupCommit, has_room: Callable[[], bool]) -> None:
        self._config = config
        self._commit = commit
        self._has_room = has_room

    async def take(
        self, account: Account, offer: Offer, compare: Callable[[Accepted], Accepted] | None = None
    ) -> Accepted:
        """
        Return the push once it is stored: from then on it comes to a final state.

        `compare` runs in a thread and may give recipients their result before anything is stored.

        Raises:
            NotTaken: nothing of it is stored; of a push-id that was used before, the first stays.
            TryLater: it cannot be stored now; nothing was promised.
        """
        if not self._has_room():
            raise Overloaded("the outbox is full", retry_after_s=5)
        most = self._config.api.max_addresses
        if len(offer.addresses) > most:
            raise NotTaken("2000", "to", f"{len(offer.addresses)} addresses, at most {most} are taken")
        accepted = self._accept(account, offer)
        if compare is not None:
            accepted = await asyncio.to_thread(compare, accepted)
        push = accepted.push
        whom = "all subscribers" if push.subscribers else f"{len(accepted.recipients)} recipient(s)"
        text = f"{whom}, {push.size} bytes of {push.content_type}"
        event = Event(push.accepted_ms, -1, "accepted", f"{text} for {push.application} from {account.name}")
        submission = pushes.Submission(push, accepted.recipients, accepted.results, accepted.content, event)
        if not await self._commit.accept(submission):
            raise PushIdUsed
        return accepted

    def _accept(self, account: Account, offer: Offer) -> Accepted:
        profile = self._config.profile(offer.application)
        return acceptance.accept(
            offer,
            account=account,
            rules=ContentRules(profile.content_types, profile.max_bytes, self._config.delivery.notify_bytes),
            order_us=clock.order_us(),
            lifetime_s=self._config.delivery.lifetime_s,
        )
