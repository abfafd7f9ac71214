"""A push on its way in, whichever front it came through: room for it, acceptance, storage."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from omapush import clock
from omapush.config import Config
from omapush.errors import Overloaded, PushError
from omapush.pap_http.expansion import expanded
from omapush.pap_http.group_commit import GroupCommit
from omapush.pap_http.quotas import Quotas
from omapush.pap_http.tracing import Tracing
from omapush.protocol.trace_context import TraceContext
from omapush.push import acceptance, policy, replacing
from omapush.push.acceptance import Accepted, ContentRules, NotPossible, NotTaken, Offer, PushIdUsed
from omapush.push.account import Account
from omapush.push.callback import Callbacks
from omapush.push.fingerprint import fingerprint
from omapush.push.limits import LimitReached
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import Event, push_ref
from omapush.store import contents, own_pushes, pushes, registrations
from omapush.store.client import Store
from omapush.store.push_pages import LARGE


class Intake:
    """Takes pushes; one for the whole process."""

    def __init__(
        self,
        config: Config,
        store: Store,
        commit: GroupCommit,
        quotas: Quotas,
        has_room: Callable[[], bool],
        tracing: Tracing,
        count: Callable[[str, str, int], None],
    ) -> None:
        """`count`: told of each push its application, the PAP code of its answer, and its recipients."""
        self._config = config
        self._store = store
        self._commit = commit
        self._quotas = quotas
        self._has_room = has_room
        self._tracing = tracing
        self._count = count
        self._policy = policy.rules_of(config.policy)
        self._callbacks = Callbacks(config.notify.targets, config.notify.networks)
        self.under_way = 0
        "Pushes that it is taking."

    async def take(
        self,
        account: Account,
        offer: Offer,
        compare: Callable[[Accepted], Accepted] | None = None,
        *,
        asked: TraceContext | None = None,
    ) -> Accepted:
        """
        Return the push once it is stored: from then on it comes to a final state.

        `compare` runs in a thread and may give recipients their result before anything is stored; `asked` is
        the trace that the request belongs to.

        Raises:
            NotTaken: nothing of it is stored; of a push-id that was used before, the first stays.
            TryLater: it cannot be stored now; nothing was promised.
        """
        started_us = clock.now_us()
        self.under_way += 1
        try:
            accepted = await self._take(account, offer, compare, asked)
        except PushError as refusal:
            self._count(offer.application, getattr(refusal, "code", refusal.pap_code), 0)
            if isinstance(refusal, NotTaken):
                self._tracing.refused(asked, offer, refusal, started_us)
            raise
        finally:
            self.under_way -= 1
        self._count(offer.application, TAKEN_CODE, len(accepted.recipients))
        self._tracing.accepted(asked, accepted, started_us)
        return accepted

    async def _take(
        self,
        account: Account,
        offer: Offer,
        compare: Callable[[Accepted], Accepted] | None,
        asked: TraceContext | None,
    ) -> Accepted:
        if not self._has_room():
            raise Overloaded("the outbox is full", retry_after_s=5)
        most = self._config.api.max_addresses
        if len(offer.addresses) > most:
            raise NotTaken("2000", "to", f"{len(offer.addresses)} addresses, at most {most} are taken")
        try:
            if offer.lists and not offer.subscribers:
                offer = await asyncio.to_thread(expanded, self._store, account.name, offer, most)
            if len(offer.addresses) + len(offer.members) > LARGE:  # long enough for others to notice
                accepted = await asyncio.to_thread(self._accept, account, offer)
            else:
                accepted = self._accept(account, offer)
            if offer.replaces:
                accepted = await asyncio.to_thread(self._replacing, accepted)
        except NotPossible as refusal:
            if await self._is_repeat(account, offer):  # it was possible when it came first
                raise PushIdUsed(is_repeat=True) from refusal
            raise
        if compare is not None:
            accepted = await asyncio.to_thread(compare, accepted)
        accepted = self._tracing.begin(asked, accepted)
        push, submission = accepted.push, self._submission(account, offer, accepted)
        try:
            admission = await self._quotas.admit(account.name, accepted)
        except LimitReached as refusal:
            if await self._is_repeat(account, offer):
                raise PushIdUsed(is_repeat=True) from refusal
            raise
        if push.size > self._config.delivery.inline_bytes:
            submission = await asyncio.to_thread(self._uploaded, submission)
        if not await self._commit.accept(submission):
            if submission.upload:
                await asyncio.to_thread(contents.discard, self._store, push.ref, submission.upload)
            await self._quotas.give_back(admission)
            raise PushIdUsed(is_repeat=await self._is_repeat(account, offer))
        return accepted

    async def _is_repeat(self, account: Account, offer: Offer) -> bool:
        ref = push_ref(account.name, offer.push_id)
        stored = await asyncio.to_thread(own_pushes.fingerprint, self._store, ref)
        return bool(stored) and stored == fingerprint(offer)

    def _uploaded(self, submission: pushes.Submission) -> pushes.Submission:
        """In a thread: the same with its content in pieces of their own."""
        upload = contents.upload(self._store, submission.push.ref, submission.content)
        push = submission.push._replace(sha1=upload.sha1, sha256=upload.sha256)
        return submission._replace(push=push, content=b"", upload=upload.name)

    def _replacing(self, accepted: Accepted) -> Accepted:
        """In a thread: the same, with what it replaces."""
        old = pushes.read(self._store, accepted.push.replaces, events=False)
        if old is None:
            return replacing.of_the_old(accepted, None, (), ())
        accepted = replacing.of_the_old(accepted, old.push, old.recipients, old.results)
        stays = {one.aor for one in old.recipients}
        others = [
            one.aor for one in accepted.recipients if one.aor.startswith("tel:") and one.aor not in stays
        ]
        known = dict(zip(others, registrations.sip_identities(self._store, others), strict=True))
        mapped = (one._replace(aor=known.get(one.aor, one.aor)) for one in accepted.recipients)
        return dataclasses.replace(accepted, recipients=tuple(mapped))

    def _accept(self, account: Account, offer: Offer) -> Accepted:
        profile = self._config.profile(offer.application)
        accepted = acceptance.accept(
            offer,
            account=account,
            rules=ContentRules(profile.content_types, profile.max_bytes, self._config.delivery.notify_bytes),
            order_us=clock.order_us(),
            lifetime_s=self._config.delivery.lifetime_s,
        )
        self._callbacks.check(account, accepted.push.notify_url)
        return policy.applied(self._policy, accepted) if self._policy else accepted

    def _submission(self, account: Account, offer: Offer, accepted: Accepted) -> pushes.Submission:
        """What is stored of an accepted push, with the first line of its event log."""
        push = accepted.push
        whom = "all subscribers" if push.subscribers else f"{len(accepted.recipients)} recipient(s)"
        text = f"{whom}, {push.size} bytes of {push.content_type}"
        event = Event(push.accepted_ms, -1, "accepted", f"{text} for {push.application} from {account.name}")
        return pushes.Submission(
            push,
            accepted.recipients,
            accepted.results,
            accepted.content,
            event,
            fingerprint=fingerprint(offer),
            retention_s=self._config.delivery.retention_s,
            id_kept_ms=self._config.delivery.push_id_s * 1000,
            log_s=self._config.delivery.log_s,
        )
